"""Targets side by side against targets one after the other, and what a pass may hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary import run
from robustbench_cv.adversary.constraints.lp import Linf
from robustbench_cv.catalogue import ATTACKS
from tests.adversary_models import TinyClassifier, classifier, images, linear, noise, targets


def uneven() -> tuple[TinyClassifier, Tensor, Any]:
    """A linear model whose likeliest wrong class is not always the nearest: some classes' logits move ten times as fast as others'."""
    model = linear(1.0, classes=6)
    with torch.no_grad():
        next(model.module.parameters()).mul_(torch.linspace(0.3, 3.0, 6)[:, None])
    x0 = (0.5 + 0.1 * noise(64).normal((3, 16, 16))).clamp(0, 1)
    return model, x0, targets(model, x0)


def watched(model: TinyClassifier) -> list[int]:
    """How many images each pass holds, from now on."""
    seen: list[int] = []
    inner = model.module.forward
    model.module.forward = lambda x: (seen.append(len(x)), inner(x))[1]  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize("spec", ["apgd-t(eps=1/255, steps=15)", "fab-t(eps=1/255, steps=15)", "apgd-t(norm='l2', eps=0.06, steps=15)"])
def test_the_same_samples_break_as_one_target_after_the_other(spec: str) -> None:
    model, x0, truth = uneven()
    attack: Any = ATTACKS.build(spec)
    together = run(attack, model, x0, truth, noise(64))
    # A part by itself aims at the wrong class of its own rank.
    alone = [run(type(attack)(attack.name, (part,)), model, x0, truth, noise(64)) for part in attack.parts[:5]]
    broken = torch.stack([one.success for one in alone]).any(dim=0)
    assert 0 < int(alone[0].success.sum()) < int(broken.sum()) < 64
    assert torch.equal(together.success, broken)
    assert torch.equal(together.images[alone[0].success], alone[0].images[alone[0].success])
    labels = torch.tensor([target.label for target in truth])
    assert torch.equal(model.raw(together.images).values.argmax(1) != labels, together.success)


@pytest.mark.parametrize("batch", [1, 5, 32])
def test_a_pass_holds_a_batch_or_the_targets_of_one_sample(batch: int) -> None:
    model, x0 = classifier(gain=1.0), images(32)
    truth = targets(model, x0)
    attack: Any = ATTACKS.build("apgd-t(eps=2.5/255, steps=10)")
    seen = watched(model)
    whole = run(attack, model, x0, truth, noise(32))
    assert max(seen[12:]) > int((~whole.success).sum())
    for begin in range(0, 32, batch):
        seen.clear()
        part = slice(begin, begin + batch)
        made = run(attack, model, x0[part], truth[part], noise(32).select(list(range(32))[part]))
        assert max(seen) <= max(batch, 3)
        assert sum(seen) == int(made.forwards.sum())
        assert torch.equal(made.success, whole.success[part])
        assert torch.equal(made.forwards, whole.forwards[part])


def test_the_search_for_a_sample_ends_with_the_first_target_that_breaks_it() -> None:
    model, x0, truth = uneven()
    result = run(ATTACKS.build("apgd-t(eps=1/255, steps=15)"), model, x0, truth, noise(64))
    first = run(ATTACKS.build("apgd-t(eps=1/255, steps=15, targets=1)"), model, x0, truth, noise(64))
    later = result.success & ~first.success
    assert later.any()
    # The clean look; each of five targets' start, fifteen steps and a last look.
    assert (result.forwards[~result.success] == 1 + 5 * 17).all()
    assert (result.forwards[later] < 1 + 17 + 4 * 15).all()


def test_a_ball_of_pixels_is_projected_on_by_its_bounds() -> None:
    ball, x0 = Linf(0.1), images(3)
    far = x0 + 0.3 * noise(3).normal((3, 16, 16))
    low, high = ball.bounds(x0)
    assert low.min() >= 0
    assert high.max() <= 1
    torch.testing.assert_close(ball.project(x0, far), far.clamp(x0 - 0.1, x0 + 0.1).clamp(0, 1), rtol=0, atol=0)
