"""Where a patch lands and how it looks there, against OpenCV, slices and plain loops."""

from __future__ import annotations

import math

import cv2
import numpy
import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary.universal.patch_application import OUTDOORS, Look, Pasted
from robustbench_cv.adversary.universal.perturbation import Overlay
from robustbench_cv.adversary.universal.printability import mean_total_variation, non_printability_score, printable_colours
from robustbench_cv.errors import UserError
from robustbench_cv.types import IGNORE, BoxTarget, MaskTarget
from tests.adversary_models import noise

BOX = BoxTarget.of(torch.tensor([[8.0, 6, 24, 22]]), torch.tensor([2]))


def grey(n: int = 1, side: int = 32, level: float = 0.5) -> Tensor:
    return torch.full((n, 3, side, side), level)


def checks(side: int) -> Tensor:
    """A pattern without any symmetry."""
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(3))


def on_box(**look: float) -> Pasted:
    return Pasted(side=16, where="object", smallest=1.0, largest=1.0, look=Look(**look), stretched=True)


def test_straight_on_and_at_its_own_size_it_is_a_copy() -> None:
    theta = checks(16)
    x = on_box().place(grey(), [BOX], noise(1)).apply(theta)
    torch.testing.assert_close(x[0, :, 6:22, 8:24], theta, atol=1e-5, rtol=0)
    x[0, :, 6:22, 8:24] = 0.5
    assert torch.equal(x, grey())


def test_turned_and_tilted_it_is_where_opencv_warps_it() -> None:
    surface = on_box(rotation=15, yaw=45)
    x0, theta = grey(4), checks(16)
    placed = surface.place(x0, [BOX] * 4, noise(4))
    x = placed.apply(theta)
    for i in range(4):
        to_image = numpy.linalg.inv(placed._spots.to_patch[i, 0].double().numpy())  # type: ignore[attr-defined]
        # From texture pixels to [-1, 1], and from pixel centres (x + 0.5) to OpenCV's whole numbers.
        texture = numpy.array([[2 / 16, 0, 1 / 16 - 1], [0, 2 / 16, 1 / 16 - 1], [0, 0, 1]])
        shift = numpy.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
        warped = cv2.warpPerspective(theta.permute(1, 2, 0).numpy(), shift @ to_image @ texture, (32, 32), flags=cv2.INTER_LINEAR)
        inner = cv2.erode(placed.covered[i].byte().numpy(), numpy.ones((5, 5), numpy.uint8)).astype(bool)
        assert inner.sum() > 20
        # OpenCV rounds positions to 1/32 of a pixel.
        assert numpy.abs(x[i].permute(1, 2, 0).numpy() - warped)[inner].max() < 0.08


def test_corners_of_a_turned_patch_are_those_of_trigonometry() -> None:
    placed = on_box(rotation=15).place(grey(3), [BOX] * 3, noise(3))
    angles = 15 * (2 * noise(3).fork("turn").uniform((1, 3))[:, 0, 0] - 1)
    for i, angle in enumerate(angles.deg2rad().tolist()):
        corner = torch.tensor([16 + 8 * math.cos(angle) - 8 * math.sin(angle), 14 + 8 * math.sin(angle) + 8 * math.cos(angle), 1.0])
        at = placed._spots.to_patch[i, 0] @ corner  # type: ignore[attr-defined]
        torch.testing.assert_close(at[:2] / at[2], torch.ones(2), atol=1e-4, rtol=0)


@pytest.mark.parametrize("look", [Look(), Look(rotation=45), OUTDOORS, Look(quarter_turns=True, rotation=10)], ids=repr)
@pytest.mark.parametrize("share", [0.03, 0.2, 0.4])
@pytest.mark.parametrize("where", ["corner", "centre", "random"])
def test_its_share_of_the_image_is_an_upper_bound_and_it_lies_inside(where: str, share: float, look: Look) -> None:
    surface = Pasted(side=8, where=where, smallest=share, largest=share, look=look)  # type: ignore[arg-type]
    x0 = torch.zeros(8, 3, 37, 41)
    placed = surface.place(x0, [BOX] * 8, noise(8))
    x = placed.apply(torch.full((3, 8, 8), 0.9))
    assert (surface.measure(x0, x) <= share).all()
    assert placed.covered.flatten(1).any(1).all()
    assert torch.equal((x != x0).any(1) | ~placed.covered, torch.ones_like(placed.covered))
    if look == Look():
        assert (surface.measure(x0, x) > 0.6 * share - 0.01).all()


def test_on_objects_it_keeps_to_their_pixels() -> None:
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, 8:12, 8:24] = True
    masks[1, 20:30, 2:6] = True
    target = BoxTarget.of(torch.tensor([[8.0, 8, 24, 12], [2.0, 20, 6, 30]]), torch.tensor([0, 0]), masks=masks)
    surface = Pasted(side=8, where="object", smallest=1.0, largest=1.0, look=OUTDOORS, stretched=True, on_mask=True)
    empty = BoxTarget.of(torch.zeros(0, 4), torch.zeros(0))
    placed = surface.place(grey(2), [target, empty], noise(2))
    assert (placed.covered[0] <= masks.any(0)).all()
    assert placed.covered[0][masks[0]].any()
    assert placed.covered[0][masks[1]].any()
    assert torch.equal(placed.apply(torch.zeros(3, 8, 8))[1], grey()[0])
    assert placed.frames[1].tolist() == [0, 0, 0, 0]


def test_light_and_blur_are_those_that_were_drawn() -> None:
    theta = checks(16)
    bright = on_box(brightness=0.3, contrast=0.2).place(grey(2), [BOX] * 2, noise(2)).apply(theta)
    drawn = noise(2).fork("light").uniform((3, 1, 1, 1))[:, :, 0, 0, 0]
    for i in range(2):
        factor, offset = 1 + 0.2 * (2 * drawn[i, 0] - 1), 0.3 * (2 * drawn[i, 1] - 1)
        expected = ((theta - 0.5) * factor + 0.5 + offset).clamp(0, 1)
        torch.testing.assert_close(bright[i, :, 6:22, 8:24], expected, atol=1e-4, rtol=0)
    blurred = on_box(blur=0.1).place(grey(2), [BOX] * 2, noise(2)).apply(theta)
    for i in range(2):
        sigma = 0.1 * 16 * float(drawn[i, 2])
        expected = cv2.GaussianBlur(theta.permute(1, 2, 0).numpy(), (11, 11), sigma, borderType=cv2.BORDER_REPLICATE)
        assert numpy.abs(blurred[i, :, 6:22, 8:24].permute(1, 2, 0).numpy() - expected).max() < 1e-3


def test_places_depend_on_the_sample_alone() -> None:
    surface = Pasted(side=8, where="random", smallest=0.1, largest=0.3, look=OUTDOORS)
    together = surface.place(grey(4), [BOX] * 4, noise(4)).apply(checks(8))
    alone = surface.place(grey(1), [BOX], noise(4).select([2])).apply(checks(8))
    torch.testing.assert_close(alone[0], together[2])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(surface.place(grey(4), [BOX] * 4, noise(4, seed=1)).apply(checks(8)), together)


def test_plain_is_the_same_patch_without_conditions() -> None:
    plain = Pasted(side=16, where="object", smallest=1.0, largest=1.0, look=OUTDOORS, stretched=True).plain()
    torch.testing.assert_close(plain.place(grey(), [BOX], noise(1)).apply(checks(16))[0, :, 6:22, 8:24], checks(16), atol=1e-5, rtol=0)


def test_pixels_under_a_patch_are_not_judged() -> None:
    placed = Pasted(side=8, where="corner", smallest=0.25, largest=0.25).place(grey(), [BOX], noise(1))
    labels = torch.ones(32, 32, dtype=torch.int64)
    (seen,) = placed.visible([MaskTarget(labels)])
    assert isinstance(seen, MaskTarget)
    assert torch.equal(seen.labels == IGNORE, placed.covered[0])
    assert (labels == 1).all()


def test_gradients_reach_the_texture_through_every_condition() -> None:
    theta = torch.full((3, 8, 8), 0.5, requires_grad=True)
    placed = Pasted(side=8, where="random", smallest=0.5, largest=0.5, look=OUTDOORS).place(grey(6), [BOX] * 6, noise(6))
    (grad,) = torch.autograd.grad(placed.apply(theta).sum(), theta)
    assert (grad > 0).all()


def test_an_overlay_stays_in_its_ball_at_any_size() -> None:
    surface = Overlay(8 / 255)
    theta = surface.random(torch.zeros(3, 16, 16), noise(1))
    assert torch.equal(theta.abs(), torch.full_like(theta, 8 / 255))
    x0 = torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(0))
    x = surface.place(x0, [BOX] * 2, noise(2)).apply(theta)
    assert (surface.measure(x0, x) <= 8 / 255 + 1e-7).all()
    assert x.min() >= 0
    assert x.max() <= 1
    same = surface.place(x0[:, :, :16, :16], [BOX] * 2, noise(2)).apply(theta)
    torch.testing.assert_close(same, (x0[:, :, :16, :16] + theta).clamp(0, 1))


def test_printability_and_variation_are_those_of_plain_loops() -> None:
    theta = checks(5)
    colours = printable_colours()
    assert colours.shape == (30, 3)
    distances = [min(float((theta[:, y, x] - c).norm()) for c in colours) for y in range(5) for x in range(5)]
    assert float(non_printability_score(theta)) == pytest.approx(sum(distances) / 25, abs=2e-3)
    across = [abs(float(theta[c, y, x + 1] - theta[c, y, x])) for c in range(3) for y in range(5) for x in range(4)]
    down = [abs(float(theta[c, y + 1, x] - theta[c, y, x])) for c in range(3) for y in range(4) for x in range(5)]
    assert float(mean_total_variation(theta)) == pytest.approx(sum(across) / 60 + sum(down) / 60, rel=1e-5)
    assert float(non_printability_score(colours[4][:, None, None].expand(3, 2, 2))) == pytest.approx(0, abs=1e-6)


def test_bad_places_are_refused() -> None:
    with pytest.raises(UserError, match="'object'"):
        Pasted(side=8, where="moon")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="shares"):
        Pasted(side=8, where="random", smallest=0.2, largest=1.5)
    with pytest.raises(UserError, match="nothing to fit"):
        Pasted(side=1)
    with pytest.raises(UserError, match="does not fit"):
        Pasted(side=8, where="random", smallest=1.0, largest=1.0, look=Look(rotation=45)).place(grey(), [BOX], noise(1))
