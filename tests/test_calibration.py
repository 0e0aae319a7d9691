"""Calibration: published definitions on answers that can be counted by hand, what few answers do to ECE, the sampled pixels, the report."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy
import pyarrow
import pytest
import torch
from torch import nn

from robustbench_cv.catalogue import METRICS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.calibration import CALIBRATION, bin_of, calibration, reliability
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.intervals import estimate
from robustbench_cv.models import adapt
from robustbench_cv.registry import load_file
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.types import ClassPrediction, ClassTarget, Labels, MaskPrediction, MaskTarget, Sample, predict
from tests.benchmarks import interval_coverage

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")


def metric(name):
    return METRICS.build(name, operating_score=0.25)


def answers(*pairs):
    """An image for each (confidence, right)."""
    made = [{"confidence": [sure], "right": [right], "brier": 0.0, "nll": 0.0} for sure, right in pairs]
    return pyarrow.array(made, CALIBRATION)


def test_bins_hold_their_upper_end():
    assert bin_of(numpy.array([0.0, 1 / 15, 1 / 15 + 1e-9, 0.5, 1.0])).tolist() == [0, 0, 1, 7, 14]


def test_a_model_that_is_sure_to_eighty_percent_and_right_in_half_is_off_by_thirty_points():
    assert metric("ece").reduce(answers(*[(0.8, True), (0.8, False)] * 10)) == pytest.approx(0.3, abs=1e-7)


def test_too_sure_here_and_too_unsure_there_do_not_cancel():
    evidence = answers(*[(0.9, False)] * 10, *[(0.5, True)] * 10)
    assert metric("ece").reduce(evidence) == pytest.approx((0.9 + 0.5) / 2, abs=1e-7)
    made = reliability(Column(pyarrow.array([f"{i:02}" for i in range(20)]), evidence))
    assert (made.confidence.value, made.right.value, made.gap.value) == (pytest.approx(0.7), 0.5, pytest.approx(0.2))
    assert [(b.confidence, b.right.value, b.answers) for b in made.bins] == [(0.5, 1.0, 10), (pytest.approx(0.9), 0.0, 10)]
    assert made.bins[0].right.low < 1
    assert made.gap.low < 0 < made.gap.value < made.gap.high


def test_brier_and_likelihood_of_one_answer():
    sample = Sample("a", torch.zeros(3, 1, 1), ClassTarget(1))
    evidence = calibration(ClassPrediction(torch.tensor([0.5, 0.25, 0.25])), sample, 0.25)
    assert evidence["brier"] == pytest.approx(0.25 + 0.5625 + 0.0625)
    assert evidence["nll"] == pytest.approx(numpy.log(4))
    assert (evidence["confidence"], evidence["right"]) == ([0.5], [False])


@pytest.mark.parametrize("n", [50, 400])
def test_chance_raises_ece_and_not_the_corrected_error(n):
    """Of a perfectly calibrated model: the corrected square is 0 on the average, so that half of the time nothing is left of it."""
    rng = numpy.random.default_rng(n)
    plain, corrected = [], []
    for _ in range(200):
        sure = rng.uniform(0.3, 1, n)
        evidence = answers(*zip(sure, rng.random(n) < sure, strict=True))
        plain.append(metric("ece").reduce(evidence))
        corrected.append(metric("debiased-calibration-error").reduce(evidence))
    assert numpy.mean(plain) > 0.6 / n**0.5
    assert 0.35 < numpy.mean(numpy.array(corrected) == 0) < 0.75


def test_boxes_have_no_brier_score():
    prediction, sample = interval_world()
    assert calibration(prediction, sample, 0.25)["brier"] is None
    with pytest.raises(NotApplicable, match="no"):
        metric("brier").measure(prediction, sample)


def interval_world():
    from tests.reference import worlds

    return worlds.pairs("detection", 1)[0]


def test_labels_without_probabilities_are_left_out_with_the_reason():
    sample = Sample("a", torch.zeros(3, 2, 2), MaskTarget(torch.zeros(2, 2, dtype=torch.long)))
    with pytest.raises(NotApplicable, match=r"MaskPrediction\.sampled"):
        metric("ece").measure(MaskPrediction(torch.zeros(2, 2, dtype=torch.long)), sample)


def test_a_segmenter_tells_how_sure_it_is_at_the_same_pixels_of_every_image():
    model = adapt.segmenter(nn.Conv2d(3, 4, 1), name="x", classes=Labels.numbered(4))
    images = torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0))
    first, second = predict(model, images)
    assert isinstance(first, MaskPrediction)
    assert isinstance(second, MaskPrediction)
    assert first.sampled is not None
    assert second.sampled is not None
    assert first.sampled.positions.equal(second.sampled.positions)
    assert len(set(first.sampled.positions.tolist())) == adapt.SAMPLED_PIXELS
    probs = model.raw(images).values.softmax(dim=1)[1].flatten(1).T[second.sampled.positions]
    torch.testing.assert_close(second.sampled.values, probs.detach())
    assert second.sampled.values.argmax(dim=1).equal(second.labels.flatten()[second.sampled.positions])


def test_the_interval_of_a_miscalibrated_models_ece_holds():
    row = next(row for row in interval_coverage.ROWS if row.name == "ECE")
    made = interval_coverage.simulate(row, 1000, 150, whole=20_000)
    assert 0.89 < made.coverage < 0.995, made


def test_what_no_interval_holds_of_has_none_and_few_answers_are_warned_of():
    evidence = answers(*[(0.9, True), (0.6, False)] * 40)
    corrected, plain = (estimate(metric(name), evidence) for name in ("debiased-calibration-error", "ece"))
    assert (corrected.low, corrected.high) == (None, None)
    assert "no interval" in corrected.reason
    assert "80 samples are too few" in plain.caution


def test_the_report_shows_each_model_beside_the_diagonal():
    results = synthetic.make()
    items = build_items(results, ["reliability"])
    charts = [item for item in items if isinstance(item, Chart)]
    assert [chart.task for chart in charts] == ["classification", "segmentation", "detection"]
    table = next(item for item in items if item.label == "reliability-classification")
    rows = {row[1]: row for row in table.frame.itertuples(index=False, name=None)}
    group = results.groups()[0]
    assert rows["pgd-8"][5].estimate == results.estimate(group, "pgd-8", "ece")
    assert rows["pgd-8"][3].estimate.value == results.estimate(group, "pgd-8", "top-1").value
    assert rows["pgd-8"][4].estimate.value == pytest.approx(rows["pgd-8"][2].estimate.value - rows["pgd-8"][3].estimate.value)
    frame = charts[0].frame
    assert (frame["answers"] == frame["n"]).all()
    assert frame.groupby("condition")["answers"].sum().to_dict()["clean"] == results.estimate(group, "clean", "ece").n


def test_none_right_of_a_handful_is_little_to_go_by():
    evidence = answers(*[(0.9, True)] * 35, *[(0.3, False)] * 5)
    made = reliability(Column(pyarrow.array([f"{i:02}" for i in range(40)]), evidence))
    assert (made.bins[0].right.value, made.bins[0].right.n) == (0.0, 5)
    assert made.bins[0].right.high > 0.35
