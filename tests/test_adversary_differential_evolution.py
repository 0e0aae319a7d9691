"""Differential evolution and the pixels it moves: the constraint's laws, the evolution against a plain loop, strength against a library."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary import run
from robustbench_cv.adversary.constraints.pixels import Pixels
from robustbench_cv.adversary.objectives.task_goals import misclassify
from robustbench_cv.adversary.optimizers.differential_evolution import DifferentialEvolution
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.adversary.victim import Victim
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from tests.adversary_models import classifier, images, linear, noise, targets


def painted(x0: Tensor, theta: Tensor) -> Tensor:
    """The images that theta means, pixel by pixel."""
    x = x0.clone()
    height, width = x0.shape[-2:]
    for i, entries in enumerate(theta.tolist()):
        for row, column, *colour in entries:
            x[i, :, min(int(row * height), height - 1), min(int(column * width), width - 1)] = torch.tensor(colour, dtype=x.dtype)
    return x


@pytest.mark.parametrize("count", [1, 3, 40])
def test_pixels_are_those_of_the_plain_loop_and_no_more_than_promised(count: int) -> None:
    region, x0 = Pixels(count), images(5)[:, :, :13]
    for theta in (region.start(x0, noise(5)), region.edge(x0, noise(5)), region.project(x0, 3 * region.start(x0, noise(5, seed=1)) - 1)):
        x = region.apply(x0, theta)
        assert torch.equal(x, painted(x0, theta))
        assert torch.equal(region.measure(x0, x), (x != x0).any(dim=1).sum((1, 2)).float())
        assert (region.size(x0, theta) <= count).all()
        assert x.min() >= 0
        assert x.max() <= 1
        assert torch.equal(region.project(x0, theta), theta)
    assert torch.equal(region.apply(x0, region.start(x0, None)), x0)
    alone = region.start(x0[3:4], noise(5).select([3]))
    assert torch.equal(alone, region.start(x0, noise(5))[3:4])
    assert region.start(x0, noise(5))[..., 2:].std() > 0.25


def test_colours_have_a_gradient_and_places_none() -> None:
    region, x0 = Pixels(2), images(2)
    theta = region.start(x0, noise(2)).requires_grad_()
    (grad,) = torch.autograd.grad(region.apply(x0, theta).sum(), theta)
    assert (grad[..., 2:] == 1).all()
    assert not grad[..., :2].any()


def test_a_generation_is_the_published_one() -> None:
    """x_i(g+1) = x_r1 + F (x_r2 - x_r3) against its own parent x_i(g), all of one generation: Su et al., equation 2."""
    model, x0, size = linear(1.0, side=8), images(3, side=8), 6
    truth, goal = targets(model, x0), misclassify()
    victim = Victim(model=model, x0=x0, goals=truth, references=truth, noise=noise(3))
    problem = Problem("search", victim, goal.objective, goal.success, Pixels(2), 3 * size, "worst")
    asked: list[Tensor] = []
    given: list[Tensor] = []
    inner = problem.value

    def value(theta: Tensor) -> Tensor:
        asked.append(theta.clone())
        given.append(inner(theta))
        return given[-1]

    problem.value = value  # type: ignore[method-assign]
    search = DifferentialEvolution(size)
    theta = problem.start("clean")
    state = search.init(problem, theta)
    for problem.step in range(3 * size):
        theta, state = search.step(problem, theta, state)
    gains = []
    for row in range(3):
        parents = [(given[i][row], asked[i][row]) for i in range(size)]
        for generation in (1, 2):
            children = []
            for i in range(size):
                at = generation * size + i
                order = noise(3).fork(f"child {at}").uniform((size,))[row]
                a, b, c = [int(j) for j in order.argsort() if int(j) != i][:3]
                child = (parents[a][1] + 0.5 * (parents[b][1] - parents[c][1])).clamp(0, 1)
                torch.testing.assert_close(asked[at][row], child)
                children.append(max((given[at][row], asked[at][row]), parents[i], key=lambda pair: float(pair[0])))
            parents = children
        torch.testing.assert_close(theta[row], max(parents, key=lambda pair: float(pair[0]))[1])
        gains.append(max(float(value) for value, _ in parents) - max(float(given[i][row]) for i in range(size)))
    assert min(gains) >= 0
    assert max(gains) > 0


def test_one_pixel_is_no_weaker_than_torchattacks_and_evolution_beats_its_own_first_generation() -> None:
    pytest.importorskip("torchattacks")
    model, x0 = classifier(), images(32)
    truth = targets(model, x0)
    ours = run(ATTACKS.build("one-pixel(population=20, generations=9)"), model, x0, truth, noise(32))
    theirs = run(ATTACKS.build("torchattacks:OnePixel(steps=9, popsize=20)"), model, x0, truth, noise(32))
    random = run(ATTACKS.build("one-pixel(population=20, generations=0)"), model, x0, truth, noise(32))
    assert theirs.success.any()
    assert ours.success.sum() >= theirs.success.sum() - 1
    assert ours.success.sum() > random.success.sum()
    assert (ours.size <= 1).all()
    assert (ours.forwards[~ours.success] == 201).all()
    assert (ours.forwards[ours.success] <= 200).all()
    assert not ours.backwards.any()


def test_more_pixels_break_more() -> None:
    model, x0 = classifier(), images(24)
    truth = targets(model, x0)
    counts = [
        int(run(ATTACKS.build(f"one-pixel(pixels={p}, population=10, generations=5)"), model, x0, truth, noise(24)).success.sum())
        for p in (1, 8)
    ]
    assert counts[0] < counts[1]


@pytest.mark.parametrize(
    ("spec", "message"),
    [("one-pixel(pixels=0)", "whole number"), ("one-pixel(pixels=1.5)", "whole number"), ("one-pixel(population=3)", "from 4 to")],
)
def test_bad_arguments_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ATTACKS.build(spec)
