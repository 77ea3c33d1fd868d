"""timm's operations by our names, told what we tell ours."""

from unittest import mock

import numpy as np
import torch
from PIL import Image
from timm.data import auto_augment

from surgstream.trainer.data.augmentation.policy import Operation

INCREASING = {
    Operation.AUTO_CONTRAST: "AutoContrast",
    Operation.EQUALIZE: "Equalize",
    Operation.INVERT: "Invert",
    Operation.ROTATE: "Rotate",
    Operation.POSTERIZE: "PosterizeIncreasing",
    Operation.SOLARIZE: "SolarizeIncreasing",
    Operation.SOLARIZE_ADD: "SolarizeAdd",
    Operation.COLOR: "ColorIncreasing",
    Operation.CONTRAST: "ContrastIncreasing",
    Operation.BRIGHTNESS: "BrightnessIncreasing",
    Operation.SHARPNESS: "SharpnessIncreasing",
    Operation.SHEAR_X: "ShearX",
    Operation.SHEAR_Y: "ShearY",
    Operation.TRANSLATE_X: "TranslateXRel",
    Operation.TRANSLATE_Y: "TranslateYRel",
}
OTHERS = {kind: name.removesuffix("Increasing") for kind, name in INCREASING.items()}
PICTURE = {"resample": Image.Resampling.BICUBIC, "fillcolor": (128, 128, 128)}


def argument(name: str, magnitude: float, sign: float) -> float:
    """What timm tells an operation at a magnitude, with a sign where it draws one; 0 where it tells nothing."""
    function = auto_augment.LEVEL_TO_ARG[name]
    if function is None:
        return 0.0
    with mock.patch.object(auto_augment, "_randomly_negate", lambda value: value * sign):
        (told,) = function(magnitude, {})
    return float(told)


def operate(kind: Operation, pictures: np.ndarray, told: float) -> np.ndarray:
    """Apply an operation of timm to each of some pictures (T, H, W, 3)."""
    name = INCREASING[kind]
    whole = kind in (Operation.POSTERIZE, Operation.SOLARIZE, Operation.SOLARIZE_ADD)
    words = () if auto_augment.LEVEL_TO_ARG[name] is None else (int(told) if whole else told,)
    function = auto_augment.NAME_TO_OP[name]
    changed = [function(Image.fromarray(picture), *words, **PICTURE) for picture in pictures]
    return np.stack([np.asarray(picture) for picture in changed])


def as_levels(pictures: np.ndarray) -> torch.Tensor:
    """Pictures (T, H, W, 3) as the levels (1, T, 3, H, W) of one clip."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)[None]


def as_pictures(levels: torch.Tensor) -> np.ndarray:
    """Levels (1, T, 3, H, W) as pictures (T, H, W, 3)."""
    return levels[0].permute(0, 2, 3, 1).numpy()
