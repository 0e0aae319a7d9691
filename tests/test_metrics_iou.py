"""IoU: absent classes, ignored pixels, predictions of no class, background, large counts, and the response to a removal."""

from __future__ import annotations

import numpy
import pytest
import torch

from robustbench_cv.catalogue import METRICS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.intervals import estimate
from robustbench_cv.metrics.iou import CONFUSION, ClassIoU
from robustbench_cv.metrics.removal_response import affected_images, changed_images
from robustbench_cv.types import Labels, MaskPrediction, MaskTarget, Sample

MIOU, ACCURACY = METRICS.build("miou"), METRICS.build("pixel-accuracy")


def measure(predicted, truth):
    sample = Sample("a", torch.zeros(3, 1, 1), MaskTarget(torch.tensor(truth)))
    return MIOU.measure(MaskPrediction(torch.tensor(predicted)), sample)


def counts(c, intersection, predicted, truth):
    return {"class": c, "intersection": intersection, "predicted": predicted, "truth": truth}


def test_a_worked_example():
    """Class 0: 2 of 3; class 1: 1 of 2."""
    evidence = [measure([[0, 0, 1, 0]], [[0, 0, 1, 1]])]
    assert evidence == [[counts(0, 2, 3, 2), counts(1, 1, 1, 2)]]
    assert MIOU.reduce(evidence) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert ACCURACY.reduce(evidence) == 0.75


def test_a_prediction_on_an_ignored_pixel_counts_for_nothing():
    assert measure([[0, 0, 3]], [[0, 0, 255]]) == measure([[0, 0]], [[0, 0]])


def test_a_class_in_neither_is_left_out_and_one_only_predicted_keeps_its_zero():
    assert MIOU.reduce([measure([[0, 0, 7]], [[0, 0, 7]])]) == 1.0
    assert MIOU.reduce([measure([[0, 0, 0, 7]], [[0, 0, 0, 0]])]) == pytest.approx((3 / 4 + 0) / 2)


@pytest.mark.parametrize("nothing", [-1, 255])
def test_predicting_no_class_is_wrong_without_being_a_false_positive(nothing):
    evidence = [measure([[0, 0, nothing]], [[0, 0, 1]])]
    assert MIOU.reduce(evidence) == pytest.approx((1 + 0) / 2)
    assert ACCURACY.reduce(evidence) == pytest.approx(2 / 3)


def test_it_is_of_the_data_set_not_the_mean_of_the_images():
    evidence = [measure([[0] * 9 + [1]], [[0] * 10]), measure([[1]], [[1]])]
    assert MIOU.reduce(evidence) == pytest.approx((9 / 10 + 1 / 2) / 2)
    assert MIOU.reduce(evidence) != pytest.approx((MIOU.reduce(evidence[:1]) + MIOU.reduce(evidence[1:])) / 2)


def test_counts_beyond_float32_stay_exact():
    """2^25 right pixels and one wrong one: float32 would lose the one."""
    rows = [counts(0, 2**25, 2**25, 2**25 + 1)]
    assert ACCURACY.reduce([rows, rows]) == 2**25 / (2**25 + 1) < 1


def test_an_image_without_a_scored_pixel_is_not_applicable():
    with pytest.raises(NotApplicable, match="no pixel"):
        measure([[0, 1]], [[255, 255]])


def test_a_prediction_of_another_shape_is_a_bug():
    with pytest.raises(ValueError, match="shape"):
        measure([[0, 1, 1]], [[0, 1]])


def test_both_ways_of_the_background():
    evidence = [measure([[0, 0, 0, 1]], [[0, 0, 1, 1]])]
    named = METRICS.build("miou-foreground", labels=Labels(("car", "Background")))
    assert MIOU.reduce(evidence) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert named.reduce(evidence) == pytest.approx(2 / 3)
    assert METRICS.build("miou-foreground", labels=Labels.numbered(2)).reduce(evidence) == pytest.approx(1 / 2)
    made = estimate(METRICS.build("miou-foreground", labels=Labels(("road", "car"))), evidence)
    assert made.value is None
    assert "no class named background" in made.reason


def test_a_class_is_named():
    labels = Labels(("road", "car"))
    assert METRICS.build("class-iou(of='car')", labels=labels).reduce([measure([[1, 1]], [[1, 0]])]) == 0.5
    with pytest.raises(UserError, match="road, car"):
        METRICS.build("class-iou(of='cat')", labels=labels)
    with pytest.raises(NotApplicable, match="no truth"):
        ClassIoU(5, "boat").reduce([measure([[1, 1]], [[1, 0]])])


def test_the_response_to_a_removal():
    """Twelve streets: where the cars go, half of them lose a fifth of the sidewalk; two have no sidewalk."""
    before = {str(k): measure([[0] * 5 + [1] * 10], [[0] * 5 + [1] * 10]) for k in range(12)}
    after = {k: measure([[0] * 7 + [1] * 8], [[0] * 5 + [1] * 10]) if int(k) % 2 else rows for k, rows in before.items()}
    for k in ("x", "y"):
        before[k] = after[k] = measure([[0, 0]], [[0, 0]])
    assert changed_images(after, before, 1) == {0.05: 0.5, 0.10: 0.5, 0.20: 0.0}
    assert changed_images(after, before, 7) is None, "a class that no image holds"


def test_few_images_leave_the_cell_blank():
    side = {str(k): measure([[0, 1]], [[0, 1]]) for k in range(9)}
    assert changed_images(side, side, 1) is None
    side["9"] = side["0"]
    assert changed_images(side, side, 1) == {0.05: 0.0, 0.10: 0.0, 0.20: 0.0}


def test_affected_images_equal_the_obvious_counts() -> None:
    rng = numpy.random.default_rng(3)

    def image() -> list[dict[str, int]]:
        both = int(rng.integers(0, 30))
        return [{"class": 1, "intersection": both, "predicted": both + int(rng.integers(0, 9)), "truth": 30}, *_other(rng)]

    sides = [Column.of({f"{i:03}": image() for i in range(40)}, CONFUSION) for _ in range(4)]
    sides[2] = sides[2].only(sides[2].ids[3:])
    made = affected_images(sides, 1)
    after, before, control_after, control_before = ([_iou(side.to_dict()[i]) for i in sides[2].ids.to_pylist()] for side in sides)
    for limit, shown in zip((0.05, 0.1, 0.2), made.shares, strict=True):
        wanted = [
            sum(abs(a - b) > limit for a, b in zip(*pair, strict=True)) / 37 for pair in ((after, before), (control_after, control_before))
        ]
        assert [shown.removal.value, shown.control.value] == pytest.approx(wanted)
        assert shown.difference.value == pytest.approx(wanted[0] - wanted[1])
        assert shown.removal.n == 37
        assert shown.removal.low < shown.removal.value < shown.removal.high
    lost = [
        sum((b - a) / max(b, 0.01) for a, b in zip(*pair, strict=True)) / 37 for pair in ((after, before), (control_after, control_before))
    ]
    assert [made.loss.removal.value, made.loss.control.value] == pytest.approx(lost)
    assert made.loss.difference.value == pytest.approx(lost[0] - lost[1])
    assert made.loss.removal.low < lost[0] < made.loss.removal.high
    assert affected_images(sides, 7).loss.removal.value is None


def _other(rng: numpy.random.Generator) -> list[dict[str, int]]:
    return [{"class": 2, "intersection": 0, "predicted": int(rng.integers(0, 5)), "truth": 3}] if rng.random() < 0.5 else []


def _iou(image: list[dict[str, int]]) -> float:
    one = next(c for c in image if c["class"] == 1)
    return one["intersection"] / (one["predicted"] + one["truth"] - one["intersection"])
