"""The parts of the GPU benchmark: a process each, in groups that fit ten minutes, those with the most risk first.

What blocks everything else comes first, what may leave a GPU in a bad state last.
"""

from collections.abc import Mapping
from dataclasses import dataclass

GROUP_SECONDS = 540
"""The most that the parts of a group may take together: machines are lent for ten minutes a command."""


@dataclass(frozen=True)
class Part:
    """One question.

    Attributes:
        name: The part's name on the command line.
        seconds: The time after which it is ended.
        module: The module of surgstream that answers it.
        words: The arguments of that module; `{out}` is the folder of the results.
        needs: Modules beyond torch, timm, einops, DeepSpeed and Pillow that it imports.
    """

    name: str
    seconds: int
    module: str
    words: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def step(name: str, seconds: int, recipe: str, *words: str) -> Part:
    """A part that takes steps of a recipe on clips of noise."""
    return Part(name, seconds, "benchmarks.gpu.step", (recipe, *words))


def theme(name: str, seconds: int, theme: str, *words: str) -> Part:
    """A part that is a theme of `surgstream bench`, on real clips; it needs the whole environment."""
    saved = ("--repeats=3", "--save={out}", "--hardware=gpu")
    return Part(name, seconds, "launch", ("bench", theme, *saved, *words), needs=("nvidia.dali",))


RANDOM_TEACHER = ("objective.teacher.weights=null", "objective.teacher.allow_random=true")
"""Time does not depend on what the teacher has learned."""

SURGVISTA = ("surgvista_vitb", "global_batch_size=64", *RANDOM_TEACHER)
PHASE2 = ("surgrec_jepa_vitl_phase2", "global_batch_size=8")

_ON_CLIPS = (
    "--recipe=surgvista_vitb",
    "global_batch_size=256",  # the share of one of eight GPUs in the published step
    "held_out=null",
    "data.fps=null",
    *RANDOM_TEACHER,
)

GROUPS: Mapping[str, tuple[Part, ...]] = {
    "first": (
        Part("machine", 20, "benchmarks.gpu.machine"),
        Part("engine", 60, "benchmarks.gpu.engine"),
        Part("jpeg", 60, "benchmarks.gpu.jpeg", needs=("nvidia.nvimgcodec",)),
        step("surgvista", 150, *SURGVISTA, "--kernels", "--load"),
        Part("attention", 20, "benchmarks.gpu.attention"),
        Part("fp8", 15, "benchmarks.gpu.fp8"),
        step("phase2", 55, *PHASE2, "compile=false", "--steps=4", "--kernels"),
        step(
            "unisurg2",
            50,
            "unisurg_vitl_stage2",
            "global_batch_size=16",
            "compile=false",
            "--steps=3",
        ),
        step("mae", 50, "surgrec_mae_vitb", "global_batch_size=64"),
        step("surgvista_eager", 40, *SURGVISTA, "compile=false", "--steps=4"),
    ),
    "second": (
        step("phase2_compiled", 130, *PHASE2, "--steps=6"),
        step("jepa", 90, "surgrec_jepa_vitl", "global_batch_size=24"),
        step("unisurg1", 90, "unisurg_vitl_stage1", "global_batch_size=64"),
        step("unisurg2_compiled", 130, "unisurg_vitl_stage2", "global_batch_size=16", "--steps=4"),
        Part("hang", 60, "benchmarks.gpu.hang"),
    ),
    "gains": (
        step("bf16_teacher", 130, *SURGVISTA, "objective.teacher.dtype=bf16", "--kernels"),
        step("regional", 120, *SURGVISTA, "compile=regional"),
        step("phase2_regional", 120, *PHASE2, "compile=regional", "--steps=6"),
    ),
    "node": (
        theme("train", 90, "train", *_ON_CLIPS, "data.decode.device=cpu"),
        theme("loader_cpu", 70, "loader", *_ON_CLIPS, "data.decode.device=cpu"),
        theme("decode", 60, "decode"),
        Part("tests", 240, "benchmarks.gpu.suite", needs=("nvidia.dali", "pytest", "hypothesis")),
        theme("loader_gpu", 70, "loader", *_ON_CLIPS, "data.decode.device=gpu"),
    ),
}

_A_CLIP = ("global_batch_size=1", "micro_batch_size=1")

CPU_PARTS = (
    Part("machine", 300, "benchmarks.gpu.machine"),
    Part("engine", 300, "benchmarks.gpu.engine"),
    Part("jpeg", 300, "benchmarks.gpu.jpeg", needs=("nvidia.nvimgcodec",)),
    step("surgvista", 300, "surgvista_tiny", *_A_CLIP, "--steps=2", "--kernels", "--load"),
    Part("attention", 300, "benchmarks.gpu.attention"),
)
"""Those that need no GPU, small."""
