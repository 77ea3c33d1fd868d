"""Nothing that is read can run code: no pickle, no eval, no shell and only safe loaders, in all our sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_architecture import FILES, ROOT, imports, module_name, under

SOURCES = [*FILES, *sorted((ROOT / "benchmarks").rglob("*.py"))]
PICKLES = ("pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
FORBIDDEN = {
    "eval", "exec", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load", "torch.jit.load", "torch.hub.load",
    "extractall", "extract",
}  # fmt: skip
BETWEEN_RANKS = {
    "broadcast_object_list",
    "all_gather_object",
    "gather_object",
    "scatter_object_list",
}
"""These pickle what ranks of one run send each other, which was not read from storage."""
SAFE_LOADERS = {"_StrictLoader", "yaml.SafeLoader"}
MEANT = {"benchmarks.experiments.public_loaders": ["exec"]}
"""Its purpose is to run the loaders in clones that its user names."""


def unsafe(source: str, name: str = "") -> Iterator[str]:
    """Find calls in a module that could run code from outside it."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        last = call.rpartition(".")[2]
        given = {word.arg: ast.unparse(word.value) for word in node.keywords}

        if {call, last} & FORBIDDEN and not call.endswith(".eval"):
            yield call
        if call == "torch.load" and given.get("weights_only") != "True":
            yield "torch.load without weights_only=True"
        if call == "yaml.load" and given.get("Loader") not in SAFE_LOADERS:
            yield "yaml.load without a safe loader"
        if {given.get("allow_pickle", "False"), given.get("shell", "False")} != {"False"}:
            yield f"{call} with allow_pickle or shell"
        if last in BETWEEN_RANKS and name != "trainer.distributed":
            yield f"{call} outside trainer.distributed"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_nothing_read_is_run(path: Path) -> None:
    name = module_name(path)
    assert list(unsafe(path.read_text(), name)) == MEANT.get(name, [])
    assert not [imported for imported in imports(path) if under(imported, PICKLES)]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("torch.load(p)", 1),
        ("torch.load(p, weights_only=False)", 1),
        ("torch.load(p, weights_only=True)", 0),
        ("yaml.load(t, Loader=yaml.Loader)", 1),
        ("yaml.load(t, Loader=_StrictLoader)", 0),
        ("np.load(p, allow_pickle=True)", 1),
        ("np.load(p)", 0),
        ("eval(text)", 1),
        ("module.eval()", 0),
        ("subprocess.run(word, shell=True)", 1),
        ("os.system(word)", 1),
        ("tar.extractall(folder)", 1),
        ("dist.broadcast_object_list(x)", 1),
    ],
)
def test_it_would_be_found(source: str, found: int) -> None:
    assert len(list(unsafe(source))) == found
