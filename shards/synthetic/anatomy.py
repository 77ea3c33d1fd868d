"""The scenes of the synthetic corpus: two abdomens, an eye and a colon."""

import numpy as np

from surgstream.shards.keyed_random import UInt64
from surgstream.shards.synthetic.texture import (
    Canvas,
    Colour,
    Floats,
    Organ,
    Tissue,
    between,
    key,
    light,
    noise,
    ramp,
    redden,
    rows_of_paint,
    vessels,
)

Colours = tuple[Colour, Colour]

LIVER: Colours = ((0.34, 0.09, 0.10), (0.47, 0.15, 0.14))
GALLBLADDER: Colours = ((0.86, 0.66, 0.40), (0.66, 0.62, 0.54))
FAT: Colours = ((0.90, 0.62, 0.28), (0.84, 0.47, 0.25))
PERITONEUM: Colours = ((0.72, 0.32, 0.24), (0.80, 0.46, 0.28))
BOWEL: Colours = ((0.84, 0.48, 0.42), (0.74, 0.36, 0.34))
APPENDIX: Colours = ((0.88, 0.52, 0.46), (0.86, 0.64, 0.50))
LIDS: Colours = ((0.78, 0.50, 0.42), (0.70, 0.40, 0.35))
MUCOSA: Colours = ((0.88, 0.48, 0.36), (0.78, 0.33, 0.27))
IRISES: tuple[Colour, ...] = (
    (0.46, 0.29, 0.16),
    (0.42, 0.54, 0.60),
    (0.46, 0.46, 0.30),
    (0.34, 0.21, 0.14),
)
SCLERA: Colour = (0.94, 0.84, 0.78)
RED_REFLEX: Colour = (0.66, 0.24, 0.11)
POLYP: Colour = (0.80, 0.28, 0.26)
BLOOD: Colour = (0.42, 0.02, 0.03)
CATARACT: Colour = (0.82, 0.76, 0.60)

PERIOD = 8.0
"""Length after which the colon repeats, in its radii; anything farther away lies in the dark."""

COLON_SHAPE = (1536, 1024)
FOLDS = 7


def gallbladder(parent: UInt64) -> Tissue:
    """Paint liver on both sides, the gallbladder hanging between, and fat around the cystic duct."""
    canvas = Canvas(parent)
    shift = between(key(parent, "shift"), -0.10, 0.10)
    tilt = between(key(parent, "tilt"), -0.25, 0.25)

    # fmt: off
    organs = (
        Organ(centre=(0, 0), radii=(9, 9), base=-0.05, rise=0.05, colours=PERITONEUM, vessels=0.5),
        Organ(centre=(-1.0, 1.1), radii=(1.5, 1.0), angle=0.2, base=-0.1, rise=0.35,
              colours=LIVER, vessels=0.1),
        Organ(centre=(0.75 + shift, -0.5), radii=(0.85, 1.4), angle=0.5, rise=0.40,
              colours=LIVER, vessels=0.1),
        Organ(centre=(1.55, 0.35), radii=(0.7, 1.1), angle=-0.4, base=0.2, rise=0.4,
              colours=LIVER, vessels=0.1),
        Organ(centre=(0.7, 0.95), radii=(1.2, 0.42), angle=0.1, rise=0.35,
              colours=FAT, lobules=1.5, gloss=0.5),
        Organ(centre=(-0.1, 1.3), radii=(0.9, 0.5), angle=-0.3, rise=0.3,
              colours=FAT, lobules=1.2, gloss=0.5),
        Organ(centre=(-0.42, -0.45), radii=(0.24, 0.40), angle=0.1 + tilt, base=0.2, rise=0.25,
              colours=GALLBLADDER, vessels=0.5, grain=0.02),
        Organ(centre=(-0.08 + shift, 0.05), radii=(0.31, 0.80), angle=-0.3 + tilt, base=0.22,
              rise=0.34, colours=GALLBLADDER, vessels=0.7, grain=0.02),
    )
    # fmt: on

    for organ in organs:
        canvas.lay(organ)

    landmarks = {
        "overview": (0.1, 0.1),
        "gallbladder_fundus": (-0.36, -0.50),
        "gallbladder_body": (shift, 0.05),
        "cystic_duct": (0.22 + shift, 0.66),
        "liver": (0.6, -0.25),
    }
    return canvas.finish(landmarks, BLOOD, 0.9, _seeping(canvas, landmarks["cystic_duct"]))


def appendix(parent: UInt64) -> Tissue:
    """Paint loops of bowel, an apron of fat, and the appendix in front of them."""
    canvas = Canvas(parent)
    lie = between(key(parent, "lie"), -0.3, 0.3)
    canvas.lay(
        Organ(centre=(0, 0), radii=(9, 9), base=-0.05, rise=0.05, colours=PERITONEUM, vessels=0.6)
    )

    for i in range(9):
        loop = key(parent, "loop", i)
        x = between(key(loop, "x"), -1.5, 1.5)
        y = -1.5 + 0.36 * i + between(key(loop, "y"), -0.08, 0.08)
        canvas.lay(
            Organ(
                centre=(x, y),
                radii=(1.5, between(key(loop, "radius"), 0.34, 0.46)),
                angle=between(key(loop, "angle"), -0.6, 0.6),
                base=0.02 * i,
                rise=0.36,
                colours=BOWEL,
                vessels=0.7,
            )
        )

    # fmt: off
    canvas.lay(Organ(centre=(-0.9, 0.55), radii=(0.8, 0.5), angle=0.5, base=0.2,
                     colours=FAT, lobules=1.6, gloss=0.5))
    canvas.lay(Organ(centre=(0.15, 0.32), radii=(0.6, 0.22), angle=lie + 0.1, base=0.3, rise=0.22,
                     colours=FAT, lobules=1.2))
    canvas.lay(Organ(centre=(0.1, 0.08), radii=(0.75, 0.115), angle=lie, base=0.42, rise=0.18,
                     colours=APPENDIX, vessels=0.9))
    # fmt: on

    c = float(np.cos(lie))
    s = float(np.sin(lie))
    landmarks = {
        "overview": (0.0, 0.0),
        "appendix_tip": (0.1 + 0.6 * c, 0.08 + 0.6 * s),
        "appendix_base": (0.1 - 0.35 * c, 0.08 - 0.35 * s),
        "mesoappendix": (0.15, 0.30),
        "bowel": (-0.2, -0.5),
    }
    return canvas.finish(landmarks, BLOOD, 0.9, _seeping(canvas, landmarks["mesoappendix"]))


def eye(parent: UInt64) -> Tissue:
    """Paint a cataractous eye under the microscope: lids, white sclera, iris, and a clouded lens in the pupil."""
    canvas = Canvas(parent)
    canvas.lay(
        Organ(
            centre=(0, 0), radii=(9, 9), base=0.1, rise=0.1, colours=LIDS, vessels=0.1, lobules=0.3
        )
    )

    # Between the lids the ball shows as an ellipse, wider than high.
    radius = np.hypot(0.88 * canvas.x, 1.18 * canvas.y) + 0.03 * canvas.coarse
    ball = ramp(radius, 1.04, 0.98)
    sphere = 0.45 * np.sqrt(np.clip(1.5 - radius**2, 0, 2)) - 0.25
    canvas.height += (sphere - canvas.height) * ball

    red = 0.85 * canvas.vessels * ramp(radius, 0.5, 0.9) + 0.3 * ramp(radius, 0.75, 1.1)
    white = redden(light(SCLERA) * (1 + 0.05 * canvas.medium), np.minimum(red, 1))
    canvas.colour += (white - canvas.colour) * ball
    canvas.bump *= 1 - 0.7 * ball

    r = np.hypot(canvas.x, canvas.y)
    _paint_iris(canvas, r, parent)

    # The cornea, a glossy dome over iris and pupil.
    dome = 0.3 * np.sqrt(np.clip(0.60**2 - r**2, 0, 1))
    canvas.height += dome * ramp(r, 0.60, 0.5)
    canvas.gloss *= 0.35 + 0.65 * ramp(r, 0.62, 0.56)

    # The cloud clears from the rim inwards, and is never wider than the pupil.
    threshold = 0.02 + 1.7 * r**2 + 0.03 * canvas.medium + ramp(r, 0.34, 0.37)
    landmarks = {
        "overview": (0.0, 0.0),
        "lens": (0.0, 0.02),
        "lens_capsule": (0.12, -0.1),
        "cornea": (0.50, 0.08),
    }
    return canvas.finish(landmarks, CATARACT, 0.6, threshold)


def colon(parent: UInt64) -> Tissue:
    """Paint the wall of a colon, unrolled: rows along it, columns around; folds, vessels, and one polyp."""
    rows, columns = COLON_SHAPE
    z = np.linspace(0, PERIOD, rows, endpoint=False, dtype=np.float32)[:, None]
    turn = np.linspace(0, 2 * np.pi, columns, endpoint=False, dtype=np.float32)[None, :]
    coarse = noise(key(parent, "coarse"), COLON_SHAPE, 1, 8, 1.2)
    patches = noise(key(parent, "patches"), COLON_SHAPE, 1, 8, 1.2)
    medium = noise(key(parent, "medium"), COLON_SHAPE, 6, 80, 1.0)
    veins = noise(key(parent, "veins"), COLON_SHAPE, 5, 70, 1.6)
    speckle = noise(key(parent, "speckle"), COLON_SHAPE, 60, 250, 0.5)

    # The polyp's place, and the distance of each texel from it.
    polyp_turn = between(key(parent, "polyp"), 0.2, 1.4)
    polyp_z = 3.95 * PERIOD / FOLDS
    away = np.hypot((turn - polyp_turn) * 0.9, z - polyp_z + 0.02 * medium)
    polyp = np.sqrt(np.clip(1 - np.square(away / 0.32), 0, 1))

    radius = 1 + 0.05 * coarse - 0.40 * polyp
    for i in range(FOLDS):
        radius -= _fold(key(parent, "fold", i), i, turn, z, patches)

    first, second = (light(colour) for colour in MUCOSA)
    mottled = first + (second - first) * ramp(patches + 0.5 * medium, -1.5, 1.5)
    net = vessels(veins, 0.05 + 0.05 * np.clip(coarse, 0, 2)) * ramp(patches, -0.3, 0.8)
    colour = redden(mottled * (1 + 0.02 * speckle + 0.07 * medium), 0.5 * net)
    colour += (light(POLYP) * (1 + 0.12 * medium) - colour) * ramp(polyp, 0, 0.4)

    # Central differences that wrap around; those around the axis are per length of arc.
    relief = radius - 0.003 * medium - 0.0012 * speckle * (0.5 + ramp(patches, 0, 1.5))
    rise_z = np.roll(relief, -1, 0) - np.roll(relief, 1, 0)
    rise_turn = np.roll(relief, -1, 1) - np.roll(relief, 1, 1)
    slope_z = rise_z * (rows / (2 * PERIOD))
    slope_turn = rise_turn * (columns / (4 * np.pi)) / radius

    threshold = 0.1 + away + 0.1 * patches + 0.03 * medium
    return Tissue(
        height=radius.astype(np.float32),
        paint=rows_of_paint(colour, slope_turn, slope_z, np.ones_like(radius), threshold),
        landmarks={"rectum": (0.0, polyp_z - 4.4), "polyp": (polyp_turn, polyp_z)},
        stain=light(BLOOD).reshape(3, 1),
        opacity=1.0,
    )


def _fold(parent: UInt64, number: int, turn: Floats, z: Floats, patches: Floats) -> Floats:
    """Compute by how much one fold narrows the colon at each texel."""
    place = (number + between(key(parent, "place"), 0.2, 0.6)) * PERIOD / FOLDS
    lean = between(key(parent, "lean"), 0, 2 * np.pi)
    crest = place + 0.10 * np.sin(turn + lean) + 0.05 * patches

    # The shorter way along a colon that repeats.
    apart = (z - crest + PERIOD / 2) % PERIOD - PERIOD / 2
    arc = 0.55 + 0.45 * np.cos(3 * turn + between(key(parent, "arc"), 0, 2 * np.pi))
    height = between(key(parent, "height"), 0.22, 0.42)
    fold: Floats = height * arc * np.exp(-np.square(apart / 0.13))
    return fold


def _paint_iris(canvas: Canvas, r: Floats, parent: UInt64) -> None:
    # Fibres run outwards: rows of the noise are radii, its columns are angles.
    angle = np.arctan2(canvas.y, canvas.x)
    rows = np.clip(12 * r + 3 * canvas.coarse, 0, 255).astype(np.intp)
    columns = ((angle / (2 * np.pi) + 0.5) * 1023).astype(np.intp)
    fibres = noise(key(parent, "fibres"), (256, 1024), 30, 120, 0.2)[rows, columns]

    shade = light(IRISES[int(between(key(parent, "iris"), 0, len(IRISES)))])
    iris = shade * (1 + 0.30 * fibres) * (0.5 + 0.8 * ramp(r, 0.58, 0.42))
    glow = light(RED_REFLEX) * (1.2 - 1.5 * r) * (1 + 0.06 * canvas.medium)

    canvas.colour += (iris - canvas.colour) * ramp(r, 0.60, 0.52)
    canvas.colour += (glow - canvas.colour) * ramp(r, 0.375, 0.355)


def _seeping(canvas: Canvas, source: tuple[float, float]) -> Floats:
    """Compute the level at which blood from a source reaches each place: sooner downwards, and along hollows."""
    source_x, source_y = source
    x = canvas.x - source_x
    y = canvas.y - source_y
    distance = np.hypot(1.2 * x, np.where(y > 0, 0.7, 2.0) * y)
    hollow = 0.8 * (canvas.height - 0.2)
    level: Floats = 0.1 + distance + hollow + 0.12 * canvas.patches + 0.03 * canvas.medium
    return level
