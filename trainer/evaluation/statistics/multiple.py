"""Several tests at once: of one comparison on many datasets, some come out significant by chance."""

from collections.abc import Mapping


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Correct p for the number of tests (Holm 1979): all that stay below 5 % are right together in 95 % of cases.

    The i-th smallest of m is max over j <= i of min(1, (m - j + 1) p_j).

    Args:
        p: The p of each test, such as of each dataset, in [0, 1].

    Returns:
        The corrected ones, in the same order.

    Raises:
        ValueError: A p is not in [0, 1].
    """
    for name, value in p.items():
        if not 0 <= value <= 1:
            raise ValueError(f"holm: {name}: expected p in [0, 1], got {value}")

    corrected: dict[str, float] = {}
    least = 0.0
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        least = max(least, min(1.0, (len(p) - rank) * p[name]))
        corrected[name] = least
    return {name: corrected[name] for name in p}
