"""Sparse-RS: the schedule against the authors' figures, each proposal against the published search, strength beside one-pixel."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv import build
from robustbench_cv.adversary import run
from robustbench_cv.adversary.constraints.l0 import L0
from robustbench_cv.adversary.objectives.task_goals import misclassify
from robustbench_cv.adversary.optimizers.sparse_rs import BLOCK, SparseRS, swap_fraction_at
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.adversary.victim import Victim
from robustbench_cv.catalogue import ATTACKS, DATASETS
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise
from tests.adversary_models import classifier, images, linear, noise, targets


class Followed:
    """A search under watch: every proposal with its values, and where the search stands after each step."""

    def __init__(self, x0: Tensor, pixels: int, steps: int, share: float = 0.3, gain: float = 1.0, loss: str = "margin") -> None:
        model, n = linear(gain, side=x0.shape[-1]), len(x0)
        truth, goal = targets(model, x0), misclassify(loss)
        victim = Victim(model=model, x0=x0, goals=truth, references=truth, noise=noise(n))
        problem = Problem("search", victim, goal.objective, goal.success, L0(pixels), steps, "first")
        self.asked: list[Tensor] = []
        self.values: list[Tensor] = []
        self.broken: list[Tensor] = []
        self.stands: list[Tensor] = []
        inner = problem.value

        def value(theta: Tensor) -> Tensor:
            self.asked.append(theta.clone())
            self.values.append(inner(theta))
            self.broken.append(problem.broken_samples)
            return self.values[-1]

        problem.value = value  # type: ignore[method-assign]
        search: Any = SparseRS(share)
        theta = problem.start("clean")
        state = search.init(problem, theta)
        for problem.step in range(steps):
            theta, state = search.step(problem, theta, state)
            self.stands.append(theta.clone())


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 0.3),
        (1, 0.15),
        (50, 0.15),
        (51, 0.075),
        (200, 0.075),
        (201, 0.06),
        (501, 0.05),
        (1001, 0.0375),
        (2001, 0.03),
        (4000, 0.03),
        (4001, 0.025),
        (6001, 0.02),
        (8000, 0.02),
        (8001, 0.015),
        (9999, 0.015),
    ],
)
def test_the_schedule_has_the_authors_figures_at_any_length(step: int, share: float) -> None:
    assert swap_fraction_at(step, 10_000, 0.3) == pytest.approx(share)
    assert swap_fraction_at(step * 3, 30_000, 0.3) == pytest.approx(share)
    assert swap_fraction_at(step * 3 + 2, 30_000, 0.3) == pytest.approx(share)


@pytest.mark.parametrize(("pixels", "share", "loss"), [(24, 0.3, "margin"), (24, 1.0, "ce"), (3, 0.3, "margin"), (63, 1.0, "margin")])
def test_each_proposal_swaps_as_many_pixels_of_the_best_as_the_schedule_says(pixels: int, share: float, loss: str) -> None:
    x0, steps = images(5, side=8), BLOCK + 60
    seen = Followed(x0, pixels, steps, share, loss=loss)
    best, highest = seen.asked[0], seen.values[0]
    rises = 0
    for step in range(1, steps):
        proposal, value = seen.asked[step], seen.values[step]
        before, after = ((x != x0).any(dim=1) for x in (best, proposal))
        swaps = min(max(int(swap_fraction_at(step, steps, share) * pixels), 1), 64 - pixels)
        assert (after.flatten(1).sum(1) == pixels).all()
        assert ((after & ~before).flatten(1).sum(1) == swaps).all()
        assert ((before & ~after).flatten(1).sum(1) == swaps).all()
        stay = (before & after)[:, None].expand_as(x0)
        assert torch.equal(proposal[stay], best[stay])
        changed = after[:, None].expand_as(x0)
        assert ((proposal[changed] == 0) | (proposal[changed] == 1)).all()
        kept = (value > highest) | seen.broken[step]
        rises += int(kept.sum())
        best, highest = torch.where(kept[:, None, None, None], proposal, best), torch.where(kept, value, highest)
        assert torch.equal(seen.stands[step], best)
    assert 0 < rises < 5 * (steps - 1)


def test_on_black_and_white_too_exactly_as_many_pixels_differ() -> None:
    x0 = images(6, side=8).round()
    for x in Followed(x0, 10, 40).asked:
        assert (L0(10).measure(x0, x) == 10).all()


def test_every_place_and_every_corner_is_as_likely() -> None:
    """Of a model that answers alike whatever it sees, no step is kept: all proposals swap pixels of the first set."""
    x0 = images(40, side=8).clamp(0.1, 0.9)
    seen = Followed(x0, 16, 50, gain=0.0)
    first = (seen.asked[0] != x0).any(dim=1).flatten(1)
    left, entered = (torch.zeros(40, 64) for _ in range(2))
    corners = torch.zeros(8)
    for x in seen.asked[1:]:
        now = (x != x0).any(dim=1).flatten(1)
        left += first & ~now
        entered += now & ~first
        places = (now & ~first)[:, None].expand(-1, 3, -1)
        colours = x.flatten(2).transpose(1, 2)[places.transpose(1, 2)].reshape(-1, 3).long()
        corners += torch.bincount(colours @ torch.tensor([1, 2, 4]), minlength=8)
    assert all(torch.equal(stand, seen.asked[0]) for stand in seen.stands)
    for counts in (left[first], entered[~first], corners):
        expected = float(counts.mean())
        chi_square = float(((counts - expected).square() / expected).sum())
        freedom = len(counts) - 1
        assert abs(chi_square - freedom) < 5 * (2 * freedom) ** 0.5
    assert not torch.equal(first[0], first[1])


def test_queries_are_counted_from_the_first_set_and_broken_samples_leave() -> None:
    model, x0 = classifier(), images(24)
    truth = targets(model, x0)
    passed, raw = [0], model.raw

    def counted(x: Tensor) -> Any:
        passed[0] += len(x)
        return raw(x)

    model.raw = counted  # type: ignore[method-assign]
    result = run(ATTACKS.build("sparse-rs(pixels=4, queries=40)"), model, x0, truth, noise(24))
    assert 0 < int(result.success.sum()) < 24
    assert (result.forwards[result.success] <= 40).all()
    # One more pass judges what a search in vain ends with.
    assert (result.forwards[~result.success] == 41).all()
    assert int(result.forwards.sum()) == passed[0]
    assert not result.backwards.any()
    assert (result.size == 4).all()


def test_it_breaks_more_images_of_a_bundled_classifier_than_one_pixel_at_as_many_queries() -> None:
    model: Any = build("cifar-resnet20.scenes")
    data = DATASETS.build("scenes")
    samples = [data[i] for i in range(8)]
    x0, ids = torch.stack([sample.image for sample in samples]), Noise(0, tuple(sample.id for sample in samples))
    truth = targets(model, x0)
    broken = []
    for spec in ("sparse-rs(pixels=200, queries=120)", "one-pixel(pixels=200, population=20, generations=5)"):
        result = run(ATTACKS.build(spec), model, x0, truth, ids)
        assert (result.size <= 200).all()
        assert int(result.forwards.max()) <= 121
        broken.append(int(result.success.sum()))
    assert broken[0] >= broken[1] + 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sparse-rs(pixels=0)", "pixels=0 must be a whole number from 1"),
        ("sparse-rs(queries=0)", "queries=0 must be a whole number from 1"),
        ("sparse-rs(pixels=1.5)", "whole number"),
        ("sparse-rs(swap_fraction=0)", "must be a number above 0 and at most 1"),
        ("sparse-rs(swap_fraction=1.1)", "must be a number above 0 and at most 1"),
    ],
)
def test_bad_arguments_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ATTACKS.build(spec)


def test_as_many_pixels_as_the_image_has_leave_nothing_to_swap() -> None:
    model, x0 = classifier(), images(2)
    with pytest.raises(UserError, match="fewer than the image's 256"):
        run(ATTACKS.build("sparse-rs(pixels=256, queries=5)"), model, x0, targets(model, x0), noise(2))
