"""Intervals and paired differences: published values, coverage, and what pairing is for."""

from __future__ import annotations

import numpy
import pytest

from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.average_precision import by_class
from robustbench_cv.metrics.average_precision_influence import precision_influence
from robustbench_cv.metrics.evidence import array_of
from robustbench_cv.metrics.influence_functions import half_sample_bias, half_samples, influence_of, left_out
from robustbench_cv.metrics.intervals import FEWEST, difference_in_differences, estimate, paired_difference
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.score_intervals import tango, wilson
from robustbench_cv.metrics.t_intervals import Spread, interval_of, student
from tests.benchmarks import interval_coverage
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
        made = estimate(metric, [_counts(right[i], sizes[i]) for i in pick])
        hits += made.low <= truth <= made.high
    assert 0.88 <= hits / 200 <= 0.99


def test_what_never_varied_is_as_sure_as_so_many_images_can_make_it():
    """One image of four has an object, and it is found: the perfect number is no certainty."""
    pairs = worlds.pairs("detection", 4, seed=11)
    evidence = [AP.measure(*worlds.perfect(pair)) for pair in pairs]
    evidence = [e if k == 0 else dict.fromkeys(e, ()) for k, e in enumerate(evidence)]
    assert AP.reduce(evidence) == pytest.approx(1.0)
    made = estimate(AP, evidence)
    assert (made.value, made.high) == (pytest.approx(1.0), pytest.approx(1.0))
    assert made.low <= wilson(4, 4).low + 1e-9


def test_a_difference_is_of_the_samples_that_have_both():
    a, b = {"x": 1, "y": 1, "z": 0}, {"y": 0, "z": 0, "w": 1}
    made = paired_difference(TOP1, a, b)
    assert (made.value, made.n, made.excluded) == (0.5, 2, 2)


@pytest.mark.parametrize("metric", [MIOU, TOP1], ids=["miou", "top-1"])
def test_two_that_never_differed_on_few_images_may_differ_on_others(metric):
    evidence = _by_id(_miou_evidence(32)) if metric is MIOU else {f"{k:02}": k % 4 > 0 for k in range(32)}
    made = paired_difference(metric, evidence, evidence)
    assert made.value == 0.0
    assert made.low < 0.0 < made.high
    assert made.high == pytest.approx(-made.low)


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


def test_effect_minus_control_is_what_it_says():
    """The edit costs 30 of 100 pixels, 10 of which any such edit costs."""
    rng = numpy.random.default_rng(3)
    base = {f"{k}": int(v) for k, v in enumerate(rng.integers(40, 100, 50))}
    rows = [{k: _counts(v - lost) for k, v in base.items()} for lost in (30, 0, 10, 0)]
    accuracy = METRICS.build("pixel-accuracy")
    effect, control, net = difference_in_differences(accuracy, *rows)
    assert [e.value for e in (effect, control, net)] == pytest.approx([-0.3, -0.1, -0.2])
    assert net.low < -0.2 < net.high
    assert net.high - net.low < 0.02, "every image was cost the same"
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


def test_of_the_same_images_an_effect_less_its_control_is_the_paired_difference_of_the_two():
    before = {str(i): 1 for i in range(4)}
    edited, placebo = dict(before, **{"0": 0, "1": 0, "2": 0}), before
    made = difference_in_differences(TOP1, edited, before, placebo, before)
    assert made.net == paired_difference(TOP1, edited, placebo)
    assert -1 <= made.net.low < made.net.value == -0.75 < made.net.high <= 1


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


def _likelihood(a, b, n, difference):
    """The score statistic of a difference by brute force: the likeliest share that only B has right, found on a grid."""
    only_b = numpy.linspace(max(0.0, -difference), (1 - difference) / 2, 200_001)[1:-1]
    only_a = only_b + difference
    with numpy.errstate(divide="ignore", invalid="ignore"):
        log = a * numpy.log(only_a) + b * numpy.log(only_b) + (n - a - b) * numpy.log(1 - only_a - only_b)
    best = only_b[numpy.nanargmax(numpy.where(numpy.isfinite(log), log, -numpy.inf))]
    return ((a - b) / n - difference) / numpy.sqrt((2 * best + difference - difference**2) / n)


@pytest.mark.parametrize(("a", "b", "n"), [(9, 4, 50), (3, 0, 32), (1, 1, 20), (20, 12, 200)])
def test_tangos_bounds_are_where_the_score_test_turns(a, b, n):
    low, high = tango(a, b, n)
    assert _likelihood(a, b, n, low) == pytest.approx(1.96, abs=0.005)
    assert _likelihood(a, b, n, high) == pytest.approx(-1.96, abs=0.005)
    assert tango(b, a, n) == pytest.approx((-high, -low))


def test_tangos_interval_of_nothing_seen():
    z = 1.959963984540054
    assert tango(0, 0, 32) == pytest.approx((-(z**2) / (32 + z**2), z**2 / (32 + z**2)), abs=1e-9)
    with pytest.raises(ValueError, match="some of all"):
        tango(3, 3, 5)


@pytest.mark.parametrize(("a", "b"), [(0.02, 0.0), (0.05, 0.03), (0.12, 0.10)])
def test_tangos_interval_covers(a, b):
    """Summed over every outcome, without simulation."""
    assert all(interval_coverage.exact_coverage(a, b, n) > 0.93 for n in (32, 64))


@pytest.mark.parametrize(("df", "quantile"), [(4, 2.776), (10, 2.228), (30, 2.042), (1e9, 1.960)])
def test_students_quantiles_are_those_of_the_tables(df, quantile):
    assert student(df) == pytest.approx(quantile, rel=2e-3)


def test_the_influence_of_an_image_is_what_leaving_it_out_does():
    evidence = array_of([AP.measure(*pair) for pair in worlds.pairs("detection", 150, seed=5)], AP.evidence_type)
    derived = numpy.mean([precision_influence(*ranked, AP.thresholds) for ranked in by_class(evidence)], axis=0)
    exact = left_out(AP, evidence, AP.reduce(evidence))
    assert derived.sum() == pytest.approx(0, abs=1e-12)
    assert numpy.corrcoef(derived, exact)[0, 1] > 0.98
    assert (derived**2).sum() == pytest.approx((exact**2).sum(), rel=0.1)


def test_a_metric_without_influence_is_asked_with_samples_left_out():
    class Plain:
        """mIoU, that says no more than every metric must."""

        evidence_type, is_rate, resample = MIOU.evidence_type, False, MIOU.resample

    evidence = _miou_evidence(30)
    numpy.testing.assert_allclose(influence_of(Plain(), evidence, MIOU.reduce(evidence)), MIOU.influence(evidence), atol=1e-12)


def test_half_samples_come_in_pairs_that_share_nothing():
    halves = half_samples(25)
    assert set(numpy.unique(halves)) == {0, 1}
    assert (halves[::2] + halves[1::2] == 1).all()
    assert set(halves.sum(axis=1)) == {12, 13}


def test_the_bias_of_few_images_is_seen():
    """AP of few images is biased up; a ratio of sums of many is not."""
    rng = numpy.random.default_rng(0)
    ap = [half_sample_bias(AP, e, AP.reduce(e)) for e in (interval_coverage.detector(rng, 60, shifts=(0.0,))[0] for _ in range(8))]
    assert numpy.mean(ap) > 0.003


@pytest.mark.parametrize(
    ("name", "n", "repetitions"),
    [
        ("COCO AP", 30, 150),
        ("mIoU", 64, 200),
        ("AP, two models", 30, 100),
        ("rate, effect − control", 32, 200),
        ("mistakes per image", 64, 200),
    ],
)
def test_intervals_cover_the_truth(name, n, repetitions):
    """A short form of tests/benchmarks/interval_coverage.py; the percentile bootstrap of AP holds in 84 % here."""
    row = next(row for row in interval_coverage.ROWS if row.name == name)
    made = interval_coverage.simulate(row, n, repetitions, whole=20_000)
    assert 0.89 < made.coverage < 0.995, made
    assert made.zero_width == 0


def test_few_samples_carry_a_caution():
    assert f"({FEWEST} are enough)" in estimate(TOP1, [True] * (FEWEST - 1)).caution
    assert estimate(TOP1, [True] * FEWEST).caution == ""
    one_image = [_counts(50, 10_000)] + [_counts(50 + k % 3) for k in range(60)]
    assert "a handful of the samples" in estimate(METRICS.build("pixel-accuracy"), one_image).caution


def _by_id(evidence):
    return {f"{k:02}": e for k, e in enumerate(evidence)}


def _counts(right, of=100):
    """One image of one class: `right` of its pixels found, and nothing else."""
    return [{"class": 0, "intersection": int(right), "predicted": int(of), "truth": int(of)}]


def _miou_evidence(n, seed=0):
    return [MIOU.measure(*pair) for pair in worlds.pairs("segmentation", n, seed=seed)]


@pytest.mark.parametrize("centre", [-0.3, 0.0, 1e-9, 0.2, 0.5, 0.999, 1.0, 1.4])
@pytest.mark.parametrize("error", [0.0, 0.01, 0.4, 3.0])
def test_the_interval_of_a_share_stays_within_its_range(centre, error):
    """Also where the correction of the bias has moved the centre beyond an end."""
    low, high = interval_of(centre, Spread(error, 4.0), (0.0, 1.0), 12)
    inside = min(max(centre, 0.0), 1.0)
    assert 0.0 <= low <= inside + 1e-12
    assert inside - 1e-12 <= high <= 1.0
