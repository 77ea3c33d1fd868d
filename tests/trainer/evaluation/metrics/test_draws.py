import numpy as np
import pytest

from surgstream.trainer.evaluation.metrics.draws import in_blocks
from surgstream.trainer.evaluation.metrics.statistic import Floats, Weights


@pytest.mark.parametrize(
    ("num_cells", "blocks"),
    [(0, [7]), (1, [7]), (2**18, [4, 3]), (2**19, [2, 2, 2, 1]), (2**25, [1] * 7)],
)
def test_all_draws_are_computed_in_order_a_few_at_once(num_cells: int, blocks: list[int]) -> None:
    weights = np.arange(14.0).reshape(7, 2)
    sizes = []

    def at(some: Weights) -> Floats:
        sizes.append(len(some))
        total: Floats = some.sum(1)
        return total

    assert in_blocks(at, weights, num_cells).tolist() == weights.sum(1).tolist()
    assert sizes == blocks
