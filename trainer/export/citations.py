"""What to cite beside an exported encoder, as BibTeX. Authors are named by their works."""

import importlib.metadata
from contextlib import suppress

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
"""The work that each objective is of: its name, its title, and its number at arXiv."""

_BUILT_ON = {
    "surgvista": ("videomae",),
    "unisurg": ("vjepa",),
    "surgmotion": ("vjepa",),
    "salt": ("vjepa",),
}
"""The objectives whose works an objective builds on."""


def bibtex(objective: str) -> str:
    """The entries for the software, and for the papers of an objective.

    Args:
        objective: Its name, such as `surgvista`.
    """
    works = [work for work in (objective, *_BUILT_ON.get(objective, ())) if work in _PAPERS]
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


def _paper(objective: str) -> str:
    name, title, number = _PAPERS[objective]
    # arXiv's numbers begin with the year and the month
    year = f"20{number[:2]}"
    return f"""\
@misc{{{objective}{year},
  author = {{{{{name}}} and others}},
  title = {{{{{title}}}}},
  year = {{{year}}},
  eprint = {{{number}}},
  archivePrefix = {{arXiv}}
}}"""
