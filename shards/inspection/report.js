// Collects what is decided about each stretch, keeps it while the page is closed, and saves it as the file that
// `surgstream pack --review` reads. Enlarges pictures.

const find = (query, within = document) => within.querySelector(query);
const all = (query, within = document) => [...within.querySelectorAll(query)];

// Decisions

let latest = 0;
let saved = true;

const chosen = () =>
  all("tr[data-start]")
    .map((row) => ({ row, decision: find("input:checked", row)?.value }))
    .filter(({ decision }) => decision)
    .sort((a, b) => a.row.dataset.order - b.row.dataset.order); // of those that overlap the latest holds

const decisions = () =>
  chosen().map(({ row, decision }) => {
    const { dataset, video } = row.closest("section").dataset;
    const { start, stop } = row.dataset;
    return { dataset, video, start, stop, decision, kind: row.cells[1].textContent };
  });

function csv() {
  const lines = decisions().map((each) => [each.dataset, each.video, each.start, each.stop, each.decision].join(","));
  return ["dataset,video,start,stop,decision", ...lines, ""].join("\n");
}

function count() {
  const number = chosen().length;
  find("#save").textContent = `Save review.csv (${number} decision${number === 1 ? "" : "s"})`;
}

function decided(row) {
  if (!row) return;
  row.dataset.order = latest += 1;
  saved = false;
  count();
  remember();
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "review.csv";
  link.click();
  URL.revokeObjectURL(link.href);
  saved = true;
}

function add(section, start, stop, decision = "drop") {
  const row = find("#by-hand").content.firstElementChild.cloneNode(true);
  Object.assign(row.dataset, { start, stop });
  [row.cells[2].textContent, row.cells[3].textContent] = [start, stop];
  const name = `${section.id} ${start} ${stop} ${all("tr", section).length}`;
  all("input", row).forEach((input) => {
    input.name = name;
    input.checked = input.value === decision;
  });
  find("tbody", section).append(row);
  return row;
}

function addFrom(form) {
  const [start, stop] = ["start", "stop"].map((name) => parseFloat(form.elements[name].value));
  if (!(start >= 0 && stop > start)) return;
  decided(add(form.closest("section"), start, stop));
  form.reset();
}

// What was decided here before, and not saved: it is kept by the browser, for this page of this corpus.

const memory = `surgstream ${document.body.dataset.corpus} ${document.body.dataset.version}`;
const asPacked = JSON.stringify(decisions());

function remember() {
  try {
    localStorage.setItem(memory, JSON.stringify(decisions()));
  } catch {
    // a browser may keep nothing; it asks before the page is closed
  }
}

function remembered() {
  try {
    return localStorage.getItem(memory);
  } catch {
    return null;
  }
}

function restore() {
  const before = remembered();
  if (!before || before === asPacked) return;
  all("tr[data-start] input").forEach((input) => (input.checked = input.value === ""));
  const taken = new Set();
  for (const { dataset, video, start, stop, decision, kind } of JSON.parse(before)) {
    const section = document.getElementById(`${dataset}/${video}`);
    const same = (row) =>
      row.dataset.start === start && row.dataset.stop === stop && row.cells[1].textContent === kind && !taken.has(row);
    const row = all("tr[data-start]", section).find(same) ?? add(section, start, stop);
    taken.add(row);
    find(`input[value="${decision}"]`, row).checked = true;
    row.dataset.order = latest += 1;
  }
  find("#restored span").textContent = `Decisions made here before, and kept by this browser, are restored: ${taken.size}.`;
  find("#restored").hidden = false;
}

function forget() {
  localStorage.removeItem(memory);
  saved = true;
  location.reload();
}

// Pictures

let shown = null; // the sheet, and the place of the picture in it

const numbers = (sheet, name) => sheet.dataset[name].split(" ").map(Number);

function place(sheet, event) {
  const box = sheet.getBoundingClientRect();
  const [[columns], [width, height]] = [numbers(sheet, "columns"), numbers(sheet, "cell")];
  const scale = sheet.naturalWidth / box.width;
  const column = Math.floor(((event.clientX - box.left) * scale) / width);
  const line = Math.floor(((event.clientY - box.top) * scale) / height);
  return line * columns + column;
}

function enlarge(sheet, at) {
  if (!(at >= 0 && at < numbers(sheet, "seconds").length)) return;
  if (!sheet.complete) {
    sheet.addEventListener("load", () => enlarge(sheet, at), { once: true });
    sheet.loading = "eager";
    return;
  }
  shown = { sheet, at };
  const [[columns], [across, down], [width, height]] = ["columns", "cell", "size"].map((name) => numbers(sheet, name));
  const canvas = find("#enlarged canvas");
  Object.assign(canvas, { width, height });
  const corner = [(at % columns) * across, Math.floor(at / columns) * down];
  canvas.getContext("2d").drawImage(sheet, ...corner, width, height, 0, 0, width, height);
  caption();
  if (!find("#enlarged").open) find("#enlarged").showModal();
}

function caption() {
  const section = shown.sheet.closest("section");
  const { start, stop } = find("form", section).elements;
  const stretch = start.value || stop.value ? ` · from ${start.value || "…"} to ${stop.value || "…"} s` : "";
  const second = numbers(shown.sheet, "seconds")[shown.at];
  find("#enlarged span").textContent = `${section.id} · ${clock(second)} · ${second.toFixed(2)} s${stretch}`;
}

function clock(second) {
  const [minutes, rest] = [Math.floor(second / 60), Math.floor(second % 60)];
  return [Math.floor(minutes / 60), minutes % 60, rest].map((n) => String(n).padStart(2, "0")).join(":");
}

function step(by) {
  const at = shown.at + by;
  if (at >= 0 && at < numbers(shown.sheet, "seconds").length) return enlarge(shown.sheet, at);
  const sheets = all(".film .sheet", shown.sheet.closest("section"));
  const next = sheets[sheets.indexOf(shown.sheet) + by];
  if (sheets.includes(shown.sheet) && next) return enlarge(next, by > 0 ? 0 : numbers(next, "seconds").length - 1);
}

function mark(end) {
  const form = find("form", shown.sheet.closest("section"));
  form.elements[end].value = numbers(shown.sheet, "seconds")[shown.at];
  caption();
}

// Events

document.addEventListener("change", (event) => decided(event.target.closest("tr")));
document.addEventListener("submit", (event) => {
  event.preventDefault();
  addFrom(event.target);
});
document.addEventListener("click", (event) => {
  if (event.target.matches(".sheet")) enlarge(event.target, place(event.target, event));
});
find("#enlarged").addEventListener("click", (event) => {
  const { step: by, end, add, close } = event.target.dataset;
  if (by) step(Number(by));
  if (end) mark(end);
  if (add !== undefined) addFrom(find("form", shown.sheet.closest("section")));
  if (add !== undefined) caption();
  if (close !== undefined || event.target.matches("dialog")) find("#enlarged").close();
});
find("#enlarged").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
window.addEventListener("beforeunload", (event) => {
  if (!saved && !remembered()) event.preventDefault();
});
find("#save").addEventListener("click", save);
find("#restored button").addEventListener("click", forget);
find("#noted").addEventListener("change", (event) => document.body.classList.toggle("noted", event.target.checked));

restore();
count();
