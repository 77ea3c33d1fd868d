"""Hints at the word that a user may have meant."""

import difflib
import itertools
from collections.abc import Iterable
from typing import Any

_MAX_WORD = 80
_MAX_WORDS = 1000


def did_you_mean(word: Any, known: Iterable[Any]) -> str:
    """A hint at the known word that is most like this one, to end a message with; empty without such a word.

    Long words are not compared, and of the known ones only the first thousand, so that it takes no time.
    """
    if not isinstance(word, str) or len(word) > _MAX_WORD:
        return ""

    candidates = [str(candidate) for candidate in itertools.islice(known, _MAX_WORDS)]
    near = difflib.get_close_matches(word, candidates, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
