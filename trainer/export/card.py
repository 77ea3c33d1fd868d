"""The model card of an exported folder: `README.md`."""

from surgstream.configs.columns import markdown
from surgstream.trainer.export.folder.forms import ENCODER, Form
from surgstream.trainer.export.folder.record import ExportRecord
from surgstream.trainer.export.source import TrainedEncoder

CARD = "README.md"


def card(record: ExportRecord, source: TrainedEncoder, form: Form) -> str:
    """Write the model card.

    Args:
        record: The content of `config.json`.
        source: The checkpoint of the encoder.
        form: The form that it was written in.
    """
    sections = [
        _head(record),
        _what_it_is(record, source),
        _how_to_load(record, form),
        _check(record),
        _corpus(source),
        "## Licence\n\nNot stated: whoever trained this encoder chooses it, as the videos' own "
        "licences allow.",
    ]
    return "\n\n".join(sections) + "\n"


def _head(record: ExportRecord) -> str:
    library = "transformers" if record.layout == "transformers" else "surgstream"
    return f"""\
---
license: unknown
library_name: {library}
tags: [surgical-video, self-supervised, {record.objective}]
---

# An encoder of surgical video, pretrained with {record.objective}"""


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
        "training": f"step {record.step:,}, {record.clips_seen:,} clips, batches of "
        f"{recipe.global_batch_size:,}, AdamW at {recipe.optim.base_lr:g} for 256 clips",
    }

    return markdown([("", ""), *rows.items()], left=2)


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
    if not source.datasets:
        return "## What it was trained on\n\nThe checkpoint does not tell."

    rows = [("dataset", "specialty", "clips", "share of the draws")]
    for dataset in source.datasets:
        clips = f"{dataset.num_clips:,}"
        share = f"{100 * dataset.share:.3g} %"
        rows.append((dataset.name, dataset.specialty, clips, share))
    return f"## What it was trained on\n\n{markdown(rows, left=2)}"


def _written(numbers: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{number:g}" for number in numbers) + ")"
