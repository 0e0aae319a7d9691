"""Structural similarity against scikit-image's, and where it ends."""

from __future__ import annotations

import pytest
import torch

from robustbench_cv.metrics.ssim import structural_similarity


@pytest.mark.parametrize("shape", [(3, 11, 11), (3, 40, 23), (1, 64, 64)])
def test_it_is_what_scikit_image_computes(shape: tuple[int, int, int]) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(4, *shape, generator=generator)
    noise = torch.randn(4, *shape, generator=generator) * torch.tensor([0.0, 0.01, 0.1, 0.5])[:, None, None, None]
    b = (a + noise).clamp(0, 1)
    found = structural_similarity(a, b)
    assert found is not None
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "channel_axis": 0}
    theirs = [metrics.structural_similarity(x.double().numpy(), y.double().numpy(), **settings) for x, y in zip(a, b, strict=True)]
    assert found.tolist() == pytest.approx(theirs, abs=2e-4)
    assert found[0] == 1.0
    assert (found[:-1] > found[1:]).all()


def test_images_smaller_than_the_window_have_none() -> None:
    assert structural_similarity(torch.rand(1, 3, 10, 40), torch.rand(1, 3, 10, 40)) is None
