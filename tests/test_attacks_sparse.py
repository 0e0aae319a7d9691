"""The L0 ball: its projection against all choices of pixels, and what few pixels can do."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import pytest
import torch

from robustbench_cv.adversary import run
from robustbench_cv.adversary.constraints.l0 import L0
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from tests.adversary_models import classifier, images, noise, targets


@pytest.mark.parametrize("pixels", [0, 1, 3, 16])
def test_the_projection_is_the_closest_of_all_choices_of_pixels(pixels: int) -> None:
    x0 = images(5, side=4)
    theta = x0 + noise(5).normal((3, 4, 4))
    ours = L0(pixels).project(x0, theta)
    assert (L0(pixels).measure(x0, ours) <= pixels).all()
    assert torch.equal(L0(pixels).project(x0, ours), ours)
    for i in range(5):
        best = torch.inf
        for chosen in combinations(range(16), pixels):
            x = x0[i].flatten(1).clone()
            x[:, list(chosen)] = theta[i].flatten(1)[:, list(chosen)].clamp(0, 1)
            best = min(best, float((x - theta[i].flatten(1)).norm()))
        assert float((ours[i] - theta[i]).norm()) == pytest.approx(best, abs=1e-5)


def test_starts_change_as_many_pixels_as_allowed() -> None:
    x0 = images(4)
    for draw in (L0(7).start, L0(7).edge):
        assert (L0(7).measure(x0, draw(x0, noise(4))) <= 7).all()
        assert (L0(7).measure(x0, draw(x0, noise(4))) >= 6).all()
    assert torch.equal(L0(7).start(x0, None), x0)


def test_gradients_choose_better_pixels_than_chance() -> None:
    model, x0 = classifier(), images(24)
    truth = targets(model, x0)
    counts = []
    few, many = (ATTACKS.build(f"pgd-l0(pixels={pixels}, steps=20)") for pixels in (4, 12))
    for attack, pixels in ((dataclasses.replace(few, steps=0), 4), (few, 4), (many, 12)):
        result = run(attack, model, x0, truth, noise(24))
        assert (result.size <= pixels).all()
        counts.append(int(result.success.sum()))
    assert counts[0] < counts[1] <= counts[2]


def test_half_pixels_are_refused() -> None:
    with pytest.raises(UserError, match="whole number"):
        ATTACKS.build("pgd-l0(pixels=0.5)")
