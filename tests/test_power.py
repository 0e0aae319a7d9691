"""What a run could see: against the normal law, against itself, and against what a simulation finds at that loss."""

from __future__ import annotations

import math

import numpy
import pyarrow
import pytest

from robustbench_cv.catalogue import METRICS
from robustbench_cv.cli import main
from robustbench_cv.compare import compare
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.intervals import moments_of
from robustbench_cv.metrics.non_inferiority import detectable, needed_samples, regression_of
from robustbench_cv.power import _deviation, power_of_run, power_of_suite
from robustbench_cv.rendering.power import power_text
from robustbench_cv.suite_files import find_suite
from tests.benchmarks import regression_rates
from tests.benchmarks.interval_coverage import LABELS, segmenter
from tests.test_compare import flags, run


def test_what_is_said_to_be_seen_is_seen() -> None:
    """A true loss of twice the margin at the number of samples that is said to see it."""
    (row,) = power_of_run(run({"clean": flags(80, 20)}), margin=0.02, disagree=0.08)
    assert row.needed is not None
    found, _ = regression_rates.rates(200, margin=0.02, n=row.needed, conditions=1, lossy=1, discordance=0.08, rate=0.8)
    assert found >= 0.84


def test_a_suite_is_judged_without_a_run_and_rates_alone_are_known() -> None:
    rows = {row.task: row for row in power_of_suite(find_suite("quick"), margin=0.02, limit=2000)}
    suite = find_suite("quick")
    family = sum(len(t.models) * len(t.conditions) for t in suite.tracks)
    assert {row.comparisons for row in rows.values()} == {family}
    rate = rows["classification"]
    assert rate.sees is not None
    assert needed_samples(math.sqrt(max(0.1, rate.sees)), rate.sees - 0.02, 0.05 / family) == pytest.approx(2000, rel=1e-3)
    assert rows["detection"].sees is None
    assert "its records tell" in power_text(list(rows.values()), 0.02)
    one, two = (power_of_suite(suite, margin=0.02, limit=2000, models=k)[0].sees or 0 for k in (1, 4))
    assert one < two


def test_disagreement_is_measured_between_two_runs() -> None:
    base, new = run({"clean": flags(160, 40)}), run({"clean": [*flags(150, 10), *flags(10, 30)]}, weights="other")
    (assumed,), (measured,) = power_of_run(base, margin=0.02), power_of_run(base, new, margin=0.02)
    assert (assumed.disagree, assumed.assumed) == (0.1, True)
    assert (measured.disagree, measured.assumed) == (0.1, False)
    assert measured.sees == assumed.sees
    settled = compare(base, new).rows[0].result.samples_needed()
    assert settled is not None
    assert measured.n == 200


def test_of_other_metrics_the_deviation_is_that_of_the_comparison() -> None:
    """Two models that answer independently everywhere: twice the variance of one, which is what a share of 100 % assumes."""
    metric = METRICS.build("miou", labels=LABELS, operating_score=0.5)
    ids = pyarrow.array([f"{i:04}" for i in range(200)])
    base, new = (Column(ids, segmenter(numpy.random.default_rng(k), 200, shifts=(0.0,))[0]) for k in (1, 2))
    measured, assumed = _deviation(metric, base, new, 1.0), _deviation(metric, base, None, 1.0)
    assert measured is not None
    assert assumed is not None
    assert assumed == pytest.approx(measured, rel=0.25)
    one = math.sqrt(200 * float((moments_of(metric, base.values).influence ** 2).sum()))
    assert assumed == pytest.approx(math.sqrt(2) * one)
    made = regression_of(metric, base, new, 0.0)
    assert made.error is not None
    loss = detectable(200, made.error * math.sqrt(200), 0.02)
    assert needed_samples(made.error * math.sqrt(200), loss - 0.02) == pytest.approx(200)


@pytest.mark.parametrize(("margin", "disagree"), [(-0.1, 0.1), (0.5, 0.1), (0.02, 0.0), (0.02, 1.1), (float("nan"), 0.1)])
def test_shares_are_shares(margin: float, disagree: float) -> None:
    with pytest.raises(UserError, match=r"margin=|disagree="):
        power_of_run(run({"clean": flags(9, 1)}), margin=margin, disagree=disagree)


def test_the_command_tells_a_plan_and_its_power(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["plan", "quick"], "classification: cifar-resnet20.scenes, lenet5.scenes on scenes"),
        (["plan", "quick", "--power", "--limit", "2000"], "assumed: --disagree"),
    ):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 0
        assert said in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["plan", "quick", "runs/none", "--power"])
    assert done.value.code == 2
