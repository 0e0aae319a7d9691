"""Objectives and success criteria against values worked out by hand or by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from robustbench_cv.adversary.candidate_matching import overlapping
from robustbench_cv.adversary.criteria import (
    boxes_fabricated,
    misclassified,
    objects_mislabelled,
    objects_vanished,
    pixels_wrong,
    prediction_wrong,
    reported_predictions,
)
from robustbench_cv.adversary.objectives.classification import classifier_objective, cross_entropy, dlr, margin, towards
from robustbench_cv.adversary.objectives.detection import fabricate, fabricate_boxes, mislabel, vanish, vanish_objects
from robustbench_cv.adversary.objectives.segmentation import pixel_cross_entropy, seg_pgd_loss
from robustbench_cv.errors import UserError
from robustbench_cv.types import (
    BoxPrediction,
    BoxTarget,
    Candidates,
    ClassPrediction,
    ClassTarget,
    Logits,
    MaskPrediction,
    MaskTarget,
    PixelLogits,
)
from tests.adversary_models import detector, images, targets

Z = torch.tensor([[1.0, 3.0, -2.0, 0.5], [4.0, 0.0, 1.0, 2.0]])
Y = [ClassTarget(1), ClassTarget(2)]


def test_classifier_objectives() -> None:
    torch.testing.assert_close(cross_entropy()(Logits(Z), Y), F.cross_entropy(Z, torch.tensor([1, 2]), reduction="none"))
    torch.testing.assert_close(margin()(Logits(Z), Y), torch.tensor([-2.0, 3.0]))
    torch.testing.assert_close(dlr()(Logits(Z), Y), torch.tensor([-2.0 / 2.5, 3.0 / 3.0]))
    torch.testing.assert_close(towards()(Logits(Z), Y), Z.log_softmax(1)[[0, 1], [1, 2]])


def test_dlr_is_unmoved_by_shift_and_scale_and_needs_three_classes() -> None:
    torch.testing.assert_close(dlr()(Logits(100 * Z + 7), Y), dlr()(Logits(Z), Y))
    with pytest.raises(UserError, match="at least 3 classes, this model has 2"):
        dlr()(Logits(Z[:, :2]), [ClassTarget(0), ClassTarget(1)])
    with pytest.raises(UserError, match="'ce', 'margin', 'dlr'"):
        classifier_objective("hinge")


def test_pixel_objectives_ignore_255_and_divide_by_scored_pixels() -> None:
    logits = torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 1], [2, 255]])
    each = [F.cross_entropy(logits[0, :, i, j], labels[i, j]) for i, j in ((0, 0), (0, 1), (1, 0))]
    torch.testing.assert_close(pixel_cross_entropy()(PixelLogits(logits), [MaskTarget(labels)]), (sum(each) / 3).reshape(1))


@pytest.mark.parametrize(("step", "steps"), [(1, 10), (6, 10), (10, 10)])
def test_seg_pgd_weighs_by_its_schedule(step: int, steps: int) -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]]).reshape(1, 2, 1, 2)
    labels = torch.tensor([[0, 0]])
    lam = (step - 1) / (2 * steps)
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    value = seg_pgd_loss()(PixelLogits(logits), [MaskTarget(labels)], (step - 1) / steps)
    assert float(value) == pytest.approx(((1 - lam) * right + lam * wrong) / 2)


def candidates(log_score: torch.Tensor, valid: list[bool] | None = None) -> Candidates:
    k = log_score.shape[1]
    boxes = torch.stack([torch.tensor([10.0 * i, 0, 10.0 * i + 8, 8]) for i in range(k)])[None, :, None]
    return Candidates(boxes, log_score, torch.tensor([valid or [True] * k]))


def test_vanish_and_fabricate_are_the_two_halves_of_binary_cross_entropy() -> None:
    p = torch.tensor([[[0.7, 0.2], [0.1, 0.4], [0.99, 0.99]]])
    raw = candidates(p.log(), [True, True, False])
    best = torch.tensor([0.7, 0.4])
    torch.testing.assert_close(vanish()(raw, []), -F.binary_cross_entropy(best, torch.zeros(2), reduction="sum").reshape(1))
    torch.testing.assert_close(fabricate()(raw, []), -F.binary_cross_entropy(best, torch.ones(2), reduction="sum").reshape(1))


def test_vanish_objects_adds_the_log_odds_of_what_lies_on_a_goal_and_may_still_be_reported() -> None:
    p = torch.tensor([[[0.7, 0.2], [0.1, 0.4], [0.0001, 0.0002], [0.99, 0.99]]], dtype=torch.float64)
    raw = candidates(p.log(), [True, True, True, False])
    goal = [BoxTarget.of(torch.tensor([[0.0, 0, 8, 8], [20.0, 0, 28, 8]]), torch.tensor([1, 1]))]
    # The first candidate lies on a goal; so does the third, whose odds are below 0.001 already; the second lies on none.
    held = math.log(0.7 / 0.3) - math.log(0.001)
    assert float(vanish_objects(0.5)(raw, goal)) == pytest.approx(float(vanish()(raw, goal)) - 0.5 * held)
    assert vanish_objects(0.0).name == "vanish"


def test_fabricate_boxes_adds_the_number_of_boxes_to_expect() -> None:
    p = torch.tensor([[[0.7, 0.2], [0.1, 0.4], [0.99, 0.99]]], dtype=torch.float64)
    raw = candidates(p.log(), [True, True, False])
    assert float(fabricate_boxes(3.0)(raw, [])) == pytest.approx(float(fabricate()(raw, [])) + 3.0 * (0.7 + 0.4))
    assert fabricate_boxes(0.0).name == "fabricate"


def test_the_log_odds_of_an_object_keep_their_gradient_below_the_reported_score() -> None:
    z = torch.full((1, 1, 1), -4.0, requires_grad=True)
    goal = [BoxTarget.of(torch.tensor([[0.0, 0, 8, 8]]), torch.tensor([0]))]
    (faded,) = torch.autograd.grad(vanish()(candidates(F.logsigmoid(z)), goal).sum(), z)
    (kept,) = torch.autograd.grad(vanish_objects()(candidates(F.logsigmoid(z)), goal).sum(), z)
    assert float(faded) == pytest.approx(-0.018, abs=1e-3)
    assert float(kept) == pytest.approx(-1.018, abs=1e-3)


@pytest.mark.parametrize("logit", [-200.0, -20.0, 0.0, 20.0, 80.0])
@pytest.mark.parametrize("objective", [vanish(), vanish_objects(), fabricate(), fabricate_boxes(), mislabel()], ids=lambda o: o.name)
def test_detection_gradients_are_finite_at_both_ends(logit: float, objective: object) -> None:
    z = torch.full((1, 2, 3), logit, requires_grad=True)
    raw = candidates(F.logsigmoid(z))
    goal = [BoxTarget.of(torch.tensor([[0.0, 0, 8, 8]]), torch.tensor([1]))]
    (grad,) = torch.autograd.grad(objective(raw, goal).sum(), z)  # type: ignore[operator]
    assert grad.isfinite().all()
    if abs(logit) <= 20:
        assert grad.any()


def test_vanish_keeps_its_gradient_where_the_detector_is_sure() -> None:
    z = torch.full((1, 1, 1), 80.0, requires_grad=True)
    (grad,) = torch.autograd.grad(vanish()(candidates(F.logsigmoid(z)), []).sum(), z)
    torch.testing.assert_close(grad, torch.full((1, 1, 1), -1.0))


def test_mislabel_pulls_up_the_goal_and_down_the_rest_of_overlapping_candidates_only() -> None:
    z = torch.zeros(1, 2, 3, requires_grad=True)
    goal = [BoxTarget.of(torch.tensor([[0.0, 0, 8, 8]]), torch.tensor([1]))]
    (grad,) = torch.autograd.grad(mislabel()(candidates(F.logsigmoid(z)), goal).sum(), z)
    torch.testing.assert_close(grad, torch.tensor([[[-0.5, 0.5, -0.5], [0, 0, 0]]]))


def test_a_goal_that_no_candidate_overlaps_goes_to_the_nearest_one() -> None:
    raw = candidates(torch.zeros(1, 3, 2))
    far = BoxTarget.of(torch.tensor([[13.0, 5, 18, 30]]), torch.tensor([0]))
    assert overlapping(raw, 0, far).tolist() == [[False], [True], [False]]


def test_objectives_on_a_detector_match_finite_differences() -> None:
    model = detector()
    model.module.double()
    x = images(1).double().clamp(0.1, 0.9)
    goal = targets(model, x)
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    for objective in (vanish(), vanish_objects(), fabricate(), fabricate_boxes(), mislabel()):
        leaf = x.clone().requires_grad_()
        (grad,) = torch.autograd.grad(objective(model.raw(leaf), goal).sum(), leaf)
        with torch.no_grad():
            ahead, behind = (objective(model.raw(x + h * direction), goal).sum() for h in (1e-6, -1e-6))
        assert float((grad * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-3)


def boxes(*rows: tuple[float, float, float, float, float, int]) -> BoxPrediction:
    made = torch.tensor([row[:4] for row in rows]).reshape(-1, 4)
    return BoxPrediction(made, torch.tensor([row[4] for row in rows]), torch.tensor([row[5] for row in rows], dtype=torch.int64))


TWO = [BoxTarget.of(torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]), torch.tensor([0, 1]))]
FIRST, OTHER_NAME, ELSEWHERE = (0.0, 0.0, 10.0, 10.0, 0.9, 0), (0.0, 0.0, 10.0, 9.0, 0.8, 2), (50.0, 50.0, 60.0, 60.0, 0.7, 1)


@pytest.mark.parametrize(
    ("seen", "gone", "renamed", "new"),
    [
        ([], 1.0, 0.0, 0.0),
        ([FIRST], 0.5, 0.0, 0.0),
        ([OTHER_NAME], 0.5, 0.5, 0.0),
        ([FIRST, OTHER_NAME], 0.5, 0.0, 0.0),
        ([ELSEWHERE, ELSEWHERE], 1.0, 0.0, 1.0),
    ],
)
def test_detection_criteria(seen: list[tuple[float, float, float, float, float, int]], gone: float, renamed: float, new: float) -> None:
    predictions = [boxes(*seen)]
    assert float(objects_vanished().degree(predictions, TWO)) == gone
    assert float(objects_mislabelled().degree(predictions, TWO)) == renamed
    assert float(boxes_fabricated(2).degree(predictions, TWO)) == new
    assert bool(prediction_wrong()(predictions, TWO))


def test_boxes_below_the_operating_score_do_not_count() -> None:
    (kept,) = reported_predictions([boxes(FIRST, ELSEWHERE)], 0.75)
    assert isinstance(kept, BoxPrediction)
    assert kept.labels.tolist() == [0]
    assert not prediction_wrong()([boxes(FIRST)], [TWO[0].select(torch.tensor([0]))])


def test_other_criteria() -> None:
    assert misclassified()([ClassPrediction(torch.tensor([0.6, 0.4]))], [ClassTarget(0)]).tolist() == [False]
    mask = [MaskPrediction(torch.tensor([[0, 1], [1, 1]]))]
    label = [MaskTarget(torch.tensor([[0, 0], [1, 255]]))]
    assert float(pixels_wrong().degree(mask, label)) == pytest.approx(1 / 3)
    assert pixels_wrong(0.3)(mask, label).tolist() == [True]
    assert pixels_wrong(0.4)(mask, label).tolist() == [False]
