"""The model card of an exported folder: `README.md`.

It names no file, no video and no place: whoever gets an encoder needs none, and some are nobody else's business.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from surgstream.configs.columns import markdown
from surgstream.trainer.config import TrainConfig
from surgstream.trainer.evaluation.report.numbers import NOTHING, counted
from surgstream.trainer.export.citations import bibtex
from surgstream.trainer.export.evaluation import as_text, evaluation, front_matter
from surgstream.trainer.export.folder.forms import ENCODER, Form
from surgstream.trainer.export.folder.record import ExportRecord
from surgstream.trainer.export.recipe import RECIPE
from surgstream.trainer.export.results import Reported
from surgstream.trainer.export.source import TrainedEncoder
from surgstream.trainer.models.config import EncoderConfig
from surgstream.trainer.provenance.record import PROVENANCE, UNKNOWN

CARD = "README.md"

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a card says that the checkpoint does not tell.

    Attributes:
        licence: The licence of the weights, by its SPDX identifier; None states none.
        results: What the encoder was found to be worth.
        identity: SHA-256 of the encoder, as predictions have it; None where nobody asks.
    """

    licence: str | None = None
    results: tuple[Reported, ...] = ()
    identity: str | None = None


def card(record: ExportRecord, source: TrainedEncoder, form: Form, told: Told) -> str:
    """Write the model card.

    Args:
        record: The content of `config.json`.
        source: The checkpoint of the encoder.
        form: The form that it was written in.
        told: What else is to be said.
    """
    sections = [
        front_matter(record, told.licence, told.results),
        f"# An encoder of surgical video, pretrained with {record.objective}",
        _what_it_is(record, source),
        _how_to_load(record, form),
        evaluation(told.results, told.identity),
        _check(record),
        _corpus(source),
        _licence(told.licence),
        f"## Citation\n\n```bibtex\n{bibtex(source.recipe.objective)}\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _what_it_is(record: ExportRecord, source: TrainedEncoder) -> str:
    encoder = record.encoder
    recipe = source.recipe
    shape = encoder.shape
    crop = record.crop
    count = sum(tensor.numel() for name, tensor in source.state.items() if name.startswith(ENCODER))
    side = encoder.image_size

    rows = {
        "objective": record.objective,
        "encoder": f"{shape.depth} blocks, width {shape.embed_dim}, {shape.num_heads} heads, "
        f"tubelets of {encoder.tubelet_size}x{encoder.patch_size}x{encoder.patch_size}, "
        f"{encoder.positions} positions, {count:,} weights",
        "weights": "the moving average of the trained ones"
        if record.weights == "average"
        else "the trained ones",
        "clips": f"(B, 3, {encoder.num_frames}, {side}, {side}), RGB",
        "frames": _frames(record),
        "pixels": f"in [0, 1], minus {_written(record.mean)}, divided by {_written(record.std)}",
        "crop": f"in training {_written(crop.scales)} of the short side, otherwise the largest "
        "centred square",
        "tokens": f"(B, {encoder.grid.num_tokens}, {shape.embed_dim}), normed, in the order of "
        "time, row, column",
        **dict(_of_2_1(encoder)),
        "began with": _beginning(recipe),
        "training": f"step {record.step:,}, {record.clips_seen:,} clips, batches of "
        f"{recipe.global_batch_size:,}, AdamW at {recipe.optim.base_lr:g} for 256 clips; all of the "
        f"recipe is in [{RECIPE}]({RECIPE})",
        "code": _code(source),
    }

    return markdown([("", ""), *rows.items()], left=2)


def _of_2_1(encoder: EncoderConfig) -> Iterator[tuple[str, str]]:
    """What V-JEPA 2.1 adds to an encoder."""
    if encoder.levels:
        blocks = ", ".join(map(str, encoder.levels))
        yield (
            "levels",
            f"blocks {blocks} were trained to be predicted; these tokens are the last one's",
        )
    if encoder.images:
        side = encoder.image_size
        yield "images", f"(B, 3, 1, {side}, {side}) as well, by a tokenizer of their own"


def _code(source: TrainedEncoder) -> str:
    """The code that trained it, in the last of its setups."""
    setups = source.provenance["setups"]
    code = setups[-1].get("code") if setups else None
    if not isinstance(code, dict):
        return "the checkpoint does not tell"

    commit = as_text(str(code.get("commit", UNKNOWN)))
    changed = ", with changes" if code.get("changed") is True else ""
    of_commit = "" if commit == UNKNOWN else f", commit {commit}{changed}"
    sha256 = as_text(str(code.get("sha256", UNKNOWN)))
    return (
        f"surgstream {as_text(str(code.get('version', UNKNOWN)))}{of_commit}, files {sha256}; all of it is in "
        f"[{PROVENANCE}]({PROVENANCE})"
    )


def _beginning(recipe: TrainConfig) -> str:
    warm_start = recipe.warm_start
    if warm_start is None:
        return "random weights"
    parts = "an encoder" if warm_start.parts == "encoder" else "all weights"
    return f"{parts} that had been trained before; what follows is of this run alone"


def _frames(record: ExportRecord) -> str:
    picked = "" if record.stride == 1 else f", one in every {record.stride}"
    frames = f"{record.encoder.num_frames}{picked}"
    if record.fps is None:
        return f"{frames} of the corpus, whose frame rate the recipe does not say"
    return f"{frames} at {record.fps:g} frames a second: {record.stride / record.fps:g} s apart"


def _how_to_load(record: ExportRecord, form: Form) -> str:
    lines = _THEIR_WAYS.get((record.layout, record.encoder.positions), "")
    ours = f"""\
from surgstream.trainer.export import load_encoder

encoder = load_encoder("FOLDER")
tokens = encoder(encoder.prepare(frames))  # frames: ({record.encoder.num_frames}, H, W, 3) uint8"""
    blocks = [f"```python\n{ours}\n```"]
    if lines:
        blocks.insert(0, lines.replace("FILE", form.file))
    if record.layout == "transformers":
        blocks.append(_CROPS)
    return "## How to load it\n\n" + "\n\n".join(blocks)


_CROPS = """\
Of frames that are not square `prepare` takes the centred square and resizes that, as training does; transformers'
processors resize first and crop by whole pixels, so that pixels, and with them features, differ somewhat."""

_THEIR_WAYS = {
    ("transformers", "sinusoid"): """\
```python
from transformers import AutoImageProcessor, VideoMAEModel

prepared = AutoImageProcessor.from_pretrained("FOLDER")(list(frames), return_tensors="pt")
tokens = VideoMAEModel.from_pretrained("FOLDER")(**prepared).last_hidden_state
```""",
    ("transformers", "sincos"): """\
```python
from transformers import AutoImageProcessor, AutoModel

prepared = AutoImageProcessor.from_pretrained("FOLDER")(list(frames), return_tensors="pt")
model = AutoModel.from_pretrained("FOLDER", trust_remote_code=True)  # runs modeling_surgical_vit.py
tokens = model(**prepared).last_hidden_state
```""",
    ("transformers", "rope"): """\
```python
from transformers import AutoVideoProcessor, VJEPA2Model

prepared = AutoVideoProcessor.from_pretrained("FOLDER")(frames, return_tensors="pt")
tokens = VJEPA2Model.from_pretrained("FOLDER")(**prepared, skip_predictor=True).last_hidden_state
```""",
    ("videomae", "sinusoid"): """\
```sh
python run_class_finetuning.py --finetune FOLDER/FILE ...  # VideoMAE's; SurgRec's run_class_finetuning_videomae too
```""",
    ("surgvista", "sincos"): """\
```python
# of SurgVISTA's downstream/model/unifiedmodel.py
unified_base_st(pretrained=True, pretrain_path="FOLDER/FILE", qkv_bias=False, qkv_divided_bias=True)
```""",
    ("vjepa2", "rope"): """\
V-JEPA 2's evals take `checkpoint: FOLDER/FILE`, with the key `encoder` or `target_encoder`, which hold the same.""",
}
"""Code by which others load a folder, by its layout and its encoder's positions."""


def _check(record: ExportRecord) -> str:
    if record.check is None:
        return "## Check\n\nThis folder has not been read again."
    return (
        "## Check\n\n"
        f"Read again by {' and '.join(record.check.read_by)}, it gave the features of the training "
        f"encoder, of one clip of noise, to {record.check.largest_difference:.2g} (largest "
        "difference of any feature)."
    )


def _corpus(source: TrainedEncoder) -> str:
    heading = "## What it was trained on"
    if not source.datasets:
        return f"{heading}\n\nThe checkpoint does not tell."

    known = {each.name: each for each in source.summary.datasets} if source.summary else {}
    rows = [("dataset", "specialty", "licence", "videos", "hours", "clips", "share of the draws")]
    for dataset in source.datasets:
        facts = known.get(dataset.name)
        rows.append(
            (
                dataset.name,
                as_text(dataset.specialty),
                as_text(facts.licence or "not stated") if facts else NOTHING,
                f"{facts.videos:,}" if facts else NOTHING,
                f"{facts.hours:,.3g}" if facts else NOTHING,
                f"{dataset.num_clips:,}",
                f"{100 * dataset.share:.3g} %",
            )
        )
    sections = [heading, _total(source), markdown(rows, left=3), *_digest(source), *_before(source)]
    return "\n\n".join(sections)


def _digest(source: TrainedEncoder) -> Iterator[str]:
    """What the corpus is known by."""
    manifest = _manifest(source)
    if manifest is not None:
        yield f"The corpus is known by the SHA-256 of its manifest, {manifest}."


def _before(source: TrainedEncoder) -> Iterator[str]:
    """What its weights, or its teacher's, had seen before, as far as they tell."""
    own = _manifest(source)
    others = [each for each in source.ancestry.corpora if own is not None and each.manifest != own]
    told: dict[str, None] = {}
    for corpus in others:
        licences = {each.dataset: each.licence for each in corpus.licences}
        for name in sorted({each.dataset for each in corpus.shown} | licences.keys()):
            told[f"{as_text(name)} ({as_text(licences.get(name) or 'licence not told')})"] = None
    if told:
        yield f"What it began with, or its teacher, had seen before: {', '.join(told)}."
    if source.ancestry.foreign:
        yield "It also descends from weights of others, which do not tell what they have seen."


def _manifest(source: TrainedEncoder) -> str | None:
    """The digest of the corpus that it was trained on last; None where the checkpoint does not tell."""
    setups = source.provenance["setups"]
    corpus = setups[-1].get("corpus") if setups else None
    manifest = corpus.get("manifest") if isinstance(corpus, dict) else None
    return manifest if isinstance(manifest, str) and _SHA256.fullmatch(manifest) else None


def _total(source: TrainedEncoder) -> str:
    """The corpus in a sentence."""
    clips = sum(dataset.num_clips for dataset in source.datasets)
    if not source.summary:
        return (
            f"{clips:,} clips; the checkpoint does not tell of how many videos, nor their licences."
        )

    summary = source.summary
    return (
        f"{counted(summary.videos, 'video')}, {summary.hours:,.3g} hours, which have {clips:,} clips. Licences "
        "are those that the videos were packed with."
    )


def _licence(licence: str | None) -> str:
    if licence is None:
        return (
            "## Licence\n\nNot stated: whoever trained this encoder chooses it, as the videos' own "
            "licences allow."
        )
    return f"## Licence\n\nThe weights are under {licence}. The videos have licences of their own."


def _written(numbers: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{number:g}" for number in numbers) + ")"
