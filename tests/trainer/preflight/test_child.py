import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from surgstream.configs.parsing import parse_yaml
from surgstream.trainer.errors import PreflightError
from surgstream.trainer.preflight.child import in_child


def test_a_child_s_result_comes_from_another_process() -> None:
    assert in_child(os.getpid, 60) != os.getpid()


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (partial(signal.raise_signal, signal.SIGSEGV), r"^ended with signal 11 \(SIGSEGV\)$"),
        (partial(signal.raise_signal, signal.SIGKILL), r"^ended with signal 9 \(SIGKILL\)$"),
        (partial(os._exit, 3), "^ended with exit status 3$"),
        (partial(int, "seven"), "^ended with exit status 1$"),
        (partial(Path.read_text, Path("nowhere")), "^ended with exit status 1$"),
        (partial(parse_yaml, "a: [", "recipe"), "^failed: recipe:1: not valid YAML"),
    ],
    ids=["segmentation fault", "killed", "leaves", "errs", "errs too", "says why"],
)
def test_a_child_that_ends_without_a_result_is_told(
    action: Callable[[], object], message: str
) -> None:
    with pytest.raises(PreflightError, match=message):
        in_child(action, 60)


def test_a_child_that_hangs_is_ended() -> None:
    with pytest.raises(PreflightError, match="gave no answer within 0 s"):
        in_child(partial(time.sleep, 3600), 0.1)
