"""`surgstream preflight` and `pretrain --preflight` on two ranks, each taken for a node of its own."""

import os
import signal
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Corpora
from tests.end_to_end.runs import words
from tests.helpers.ranks import finish, kill, start_ranks, surgstream


def run(command: list[str], tmp_path: Path, ranks: list[list[str]]) -> tuple[list[int], str]:
    """Run a command with each rank's own words; returns exit statuses and what rank 0 printed."""
    log = tmp_path / "log"
    statuses = finish(
        start_ranks(as_node, len(ranks), ([[*command, *own] for own in ranks], str(log)))
    )
    output = Path(f"{log}.rank0").read_text()
    assert "Traceback" not in output, output
    return statuses, output


def as_node(commands: list[list[str]], log: str) -> None:
    """Be one rank: measure for a moment, and have a node's name."""
    from surgstream.trainer.preflight import examination

    examination.MEASURE_SECONDS = 0.1
    rank = int(os.environ["RANK"])
    os.environ["SLURMD_NODENAME"] = f"node{rank}"
    surgstream(commands[rank], log)


def row(output: str, node: str) -> list[str]:
    (line,) = (line for line in output.splitlines() if line.startswith(f"{node} "))
    return line.split()


def told(output: str) -> str:
    """What stands below the table, its lines joined."""
    return " ".join(output.partition("what failed: what to do")[2].split())


def test_go(corpora: Corpora, tmp_path: Path) -> None:
    statuses, output = run(["preflight"], tmp_path, [words(corpora, tmp_path / "run")] * 2)
    assert statuses == [0, 0], output
    assert output.splitlines()[-1] == "go" and "2 nodes, 2 ranks: no GPU, torch" in output
    assert row(output, "node0")[-1] == row(output, "node1")[-1] == "ok", "the step"
    assert (tmp_path / "log.rank1").read_text() == "", "rank 0 alone speaks"
    assert not list((tmp_path / "run" / "checkpoints").iterdir()), "nothing is left behind"


def test_alone(corpora: Corpora, tmp_path: Path) -> None:
    statuses, output = run(["preflight"], tmp_path, [words(corpora, tmp_path / "run")])
    assert (
        statuses == [0] and "1 node, 1 rank: no GPU" in output and output.splitlines()[-1] == "go"
    )


def test_a_wrong_address_is_said_once_for_all_ranks(corpora: Corpora, tmp_path: Path) -> None:
    wrong = [words(corpora, tmp_path / "run", f"data.corpus={tmp_path / 'nowhere'}")] * 2
    statuses, output = run(["preflight"], tmp_path, wrong)
    assert statuses == [1, 1], output
    assert told(output).startswith(
        f"corpus, ranks 0-1 on node0, node1: {tmp_path / 'nowhere'}: manifest.json is missing"
    )
    assert "no go: 1 problem" in output.splitlines()
    assert row(output, "node0")[-1] == "ok", "the other checks go on"


def test_a_corpus_and_a_run_directory_that_are_not_the_same_on_all_nodes(
    corpora: Corpora, tmp_path: Path
) -> None:
    other = words(corpora, tmp_path / "other", f"data.corpus={corpora.held_out}")
    statuses, output = run(["preflight"], tmp_path, [words(corpora, tmp_path / "run"), other])
    assert statuses == [1, 1], output
    assert "corpus, rank 1 on node1: manifest" in told(output)
    assert (
        f"run_dir, rank 1 on node1: {tmp_path / 'other'}/checkpoints: what rank 0 wrote there"
        in told(output)
    )
    assert "no go: 2 problems" in output.splitlines()
    assert not [*tmp_path.glob("*/checkpoints/*"), *tmp_path.glob("*/checkpoints/.*")]


def test_a_run_directory_that_one_node_cannot_write_to(corpora: Corpora, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = words(corpora, tmp_path / "file" / "run")
    statuses, output = run(["preflight"], tmp_path, [words(corpora, tmp_path / "run"), blocked])
    assert statuses == [1, 1], output
    assert f"run_dir, rank 1 on node1: {tmp_path}/file/run" in told(
        output
    ) and "Not a directory" in told(output)
    assert "no go: 1 problem" in output.splitlines(), "the other rank is not to blame"
    assert row(output, "node0")[-1] == "ok", "nor does it wait in vain"


def test_an_interface_that_one_node_lacks_is_named(corpora: Corpora, tmp_path: Path) -> None:
    commands = [["preflight", *words(corpora, tmp_path / "run")]] * 2
    statuses = finish(start_ranks(as_misled_rank, 2, (commands, str(tmp_path / "log"))))
    output = (tmp_path / "log.rank0").read_text()
    assert statuses == [1, 1], output
    expected = "network, rank 1 on node1: GLOO_SOCKET_IFNAME: expected an interface of "
    assert expected in told(output) and "got 'nonsense'; unset it" in told(output)
    assert "no go: 1 problem" in output.splitlines(), (
        "the other rank does not wait for it, nor is it to blame"
    )


def as_misled_rank(commands: list[list[str]], log: str) -> None:
    """Be one rank; rank 1 is told an interface that nobody has."""
    if os.environ["RANK"] == "1":
        os.environ["GLOO_SOCKET_IFNAME"] = "nonsense"
    as_node(commands, log)


def test_gpus_that_were_asked_for_and_are_not_there(
    corpora: Corpora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SURGSTREAM_GPUS_PER_NODE", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    command = words(corpora, tmp_path / "run")
    statuses, output = run(["preflight"], tmp_path, [command] * 2)
    assert statuses == [1, 1], output
    assert "GPUs, ranks 0-1 on node0, node1: expected 1 GPUs on each node, got none: " in told(
        output
    )
    assert "no go: 1 problem" in output.splitlines()

    statuses, output = run(["pretrain"], tmp_path, [command] * 2)
    assert statuses == [1, 1] and "expected 1 GPUs on each node, got none: " in output


def test_training_after_a_go(corpora: Corpora, tmp_path: Path) -> None:
    command = words(corpora, tmp_path / "run", "max_steps=1")
    statuses, output = run(["pretrain", "--preflight"], tmp_path, [command] * 2)
    assert statuses == [0, 0], output
    assert "\ngo\n" in output and output.index("\ngo\n") < output.index("starting: step 0")
    assert (tmp_path / "run" / "checkpoints" / "step_00000001").is_dir()
    assert (
        "step" not in next(line for line in output.splitlines() if line.startswith("node ")).split()
    )


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_no_training_after_a_no_go(num_ranks: int, corpora: Corpora, tmp_path: Path) -> None:
    command = words(corpora, tmp_path / "run", f"data.corpus={tmp_path / 'nowhere'}")
    statuses, output = run(["pretrain", "--preflight"], tmp_path, [command] * num_ranks)
    assert statuses == [1] * num_ranks, output
    assert "no go: 1 problem" in output.splitlines() and "starting" not in output
    last = output.splitlines()[-1]
    assert "no go: 1 problem; corpus, rank" in last and f"{tmp_path / 'nowhere'}" in last
    assert (tmp_path / "run" / "FAILED").read_text().strip() in last, (
        "which `surgstream status` tells"
    )


def test_no_rank_waits_for_one_that_freezes(corpora: Corpora, tmp_path: Path) -> None:
    commands = [["preflight", *words(corpora, tmp_path / "run")]] * 2
    ranks = start_ranks(as_frozen_main, 2, (commands, str(tmp_path / "log")))
    ranks[1].join(60)
    assert ranks[1].exitcode == 1, "rank 0 says nothing, not even that it is gone"
    kill(ranks)
    assert (
        "no verdict after 8.4 s: rank 0 or the network to it hangs"
        in (tmp_path / "log.rank1").read_text()
    )


def as_frozen_main(commands: list[list[str]], log: str) -> None:
    """Be one rank, which is patient for seconds; rank 0 stops in its first check."""
    import surgstream.trainer.commands.preflight as entry
    from surgstream.trainer.preflight import examination

    entry.MEETING_SECONDS, entry.CHECK_SECONDS, entry.REPORT_SECONDS = 5.0, 1.0, 1.0
    if os.environ["RANK"] == "0":
        examination.look_at_node = lambda *_: os.kill(os.getpid(), signal.SIGSTOP)
    as_node(commands, log)


def test_a_rank_that_ends_in_a_check_is_named_in_the_table(
    corpora: Corpora, tmp_path: Path
) -> None:
    commands = [["pretrain", "--preflight", *words(corpora, tmp_path / "run")]] * 2
    statuses = finish(start_ranks(as_dying_rank, 2, (commands, str(tmp_path / "log"))))
    output = (tmp_path / "log.rank0").read_text()
    assert statuses == [1, 7], output
    assert "run_dir, rank 1 on node1: no word since this check began" in told(output)
    assert not (tmp_path / "run" / "FAILED").exists(), "another start may have a better node"
    assert row(output, "node1")[1] == "1" and "failed" in row(output, "node1")


def as_dying_rank(commands: list[list[str]], log: str) -> None:
    """Be one rank; rank 1 ends while it tries the run directory."""
    import surgstream.trainer.commands.preflight as entry
    from surgstream.trainer.preflight import examination

    entry.CHECK_SECONDS, entry.REPORT_SECONDS = 3.0, 1.0
    if os.environ["RANK"] == "1":
        examination.check_shared = lambda *_: os._exit(7)
    as_node(commands, log)
