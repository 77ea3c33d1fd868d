"""The import law: who may know whom, checked on the code's own import statements."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("configs", "shards", "trainer", "launch")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

# The rooms of ours that each room may import, the longest matching prefix deciding. All may import `configs`, and what
# is in `shards` may import `shards.errors`.
MAY_IMPORT = {
    "configs": (),
    "shards": (),
    "shards.errors": (),
    "shards.keyed_random": (),
    "shards.globs": (),
    "shards.progress": (),
    "shards.workers": ("shards.progress",),
    "shards.storage": ("shards.storage", "shards.globs"),
    "shards.format": ("shards.format", "shards.storage"),
    "shards.order": ("shards.order", "shards.keyed_random"),
    "shards.labels": ("shards.labels", "shards.format", "shards.storage", "shards.reading"),
    "shards.releases": ("shards.releases", "shards.format", "shards.storage"),
    "shards.corpus": ("shards.corpus", "shards.globs", "shards.format", "shards.storage", "shards.labels.tables"),
    "shards.croissant": ("shards.croissant", "shards.corpus", "shards.format"),
    "shards.video": ("shards.video", "shards.format", "shards.storage"),
    "shards.video.container": ("shards.video.container", "shards.format", "shards.storage"),
    "shards.screening": ("shards.screening", "shards.video", "shards.format"),
    "shards.synthetic": ("shards.synthetic", "shards.keyed_random", "shards.workers"),
    "shards.inspection": (
        "shards.inspection", "shards.format", "shards.reading.layers", "shards.storage", "shards.video",
    ),
    "shards.spool": (),
    "shards.layers": (
        "shards.layers", "shards.corpus", "shards.format", "shards.storage", "shards.video", "shards.screening",
        "shards.spool", "shards.workers",
    ),
    "shards.packing": (
        "shards.packing", "shards.corpus", "shards.croissant", "shards.format", "shards.layers", "shards.storage",
        "shards.video", "shards.screening", "shards.spool", "shards.workers",
    ),
    "shards.reading": ("shards.reading", "shards.format", "shards.storage", "shards.order"),
    "shards.leaks": (
        "shards.leaks", "shards.inspection", "shards.format", "shards.storage", "shards.video", "shards.keyed_random",
        "shards.progress", "shards.workers", "shards.packing.plan", "shards.packing.plan_records",
    ),
    "shards.commands": ("shards",),
    "launch": (
        "launch", "shards.corpus.file", "shards.format.rates", "shards.order.sequence", "shards.storage.addresses",
        "trainer.commands.suite", "trainer.config", "trainer.runs.excluded", "trainer.runs.files", "trainer.runs.plot",
        "trainer.suite",
    ),
    "launch.commands": (
        "launch.commands", "shards.format.outside", "shards.packing.shares", "shards.releases.registry",
        "shards.synthetic.config",
    ),
    "trainer.errors": (),
    "trainer.runs": ("trainer.errors", "trainer.runs", "shards.errors", "shards.storage"),
    "trainer.batch": (),
    "trainer.tracking": ("shards.storage.base", "trainer.tracking"),
    "trainer.host": ("trainer.errors", "trainer.host"),
    "trainer.distributed": ("trainer.errors",),
    "trainer.health": ("trainer.health", "trainer.host.names"),
    "trainer.models": ("trainer.errors", "trainer.batch", "trainer.models"),
    "trainer.objectives": (
        "shards.keyed_random", "trainer.errors", "trainer.batch", "trainer.models", "trainer.objectives",
    ),
    "trainer.data": (
        "shards.reading", "shards.order", "shards.storage", "shards.keyed_random", "shards.format.rates",
        "shards.errors", "trainer.errors", "trainer.batch", "trainer.distributed", "trainer.host", "trainer.runs.files",
        "trainer.data",
    ),
    "trainer.evaluation": (
        "trainer.errors", "trainer.evaluation", "shards.labels", "shards.keyed_random", "shards.storage",
        "shards.corpus.file", "shards.format.layers", "shards.format.manifest", "shards.format.png",
        "shards.inspection.packed_frames", "trainer.lineage.verdict",
    ),
    "trainer.lineage": (
        "shards.corpus.hidden", "shards.corpus.licences", "shards.errors", "shards.format", "shards.leaks",
        "shards.storage", "shards.workers",
        "trainer.encoders.config", "trainer.engine.checkpoint_files", "trainer.errors", "trainer.evaluation.tasks",
        "trainer.lineage", "trainer.models.config", "trainer.models.videos.config", "trainer.runs.files",
    ),
    "trainer.labelled": (
        "shards.reading", "shards.labels", "shards.order", "shards.storage", "trainer.errors", "trainer.batch",
        "trainer.data", "trainer.distributed", "trainer.evaluation", "trainer.labelled", "trainer.runs.files",
    ),
    "trainer.encoders": (
        "trainer.errors", "trainer.batch", "trainer.distributed", "trainer.models", "trainer.export.folder",
        "trainer.runs.costs", "trainer.runs.files",
        "trainer.engine.checkpoint_files", "trainer.engine.selection", "trainer.engine.stored_tensors",
        "trainer.encoders",
    ),
    "trainer.export.folder": (
        "trainer.errors", "trainer.models", "trainer.data.config", "trainer.data.augmentation.config",
        "trainer.objectives.config", "trainer.export.folder",
    ),
    "trainer.features": (
        "shards.reading", "shards.format", "shards.storage", "shards.progress", "shards.errors", "trainer.errors",
        "trainer.batch", "trainer.data", "trainer.distributed", "trainer.encoders", "trainer.features",
        "trainer.labelled",
    ),
    "trainer.readouts": (
        "shards.keyed_random", "shards.storage", "shards.progress", "trainer.errors", "trainer.batch", "trainer.data",
        "trainer.distributed", "trainer.encoders", "trainer.engine", "trainer.evaluation", "trainer.features",
        "trainer.host", "trainer.labelled", "trainer.lineage", "trainer.models", "trainer.readouts", "trainer.runs",
        "trainer.tracking.config",
    ),
    "trainer.readouts.banks": (
        "shards.keyed_random", "shards.order", "shards.progress", "shards.reading.locations", "shards.storage.durable",
        "trainer.errors", "trainer.batch", "trainer.data", "trainer.distributed", "trainer.encoders", "trainer.engine",
        "trainer.evaluation", "trainer.host.names", "trainer.labelled", "trainer.lineage", "trainer.models",
        "trainer.provenance", "trainer.readouts", "trainer.runs.costs", "trainer.runs.files", "trainer.session",
        "trainer.tracking",
        "shards.format.png",
    ),
    "trainer.probing": (
        "shards.reading", "trainer.data", "trainer.distributed", "trainer.evaluation", "trainer.probing",
        "trainer.readouts.ridge",
    ),
    "trainer.probing.tasks": (
        "shards.keyed_random", "trainer.batch", "trainer.data.source", "trainer.distributed", "trainer.evaluation",
        "trainer.labelled", "trainer.probing", "trainer.readouts",
    ),
    "trainer.hub": ("shards.storage.base", "trainer.errors", "trainer.hub", "trainer.provenance.record"),
    "trainer.suite": (
        "shards.format.manifest", "shards.order.sequence", "shards.storage", "trainer.errors", "trainer.config",
        "trainer.model_sizes", "trainer.encoders.config", "trainer.engine.checkpoint_files", "trainer.evaluation",
        "trainer.lineage",
        "trainer.readouts.config", "trainer.runs.costs", "trainer.runs.files", "trainer.runs.growth", "trainer.suite",
    ),
    "trainer.engine": (
        "shards.progress", "shards.storage.durable", "trainer.errors", "trainer.batch", "trainer.distributed",
        "trainer.host", "trainer.health.watch", "trainer.runs.files", "trainer.objectives.base", "trainer.engine",
        "trainer.tracking",
    ),
    "trainer": ("shards", "trainer"),
}  # fmt: skip

# A dependency enters by one door.
DOORS = {
    "mlflow": ("trainer.tracking.trackers",),
    "trackio": ("trainer.tracking.trackers",),
    "wandb": ("trainer.tracking.trackers",),
    "av": ("shards.video", "shards.synthetic.corpus"),
    "cv2": ("shards.screening.faces",),
    "boto3": ("shards.storage.s3_client",),
    "botocore": ("shards.storage",),
    "webdataset": (),
    "nvidia": ("trainer.data.graphs",),
    "psutil": ("trainer.host.interface",),
    "pynvml": ("trainer.health.gpus",),
    "openpyxl": ("shards.releases.spreadsheets",),
    "scipy": ("trainer.evaluation.statistics.tests",),
    "timm": ("trainer.models",),
    "deepspeed": ("trainer.engine.zero",),
    "huggingface_hub": ("trainer.hub.sending",),
    "transformers": ("trainer.export.comparing", "trainer.export.modeling_surgical_vit"),
    "yaml": ("configs.parsing", "shards.synthetic.description"),
}

# Not installed on login nodes. Nor are boto3 and PyAV, whose doors in `shards` are opened late.
HEAVY = (
    "torch",
    "torchvision",
    "nvidia",
    "deepspeed",
    "timm",
    "einops",
    "safetensors",
    "tensorboard",
)

# What login nodes run of `trainer`, beside every `config`: it imports nothing heavy, and of `trainer`
# only its like.
LEAN = (
    "trainer.errors", "trainer.runs", "trainer.evaluation", "trainer.lineage", "trainer.resume",
    "trainer.objectives.masks.masking", "trainer.engine.schedules", "trainer.engine.checkpoint_files",
    "trainer.commands.order", "trainer.commands.status", "trainer.commands.status_page", "trainer.commands.describe",
    "trainer.commands.describing", "trainer.commands.leaks", "trainer.commands.evaluate", "trainer.suite",
    "trainer.clip_tables", "trainer.estimates", "trainer.mixing", "trainer.model_sizes",
    "trainer.provenance.licences", "trainer.provenance.record", "trainer.hub", "trainer.readouts.bank_config",
)  # fmt: skip


def module_name(path: Path) -> str:
    """What a module is called, without the name of the package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


PACKAGES = {module_name(path) for path in FILES if path.name == "__init__.py"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("surgstream.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            assert node.module.partition(".")[0] not in (*ROOMS, "benchmarks"), (
                f"{path}: not by way of surgstream"
            )
            room = node.module.removeprefix("surgstream.")
            yield from (f"{room}.{alias.name}" for alias in node.names)


def is_lean(name: str) -> bool:
    return under(name, LEAN) or (
        under(name, ("trainer",)) and name.endswith((".config", "_config"))
    )


def under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    name = module_name(path)
    room = max((room for room in MAY_IMPORT if under(name, (room,))), key=len)
    allowed = (*MAY_IMPORT[room], "configs")
    if under(name, ("shards",)):
        allowed += ("shards.errors",)

    for imported in imports(path):
        if under(imported, (*ROOMS, "tests", "benchmarks")):
            assert under(imported, allowed), f"{name} may not import {imported}"
        for dependency, doors in DOORS.items():
            if under(imported, (dependency,)):
                assert under(name, doors), f"{name} imports {dependency}; its door is {doors}"

        # Login nodes have nothing heavy installed.
        if under(room, ("configs", "shards", "launch")) or is_lean(name):
            assert not under(imported, HEAVY), (
                f"{name} imports {imported}; it runs where that is not installed"
            )
        if is_lean(name) and under(imported, ("trainer",)):
            module = imported if is_lean(imported) else imported.rpartition(".")[0]
            assert is_lean(module), f"{name} imports {imported}, which is not for login nodes"


def arrows_between_modules() -> dict[str, set[str]]:
    modules = {module_name(path) for path in FILES}
    arrows = {}
    for path in FILES:
        name = module_name(path)
        targets = set()
        for imported in imports(path):
            targets |= {imported, imported.rpartition(".")[0]}
        arrows[name] = targets & modules - {name}
    return arrows


def arrows_between_rooms() -> dict[str, set[str]]:
    """A module outside of any room but the package's own is a room of its own."""
    arrows: dict[str, set[str]] = {}
    for name, targets in arrows_between_modules().items():
        arrows.setdefault(room_of(name), set()).update(map(room_of, targets))
    return {room: targets - {room} for room, targets in arrows.items()}


def room_of(name: str) -> str:
    is_module_of_a_room = name.count(".") > 1 and name not in PACKAGES
    return name.rpartition(".")[0] if is_module_of_a_room else name


@pytest.mark.parametrize(
    "arrows", [arrows_between_modules(), arrows_between_rooms()], ids=["modules", "rooms"]
)
def test_there_is_no_import_circle(arrows: dict[str, set[str]]) -> None:
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import circle: {' -> '.join((*trail, name))}"
        if name not in done:
            for target in arrows.get(name, ()):
                visit(target, (*trail, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_and_functions_have_a_size_that_one_can_read(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300, f"{path}: look for the missing room"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert num_lines <= 60, f"{path}: {node.name} has {num_lines} lines; look for its steps"


def test_folders_have_a_size_that_one_can_read() -> None:
    modules = Counter(path.parent for path in FILES if path.name != "__init__.py")
    assert max(modules.values()) <= 16, f"look for the missing room: {modules.most_common(1)}"
