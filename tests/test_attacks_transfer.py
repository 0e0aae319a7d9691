"""NI-, DI- and TI-FGSM against plain loops of their papers' equations, and torchattacks'."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary import run
from robustbench_cv.adversary.gradient_transforms import gaussian_smoothing
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from tests.adversary_models import classifier, images, noise, targets


def slope(model: Any, x: Tensor, labels: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model.raw(leaf).values, labels, reduction="sum"), leaf)[0]


def setting() -> tuple[Any, Tensor, Any, Tensor]:
    model = classifier()
    model.module.double()
    x0 = images(6).double()
    truth = targets(model, x0)
    return model, x0, truth, torch.tensor([t.label for t in truth])


def test_ni_fgsm_is_the_published_recursion() -> None:
    model, x0, truth, labels = setting()
    eps, steps = 4 / 255, 5
    x, g = x0.clone(), torch.zeros_like(x0)
    for _ in range(steps):
        grad = slope(model, (x + eps / steps * 1.0 * g).clamp(0, 1), labels)
        g = 1.0 * g + grad / grad.abs().mean(dim=(1, 2, 3), keepdim=True)
        x = (x + eps / steps * g.sign()).clamp(x0 - eps, x0 + eps).clamp(0, 1)
    result = run(ATTACKS.build(f"ni-fgsm(eps={eps}, steps={steps})"), model, x0, truth, noise(6))
    torch.testing.assert_close(result.images, x)
    plain = run(ATTACKS.build(f"mi-fgsm(eps={eps}, steps={steps})"), model, x0, truth, noise(6))
    assert not torch.equal(plain.images, result.images)


def test_ti_fgsm_is_the_published_recursion_with_a_gaussian() -> None:
    model, x0, truth, labels = setting()
    eps, steps, side = 4 / 255, 4, 5
    at = torch.linspace(-3, 3, side).double()
    kernel = (-(at[:, None] ** 2 + at[None, :] ** 2) / 2).exp()
    kernel = (kernel / kernel.sum()).expand(3, 1, side, side)
    x, g = x0.clone(), torch.zeros_like(x0)
    for _ in range(steps):
        grad = F.conv2d(slope(model, x, labels), kernel, padding=side // 2, groups=3)
        g = g + grad / grad.abs().mean(dim=(1, 2, 3), keepdim=True)
        x = (x + eps / steps * g.sign()).clamp(x0 - eps, x0 + eps).clamp(0, 1)
    result = run(ATTACKS.build(f"ti-fgsm(eps={eps}, steps={steps}, kernel={side})"), model, x0, truth, noise(6))
    torch.testing.assert_close(result.images, x, atol=1e-7, rtol=0)


def test_smoothing_spreads_one_pixel_by_the_gaussian_and_keeps_the_sum() -> None:
    grad = torch.zeros(1, 3, 15, 15)
    grad[0, 1, 7, 7] = 1.0
    blurred, _ = gaussian_smoothing(7).update(grad, None)
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0))
    assert not blurred[0, [0, 2]].any()
    assert blurred[0, 1, 7, 7] == blurred.max()
    torch.testing.assert_close(blurred[0, 1], blurred[0, 1].T)
    with pytest.raises(UserError, match="odd"):
        gaussian_smoothing(4)


def test_di_fgsm_without_views_is_iterative_fgsm_and_with_them_is_not() -> None:
    model, x0, truth, labels = setting()
    eps, steps = 4 / 255, 4
    x = x0.clone()
    for _ in range(steps):
        x = (x + eps / steps * slope(model, x, labels).sign()).clamp(x0 - eps, x0 + eps).clamp(0, 1)
    plain = run(ATTACKS.build(f"di-fgsm(eps={eps}, steps={steps}, probability=0.0)"), model, x0, truth, noise(6))
    torch.testing.assert_close(plain.images, x)
    varied = run(ATTACKS.build(f"di-fgsm(eps={eps}, steps={steps}, probability=1.0, least=0.6)"), model, x0, truth, noise(6))
    assert not torch.equal(varied.images, x)
    assert varied.backwards.tolist() == [steps] * 6


@pytest.mark.parametrize("spec", ["ni-fgsm(eps=4/255, diversity=0.5, kernel=5)", "ti-fgsm(eps=4/255, kernel=5, diversity=0.5)"])
def test_the_three_combine(spec: str) -> None:
    model, x0 = classifier(), images(6)
    result = run(ATTACKS.build(spec), model, x0, targets(model, x0), noise(6))
    assert result.success.any()
    assert (result.size <= 4 / 255 + 1e-6).all()
