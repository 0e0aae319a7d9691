"""Laws of every constraint."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.constraints.lp import L1, L2, Linf, ball
from robustbench_cv.adversary.constraints.patch import Patch
from robustbench_cv.adversary.optimizers.step_size import require_step
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.types import BoxTarget
from tests.adversary_models import images, noise

CONSTRAINTS = [
    Linf(8 / 255), Linf(1.0), Linf(0.0), L2(0.5), L2(0.0), L2(100.0), L1(5.0), L1(0.0), L1(400.0),
    Patch(0.05), Patch(0.2, "centre"), Patch(0.1, "object"), Patch(0.3, "random"), Patch(1.0),
]  # fmt: skip
OBJECTS = [BoxTarget.of(torch.tensor([[1.0, 2, 5, 6], [9.0, 10, 16, 16]]), torch.tensor([0, 1]))] * 6


def placed(constraint: Constraint) -> tuple[Constraint, Tensor]:
    x0 = images()
    return constraint.place(x0, OBJECTS, noise(len(x0))), x0


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
def test_doing_nothing_is_exact(constraint: Constraint) -> None:
    constraint, x0 = placed(constraint)
    assert torch.equal(constraint.apply(x0, constraint.start(x0, None)), x0)


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-4, 0.05, 1.0, 30.0]))
def test_projection_is_feasible_idempotent_and_leaves_the_feasible_alone(constraint: Constraint, seed: int, scale: float) -> None:
    constraint, x0 = placed(constraint)
    nothing = constraint.start(x0, None)
    wild = nothing + scale * noise(len(x0), seed).normal(tuple(nothing.shape[1:]))
    theta = constraint.project(x0, wild)
    x = constraint.apply(x0, theta)
    assert (constraint.size(x0, theta) <= constraint.radius + 1e-6 * max(1.0, constraint.radius)).all()
    assert x.min() >= 0
    assert x.max() <= 1
    assert torch.equal(constraint.project(x0, theta), theta)
    inside = (constraint.measure(x0, wild) < constraint.radius) if nothing.shape == x0.shape else torch.tensor(False)
    if bool(inside.all()) and wild.min() >= 0 and wild.max() <= 1:
        torch.testing.assert_close(theta, wild)


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
def test_starts_are_feasible_differ_by_seed_and_depend_on_the_id_alone(constraint: Constraint) -> None:
    constraint, x0 = placed(constraint)
    for draw in (constraint.start, constraint.edge):
        theta = draw(x0, noise(len(x0)))
        assert torch.equal(constraint.project(x0, theta), theta)
        if constraint.radius > 0:
            assert not torch.equal(theta, draw(x0, noise(len(x0), seed=1)))
    alone = constraint.place(x0[3:4], OBJECTS[3:4], noise(len(x0)).select([3]))
    assert torch.equal(alone.start(x0[3:4], noise(len(x0)).select([3])), constraint.start(x0, noise(len(x0)))[3:4])


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
@pytest.mark.parametrize("magnitude", [1e-28, 1e-20, 1.0, 1e20])
def test_steepest_ascends_by_one_unit(constraint: Constraint, magnitude: float) -> None:
    constraint, x0 = placed(constraint)
    grad = magnitude * noise(len(x0)).normal(tuple(constraint.start(x0, None).shape[1:]))
    step = constraint.steepest(grad)
    assert ((step * (grad / magnitude)).flatten(1).sum(1) > 0).all()
    order = {L2: 2, L1: 1}.get(type(constraint), float("inf"))
    unit = torch.linalg.vector_norm(step.flatten(1), ord=order, dim=1)
    torch.testing.assert_close(unit, torch.ones(len(x0)))
    assert not constraint.steepest(torch.zeros_like(grad)).any()


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
def test_gradients_reach_theta(constraint: Constraint) -> None:
    constraint, x0 = placed(constraint)
    theta = constraint.start(x0, None).requires_grad_()
    weights = torch.rand(x0.shape, generator=torch.Generator().manual_seed(0)) + 0.1
    (grad,) = torch.autograd.grad((constraint.apply(x0, theta) * weights).sum(), theta)
    assert (grad > 0).all()


def test_linf_edge_touches_the_edge_and_a_start_mostly_does_not() -> None:
    x0 = torch.full((4, 3, 8, 8), 0.5)
    region = Linf(0.1)
    torch.testing.assert_close(region.size(x0, region.edge(x0, noise(4))), torch.full((4,), 0.1))
    assert (region.size(x0, region.start(x0, noise(4))) < 0.1).all()


def test_l2_loses_no_radius_to_the_limits_of_the_image() -> None:
    x0 = torch.zeros(1, 3, 4, 4)
    change = torch.full_like(x0, -5.0)
    change[0, 0] = 3.0
    torch.testing.assert_close(L2(0.5).size(x0, L2(0.5).project(x0, x0 + change)), torch.tensor([0.5]))


def test_a_patch_changes_its_square_and_nothing_else() -> None:
    patch, x0 = placed(Patch(0.1, "object"))
    x = patch.apply(x0, 1 - patch.start(x0, None))
    changed = (x != x0).any(dim=1)
    # The largest object is (9, 10)-(16, 16), its centre (12.5, 13); a square of 5 around it, moved inside the image.
    rows, columns = changed[0].nonzero().amin(0).tolist(), changed[0].nonzero().amax(0).tolist()
    assert rows == [10, 10]
    assert columns == [14, 14]
    assert (changed.flatten(1).sum(1) <= 25).all()
    assert (patch.measure(x0, x) <= 0.1).all()


@pytest.mark.parametrize("eps", [8, 1, 255, 2.0, -0.1, float("nan")])
def test_a_budget_in_other_units_is_refused(eps: float) -> None:
    with pytest.raises(UserError, match="8/255" if eps in (8, -0.1) or eps != eps else "255"):
        Linf(eps)


def test_the_message_offers_the_readings() -> None:
    with pytest.raises(UserError, match=r"8/255 = 0\.0314.*8 %.*8 times"):
        Linf(8)


def test_bad_regions_are_refused() -> None:
    with pytest.raises(UserError, match="'linf', 'l2' and 'l1'"):
        ball("l0", 0.1)
    with pytest.raises(UserError, match="no L1 radius"):
        L1(-1)
    with pytest.raises(UserError, match="no L2 radius"):
        L2(-1)
    with pytest.raises(UserError, match="share"):
        Patch(2.0)
    with pytest.raises(UserError, match="corner"):
        Patch(0.1, "moon")  # type: ignore[arg-type]
    with pytest.raises(NotApplicable, match="less than a pixel"):
        Patch(0.001).place(images(), OBJECTS, noise(6))
    with pytest.raises(ValueError, match="no place yet"):
        Patch(0.1).start(images(), None)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_no_bound_measures_and_cuts_to_the_image_only(norm: str) -> None:
    region, x0 = ball(norm, None), images()
    wild = x0 + 5 * noise(len(x0)).normal((3, 16, 16))
    assert torch.equal(region.project(x0, wild), wild.clamp(0, 1))
    order = {"linf": float("inf"), "l2": 2, "l1": 1}[norm]
    expected = torch.linalg.vector_norm((wild - x0).flatten(1), ord=order, dim=1)
    torch.testing.assert_close(region.measure(x0, wild), expected)


def closest_by_bisection(x0: Tensor, y: Tensor, radius: float) -> Tensor:
    """The L1 projection of one sample, the textbook way: lower every change by lam, cut to the box, find lam by halving."""
    d = (y - x0).double()
    room = torch.where(d > 0, 1 - x0.double(), x0.double())

    def lowered(lam: float) -> Tensor:
        return torch.minimum((d.abs() - lam).clamp(min=0), room)

    low, high = 0.0, float(d.abs().max())
    if float(lowered(0.0).sum()) <= radius:
        return x0 + d.sign() * lowered(0.0)
    for _ in range(200):
        lam = (low + high) / 2
        low, high = (lam, high) if float(lowered(lam).sum()) > radius else (low, lam)
    return x0 + d.sign() * lowered(high)


@pytest.mark.parametrize("radius", [0.01, 0.5, 5.0, 60.0, 300.0])
@pytest.mark.parametrize("scale", [0.02, 0.3, 3.0])
def test_l1_projection_is_the_closest_point_of_ball_and_box(radius: float, scale: float) -> None:
    x0 = images().double()
    y = x0 + scale * noise(len(x0)).normal((3, 16, 16)).double()
    ours = L1(radius).project(x0, y)
    for i in range(len(x0)):
        expected = closest_by_bisection(x0[i], y[i], radius)
        torch.testing.assert_close(ours[i], expected, atol=1e-5, rtol=0)
        # No feasible point nearby is closer: neither of the two projections one after the other in either order.
        boxed_last = closest_by_bisection(torch.full_like(x0[i], 0.5), 0.5 + y[i] - x0[i], radius)
        assert (ours[i] - y[i]).norm() <= ((x0[i] + boxed_last - 0.5).clamp(0, 1) - y[i]).norm() + 1e-4


def test_a_sparse_step_moves_the_share_of_largest_gradient() -> None:
    grad = noise(3).normal((3, 10, 10))
    step = L1(1.0, share=0.05).steepest(grad)
    for g, s in zip(grad.flatten(1), step.flatten(1), strict=True):
        moved = s.nonzero()[:, 0]
        assert len(moved) == 15
        assert set(moved.tolist()) == set(g.abs().topk(15).indices.tolist())
        torch.testing.assert_close(s[moved], g[moved].sign() / 15)


def test_steps_that_cannot_reach_the_edge_are_named_with_numbers() -> None:
    with pytest.warns(UserWarning, match=r"10 steps of alpha=0\.0003922 go at most 12% of the radius 0\.03137.*write alpha=0\.007843"):
        assert require_step(Linf(8 / 255), 0.1 / 255, 10) == 0.1 / 255
    assert require_step(Linf(8 / 255), 0.8 / 255, 10) == 0.8 / 255
    assert require_step(ball("l2", None), 0.1, 1) == 0.1
