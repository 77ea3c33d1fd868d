import os
import subprocess
import sys
from pathlib import Path

import pytest

from surgstream.trainer.compile_caches import CACHES, keep_on_node


def test_caches_lie_in_a_folder_of_the_job_on_the_nodes_disk(tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    elsewhere = {"TMPDIR": str(tmp_path), "SLURM_JOB_ID": "7", "TRITON_CACHE_DIR": "/mine"}
    for more, disk in (
        ({}, tmp_path),
        ({"SLURM_TMPDIR": str(tmp_path / "slurm")}, tmp_path / "slurm"),
    ):
        environment = elsewhere | more
        keep_on_node(environment)
        folder = disk / f"surgstream-{os.getuid()}-7"
        assert environment["TORCHINDUCTOR_CACHE_DIR"] == str(folder / "inductor")
        assert environment["TORCH_EXTENSIONS_DIR"] == str(folder / "torch_extensions")
        assert environment["TRITON_CACHE_DIR"] == "/mine", "what is set stays"
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_temporary_folder_of_another_job_is_passed_over(tmp_path: Path) -> None:
    environment = {"SLURM_TMPDIR": str(tmp_path / "gone"), "TMPDIR": str(tmp_path)}
    keep_on_node(environment)
    assert {environment[name] for name in CACHES} == {
        f"{tmp_path}/surgstream-{os.getuid()}/{cache}" for cache in CACHES.values()
    }


def test_code_is_run_from_no_folder_that_others_may_write_to(tmp_path: Path) -> None:
    folder = tmp_path / f"surgstream-{os.getuid()}"
    (tmp_path / "other").mkdir()
    folder.symlink_to(tmp_path / "other")
    environment = {"TMPDIR": str(tmp_path)}
    keep_on_node(environment)
    folder.unlink()
    folder.mkdir()
    folder.chmod(0o777)
    keep_on_node(environment)
    assert environment == {"TMPDIR": str(tmp_path)}


@pytest.mark.slow
def test_torch_and_triton_take_them(tmp_path: Path) -> None:
    code = (
        "import os; from surgstream.trainer.compile_caches import keep_on_node; keep_on_node(os.environ)\n"
        "from torch._inductor.runtime.cache_dir_utils import cache_dir, triton_cache_dir\n"
        "from torch.utils.cpp_extension import get_default_build_root\n"
        "print(cache_dir(), triton_cache_dir(0), os.environ['TORCH_EXTENSIONS_DIR'])\n"
    )
    others = {name: value for name, value in os.environ.items() if name not in CACHES}
    here = others | {"TMPDIR": str(tmp_path), "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=here, capture_output=True, text=True, check=True
    )
    found = done.stdout.split()
    assert found and all(
        path.startswith(f"{tmp_path}/surgstream-{os.getuid()}-7/") for path in found
    )
