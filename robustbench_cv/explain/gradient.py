"""How fast the score changes with each pixel.

Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", ICLR 2014 workshop, arXiv:1312.6034, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_cv.errors import UserError
from robustbench_cv.explain.targets import Explained, Score, score_of
from robustbench_cv.types import AnyModel


def gradient(model: AnyModel, explained: Explained, image: Tensor) -> Tensor:
    """max over channels of |d logit / d pixel|: (H, W), not negative."""
    score = score_of(model, explained, "logit")
    return input_gradient(score, image[None], model.info.name)[0].abs().amax(dim=0).float().cpu()


def input_gradient(score: Score, images: Tensor, name: str) -> Tensor:
    """Of each image's score by its own pixels: (N, 3, H, W). UserError where the model lets no gradient through. name: the model's."""
    with torch.enable_grad():
        x = images.detach().clone().requires_grad_()
        value = score(x)
        if not value.requires_grad:
            raise UserError(f"{name} lets no gradient through to its input; explain it by --method occlusion, which needs none")
        (found,) = torch.autograd.grad(value.sum(), x)
    return found.detach()
