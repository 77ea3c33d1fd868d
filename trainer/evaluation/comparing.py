"""Models against the first one, on the same videos."""

import math
from collections.abc import Sequence

from surgstream.trainer.evaluation.report.numbers import shown
from surgstream.trainer.evaluation.report.result import Compared
from surgstream.trainer.evaluation.scorer import Model, Scorer
from surgstream.trainer.evaluation.statistics.multiple import holm
from surgstream.trainer.evaluation.statistics.paired import Comparison, compare
from surgstream.trainer.evaluation.statistics.seeds import mean_of_seeds

TOO_SMALL = "n too small"
NOTHING_FOUND = "no difference found"

_LEVEL = 0.05


def compare_models(scorer: Scorer, models: Sequence[Model]) -> list[Compared]:
    """Compare every other model with the first one by all metrics, corrected for the number of models.

    Args:
        scorer: Computes the metrics.
        models: The models; those that lack a metric are not compared by it.
    """
    first, *others = models
    found = []
    for name in scorer.metrics:
        pairs = {model.name: _compare(scorer, model, first, name) for model in others}
        known = {model: pair for model, pair in pairs.items() if pair}
        p = holm({model: pair.wilcoxon.p for model, pair in known.items() if pair.wilcoxon})
        for model, pair in known.items():
            verdict = _verdict(pair, p.get(model), len(p), scorer.metrics[name].higher_is_better)
            found.append(
                Compared(
                    model=model,
                    other=first.name,
                    metric=name,
                    difference=pair.difference,
                    low=pair.interval.low,
                    high=pair.interval.high,
                    p=p.get(model, math.nan),
                    says=verdict,
                    sentence=_in_words(pair, scorer, name),
                )
            )
    return found


def _compare(scorer: Scorer, model: Model, other: Model, name: str) -> Comparison | None:
    """A model against another one by a metric; None where one of them has it not."""
    ours = scorer.statistics(name, model.seeds)
    theirs = scorer.statistics(name, other.seeds)
    if not ours or not theirs:
        return None
    return compare(
        mean_of_seeds(ours),
        mean_of_seeds(theirs),
        scorer.units_of(name),
        higher_is_better=scorer.metrics[name].higher_is_better,
    )


def _verdict(pair: Comparison, p: float | None, num_tests: int, more_is_better: bool) -> str:
    """What a comparison says at 5 %, by its corrected p, or without a test by its interval."""
    # The least p that so many videos can give has to survive the correction.
    if pair.wilcoxon and num_tests * pair.wilcoxon.floor > _LEVEL:
        return TOO_SMALL

    is_found = pair.interval.low > 0 or pair.interval.high < 0 if p is None else p <= _LEVEL
    if not is_found:
        return NOTHING_FOUND

    is_better = (pair.difference > 0) == more_is_better
    if pair.signs:
        for_it, against_it = pair.signs.better, pair.signs.worse
        if (for_it < against_it) if is_better else (for_it > against_it):
            return "the mean and most videos disagree"
    return "better" if is_better else "worse"


def _in_words(pair: Comparison, scorer: Scorer, name: str) -> str:
    parts = [pair.signs.in_words] if pair.signs else []
    if pair.wilcoxon:
        parts.append(pair.wilcoxon.in_words)
    if pair.detectable is not None and math.isfinite(pair.detectable):
        least = shown(pair.detectable, {"percent": scorer.metrics[name].percent})
        parts.append(f"a difference of {least} could have been detected")
    return "; ".join(parts) or "no test: the metric has no value for a video"
