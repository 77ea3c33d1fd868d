"""`surgstream leaks CORPUS --task TASK`: pairs of a training video and one that is judged by."""

import json
from pathlib import Path

import pytest
import yaml

from surgstream.configs.errors import ConfigError
from surgstream.launch.__main__ import main
from surgstream.shards.errors import LeakError
from tests.helpers.commands import leaks
from tests.trainer.lineage.films import TASK, write

FILMS = {"hip": {"a1": 1, "a2": 2, "v1": 3, "v2": 4, "t1": 5, "t2": 6, "t3": 7}}


def written_task(folder: Path, train: tuple[str, ...] = ("a1", "a2")) -> str:
    split = TASK["split"] | {"train": [*train]}
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(TASK | {"split": split}))
    return str(path)


def test_pairs_across_splits_alone_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """a2 is t2 again; a1 and another training video, and t1 and t3, are no pairs of this task."""
    films = {"hip": FILMS["hip"] | {"a2": 6, "t3": 5}}
    corpus = write(tmp_path / "corpus", films)
    words = [corpus, "--task", written_task(tmp_path), "--workers", "1"]
    assert leaks([*words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["kind"], found["first"]["video"], found["second"]["video"]) == (
        "held_out",
        "a2",
        "t2",
    )

    sentence = (
        r"made_up: expected training videos .* got 1 pairs that share a stretch: a2 and t2; put"
    )
    with pytest.raises(LeakError, match=sentence):
        leaks([*words, "--fail-on-leak"])
    assert main(["leaks", *words, "--fail-on-leak"]) == 1
    assert "held_out  hip/a2" in capsys.readouterr().out


def test_splits_that_share_nothing_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = write(tmp_path / "corpus", FILMS)
    words = [corpus, "--task", written_task(tmp_path, ("a*",)), "--workers", "1", "--fail-on-leak"]
    assert leaks(words) == 0
    assert "0 held_out, 0 across, 0 within" in capsys.readouterr().out


def test_what_cannot_be_compared_fails_where_that_was_asked(tmp_path: Path) -> None:
    corpus = write(tmp_path / "corpus", FILMS, alter=lambda film: film // 25)
    words = [corpus, "--task", written_task(tmp_path), "--workers", "1"]
    assert leaks(words) == 0
    with pytest.raises(
        LeakError, match=r"got 5 that are dark or of one colour: t1, t2, t3, v1, v2"
    ):
        leaks([*words, "--fail-on-leak"])


def test_a_corpus_without_the_task_is_named(tmp_path: Path) -> None:
    corpus = write(tmp_path / "corpus", {"knee": {"a1": 1}}, seconds=20)
    with pytest.raises(ConfigError, match=r"expected train videos of made_up in the dataset hip"):
        leaks([corpus, "--task", written_task(tmp_path)])


def test_words_that_do_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        leaks(["corpus", "--task", "cholec80_phases", "--against", "other"])
    assert "--task: expected no --against" in capsys.readouterr().err
