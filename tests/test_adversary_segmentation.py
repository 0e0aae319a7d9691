"""Attacks on segmenters: their losses against loops over pixels, their searches against the published schedule."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary import Ensemble, Linf, run
from robustbench_cv.adversary.attack_references import Clean
from robustbench_cv.adversary.combinators.radius_schedule import RadiusSchedule, shrinking_radius
from robustbench_cv.adversary.criteria import pixels_wrong
from robustbench_cv.adversary.objective import Objective
from robustbench_cv.adversary.objectives.dag import AdversarialPixelLabels, adversarial_pixel_labels, pixels_to_other_classes
from robustbench_cv.adversary.objectives.segmentation import (
    cos_pgd_loss,
    jensen_shannon,
    masked_cross_entropy,
    masked_spherical,
    pixel_cross_entropy,
    seg_pgd_loss,
    track_cross_entropy,
)
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.types import IGNORE, MaskTarget, PixelLogits
from tests.adversary_models import images, noise, segmenter, targets

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(2, 4, 3, 3, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(0, 4, (2, 3, 3), generator=GENERATOR)
LABELS[0, 0, 1] = LABELS[1, 2, 2] = IGNORE
# One pixel of each image right for sure.
LABELS[:, 1, 1] = LOGITS[:, :, 1, 1].argmax(dim=1)
GOALS = [MaskTarget(labels) for labels in LABELS]


def by_pixel(name: str, z: Tensor, y: int) -> float:
    """One pixel's share of a loss, from its definition: z (C,)."""
    right = int(z.argmax()) == y
    cross_entropy = float(z.exp().sum().log() - z[y])
    p = z.exp() / z.exp().sum()
    if name == "masked cross-entropy":
        return cross_entropy if right else 0.0
    if name == "masked spherical":
        return -float(z[y] / z.square().sum().sqrt()) if right else 0.0
    if name == "Jensen-Shannon divergence":
        truth = [float(c == y) for c in range(len(z))]
        mixed = [(a + float(b)) / 2 for a, b in zip(truth, p, strict=True)]
        first = sum(float(b) * math.log(float(b) / m) for b, m in zip(p, mixed, strict=True))
        second = sum(a * math.log(a / m) for a, m in zip(truth, mixed, strict=True) if a)
        return (first + second) / 2
    squashed = p if "softmax" in name else 1 / (1 + (-z).exp())
    one_hot = torch.zeros_like(z)
    one_hot[y] = 1
    return float(F.cosine_similarity(squashed, one_hot, dim=0)) * cross_entropy


LOSSES = [cos_pgd_loss(), cos_pgd_loss("softmax"), masked_cross_entropy(), jensen_shannon(), masked_spherical()]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_losses_are_means_over_scored_pixels(loss: Objective[PixelLogits]) -> None:
    expected = []
    for z, labels in zip(LOGITS, LABELS, strict=True):
        scored = [(i, j) for i in range(3) for j in range(3) if labels[i, j] != IGNORE]
        expected.append(sum(by_pixel(loss.name, z[:, i, j], int(labels[i, j])) for i, j in scored) / len(scored))
    torch.testing.assert_close(loss(PixelLogits(LOGITS), GOALS), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_gradients_are_finite_where_the_model_is_sure_of_right_and_wrong(loss: Objective[PixelLogits]) -> None:
    z = torch.tensor([[200.0, -200.0], [0.0, 0.0], [-200.0, 200.0]]).reshape(1, 3, 1, 2).requires_grad_()
    (grad,) = torch.autograd.grad(loss(PixelLogits(z), [MaskTarget(torch.tensor([[0, 0]]))]).sum(), z)
    assert grad.isfinite().all()


def test_the_cosine_is_a_constant_weight() -> None:
    z = LOGITS.clone().requires_grad_()
    (grad,) = torch.autograd.grad(cos_pgd_loss()(PixelLogits(z), GOALS).sum(), z)
    labels = LABELS.masked_fill(LABELS == IGNORE, 0)
    weight = F.cosine_similarity(LOGITS.sigmoid(), F.one_hot(labels, 4).movedim(-1, 1).double(), dim=1) * (LABELS != IGNORE)
    plain = (LOGITS.softmax(1) - F.one_hot(labels, 4).movedim(-1, 1)) * weight[:, None] / 8
    torch.testing.assert_close(grad, plain)


def test_an_unknown_squashing_is_refused() -> None:
    with pytest.raises(UserError, match="'sigmoid' or 'softmax'"):
        ATTACKS.build("cospgd(squash='tanh')")


def test_tracked_has_the_value_of_cross_entropy_and_the_gradient_of_the_loss() -> None:
    raw = PixelLogits(LOGITS.clone().requires_grad_())
    both = track_cross_entropy(masked_spherical())(raw, GOALS)
    torch.testing.assert_close(both, pixel_cross_entropy()(raw, GOALS))
    (grad,) = torch.autograd.grad(both.sum(), raw.values)
    (own,) = torch.autograd.grad(masked_spherical()(raw, GOALS).sum(), raw.values)
    torch.testing.assert_close(grad, own)


def test_dag_raises_the_other_class_on_pixels_that_still_hold() -> None:
    wanted = (LABELS + 1) % 4
    goals = [AdversarialPixelLabels(a, b.masked_fill(a == IGNORE, IGNORE)) for a, b in zip(LABELS, wanted, strict=True)]
    expected = [
        sum(
            float(z[wanted[n, i, j], i, j] - z[LABELS[n, i, j], i, j])
            for i in range(3)
            for j in range(3)
            if LABELS[n, i, j] != IGNORE and int(z[:, i, j].argmax()) == LABELS[n, i, j]
        )
        for n, z in enumerate(LOGITS)
    ]
    found = pixels_to_other_classes()(PixelLogits(LOGITS), goals)  # type: ignore[arg-type]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_dag_lets_the_classes_of_an_image_trade_places() -> None:
    model = segmenter()
    maps = [torch.tensor([[0, 2], [3, IGNORE]]), torch.tensor([[3, 3], [3, 3]])]
    aim = adversarial_pixel_labels(Clean(model, torch.zeros(2, 3, 2, 2), [MaskTarget(m) for m in maps], "dag", PixelLogits))
    assert aim.goals[0].wanted.tolist() == [[2, 3], [0, IGNORE]]  # type: ignore[union-attr]
    assert aim.goals[1].wanted.tolist() == [[0, 0], [0, 0]]  # type: ignore[union-attr]
    assert aim.references[0].labels is maps[0]  # type: ignore[union-attr]


def test_dag_moves_its_largest_entry_by_gamma_a_step() -> None:
    model, x0 = segmenter(), images(3).clamp(0.3, 0.7)
    result = run(ATTACKS.build("seg-dag(steps=1, gamma=0.01)"), model, x0, targets(model, x0), noise(3))
    torch.testing.assert_close(result.size, torch.full((3,), 0.01), rtol=1e-4, atol=0)
    change = (result.images - x0).abs().flatten(1)
    assert (change.median(dim=1).values < 0.005).all()


def test_stages_shrink_over_the_published_shares_of_the_steps() -> None:
    staged = shrinking_radius("sea", seg_pgd_loss(), pixels_wrong(), "linf", 8 / 255, 300)
    assert [stage.steps for stage in staged.stages] == [90, 90, 120]
    assert [stage.constraint.radius for stage in staged.stages] == pytest.approx([16 / 255, 12 / 255, 8 / 255])
    assert shrinking_radius("sea", seg_pgd_loss(), pixels_wrong(), "linf", 0.8, 5).stages[0].constraint.radius == 1.0


def test_each_stage_begins_where_the_last_one_ended() -> None:
    """With no steps of its own the second stage hands over the first one's image, projected, and judged again."""
    model, x0 = segmenter(), images(3)
    truth = targets(model, x0)
    staged = shrinking_radius("sea", masked_cross_entropy(), pixels_wrong(), "linf", 4 / 255, 10)
    wide, *_ = staged.stages
    parts = {"name": "rest", "steps": 0, "restarts": 1, "start": "random", "keep": "worst"}
    rest = tuple(dataclasses.replace(s, **parts) for s in staged.stages[2:])  # type: ignore[arg-type]
    together = run(RadiusSchedule("two", (wide, *rest)), model, x0, truth, noise(3))
    alone = run(wide, model, x0, truth, noise(3))
    torch.testing.assert_close(together.images, Linf(4 / 255).project(x0, alone.images))
    assert (together.forwards > alone.forwards).all()


def test_sea_is_the_worst_of_its_parts_image_by_image() -> None:
    model, x0 = segmenter(), images(8)
    truth = targets(model, x0)
    sea = ATTACKS.build("sea(steps=8, eps=2/255)")
    assert isinstance(sea, Ensemble)
    result = run(sea, model, x0, truth, noise(8))
    each = torch.stack([run(Ensemble("one", (part,), exhaustive=True), model, x0, truth, noise(8)).degree for part in sea.parts])
    # Parts draw other random starts alone than in the ensemble, but the first.
    assert (result.degree >= each[0] - 1e-6).all()
    assert result.degree.mean() >= each.mean(dim=1).max() - 0.02
    assert (result.size <= 2 / 255 + 1e-6).all()
    # Half of the pixels wrong would be enough to count as broken; every part tries all the same.
    costs = sum(part.stages[i].steps + 1 for part in sea.parts for i in range(3))  # type: ignore[attr-defined]
    assert (result.forwards >= costs).all()
