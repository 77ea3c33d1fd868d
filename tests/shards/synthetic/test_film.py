"""The scenes of the synthetic corpus: cameras against closed forms, stories against their own rules."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgstream.shards.synthetic.camera import FieldCamera, Pull, View
from surgstream.shards.synthetic.film import CLASSES, DEPTH_STEPS_PER_MILLIMETRE, RenderedFilm
from surgstream.shards.synthetic.procedures import DATASETS, Dataset
from surgstream.shards.synthetic.story import Story
from surgstream.shards.synthetic.texture import SIZE, Tissue, between, key, noise
from surgstream.shards.synthetic.tools import TOOLS
from surgstream.shards.synthetic.tunnel import TubeCamera

SECONDS = 20.0
STILL = View(look=(0.0, 0.0), distance=1.6, roll=0.0, breath=0.0, stain=0.0)
NAMES = [dataset.name for dataset in DATASETS]


@pytest.fixture(scope="module")
def films() -> dict[str, RenderedFilm]:
    return {
        dataset.name: RenderedFilm(dataset, key(5, dataset.name), SECONDS) for dataset in DATASETS
    }


def tissue(height: np.ndarray, landmarks: np.ndarray) -> Tissue:
    paint = np.zeros((height.size, 8), np.float32)
    paint[:, :3], paint[:, 6] = 0.25, 9
    return Tissue(
        height=height,
        paint=paint,
        landmarks=landmarks,
        stain=np.zeros((3, 1), np.float32),
        opacity=1.0,
    )


def disc(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    r, angle = np.sqrt(np.linspace(0.01, 0.98, count)), 2.4 * np.arange(count)
    return (r * np.cos(angle)).astype(np.float32), (r * np.sin(angle)).astype(np.float32)


def test_a_plane_is_seen_at_its_distance_and_lit_by_the_inverse_square_law() -> None:
    x, y = disc()
    camera = FieldCamera(tissue(np.full((SIZE, SIZE), 0.25, np.float32), {}), x, y)
    near, far = (
        camera.see(View(**{**vars(STILL), "distance": distance})) for distance in (1.25, 2.25)
    )
    assert near.depth == pytest.approx(np.full_like(x, camera.millimetres))
    assert far.depth == pytest.approx(np.full_like(x, 2 * camera.millimetres))
    ray = np.sqrt(1 + (x**2 + y**2) / camera.focal**2)
    diffuse = 0.25 / ray * (1.25 / ray) ** 2
    assert np.all(near.colour >= diffuse - 1e-5)
    assert near.colour.min(axis=1) == pytest.approx(np.full(3, diffuse.min()), rel=0.02)


@settings(derandomize=True, max_examples=30, deadline=None)
@given(
    place=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    look=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    distance=st.floats(1.3, 2),
    roll=st.floats(-3, 3),
)
def test_a_landmark_is_projected_to_where_it_is_seen(
    place: tuple[float, float], look: tuple[float, float], distance: float, roll: float
) -> None:
    marked = tissue(np.full((SIZE, SIZE), 0.2, np.float32), {"mark": place})
    view = View(look=look, distance=distance, roll=roll, breath=0.0, stain=0.0)
    x, y, depth = FieldCamera(marked, *disc(1)).project("mark", view)
    column, row = (round((v + 2) / 4 * (SIZE - 1)) for v in place)
    marked.paint.reshape(SIZE, SIZE, 8)[
        max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3, 0
    ] = 1
    spots = np.array([(x, y), (x + 0.1, y), (x, y + 0.1), (x - 0.1, y), (x, y - 0.1)], np.float32).T
    seen = FieldCamera(marked, *spots).see(view)
    assert depth == pytest.approx(float(seen.depth[0]), rel=1e-4)
    redness = seen.colour[0] - seen.colour[1]
    assert redness[0] > 0.1
    assert redness[1:] == pytest.approx(np.zeros(4), abs=1e-6)


def test_a_pull_moves_what_is_held_by_its_length_and_leaves_the_rest() -> None:
    held, far = np.array([[0.3], [0.1]], np.float32), np.array([[-0.8], [-0.4]], np.float32)
    slope = np.broadcast_to(np.linspace(-0.2, 0.2, SIZE, dtype=np.float32), (SIZE, SIZE)).copy()
    pulled = View(**{**vars(STILL), "pulls": (Pull(at=(0.3, 0.1), by=(0.1, 0.0)),)})
    moved = FieldCamera(tissue(slope, {}), *held).see(pulled).depth
    assert moved == pytest.approx(
        FieldCamera(tissue(slope, {}), held[0] - 0.1, held[1]).see(STILL).depth, abs=1e-3
    )
    assert FieldCamera(tissue(slope, {}), *far).see(pulled).depth == pytest.approx(
        FieldCamera(tissue(slope, {}), *far).see(STILL).depth, abs=0.02
    )


def test_a_smooth_tube_is_seen_at_focal_over_radius() -> None:
    x, y = disc()
    camera = TubeCamera(tissue(np.ones((1536, 1024), np.float32), {}), x, y)
    depth = camera.see(STILL).depth / camera.millimetres
    assert depth == pytest.approx(camera.focal / np.hypot(x, y), rel=0.02)


def test_a_fold_hides_what_lies_behind_it() -> None:
    wall = np.ones((1536, 1024), np.float32)
    wall[400:420] = 0.5  # a ring from 2.08 to 2.19 radii along the tube of period 8
    x = np.linspace(0.12, 0.95, 300, dtype=np.float32)
    camera = TubeCamera(tissue(wall, {}), x, np.zeros_like(x))
    view = View(**{**vars(STILL), "distance": 1.0})
    depth = camera.see(view).depth / camera.millimetres
    crest = 0.5 * camera.focal / (2.19 - 1.0)
    hidden = (depth > 1.3) & (depth < 0.9 / (0.5 / 1.19))
    assert np.all(depth[x > 1.1 * 0.5 * camera.focal / 1.08] < 1.2)
    assert np.all(depth[x < 0.9 * crest] > 2.1)
    assert hidden.mean() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_film_can_be_asked_for_any_moment_in_any_order(
    films: dict[str, RenderedFilm], name: str
) -> None:
    once = films[name].frame(7.0)
    films[name].frame(13.0)
    again = films[name].frame(7.0)
    assert np.array_equal(once.picture, again.picture)
    assert np.array_equal(once.depth, again.depth)
    assert np.array_equal(once.mask, again.mask)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_instruments_stand_in_front_of_the_tissue_they_cover(
    films: dict[str, RenderedFilm], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = films[name]
    moments = [
        t
        for t in np.arange(0.5, SECONDS, 0.5)
        if any(act.reach(t) > 0.9 for act in film.story.acts)
    ]
    frames = [film.frame(t) for t in moments]
    dragged = [any(any(act.drag(t)) for act in film.story.acts) for t in moments]
    monkeypatch.setattr(film.story, "acts", ())
    covered = bluer = 0
    for t, frame, moved in zip(moments, frames, dragged, strict=True):
        bare = film.frame(t)
        tool = frame.mask > 0
        covered += tool.sum()
        bluer += (frame.picture[tool, 2] > bare.picture[tool, 2].astype(int) + 12).sum()
        assert not bare.mask.any()
        assert bare.triplets == ()
        assert frame.phase == bare.phase
        if not moved:
            assert np.array_equal(frame.depth[~tool], bare.depth[~tool])
            assert np.all(frame.depth[tool] <= bare.depth[tool])
        assert frame.depth[tool].min(initial=999) >= DEPTH_STEPS_PER_MILLIMETRE
    assert covered > 100 * len(moments)
    assert bluer > 0.3 * covered  # metal on red tissue; its shadow alone would only darken


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_instrument_of_the_procedure_is_seen_at_work(
    films: dict[str, RenderedFilm], name: str
) -> None:
    film = films[name]
    triplets = {triplet for t in np.arange(0, SECONDS, 0.2) for triplet in film.frame(t).triplets}
    acts = [act for phase in film.story.procedure.phases for act in phase.acts]
    assert {(act.tool, act.verb, act.target) for act in acts} <= triplets
    assert {tool for tool, _, _ in triplets} == {act.tool for act in acts}


def test_mask_values_name_every_tool_once() -> None:
    assert set(CLASSES) == set(TOOLS)
    assert sorted(CLASSES.values()) == list(range(1, len(TOOLS) + 1))


@settings(derandomize=True, max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), seconds=st.floats(0.05, 300), dataset=st.sampled_from(DATASETS))
def test_a_story_is_in_order_and_within_bounds(seed: int, seconds: float, dataset: Dataset) -> None:
    story = Story(dataset.procedure, key(seed), seconds)
    moments = np.linspace(0, seconds * (1 - 1e-9), 150)
    places = [dataset.procedure.phases.index(story.phase(t)) for t in moments]
    assert places == sorted(places)
    assert places[0] == 0
    assert places[-1] == len(dataset.procedure.phases) - 1
    for t in moments:
        assert 0 <= story.smoke(t) <= 1
        assert 0 <= story.stain(t) <= 1
        assert all(abs(swing) <= 1 for swing in story.sway(t))
        for act in story.acts:
            assert 0 <= act.opened(t) <= 1
            if act.reach(t) > 0:
                assert act.act in story.phase(t).acts
            if act.contact(t) > 0:
                assert act.reach(t) == 1
            if act.triplet(t)[1] != "null_verb":
                assert act.contact(t) > 0.5


def test_noise_is_standardised_banded_and_tiles() -> None:
    field = noise(key(1, "field"), (64, 128), 3, 10, 1.0)
    spectrum = np.abs(np.fft.rfft2(field))
    frequency = np.hypot(np.fft.fftfreq(64)[:, None] * 64, np.fft.rfftfreq(128)[None, :] * 128)
    assert field.mean() == pytest.approx(0, abs=1e-5)
    assert field.std() == pytest.approx(1, rel=1e-5)
    assert spectrum[(frequency < 2.9) | (frequency > 10.1)].max() < 1e-3 * spectrum.max()
    assert np.array_equal(field, noise(key(1, "field"), (64, 128), 3, 10, 1.0))
    assert not np.array_equal(field, noise(key(1, "other"), (64, 128), 3, 10, 1.0))


def test_keys_tell_words_and_their_order_apart() -> None:
    keys = [
        key(0),
        key(1),
        key(0, "ab"),
        key(0, "a", "b"),
        key(0, "b", "a"),
        key(0, "a", 1),
        key(0, "a", 2),
    ]
    assert len({int(k) for k in keys}) == len(keys)
    assert 2 <= between(key(0, "x"), 2, 3) < 3
