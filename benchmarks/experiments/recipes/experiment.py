"""The experiment: every encoder with every seed, some side by side, and the record of it."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from surgstream.benchmarks.experiments.recipes.judging import measure_rank, probe, score
from surgstream.benchmarks.experiments.recipes.places import UNTRAINED, Places, Setting
from surgstream.benchmarks.experiments.recipes.running import (
    CommandError,
    Run,
    prepare,
    pretrain,
)
from surgstream.benchmarks.experiments.recipes.tables import record


def experiment(folder: Path, setting: Setting, recipes: Sequence[str], jobs: int) -> dict[str, Any]:
    """Do what is not done, with some encoders side by side, and return the record.

    Raises:
        CommandError: Some command failed, or a task could not be scored; all that could be done was done.
    """
    places = Places(folder.absolute(), setting.budget)
    prepare(places, setting)
    names = [*recipes, *UNTRAINED]

    def work(name: str, seed: int) -> tuple[Run, ...]:
        runs = pretrain(places, name, seed, setting.budget) if name in recipes else ()
        probe(places, name, seed)
        measure_rank(places, name, seed)
        print(f"{time.strftime('%H:%M:%S')} {name}, seed {seed}: done", flush=True)
        return runs

    with ThreadPoolExecutor(jobs) as pool:
        # Seed after seed, so that each recipe has one before any has another
        todo = {
            (name, seed): pool.submit(work, name, seed) for seed in setting.seeds for name in names
        }
        try:
            wait(todo.values())
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise

    failed = [error for each in todo.values() if (error := each.exception())]
    if failed:
        raise CommandError("\n".join(map(str, failed)))

    runs = {name: [todo[name, seed].result() for seed in setting.seeds] for name in names}
    entries = score(places, names, setting.seeds)
    unscored = [reason for each in entries if not each.result for reason in each.reasons.values()]
    if unscored:
        raise CommandError("\n".join(unscored))
    return record(places, setting, runs, entries)
