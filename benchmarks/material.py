"""What the benchmarks read: a small synthetic corpus, made once, packed at the size that training uses."""

from pathlib import Path

from launch.__main__ import main as surgstream

NUM_FRAMES, STRIDE, IMAGE_SIZE = 16, 4, 224


def packed_corpus(folder: Path) -> Path:
    """Make and pack the corpus in `folder`, unless it is there.

    Returns:
        The packed corpus: some 450 frames, short side 256.
    """
    shards = folder / "shards"
    if not (shards / "manifest.json").exists():
        for words in (
            ("synth", str(folder / "videos"), "--seconds", "10"),
            ("pack", str(folder / "videos" / "corpus.yaml"), str(shards), "fps=5"),
        ):
            if surgstream(words):
                raise SystemExit(f"benchmarks: surgstream {' '.join(words)} failed")
    return shards
