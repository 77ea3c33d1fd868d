"""The import law: who may know whom, checked on the code's own import statements."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("configs", "shards", "trainer", "launch")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

# The rooms of ours that each room may import, the longest matching prefix deciding.
MAY_IMPORT = {
    "configs": ("configs",),
    "shards": ("configs", "shards"),
    "launch": ("configs", "launch", "shards.corpus", "shards.rates", "trainer.config", "trainer.runfiles"),
    "launch.commands": (
        "configs", "launch.commands", "shards.outside", "shards.shares", "shards.synthetic.config",
    ),
    "trainer.errors": ("configs",),
    "trainer.runfiles": ("configs", "trainer.errors"),
    "trainer.batch": (),
    "trainer.distributed": ("configs", "trainer.errors"),
    "trainer.models": ("configs", "trainer.errors", "trainer.batch", "trainer.models"),
    "trainer.objectives": (
        "configs", "shards.keyed", "trainer.errors", "trainer.batch", "trainer.models", "trainer.objectives",
    ),
    "trainer.data": (
        "configs", "shards", "trainer.errors", "trainer.batch", "trainer.distributed", "trainer.runfiles",
        "trainer.data",
    ),
    "trainer.engine": (
        "configs", "shards.progress", "trainer.errors", "trainer.batch", "trainer.distributed", "trainer.runfiles",
        "trainer.objectives.base", "trainer.engine",
    ),
    "trainer": ("configs", "shards", "trainer"),
}  # fmt: skip

# A dependency enters by one door.
DOORS = {
    "av": ("shards.video", "shards.synthetic.corpus"),
    "cv2": ("shards.views.faces",),
    "boto3": ("shards.s3_client",),
    "botocore": ("shards.s3_client", "shards.s3_failures", "shards.storage_s3", "shards.fetch"),
    "webdataset": (),
    "nvidia": ("trainer.data.decode",),
    "timm": ("trainer.models",),
    "deepspeed": ("trainer.engine.parallel",),
    "transformers": ("trainer.export.comparing", "trainer.export.modeling_surgical_vit"),
    "yaml": ("configs.parsing", "shards.synthetic.corpus"),
}

# Not installed on login nodes. Nor are boto3 and PyAV, whose doors in `shards` are opened late.
HEAVY = ("torch", "torchvision", "nvidia", "deepspeed", "timm", "einops", "safetensors", "tensorboard")

# What login nodes run of `trainer`, beside every `config`: it imports nothing heavy, and of `trainer` only its like.
LEAN = (
    "trainer.errors", "trainer.runfiles", "trainer.objectives.masking", "trainer.engine.schedules",
    "trainer.engine.saved", "trainer.resume", "trainer.show_order", "trainer.status", "trainer.runstate",
    "trainer.lines", "trainer.pace", "trainer.standing", "trainer.slurm_words",
)  # fmt: skip


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_lean(name: str) -> bool:
    return name in LEAN or (under(name, ("trainer",)) and name.endswith(".config"))


def under(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    name = module_name(path)
    room = max((room for room in MAY_IMPORT if under(name, (room,))), key=len)
    for imported in imports(path):
        if under(imported, (*ROOMS, "tests", "benchmarks")):
            assert under(imported, MAY_IMPORT[room]), f"{name} may not import {imported}"
        for dependency, doors in DOORS.items():
            if under(imported, (dependency,)):
                assert under(name, doors), f"{name} imports {dependency}; its door is {doors}"
        if under(room, ("configs", "shards", "launch")) or is_lean(name):
            assert not under(imported, HEAVY), f"{name} imports {imported}; it runs where that is not installed"
        if is_lean(name) and under(imported, ("trainer",)):
            module = imported if is_lean(imported) else imported.rpartition(".")[0]
            assert is_lean(module), f"{name} imports {imported}, which is not for login nodes"


def test_there_is_no_import_circle() -> None:
    modules = {module_name(path) for path in FILES}
    arrows = {
        module_name(path): {
            target
            for imported in imports(path)
            for target in (imported, imported.rpartition(".")[0])
            if target in modules and target != module_name(path)
        }
        for path in FILES
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import circle: {' -> '.join((*trail, name))}"
        if name not in done:
            for target in arrows[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


def test_files_have_a_size_that_one_can_read() -> None:
    for path in FILES:
        assert len(path.read_text().splitlines()) <= 350, f"{path}: look for the missing room"
