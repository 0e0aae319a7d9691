"""How often `compare` is wrong, by simulation: `python -m tests.benchmarks.regression_rates` (about 10 minutes on one core).

A run of several conditions is compared with its base. With no true change any "regression" is false; with a true loss of twice the margin
under one condition it should be found, at the number of samples that `needed_samples` recommends for it. Prints the tables of
docs/compare.md. --repetitions 200 is a quick look.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy
import pyarrow

from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.non_inferiority import SIZE, Regression, needed_samples, regression_of
from robustbench_cv.metrics.paired_tests import holm
from tests.benchmarks.interval_coverage import LABELS, detector, segmenter

RATES = ((0.02, 0.8), (0.05, 0.8), (0.1, 0.8), (0.05, 0.95))
"""Share of samples of which the two models disagree, and the rate of the base."""


def rate_pair(rng: numpy.random.Generator, n: int, loss: float, discordance: float, rate: float) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Outcomes of base and new: they disagree on a share of the samples, on which the base is right more often by the loss."""
    only_base, only_new = (discordance + loss) / 2, (discordance - loss) / 2
    cell = rng.choice(4, n, p=[only_base, only_new, rate - only_base, 1 - rate - only_new])
    return (cell == 0) | (cell == 2), (cell == 1) | (cell == 2)


def rates(repetitions: int, *, margin: float, conditions: int, lossy: int, n: int, discordance: float, rate: float) -> tuple[float, float]:
    """Shares of the comparisons in which some condition is called a regression, and in which every condition passes.

    lossy: conditions with a true loss of twice the margin; the others have none.
    """
    metric = METRICS.build("top-1", labels=LABELS, operating_score=0.5)
    rng = numpy.random.default_rng(7)
    flagged = passed = 0
    ids = pyarrow.array([f"{i:06}" for i in range(n)])
    for _ in range(repetitions):
        rows = []
        for k in range(conditions):
            loss = 2 * margin if k < lossy else 0.0
            sides = rate_pair(rng, n, loss, max(discordance, loss), rate)
            rows.append(regression_of(metric, *(Column(ids, pyarrow.array(side)) for side in sides), margin=margin))
        outcomes = outcomes_of(rows)
        flagged += "regression" in outcomes
        passed += set(outcomes) == {"pass"}
    return flagged / repetitions, passed / repetitions


def outcomes_of(rows: Sequence[Regression]) -> list[str]:
    return [row.outcome(p) for row, p in zip(rows, holm([row.p_regression for row in rows]), strict=True)]


WORLDS = {"ap": (detector, 100), "miou": (segmenter, 64)}


def others(name: str, repetitions: int, margin: float) -> tuple[float, float]:
    """Of a metric that is no rate, two models of one quality: shares called a regression, and passed."""
    world, n = WORLDS[name]
    metric = METRICS.build(name, labels=LABELS, operating_score=0.5)
    rng, ids = numpy.random.default_rng(7), pyarrow.array([f"{i:06}" for i in range(n)])
    outcomes = []
    for _ in range(repetitions):
        base, new = world(rng, n, shifts=(0.0, 0.0))
        outcomes.append(regression_of(metric, Column(ids, base), Column(ids, new), margin=margin).outcome())
    return outcomes.count("regression") / repetitions, outcomes.count("pass") / repetitions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=2000)
    asked = parser.parse_args()
    print("| rates: disagree | base | margin | conditions | n | no change: regression | no change: all pass | one loses 2 margins: found |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for discordance, rate in RATES:
        for margin, conditions in ((0.0, 10), (0.02, 1), (0.02, 10)):
            share = max(discordance, 2 * margin)
            n = round(needed_samples(share**0.5, margin, SIZE / conditions)) if margin else 1000
            common = {"margin": margin, "conditions": conditions, "n": n, "discordance": discordance, "rate": rate}
            false, passed = rates(asked.repetitions, lossy=0, **common)
            found = f"{rates(asked.repetitions, lossy=1, **common)[0]:.1%}" if margin else ""
            print(
                f"| {discordance:.0%} | {rate:.0%} | {margin:g} | {conditions} | {n} | {false:.1%} | {passed:.1%} | {found} |", flush=True
            )
    print("\n| no change of | margin | n | regression | pass |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (_, n) in WORLDS.items():
        for margin in (0.0, 0.02):
            false, passed = others(name, asked.repetitions // 2, margin)
            print(f"| {name} | {margin:g} | {n} | {false:.1%} | {passed:.1%} |", flush=True)


if __name__ == "__main__":
    main()
