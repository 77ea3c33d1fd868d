"""A packed corpus to damage, and a limit on memory that no damage may reach."""

from pathlib import Path

import pytest
import yaml

from surgstream.launch.__main__ import main
from tests.helpers.videos import make_video


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets, three videos, a quarantined one; every test leaves it as it was."""
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("d/a", "d/b", "e/c"):
        make_video(folder / f"{name}.mp4", 30)
    (folder / "e" / "x.mp4").write_bytes(b"no video")
    datasets = [
        {"name": name, "specialty": "s", "procedure": "p", "videos": f"{name}/*.mp4"}
        for name in "de"
    ]
    pack = {"fps": 10, "short_side": 16, "segment_frames": 5, "workers": 1}
    (folder / "corpus.yaml").write_text(yaml.safe_dump({"datasets": datasets, "pack": pack}))
    assert main(["pack", str(folder / "corpus.yaml"), str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture(autouse=True)
def bounded(bounded_memory: None) -> None:
    """No damage may ask for gigabytes."""
