"""Parts of the training videos, each within the next, to see how much a model needs of them."""

from collections.abc import Mapping, Sequence

from surgstream.shards.keyed_random import Purpose, hash64, hash_text

PERCENTS = (12.5, 25.0, 50.0, 100.0)


def nested_subsets(
    groups: Mapping[str, str], task: str, seed: int = 0, percents: Sequence[float] = PERCENTS
) -> dict[float, tuple[str, ...]]:
    """Choose parts of videos by whole groups.

    Groups stand in an order that the task, the seed and each group's own name decide, so one more video moves no other.
    A part is the fewest of the first groups that hold its share of the videos, so at least one.

    Args:
        groups: The group of each training video by the video's id; its own id where nothing is above it.
        task: The task's name.
        seed: Another one chooses other videos.
        percents: The shares of the videos, in (0, 100].

    Returns:
        The videos of each part, in the order of `groups`, by its share.
    """

    def place(group: str) -> tuple[int, str]:
        key = hash64(Purpose.SUBSET_OF_VIDEOS, hash_text(task), seed, hash_text(group))
        return key.item(), group

    ordered = sorted(set(groups.values()), key=place)

    parts = {}
    for percent in percents:
        num_wanted = percent / 100 * len(groups)
        videos: set[str] = set()
        for group in ordered:
            if len(videos) >= num_wanted:
                break
            videos |= {video for video, of in groups.items() if of == group}
        parts[percent] = tuple(video for video in groups if video in videos)
    return parts
