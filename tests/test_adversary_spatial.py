"""Rotations and translations against torchvision, and the searches over them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from robustbench_cv.adversary import run
from robustbench_cv.adversary.constraints.spatial import Spatial
from robustbench_cv.adversary.optimizers.random_search import grid_points
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.types import predict
from tests.adversary_models import classifier, images, noise, targets


def moved(x0: Tensor, theta: Tensor, degrees: float = 30, shift: float = 0.1) -> Tensor:
    """torchvision's rotation and shift, black where there is nothing."""
    made = []
    for image, (angle, right, down) in zip(x0, theta.tolist(), strict=True):
        pixels = [right * shift * x0.shape[-1], down * shift * x0.shape[-2]]
        made.append(affine(image, angle * degrees, pixels, 1.0, [0.0, 0.0], InterpolationMode.BILINEAR))  # type: ignore[arg-type]
    return torch.stack(made)


def test_images_are_torchvisions_square_or_not() -> None:
    for x0 in (images(4, side=24), images(4, side=24)[:, :, :17]):
        for theta in (Spatial(1.0).start(x0, noise(4)), Spatial(1.0).edge(x0, noise(4)), torch.eye(4)[:, :3]):
            torch.testing.assert_close(Spatial(1.0).apply(x0, theta), moved(x0, theta), atol=2e-4, rtol=0)


def test_the_laws_of_a_constraint_hold() -> None:
    x0, region = images(5), Spatial(0.5)
    assert torch.equal(region.apply(x0, region.start(x0, None)), x0)
    assert (region.start(x0, noise(5)).abs() <= 0.5).all()
    torch.testing.assert_close(region.size(x0, region.edge(x0, noise(5))), torch.full((5,), 0.5))
    wild = region.project(x0, 9 * region.start(x0, noise(5)))
    assert torch.equal(region.project(x0, wild), wild)
    assert (region.size(x0, wild) <= 0.5).all()
    x = region.apply(x0, wild)
    assert x.min() >= 0
    assert x.max() <= 1
    assert torch.equal(region.start(x0[2:3], noise(5).select([2])), region.start(x0, noise(5))[2:3])
    theta = region.start(x0, noise(5)).requires_grad_()
    (grad,) = torch.autograd.grad((region.apply(x0, theta) * images(5, seed=3)).sum(), theta)
    assert (grad != 0).all()
    assert ((region.steepest(grad) * grad).sum(1) > 0).all()
    with pytest.raises(NotApplicable, match="cannot be read off"):
        region.measure(x0, x)


def test_the_lattice_is_the_papers() -> None:
    points = grid_points(31, 5, 5)
    assert len(points) == len(set(points)) == 775
    assert sorted({p[0] * 30 for p in points})[:3] == pytest.approx([-30, -28, -26])
    assert sorted({round(p[1] * 0.1 * 30, 6) for p in points}) == [-3.0, -1.5, 0.0, 1.5, 3.0]


def test_the_worst_of_ten_is_that_of_ten_draws_one_by_one() -> None:
    model, x0 = classifier(), images(24)
    truth = targets(model, x0)
    result = run(ATTACKS.build("rotation-translation(eps=0.4)"), model, x0, truth, noise(24))
    region = Spatial(0.4)
    broken = torch.zeros(24, dtype=torch.bool)
    queries = torch.zeros(24, dtype=torch.int64)
    for i in range(10):
        # The streams that the loop forks: "0" for the first start, the draw's own after it.
        x = moved(x0, region.start(x0, noise(24).fork("0").fork(f"draw {i}")))
        queries += ~broken
        broken |= torch.tensor([p.label != t.label for p, t in zip(predict(model, x), truth, strict=True)])  # type: ignore[union-attr]
    assert torch.equal(result.success, broken)
    assert torch.equal(result.forwards, queries)
    assert broken.any()
    assert not broken.all()
    assert (result.size <= 0.4).all()
    assert (result.size > 0).all()
    assert not result.backwards.any()


def test_the_grid_asks_every_point_and_is_no_weaker_than_the_draws() -> None:
    model, x0 = classifier(), images(12)
    truth = targets(model, x0)
    grid = run(ATTACKS.build("rotation-translation(eps=0.1, search='grid')"), model, x0, truth, noise(12))
    draws = run(ATTACKS.build("rotation-translation(eps=0.1)"), model, x0, truth, noise(12))
    assert grid.success.sum() >= draws.success.sum()
    assert not grid.success.all()
    assert (grid.forwards[~grid.success] == 775).all()
    # By hand, for one that holds: no corner of the range breaks it.
    held = int((~grid.success).nonzero()[0])
    for corner in itertools.product((-0.1, 0.1), repeat=3):
        x = moved(x0[held : held + 1], torch.tensor([corner]))
        assert predict(model, x)[0].label == truth[held].label  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rotation-translation(eps=30)", "share of the range"),
        ("rotation-translation(search='pgd')", "'random' or 'grid'"),
        ("rotation-translation(degrees=400)", "0 to 180"),
    ],
)
def test_bad_arguments_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ATTACKS.build(spec)
