"""Views: what the objective sees, that success never does, and what they cost."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary import Attack, ball, run
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.objectives.classification import cross_entropy
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.adversary.random_views import resized_and_padded, same_images
from robustbench_cv.adversary.victim import Victim
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise
from tests.adversary_models import classifier, images, noise, targets


def brighter(x: Tensor, streams: Noise) -> Tensor:
    return (x + 0.2 * streams.uniform((1, 1, 1)).to(x)).clamp(0, 1)


def grey(x: Tensor, streams: Noise) -> Tensor:
    return 0.5 + 0 * x


def seen(attack: Attack[Any], view: Any, views: int = 1) -> Attack[Any]:
    return dataclasses.replace(attack, view=view, views=views)


def test_expectation_is_the_mean_over_views_of_value_and_gradient() -> None:
    model, x0 = classifier(), images(3)
    truth = targets(model, x0)
    victim = Victim(model=model, x0=x0, goals=truth, references=truth, noise=noise(3))
    drawn: list[Tensor] = []

    def recorded(x: Tensor, streams: Noise) -> Tensor:
        out = brighter(x, streams)
        drawn.append((out - x).detach())
        return out

    problem = Problem("search", victim, cross_entropy(), misclassified(), ball("linf", 0.05), 1, "worst", recorded, 4)
    value, grad = problem.value_and_grad(x0)
    labels = torch.tensor([t.label for t in truth])
    leaf = x0.clone().requires_grad_()
    # The same four shifts, by hand; what was cut at white passes no gradient on.
    shifted = [(leaf + d.amax((1, 2, 3), keepdim=True)).clamp(0, 1) for d in drawn]
    losses = [F.cross_entropy(model.raw(x).values, labels, reduction="none") for x in shifted]
    expected = torch.stack(losses).mean(0)
    (slope,) = torch.autograd.grad(expected.sum(), leaf)
    assert len(drawn) == 4
    assert not torch.equal(drawn[0], drawn[1])
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(grad, slope)
    before = list(drawn)
    problem.value(x0)
    assert not any(torch.equal(a, b) for a in before for b in drawn[4:])


@pytest.mark.parametrize("spec", ["pgd(eps=3/255, steps=5)", "apgd(eps=3/255, steps=5)"])
def test_success_is_judged_without_the_view_and_every_pass_is_counted(spec: str) -> None:
    model, x0 = classifier(), images(4)
    truth = targets(model, x0)
    passes: list[int] = []
    inner = model.module.forward
    model.module.forward = lambda x: (passes.append(len(x)), inner(x))[1]  # type: ignore[method-assign]
    attack = seen(dataclasses.replace(ATTACKS.build(spec), keep="worst"), brighter, 3)
    result = run(attack, model, x0, truth, noise(4))
    evaluations = 6 if spec.startswith("apgd") else 5
    assert result.backwards.tolist() == [3 * 5] * 4
    assert sum(passes) == int(result.forwards.sum())
    assert set((result.forwards - 4 * evaluations).tolist()) <= {0, 1}
    # Of grey pictures the model says one thing, so that most labels are wrong there: that is no success.
    blind = run(seen(attack, grey), model, x0, truth, noise(4))
    wrong = [int(v) != t.label for v, t in zip(model.raw(blind.images).values.argmax(1), truth, strict=True)]
    assert blind.success.tolist() == wrong
    assert (blind.zero_grads == 1).all()
    assert not blind.success.all()


@pytest.mark.parametrize("spec", ["pgd(eps=2/255, steps=5)", "fgsm"])
def test_a_sample_sees_the_same_views_alone_and_in_a_batch(spec: str) -> None:
    model = classifier()
    model.module.double()
    x0 = images(4).double()
    truth = targets(model, x0)
    attack = seen(ATTACKS.build(spec), resized_and_padded(0.8, 0.7), 2)
    together = run(attack, model, x0, truth, noise(4))
    for i in (0, 3):
        alone = run(attack, model, x0[i : i + 1], [truth[i]], noise(4).select([i]))
        torch.testing.assert_close(alone.images[0], together.images[i])
        assert alone.forwards[0] == together.forwards[i]


def test_unchanged_views_change_nothing_but_the_cost() -> None:
    model, x0 = classifier(), images(4)
    truth = targets(model, x0)
    attack = ATTACKS.build("pgd(eps=2/255, steps=5)")
    plain, thrice = (run(a, model, x0, truth, noise(4)) for a in (attack, seen(attack, same_images, 3)))
    torch.testing.assert_close(plain.images, thrice.images, atol=1e-6, rtol=0)
    assert torch.equal(thrice.backwards, 3 * plain.backwards)


def test_resizing_keeps_the_picture_inside_a_black_frame() -> None:
    x0 = images(8).clamp(0.1, 1)
    streams = noise(8)
    view = resized_and_padded(0.5, 1.0)(x0, streams)
    assert view.shape == x0.shape
    for image in view:
        inside = (image > 0).all(dim=0)
        rows, columns = inside.any(dim=1).nonzero()[:, 0], inside.any(dim=0).nonzero()[:, 0]
        # One full rectangle, of half the side at least, black around it.
        assert int(inside.sum()) == len(rows) * len(columns)
        assert min(len(rows), len(columns)) >= 8
    assert len({int((image > 0).sum()) for image in view}) > 3
    assert torch.equal(resized_and_padded(0.5, 0.0)(x0, streams), x0)
    some = resized_and_padded(0.5, 0.5)(x0, streams)
    kept = [torch.equal(a, b) for a, b in zip(some, x0, strict=True)]
    assert any(kept)
    assert not all(kept)


def test_bad_views_are_refused() -> None:
    attack = ATTACKS.build("pgd")
    with pytest.raises(UserError, match="views=0"):
        seen(attack, grey, 0)
    with pytest.raises(UserError, match="without a view"):
        seen(attack, None, 2)
    with pytest.raises(UserError, match="share of the image's side"):
        resized_and_padded(1.5)
    with pytest.raises(UserError, match="probability"):
        resized_and_padded(0.9, 2.0)
