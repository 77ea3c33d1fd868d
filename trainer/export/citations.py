"""What to cite beside an exported encoder, as BibTeX. Authors are named by their works."""

import importlib.metadata
from contextlib import suppress

from surgstream.trainer.objectives.config import ObjectiveConfig, VJepaConfig

_PAPERS = {
    "videomae": (
        "VideoMAE",
        "VideoMAE: Masked Autoencoders are Data-Efficient Learners for Self-Supervised Video "
        "Pre-Training",
        "2203.12602",
    ),
    "surgvista": (
        "SurgVISTA",
        "Large-scale Self-supervised Video Foundation Model for Intelligent Surgery",
        "2506.02692",
    ),
    "vjepa": (
        "V-JEPA 2",
        "V-JEPA 2: Self-Supervised Video Models Enable Understanding, Prediction and Planning",
        "2506.09985",
    ),
    "vjepa2_1": (
        "V-JEPA 2.1",
        "V-JEPA 2.1: Unlocking Dense Features in Video Self-Supervised Learning",
        "2603.14482",
    ),
    "salt": (
        "SALT",
        "Rethinking JEPA: Compute-Efficient Video SSL with Frozen Teachers",
        "2509.24317",
    ),
    "unisurg": (
        "UniSurg",
        "UniSurg: A Video-Native Foundation Model for Universal Understanding of Surgical Videos",
        "2602.05638",
    ),
    "surgmotion": (
        "SurgMotion",
        "SurgMotion: A Video-Native Foundation Model for Universal Understanding of Surgical Videos",
        "2602.05638",
    ),
}
"""The work that each objective is of, and what `vjepa` adds by switches: its name, its title, its number at arXiv."""

_BUILT_ON = {
    "surgvista": ("videomae",),
    "vjepa2_1": ("vjepa",),
    "unisurg": ("vjepa",),
    "surgmotion": ("vjepa",),
    "salt": ("vjepa",),
}
"""The objectives whose works an objective builds on."""


def bibtex(objective: ObjectiveConfig) -> str:
    """The entries for the software, and for the papers of an objective."""
    is_2_1 = isinstance(objective, VJepaConfig) and objective.is_2_1
    own = "vjepa2_1" if is_2_1 else objective.name
    works = [work for work in (own, *_BUILT_ON.get(own, ())) if work in _PAPERS]
    return "\n\n".join([_software(), *map(_paper, works)])


def _software() -> str:
    lines = [
        "@software{surgstream",
        "  author = {{surgstream} and others}",
        "  title = {{surgstream: Pretraining for Surgical Video Foundation Models}}",
    ]
    # Run from a folder of its code it may not be installed
    with suppress(importlib.metadata.PackageNotFoundError):
        lines.append(f"  version = {{{importlib.metadata.version('surgstream')}}}")
    return ",\n".join(lines) + "\n}"


def _paper(work: str) -> str:
    name, title, number = _PAPERS[work]
    # arXiv's numbers begin with the year and the month
    year = f"20{number[:2]}"
    return f"""\
@misc{{{work}{year},
  author = {{{{{name}}} and others}},
  title = {{{{{title}}}}},
  year = {{{year}}},
  eprint = {{{number}}},
  archivePrefix = {{arXiv}}
}}"""
