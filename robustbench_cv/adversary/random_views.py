"""How the adversary looks at its images while it searches: through random views, which it must hold under, and never while it is judged.

A view maps images (N, 3, H, W) in [0, 1] and the samples' noise to images in [0, 1] (of any size that the model takes), differentiably. An
attack raises its objective on views; with `views` above 1 the mean over that many, drawn anew at each evaluation, value and gradient:
Expectation over Transformation (Athalye, Engstrom, Ilyas, Kwok, ICML 2018, https://arxiv.org/abs/1707.07397).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise

View: TypeAlias = Callable[[Tensor, Noise], Tensor]


def same_images(images: Tensor, noise: Noise) -> Tensor:
    """The images themselves: many views of them average the randomness of the model."""
    return images


def resized_and_padded(least: float = 0.9, probability: float = 0.5) -> View:
    """Shrunk to a random side of at least `least` of the image's and padded with black to the old size, at a random place.

    The view of DI-FGSM (Xie et al., CVPR 2019, section 3.2), where 299 pixels become 299 to 330: the canvas grows to 330. Here the image
    shrinks instead, so that the model sees its own size; for each sample with `probability`, and with nearest-neighbour pixels, as there.
    """
    if not 0 < least <= 1:
        raise UserError(f"least={least!r} is a share of the image's side in (0, 1]")
    if not 0 <= probability <= 1:
        raise UserError(f"probability={probability!r} must be from 0 to 1")

    def view(images: Tensor, noise: Noise) -> Tensor:
        height, width = images.shape[-2:]
        seen = []
        for image, (chance, size, y, x) in zip(images, noise.uniform((4,)).tolist(), strict=True):
            share = least + (1 - least) * size
            rows, columns = max(round(share * height), 1), max(round(share * width), 1)
            top, left = int(y * (height - rows + 1)), int(x * (width - columns + 1))
            small = F.interpolate(image[None], (rows, columns), mode="nearest")
            padded = F.pad(small, (left, width - columns - left, top, height - rows - top))
            seen.append(padded[0] if chance < probability else image)
        return torch.stack(seen)

    return view
