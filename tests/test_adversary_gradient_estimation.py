"""Attacks that estimate gradients from values: the estimates against derivatives, the searches against the libraries'."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary import Linf, aim_of, run
from robustbench_cv.adversary.criteria import objects_vanished, reported_predictions
from robustbench_cv.adversary.gradient_transforms import adam, chain, rows, scale
from robustbench_cv.adversary.objectives.task_goals import Goal, misclassify, misclassify_pixels, vanish_detections
from robustbench_cv.adversary.optimizers.gradient_estimation import EstimatedAscent, gaussian, signs, tiled_directions
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.adversary.victim import Victim
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.models.build import build
from robustbench_cv.types import Candidates, predict
from tests.adversary_models import MODELS, TinyDetector, classifier, detector, images, linear, noise, targets


def test_adam_is_torchs() -> None:
    theirs = images(3).clone().requires_grad_()
    ours = theirs.detach().clone()
    optimizer = torch.optim.Adam([theirs], lr=0.02, maximize=True)
    move = chain(adam(), scale(0.02))
    state = move.init(ours)
    for step in range(4):
        grad = torch.randn(ours.shape, generator=torch.Generator().manual_seed(step)) * torch.tensor([1.0, 1e-3, 100]).reshape(3, 1, 1, 1)
        theirs.grad = grad
        optimizer.step()
        change, state = move.update(grad, state)
        ours = ours + change
    torch.testing.assert_close(ours, theirs.detach())
    part, _ = move.update(grad[[2]], rows(state, torch.tensor([2])))
    whole, _ = move.update(grad, state)
    torch.testing.assert_close(part, whole[[2]])


def problem_of(model: Any, x0: Tensor, goal: Goal, eps: float = 0.5) -> Problem[Any]:
    truth = targets(model, x0)
    victim = Victim(model=model, x0=x0, goals=truth, references=truth, noise=noise(len(x0)))
    return Problem("search", victim, goal.objective, goal.success, Linf(eps), 1, "last")


@pytest.mark.parametrize("directions", [gaussian, signs])
@pytest.mark.parametrize(
    ("task", "goal"), [("classification", misclassify()), ("segmentation", misclassify_pixels()), ("detection", vanish_detections())]
)
def test_estimates_point_along_the_gradient(directions: Any, task: str, goal: Goal) -> None:
    model = MODELS[task]()
    model.module.double()
    x0 = images(3, side=8).double().clamp(0.1, 0.9)
    if task == "classification":
        model = linear(1.0, side=8)
        model.module.double()
    problem = problem_of(model, x0, goal)
    _, grad = problem.value_and_grad(x0)
    estimate = EstimatedAscent(chain(), directions, 1e-4, 600).estimate(problem, x0)
    likeness = torch.nn.functional.cosine_similarity(grad.flatten(1), estimate.flatten(1))
    # With m directions in d dimensions the expected cosine is sqrt(m / (m + d)): 0.87 of m = 600, d = 192.
    assert (likeness > 0.8).all()
    torch.testing.assert_close(estimate.flatten(1).norm(dim=1), (1 + 192 / 600) ** 0.5 * grad.flatten(1).norm(dim=1), rtol=0.2, atol=0)


def test_estimates_hold_at_the_edge_of_the_budget_where_a_side_is_cut_off() -> None:
    model = linear(1.0, side=8)
    model.module.double()
    x0 = images(3, side=8).double().clamp(0.2, 0.8)
    problem = problem_of(model, x0, misclassify(), eps=0.1)
    _, grad = problem.value_and_grad(x0)
    corner = problem.project(x0 + grad.sign())
    estimate = EstimatedAscent(chain(), signs, 1e-4, 2000).estimate(problem, corner)
    large = grad.abs() > grad.abs().flatten(1).mean(1).reshape(-1, 1, 1, 1)
    assert (estimate.sign() == grad.sign())[large].double().mean() > 0.95
    torch.testing.assert_close((estimate / grad)[large].median(), torch.tensor(0.5, dtype=torch.float64), rtol=0.1, atol=0)


@pytest.mark.parametrize("spec", ["nes(queries=120, probes=20)", "spsa(queries=120, probes=20)"])
def test_queries_are_those_of_the_budget_and_legal_and_none_is_a_gradient(spec: str) -> None:
    model, x0 = linear(1000.0), images(4).clamp(0.2, 0.8)
    truth = targets(model, x0)
    shown: list[Tensor] = []
    inner = model.module.forward
    model.module.forward = lambda x: (shown.append(x + 0.5), inner(x))[1]  # type: ignore[method-assign]
    result = run(ATTACKS.build(spec.replace(")", ", eps=1/255)")), model, x0, truth, noise(4))
    assert not result.success.all()
    # One more judges the last iterate of what no probe broke.
    assert (result.forwards[~result.success] == 121).all()
    assert (result.forwards[result.success] < 121).all()
    assert not result.backwards.any()
    assert max(float(x.max()) for x in shown) <= 1
    full = torch.stack([x for x in shown if len(x) == 4])
    assert (full - x0).abs().max() <= 1 / 255 + 1e-6


def test_black_boxes_break_what_cross_entropy_gradients_cannot() -> None:
    model, x0 = linear(1000.0), images(6)
    truth = targets(model, x0)
    blind = run(ATTACKS.build("pgd(eps=16/255, steps=10)"), model, x0, truth, noise(6))
    seeing = run(ATTACKS.build("nes(eps=16/255, queries=600)"), model, x0, truth, noise(6))
    assert seeing.success.sum() > blind.success.sum()


@pytest.mark.parametrize("spec", ["nes-vanish(eps=16/255, queries=200, probes=20)", "spsa-vanish(eps=16/255, queries=400, probes=20)"])
def test_a_detector_without_a_gradient_loses_its_objects(spec: str) -> None:
    class Detached(TinyDetector):
        def raw(self, images: Tensor, /) -> Candidates:
            raw = super().raw(images)
            return Candidates(raw.boxes.detach(), raw.log_score.detach(), raw.valid)

    whole = detector()
    model, x0 = Detached(whole.module, whole.info), images(4)
    with pytest.raises(NotApplicable, match=r"gives none to its input; attacks that need none: .*hop-skip-jump.*nes-vanish.*spsa-vanish"):
        run(ATTACKS.build("tog-vanish"), model, x0, targets(whole, x0), noise(4))
    result = run(ATTACKS.build(spec), model, x0, targets(whole, x0), noise(4))
    random = run(ATTACKS.build("noise(eps=16/255, draws=10)"), model, x0, targets(whole, x0), noise(4))
    lost = objects_vanished().degree(
        reported_predictions(predict(model, random.images), 0.25), aim_of(ATTACKS.build(spec), model, x0, targets(whole, x0)).references
    )
    assert result.degree.mean() > lost.mean() + 0.2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nes(probes=5)", "probes=5 must be even"),
        ("nes(queries=10)", "queries=10 do not pay for one step of probes=50"),
        ("spsa(probes=0)", "probes=0 must be a whole number from 1"),
        ("nes-vanish(eps=8)", "8/255"),
    ],
)
def test_budgets_that_cannot_be_spent_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ATTACKS.build(spec)


def test_spsa_is_no_weaker_than_torchattacks() -> None:
    pytest.importorskip("torchattacks")
    model, x0 = classifier(gain=1.0), images(24)
    truth = targets(model, x0)
    ours = run(ATTACKS.build("spsa(eps=2/255, queries=640, probes=64)"), model, x0, truth, noise(24))
    theirs = run(ATTACKS.build("torchattacks:SPSA(eps=2/255, nb_iter=10, nb_sample=32)"), model, x0, truth, noise(24))
    assert theirs.success.any()
    assert not ours.success.all()
    # A shared direction for the three channels is theirs alone.
    assert ours.success.sum() >= theirs.success.sum() - 1
    margin = misclassify().objective
    with torch.no_grad():
        reached = [margin(model.raw(result.images), truth) for result in (ours, theirs)]
    stuck = ~ours.success & ~theirs.success
    assert reached[0][stuck].mean() > reached[1][stuck].mean() - 0.1


def test_tiled_directions_are_alike_within_squares_and_independent_between() -> None:
    x0 = images(2, side=10)[..., :7]
    assert tiled_directions(gaussian, 1) is gaussian
    drawn = tiled_directions(gaussian, 4)(noise(2), x0)
    assert drawn.shape == x0.shape
    for top, left in ((0, 0), (4, 0), (8, 0), (0, 4), (4, 4), (8, 4)):
        square = drawn[..., top : top + 4, left : left + 4]
        assert (square == square[..., :1, :1]).all()
    assert len(drawn.unique()) == 2 * 3 * 3 * 2
    assert tiled_directions(signs, 4)(noise(2), x0).abs().eq(1).all()


@pytest.mark.parametrize("spec", ["nes(queries=300, probes=30)", "spsa(queries=320, probes=32)"])
def test_tiles_break_more_for_the_same_queries(spec: str) -> None:
    """96 pixels squared have 27,648 values, far more than 300 answers tell of."""
    model: Any = build("lenet5.scenes")
    x0 = noise(24).uniform((3, 12, 12)).repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    truth = targets(model, x0)
    found = [run(ATTACKS.build(f"{spec[:-1]}, eps=8/255, tile={tile})"), model, x0, truth, noise(24)) for tile in (1, 8)]
    assert int(found[1].success.sum()) > int(found[0].success.sum()) + 2


@pytest.mark.parametrize("spec", ["nes(tile=0)", "spsa-pixels(tile=0)", "hop-skip-jump(tile=0)"])
def test_a_tile_without_a_pixel_is_refused(spec: str) -> None:
    with pytest.raises(UserError, match="tile=0 must be a whole number from 1"):
        ATTACKS.build(spec)
