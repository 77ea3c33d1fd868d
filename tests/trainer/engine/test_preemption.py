"""Two ranks, one of which is told to stop, agree on when."""

import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from surgstream.trainer.engine.preemption import SignalFlag, StopFlag
from tests.helpers.ranks import finish, start_ranks

pytestmark = pytest.mark.slow

CALLS = 6


def ask(out: str) -> None:
    """On each rank: what `stopping` says, with SIGUSR1 to rank 1 before the 3rd call, and when it came before all."""
    from surgstream.trainer.distributed import leave, rank_info_from_environment
    from surgstream.trainer.engine.preemption import STOP_SIGNALS, SignalFlag, StopConsensus
    from surgstream.trainer.joining import join

    rank_info = rank_info_from_environment(os.environ)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # as torchrun's agent leaves it to its workers
    stop = SignalFlag(*STOP_SIGNALS)
    join(rank_info, 60)
    agreement, answers = StopConsensus(stop, 60), []
    for call in range(CALLS):
        if call == 2 and rank_info.rank == 1:
            os.kill(os.getpid(), signal.SIGUSR1)
        answers.append(agreement.stopping())
    causes = [agreement.cause]
    saves = []
    for call in range(4):  # rank 0 is late once
        agreement.stopping(save=call == 1 and rank_info.rank == 0)
        saves.append(agreement.saving)
    if rank_info.rank == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    early = StopConsensus(stop, 60)
    answers.append(early.stopping())
    causes.append(early.cause)
    (Path(out) / f"rank{rank_info.rank}.json").write_text(json.dumps([answers, causes, saves]))
    leave()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[list[list[object]]]:
    folder = tmp_path_factory.mktemp("preemption")
    assert finish(start_ranks(ask, 2, (str(folder),))) == [0, 0]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


def test_all_ranks_stop_at_the_call_after_the_signal(told: list[list[list[object]]]) -> None:
    for answers, _, _ in told:
        assert answers[:CALLS] == [False, False, False, True, True, True]


def test_a_signal_from_before_the_first_step_is_known_at_the_first_call(
    told: list[list[list[object]]],
) -> None:
    assert all(answers[CALLS] is True for answers, _, _ in told)


def test_all_ranks_name_the_same_signal_and_rank(told: list[list[list[object]]]) -> None:
    assert all(causes == [["SIGUSR1", 1], ["SIGTERM", 0]] for _, causes, _ in told)


def test_all_ranks_save_at_the_call_after_one_of_them_is_late(
    told: list[list[list[object]]],
) -> None:
    assert all(saves == [False, False, True, False] for _, _, saves in told)


def read_while_told() -> None:
    """A library waits for a byte; a signal comes, and then the byte."""
    flag, (reader, writer) = SignalFlag(signal.SIGUSR1), os.pipe()

    def tell() -> None:
        time.sleep(0.2)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        time.sleep(0.2)
        os.write(writer, b"x")

    threading.Thread(target=tell).start()
    num_read = ctypes.CDLL(None).read(reader, ctypes.create_string_buffer(1), 1)
    sys.exit((num_read, flag.take(), flag.take()) != (1, signal.SIGUSR1, 0))


def wait_in_a_library(_: str) -> None:
    """Be interrupted twice while no handler can run."""
    StopFlag(None, speaks=True)
    reader, _writer = os.pipe()

    def interrupt() -> None:
        for _ in range(2):
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    ctypes.CDLL(None).read(reader, ctypes.create_string_buffer(1), 1)


def test_who_interrupts_twice_ends_what_waits_in_a_library_at_once() -> None:
    assert finish(start_ranks(wait_in_a_library, 1, ("",))) == [130]


def test_what_a_library_reads_is_not_interrupted() -> None:
    assert finish(start_ranks(read_while_told, 1, ())) == [0]
