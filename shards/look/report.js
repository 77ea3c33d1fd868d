// Collects what is decided about each stretch, and saves it as the file that `surgstream pack --review` reads.

const chosen = () =>
  [...document.querySelectorAll("tr[data-start]")]
    .map((row) => ({ row, decision: row.querySelector("input:checked")?.value }))
    .filter(({ decision }) => decision)
    .sort((a, b) => a.row.dataset.order - b.row.dataset.order); // of those that overlap the latest holds

let latest = 0;

function decided(row) {
  if (row) row.dataset.order = latest += 1;
  count();
}

function csv() {
  const lines = chosen().map(({ row, decision }) => {
    const video = row.closest("section").dataset;
    return [video.dataset, video.video, row.dataset.start, row.dataset.stop, decision].join(",");
  });
  return ["dataset,video,start,stop,decision", ...lines, ""].join("\n");
}

function count() {
  const number = chosen().length;
  document.querySelector("#save").textContent = `Save review.csv (${number} decision${number === 1 ? "" : "s"})`;
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "review.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

function add(form) {
  const [start, stop] = ["start", "stop"].map((name) => Number(form.elements[name].value));
  if (!(start >= 0 && stop > start)) return;
  const section = form.closest("section");
  const row = document.querySelector("#by-hand").content.firstElementChild.cloneNode(true);
  Object.assign(row.dataset, { start, stop });
  [row.cells[2].textContent, row.cells[3].textContent] = [start, stop];
  const name = `${section.id} ${start} ${stop} ${section.querySelectorAll("tr").length}`;
  row.querySelectorAll("input").forEach((input) => (input.name = name));
  section.querySelector("tbody").append(row);
  form.reset();
  decided(row);
}

document.addEventListener("change", (event) => decided(event.target.closest("tr")));
document.addEventListener("submit", (event) => {
  event.preventDefault();
  add(event.target);
});
document.querySelector("#save").addEventListener("click", save);
document.querySelector("#noted").addEventListener("change", (event) => {
  document.body.classList.toggle("noted", event.target.checked);
});
count();
