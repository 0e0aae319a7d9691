"""The best of a column: bold only where the paired test says so."""

from __future__ import annotations

import numpy
import pyarrow
import pytest

from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.significant_best import Leaders, leaders
from robustbench_cv.types import Labels

TOP1 = METRICS.build("top-1", labels=Labels(("a", "b")))


def outcomes(right: object) -> Column:
    values = [bool(v) for v in right]  # type: ignore[attr-defined]
    return Column(pyarrow.array([f"{i:04d}" for i in range(len(values))]), pyarrow.array(values))


def first(k: int, n: int = 40) -> Column:
    """The first k of n samples right."""
    return outcomes([i < k for i in range(n)])


def test_a_model_leads_that_is_better_than_every_other() -> None:
    assert leaders(TOP1, [first(10), first(30), first(20)]) == Leaders(1)


def test_models_that_the_samples_cannot_tell_apart_tie() -> None:
    # one-sided disagreement on 5 samples: 2 × 0.5^5 = 0.0625; on 6: 0.03125
    assert leaders(TOP1, [first(25), first(20)]) == Leaders(None, (0, 1))
    assert leaders(TOP1, [first(26), first(20)]) == Leaders(0)


def test_holm_counts_every_model_of_the_column() -> None:
    # Against 20 alone, six samples suffice; beside a second one at 20, p = 0.03125 × 2 is too large.
    assert leaders(TOP1, [first(26), first(20), first(20)]) == Leaders(None, (0, 1, 2))


def test_a_blocked_model_takes_no_part_and_one_alone_leads_nothing() -> None:
    assert leaders(TOP1, [first(30), None, first(10)]) == Leaders(0)
    assert leaders(TOP1, [first(30), None]) == Leaders()


def test_equal_models_are_rarely_called_better() -> None:
    """Four equal models, 100 times: the chance of bold type is 5 % at most (with three times its sampling error, 12 of 100)."""
    rng = numpy.random.default_rng(0)
    found = [leaders(TOP1, [outcomes(rng.random(60) < 0.6) for _ in range(4)]).best for _ in range(100)]
    assert sum(one is not None for one in found) <= 12


@pytest.mark.parametrize("name", ["hallucination-rate"])
def test_where_lower_is_better_the_lowest_leads(name: str) -> None:
    metric = METRICS.build(name, labels=Labels(("a", "b")), operating_score=0.25)
    assert leaders(metric, [first(30), first(5)]) == Leaders(1)
