"""What `surgstream export` writes is what `surgstream push` takes."""

import shutil
from pathlib import Path

import pytest

from surgstream.launch.__main__ import main
from tests.trainer.export.saved import Saved


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["surgstream", "transformers", "surgvista"])
def test_every_export_may_be_sent(
    layout: str, saved: Saved, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["export", str(saved["surgvista"][0]), str(out), "--layout", layout]
    assert main([*words, "--licence", "CC-BY-NC-SA-4.0"]) == 0
    assert main(["push", str(out), "someone/encoder"]) == 0
    assert "licence of the weights: cc-by-nc-sa-4.0" in capsys.readouterr().out
    shutil.rmtree(out)

    assert main(words) == 0
    assert main(["push", str(out), "someone/encoder"]) == 1
    assert "--licence SPDX" in capsys.readouterr().err
