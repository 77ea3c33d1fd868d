"""Work on many shards at once, one process a shard, behind one progress bar over their frames."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Protocol, TypeVar

from surgstream.shards.errors import ShardError
from surgstream.shards.progress import Bar, progress_bar

Task = TypeVar("Task")
Result = TypeVar("Result")


class ProgressCallback(Protocol):
    """Progress callback of work on frames."""

    def __call__(self, frames: int, failed: int = 0) -> None:
        """Report the frames and failures since the last call."""


_done: "SimpleQueue[tuple[int, int]]"


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run_all(
    work: Callable[[Task, ProgressCallback], Result],
    tasks: Sequence[Task],
    frames: Sequence[int],
    *,
    workers: int,
    label: str,
    frames_an_hour: float | None = None,
    pinned: bool = False,
) -> Iterator[tuple[Task, Result]]:
    """Run `work` on every task in processes of their own, which start fresh: no threads or clients are shared.

    Args:
        work: A picklable function of a task and of a `ProgressCallback`.
        tasks: Picklable tasks.
        frames: The expected frames of each task; the longest start first.
        workers: Most processes at a time.
        label: The text before the progress bar.
        frames_an_hour: Frames in an hour of video; makes the bar count hours.
        pinned: Give each process its share of the cores for itself, so that its threads share caches.

    Yields:
        Each task and its result, as they finish.

    Raises:
        ShardError: A process was killed.
        Exception: The first error of `work`; tasks that have not started by then do not start.
    """
    if not tasks:
        return

    context = multiprocessing.get_context("spawn")
    queue: SimpleQueue[tuple[int, int]] = context.SimpleQueue()
    # Other processes that this one has started must not be terminated.
    others = set(multiprocessing.active_children())
    pool = _start_pool(context, queue, min(workers, len(tasks)), pinned)
    num_failed = 0

    with (
        progress_bar(label, sum(frames), unit=" frames", an_hour=frames_an_hour) as bar,
        _ended(pool, others, label),
    ):
        longest_first = sorted(range(len(tasks)), key=lambda number: -frames[number])
        futures = {
            pool.submit(_run, work, tasks[number]): tasks[number] for number in longest_first
        }
        pending = set(futures)
        while pending:
            # The timeout lets the bar move while no task finishes.
            finished, pending = concurrent.futures.wait(
                pending, 0.2, concurrent.futures.FIRST_COMPLETED
            )
            while not queue.empty():
                done, failed = queue.get()
                num_failed += failed
                bar.set_postfix_str(_told(bar, frames_an_hour, num_failed), refresh=False)
                bar.update(done)
            for future in finished:
                yield futures[future], future.result()
        bar.total = bar.n  # what was expected was an estimate


@contextmanager
def _ended(pool: ProcessPoolExecutor, others: set[BaseProcess], label: str) -> Iterator[None]:
    """Shut a pool down; if its user fails, terminate its processes, which are all children but the `others`."""
    try:
        yield
    except BaseException as error:
        # The shutdown below would wait for tasks that are in the middle of their work.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ShardError(
                f"{label}: a worker process was killed, perhaps because memory ran out; "
                "run the same command again with fewer workers"
            ) from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_pool(
    context: SpawnContext, queue: "SimpleQueue[tuple[int, int]]", workers: int, pinned: bool
) -> ProcessPoolExecutor:
    # A worker takes one of the places when it starts, and pins itself to it.
    places: SimpleQueue[set[int]] = context.SimpleQueue()
    for place in share_cores(workers) if pinned else ():
        places.put(place)
    return ProcessPoolExecutor(
        workers, context, initializer=_start, initargs=(queue, places if pinned else None)
    )


def _told(bar: Bar, frames_an_hour: float | None, num_failed: int) -> str:
    """The text of a bar about speed, where the bar does not show it itself, and about failures."""
    told = []
    if frames_an_hour:
        hours = bar.n / frames_an_hour
        told.append(f"{hours / bar.format_dict['elapsed']:.3g} h/s")
    if num_failed:
        told.append(f"{num_failed} failed")
    return ", ".join(told)


def share_cores(workers: int) -> list[set[int]]:
    """Cores for each worker: neighbours, and no core for two workers unless there are more workers than cores."""
    ours = sorted(os.sched_getaffinity(0))
    # As many slots as there are workers or cores, whichever are more: each lies on a core and belongs to a worker.
    num_slots = max(workers, len(ours))
    shares: list[set[int]] = [set() for _ in range(workers)]
    for slot in range(num_slots):
        worker = slot * workers // num_slots
        core = ours[slot * len(ours) // num_slots]
        shares[worker].add(core)
    return shares


def _start(queue: "SimpleQueue[tuple[int, int]]", places: "SimpleQueue[set[int]] | None") -> None:
    """Prepare a worker: it reports its progress, and ends when its parent ends, in whatever way."""
    global _done
    _done = queue
    if places is not None:
        os.sched_setaffinity(0, places.get())
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Ctrl-C ends it without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _run(work: Callable[[Task, ProgressCallback], Result], task: Task) -> Result:
    return work(task, _report)


def _report(frames: int, failed: int = 0) -> None:
    _done.put((frames, failed))
