"""The notebooks of docs/notebooks, run from beginning to end where there is nothing yet."""

import base64
import io
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

pytestmark = pytest.mark.slow

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_pictures(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        resources={"metadata": {"path": str(tmp_path)}},
        kernel_name="python3",
    )
    client.execute()

    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [_picture(output) for output in outputs if "image/png" in output.get("data", {})]
    assert pictures and all(picture.std() > 5 for picture in pictures)
    said = [output["text"] for output in outputs if output.get("name") == "stderr"]
    assert not [text for text in said if "ipywidgets" not in text], "tqdm asks for widgets"
    if path.stem == "from_weights_to_ribbons":
        html = "".join(
            output["data"].get("text/html", "") for output in outputs if "data" in output
        )
        assert "Ribbons" in html


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)


def _picture(output: Any) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))))
