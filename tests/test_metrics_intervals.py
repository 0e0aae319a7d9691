"""Intervals and paired differences: published values, coverage, and what pairing is for."""

from __future__ import annotations

import numpy
import pytest

from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.intervals import (
    bootstrap_counts,
    difference_in_differences,
    estimate,
    paired_difference,
    resampled_difference,
    wilson,
)
from robustbench_cv.metrics.metric import Estimate
from tests.reference import worlds

TOP1, MIOU, AP = (METRICS.build(name) for name in ("top-1", "miou", "ap"))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"), [(45, 50, 0.786398, 0.956524), (0, 20, 0, 0.161125), (4404, 10000, 0.430695, 0.450151)]
)
def test_wilson_has_the_published_values(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-6)
    assert wilson(n - successes, n) == pytest.approx((1 - high, 1 - low), abs=1e-6)


@pytest.mark.parametrize(("successes", "n"), [(3, 2), (-1, 5), (0, 0)])
def test_wilson_refuses_what_is_no_rate(successes, n):
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, n)


def test_draws_are_of_whole_data_sets_and_repeat():
    counts = bootstrap_counts(30, 200, seed=1)
    assert counts.shape == (200, 30)
    assert (counts.sum(axis=1) == 30).all()
    numpy.testing.assert_array_equal(counts, bootstrap_counts(30, 200, seed=1))
    assert (counts != bootstrap_counts(30, 200, seed=2)).any()


def test_draws_are_those_of_a_multinomial():
    counts = bootstrap_counts(20, 20_000)
    assert counts.mean(axis=0) == pytest.approx(numpy.ones(20), abs=0.04)
    assert counts.var(axis=0) == pytest.approx(numpy.full(20, 0.95), abs=0.06)
    assert numpy.cov(counts[:, 0], counts[:, 1])[0, 1] == pytest.approx(-0.05, abs=0.02)


def test_draws_do_not_depend_on_the_chunks_they_are_made_in(monkeypatch):
    whole = bootstrap_counts(7, 31, seed=5)
    monkeypatch.setattr("robustbench_cv.metrics.intervals._CELLS", 22)
    numpy.testing.assert_array_equal(bootstrap_counts(7, 31, seed=5), whole)


def test_the_first_draws_stay_what_they_are():
    """Stored intervals would move with the generator."""
    assert bootstrap_counts(5, 3, seed=0).tolist() == [[0, 2, 1, 1, 1], [4, 0, 0, 0, 1], [0, 0, 1, 2, 2]]


def test_a_rate_has_wilsons_interval():
    assert estimate(TOP1, [1] * 45 + [0] * 5, excluded=2) == Estimate(0.9, *wilson(45, 50), 50, 2)


def test_nothing_measured_is_undefined_with_a_reason():
    made = estimate(MIOU, [], excluded=7)
    assert (made.value, made.low, made.high, made.n, made.excluded) == (None, None, None, 0, 7)
    assert made.reason


def test_one_sample_has_a_value_and_no_interval():
    evidence = _miou_evidence(1)
    made = estimate(MIOU, evidence)
    assert made.value == MIOU.reduce(evidence)
    assert (made.low, made.high) == (None, None)
    assert "one sample" in made.reason


def test_the_interval_of_a_ratio_covers_the_truth():
    """Pixel accuracy over images of unequal size: the 95 % interval holds the value of the population in about 95 of 100 samples."""
    metric = METRICS.build("pixel-accuracy")
    rng = numpy.random.default_rng(0)
    sizes = rng.integers(10, 200, 5000)
    right = rng.binomial(sizes, rng.beta(6, 2, 5000))
    truth = right.sum() / sizes.sum()
    hits = 0
    for _ in range(200):
        pick = rng.integers(0, 5000, 60)
        made = estimate(metric, [_counts(right[i], sizes[i]) for i in pick], resamples=400)
        hits += made.low <= truth <= made.high
    assert 0.88 <= hits / 200 <= 0.99


def test_resamples_in_which_a_metric_is_undefined_are_left_out():
    """One image of four has an object: three quarters to the fourth power of the draws miss it."""
    pairs = worlds.pairs("detection", 4, seed=11)
    evidence = [AP.measure(*worlds.perfect(pair)) for pair in pairs]
    evidence = [e if k == 0 else dict.fromkeys(e, ()) for k, e in enumerate(evidence)]
    assert AP.reduce(evidence) == pytest.approx(1.0)
    made = estimate(AP, evidence)
    assert (made.low, made.high) == (pytest.approx(1.0), pytest.approx(1.0))


def test_a_difference_is_of_the_samples_that_have_both():
    a, b = {"x": 1, "y": 1, "z": 0}, {"y": 0, "z": 0, "w": 1}
    made = paired_difference(TOP1, a, b)
    assert (made.value, made.n, made.excluded) == (0.5, 2, 2)


def test_the_same_evidence_differs_by_exactly_nothing():
    evidence = _by_id(_miou_evidence(8))
    made = paired_difference(MIOU, evidence, evidence)
    assert (made.value, made.low, made.high) == (0.0, 0.0, 0.0)


def test_pairing_narrows_the_interval():
    """Two models that err on the same hard images differ by far less than their own intervals are wide."""
    rng = numpy.random.default_rng(2)
    a = {str(k): _counts(v) for k, v in enumerate(rng.integers(0, 101, 80))}
    b = {k: _counts(max(0, rows[0]["intersection"] - 3)) for k, rows in a.items()}
    own, paired = estimate(MIOU, list(a.values())), paired_difference(MIOU, a, b)
    assert paired.high - paired.low < 0.2 * (own.high - own.low)
    assert paired.low > 0


def test_swapping_the_sides_turns_the_difference_round():
    a, b = (_by_id(_miou_evidence(10, seed=s)) for s in (1, 2))
    there, back = paired_difference(MIOU, a, b), paired_difference(MIOU, b, a)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))
    spread = resampled_difference(MIOU, a, b)
    assert (there.low, there.high) == pytest.approx(tuple(numpy.percentile(spread, [2.5, 97.5])))


def test_effect_minus_control_is_what_it_says():
    """The edit costs 30 of 100 pixels, 10 of which any such edit costs."""
    rng = numpy.random.default_rng(3)
    base = {f"{k}": int(v) for k, v in enumerate(rng.integers(40, 100, 50))}
    rows = [{k: _counts(v - lost) for k, v in base.items()} for lost in (30, 0, 10, 0)]
    accuracy = METRICS.build("pixel-accuracy")
    effect, control, net = difference_in_differences(accuracy, *rows)
    assert [e.value for e in (effect, control, net)] == pytest.approx([-0.3, -0.1, -0.2])
    assert (net.low, net.high) == pytest.approx((-0.2, -0.2))
    assert {e.n for e in (effect, control, net)} == {50}


def test_effect_and_control_use_the_same_samples_so_that_they_add_up():
    sides = [_by_id(_miou_evidence(12, seed=s)) for s in range(4)]
    del sides[0]["03"], sides[2]["05"], sides[3]["05"]
    effect, control, net = difference_in_differences(MIOU, *sides)
    assert (net.n, net.excluded, effect.n, control.n) == (10, 2, 10, 10)
    assert net.value == pytest.approx(effect.value - control.value)
    kept = [[side[f"{k:02}"] for k in range(12) if k not in (3, 5)] for side in sides]
    assert effect.value == pytest.approx(MIOU.reduce(kept[0]) - MIOU.reduce(kept[1]))
    assert net.low < net.value < net.high


def test_without_a_control_there_is_only_an_effect():
    made = difference_in_differences(TOP1, {"a": 1, "b": 0}, {"a": 1, "b": 1})
    assert (made.effect.value, made.control, made.net) == (-0.5, None, None)


def test_an_undefined_side_makes_the_difference_undefined_with_its_reason():
    nothing = dict.fromkeys(("classes", "truths", "labels", "scores", "right", "wrong"), ())
    empty = {"a": nothing, "b": nothing}
    full = {p[1].id: AP.measure(*p) for p in worlds.pairs("detection", 2, seed=4)}
    made = paired_difference(AP, dict(zip("ab", full.values(), strict=True)), empty)
    assert (made.value, made.low, made.high, made.n) == (None, None, None, 2)
    assert "no class has an annotated object" in made.reason
    assert "every side" in paired_difference(AP, full, empty).reason


def _by_id(evidence):
    return {f"{k:02}": e for k, e in enumerate(evidence)}


def _counts(right, of=100):
    """One image of one class: `right` of its pixels found, and nothing else."""
    return [{"class": 0, "intersection": int(right), "predicted": int(of), "truth": int(of)}]


def _miou_evidence(n, seed=0):
    return [MIOU.measure(*pair) for pair in worlds.pairs("segmentation", n, seed=seed)]
