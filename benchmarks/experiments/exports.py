"""Exports of full size, with random weights, in the hands of the code that reads such models in public.

`python -m surgstream.benchmarks.experiments.exports CLONES OUT_DIR --python PYTHON` writes `exports.json` there, and a
table. CLONES holds clones of the repositories in `EXPORTS`, as OWNER+NAME; PYTHON has torch, einops and the timm that
they need (0.4.12).
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from surgstream.benchmarks.support.harness import conditions
from surgstream.configs.files import write_atomically
from surgstream.configs.loading import load
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.export.comparing import fixed_clip, trained_features
from surgstream.trainer.export.folder.record import LayoutName
from surgstream.trainer.export.source import TrainedEncoder
from surgstream.trainer.export.writing import publish
from surgstream.trainer.lineage.ancestry import NOTHING
from surgstream.trainer.models.initial import initialise
from surgstream.trainer.models.predictor import Predictor
from surgstream.trainer.models.vit import Encoder
from surgstream.trainer.objectives.config import predictor_of

RECIPES = Path(__file__).parents[2] / "configs" / "pretrain"


@dataclass(frozen=True)
class Export:
    """An exported encoder and the code that reads it.

    Attributes:
        recipe: The recipe whose encoder is exported.
        layout: The layout that it is exported in.
        readers: Names of loaders in `public_loaders`, by repository, OWNER+NAME.
    """

    recipe: str
    layout: LayoutName
    readers: Mapping[str, tuple[str, ...]]


EXPORTS = (
    Export(
        "surgrec_mae_vitb",
        "videomae",
        {
            "MCG-NJU+VideoMAE": ("videomae", "videomae_cls"),
            "Siiichenggg+SurgRec-open-source": ("surgrec",),
        },
    ),
    Export("surgvista_vitb", "surgvista", {"isyangshu+SurgVISTA": ("surgvista", "surgvista_cls")}),
    Export(
        "surgrec_jepa_vitl", "vjepa2", {"facebookresearch+vjepa2": ("vjepa2_hub", "vjepa2_evals")}
    ),
)


def main() -> None:
    """Export, have the exports read, and write down the findings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clones", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--python", required=True, help="of the environment with their timm")
    words = parser.parse_args()

    command = "python -m surgstream.benchmarks.experiments.exports CLONES OUT_DIR --python PYTHON"
    found = {**conditions(), "command": command, "timm_of_the_readers": _version(words.python)}
    words.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for export in EXPORTS:
        rows += measure(export, words.clones, words.python)
        text = json.dumps({**found, "rows": rows}, indent=1)
        write_atomically(words.out / "exports.json", text + "\n")
    print(table(rows))


def measure(export: Export, clones: Path, python: str) -> list[dict[str, Any]]:
    """Export, and read the export by each loader; returns a row for each."""
    source = random_source(export.recipe)
    with tempfile.TemporaryDirectory() as folder:
        publish(source, Path(folder) / "out", export.layout)
        (file,) = (Path(folder) / "out").glob("model.p*")
        compared = Path(folder) / "compared.pt"
        torch.save(material(source), compared)

        rows = []
        for repository, loaders in export.readers.items():
            what = {"recipe": export.recipe, "layout": export.layout, "repository": repository}
            clone = clones / repository
            rows += [what | read_by(loader, clone, python, file, compared) for loader in loaders]
        return rows


def read_by(loader: str, clone: Path, python: str, file: Path, compared: Path) -> dict[str, Any]:
    """Run a repository's loader in a process of its own; returns what it found."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=clone, stdout=subprocess.PIPE, text=True, check=True
    )
    script = Path(__file__).with_name("public_loaders.py")
    command = [python, str(script), loader, str(clone), str(file), str(compared)]
    environment = os.environ | {"PYTHONPATH": ""}
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return {"commit": commit.stdout.strip(), **found}


def random_source(recipe: str) -> TrainedEncoder:
    """A recipe's networks with random weights, all of them different, as a checkpoint would give them."""
    config = load(TrainConfig, RECIPES / f"{recipe}.yaml", ["data.corpus=x", "held_out=null"])
    encoder = config.objective.encoder
    networks = nn.ModuleDict({"encoder": Encoder(encoder)})
    predictor = predictor_of(config.objective)
    if predictor:
        networks["predictor"] = Predictor(predictor, encoder)

    generator = torch.Generator().manual_seed(0)
    initialise(networks, generator)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
    state = {name: parameter.detach() for name, parameter in networks.named_parameters()}
    return TrainedEncoder(
        recipe=config, state=state, averaged=False, step=0, clips_seen=0, ancestry=NOTHING
    )


def material(source: TrainedEncoder) -> dict[str, Any]:
    """The reference for readers: a clip, its tokens, and the weights of the last norm."""
    clip = fixed_clip(source.recipe.objective.encoder)
    norm = [source.state[f"encoder.norm.{name}"] for name in ("weight", "bias")]
    return {"clip": clip, "tokens": trained_features(source, clip), "norm": norm}


def _version(python: str) -> str:
    command = [python, "-c", "from importlib.metadata import version; print(version('timm'))"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def table(rows: list[dict[str, Any]]) -> str:
    """Lay results out as Markdown."""
    lines = [
        "| loader | commit | tensors | taken | not taken | largest difference |",
        "|---|---|--:|--:|---|--:|",
    ]
    for row in rows:
        left = ", ".join(row["not_taken"]) or "none"
        lines.append(
            f"| {row['repository'].replace('+', '/')}, {row['loader']} | {row['commit'][:7]} | "
            f"{row['tensors']} | {row['taken']} | {left} | {row['largest_difference']:.2g} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
