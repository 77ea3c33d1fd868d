import importlib

import numpy as np
import pytest
import torch

from surgstream.benchmarks.peers.dali_video import CutClips
from surgstream.benchmarks.support.clip_work import ClipWork
from surgstream.benchmarks.support.material import IMAGE_SIZE, NUM_FRAMES, cut_video
from surgstream.benchmarks.themes.decode_clips import PEERS, ours, peer_cases
from surgstream.launch.__main__ import main as surgstream
from surgstream.trainer.data.config import DecodeConfig
from surgstream.trainer.data.decode import ClipDecoder
from tests.helpers.packing import write_corpus
from tests.helpers.videos import make_video

GREY = 1 / (255 * 0.225)  # a grey level, in normalised units


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> ClipWork:
    """Clips of a video whose frames show their number, so that a wrong one is far off."""
    folder = tmp_path_factory.mktemp("work")
    make_video(folder / "v.mp4", 120, size=(576, 324))  # packed 455 wide, which is odd
    corpus = write_corpus(folder, {"name": "d", "videos": "*.mp4"}, fps=25, workers=1)
    assert surgstream(("pack", corpus, str(folder / "one_video"))) == 0
    return ClipWork.make(folder, num_clips=3, video_frames=120)


@pytest.fixture(scope="module")
def expected(work: ClipWork) -> np.ndarray:
    decoder = ClipDecoder(
        DecodeConfig(device="cpu"),
        max_clips=len(work.clips),
        num_frames=NUM_FRAMES,
        image_size=IMAGE_SIZE,
        device=torch.device("cpu"),
    )
    frames = [frame for clip in work.clips for frame in clip.frames]
    return decoder.decode(frames, work.transform).transpose(1, 2).numpy()


@pytest.mark.slow
def test_the_frame_numbers_are_those_of_the_clips(work: ClipWork) -> None:
    for clip, numbers in zip(work.clips, work.frames, strict=True):
        assert [frame.tobytes() for frame in clip.frames] == [
            work.jpegs[number] for number in numbers
        ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "peer",
    [
        peer if peer in ("pillow", "pyav") else pytest.param(peer, marks=pytest.mark.peers)
        for peer in PEERS
    ],
)
def test_a_peer_makes_the_clips_that_we_make(
    work: ClipWork, expected: np.ndarray, peer: str
) -> None:
    readers = importlib.import_module(f"surgstream.benchmarks.peers.{peer}").readers(work)
    for name, read in readers.items():
        # JPEG and PNG: decoders and filters round differently. Video: what the codec loses.
        tolerance = 1.0 if "H.264" in name else 0.1
        for number, clip in enumerate(expected):
            difference = np.abs(read(number) - clip)
            assert difference.shape == (NUM_FRAMES, 3, IMAGE_SIZE, IMAGE_SIZE)
            assert difference.mean(axis=(1, 2, 3)).max() < tolerance * GREY, (
                f"{name}, clip {number}"
            )


@pytest.mark.parametrize(
    ("codec", "device_id"),
    [
        ("mjpeg", None),
        *(pytest.param(codec, 0, marks=pytest.mark.gpu) for codec in ("libx264", "libx265")),
    ],
)
@pytest.mark.parametrize("gop_frames", [1, 8])
def test_cut_clips_through_dali_are_the_clips_that_we_make(
    work: ClipWork, expected: np.ndarray, codec: str, device_id: int | None, gop_frames: int
) -> None:
    clips = CutClips(work, codec, gop_frames, device_id=device_id, threads=1).decode()
    assert np.abs(clips.cpu().numpy() - expected).mean(axis=(2, 3, 4)).max() < 2 * GREY


@pytest.mark.parametrize(("gop_frames", "most"), [(1, NUM_FRAMES), (8, 4 * NUM_FRAMES)])
def test_a_cut_has_the_packets_that_the_clip_needs(
    work: ClipWork, gop_frames: int, most: int
) -> None:
    path = work.video("libx264", gop_frames)
    data, places = cut_video(path, work.frames[0].tolist())
    assert len(places) == NUM_FRAMES and max(places) < most
    assert len(data) < path.stat().st_size


def test_a_peer_that_is_not_installed_is_named(
    work: ClipWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "decord", None)
    monkeypatch.delitem(
        __import__("sys").modules, "surgstream.benchmarks.peers.decord", raising=False
    )
    (case,) = peer_cases(work, "decord", 1)
    assert case.run is None and "decord" in case.missing


def test_a_run_decodes_all_clips(work: ClipWork) -> None:
    run = ours(work, "cpu", 1).run
    assert run is not None and run() == len(work.clips)
    assert all(case.run and case.run() == len(work.clips) for case in peer_cases(work, "pillow", 2))
