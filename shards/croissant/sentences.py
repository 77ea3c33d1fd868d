"""The fields of Croissant's vocabulary for responsible AI, in sentences: what packing has done and seen, and was told.

Nothing is said that is not known: a field that nobody has told is left out.
"""

from typing import Any

from surgstream.shards.corpus.about import AboutConfig
from surgstream.shards.croissant.packed import PackedCorpus

_LOOKED_FOR = {
    "face": "Faces",
    "writing": "Writings burnt into a whole video",
    "text": "Slides with text",
    "out_of_body": "Stretches outside of the body",
}
"""Findings that may tell of people, in words; `face` needs a detector, all others are always looked for."""

_NO_DETECTOR = "none"


def responsible(corpus: PackedCorpus, about: AboutConfig) -> dict[str, Any]:
    """The fields and their values.

    Args:
        corpus: What was corpus.
        about: What the corpus file tells.
    """
    fields = {
        "rai:dataCollection": about.collection,
        "rai:dataCollectionMissingData": _missing(corpus),
        "rai:dataPreprocessingProtocol": _preprocessing(corpus),
        "rai:personalSensitiveInformation": [*_sensitive(corpus), *about.sensitive],
        "rai:dataLimitations": list(about.limitations),
        "rai:dataBiases": list(about.biases),
        "rai:dataUseCases": list(about.use_cases),
    }
    return {name: value for name, value in fields.items() if value}


def _missing(corpus: PackedCorpus) -> str:
    lost = sum(reading.lost_seconds for reading in corpus.readings)
    dropped = sum(reading.dropped_seconds for reading in corpus.readings)
    short = sum(reading.too_short for reading in corpus.readings)
    return (
        f"{len(corpus.quarantine):,} videos could not be packed; {short:,} were left out as too short; of the "
        f"others {lost:,.1f} s could not be decoded; {dropped:,.1f} s in all were left out on purpose."
    )


def _preprocessing(corpus: PackedCorpus) -> list[str]:
    options = corpus.options
    told = [
        f"{options.fps:g} frames a second of video, the shorter side at most {options.short_side} "
        f"pixels, as JPEG of quality {options.jpeg_quality}."
    ]
    if options.crop_borders:
        told.append("The black borders around the endoscope's picture are cut off.")
    if options.drop:
        told.append(f"Left out where it was found: {', '.join(options.drop)}.")
    if corpus.manifest.review:
        told.append(f"People decided about {len(corpus.manifest.review):,} stretches.")
    return told


def _sensitive(corpus: PackedCorpus) -> list[str]:
    names = "Videos are called as their files were, which may tell of people."
    if corpus.has_pseudonyms:
        names = "Names of files are replaced by pseudonyms."

    detector = str(corpus.manifest.packing.get("face_detector", _NO_DETECTOR))
    told = [names]
    for kind, words in _LOOKED_FOR.items():
        if kind == "face" and _NO_DETECTOR in detector.split(", "):
            told.append("Faces were not looked for in all videos.")
        told.append(_found(corpus, kind, words))
    return [sentence for sentence in told if sentence]


def _found(corpus: PackedCorpus, kind: str, words: str) -> str:
    """What was found of a kind; empty where nothing was, which does not say that there is nothing."""
    lengths = [reading.found_seconds(kind) for reading in corpus.readings]
    num_videos = sum(found > 0 for found, _ in lengths)
    if not num_videos:
        return ""

    found = sum(found for found, _ in lengths)
    left_out = sum(out for _, out in lengths)
    return (
        f"{words} were found in {num_videos:,} videos, {found:,.1f} s in all, of which {left_out:,.1f} s "
        "are left out; the search does not find all."
    )
