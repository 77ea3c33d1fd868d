"""What login nodes run imports nothing that is not of the smallest install."""

import subprocess
import sys
import textwrap

import pytest

MODULES = (
    "launch.submit",
    "launch.suites",
    "trainer.commands.describe",
    "trainer.commands.evaluate",
    "trainer.commands.status",
    "trainer.commands.suite",
)

PROGRAM = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        allowed = {"surgstream", "numpy", "yaml", "_yaml", "tqdm", *sys.stdlib_module_names}
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
importlib.import_module("surgstream." + sys.argv[1])
"""


@pytest.mark.parametrize("module", MODULES)
def test_a_command_of_login_nodes_needs_the_smallest_install(module: str) -> None:
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), module]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr.splitlines()[-1]
