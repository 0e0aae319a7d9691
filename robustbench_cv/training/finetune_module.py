"""What learns when a detector is fine-tuned: its own module, lowered by its own loss, on images in [0, 1] of the size that it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from robustbench_cv.models.trainable import Objects
from robustbench_cv.training.training_set import NOTHING, each_object

LEAST_PX = 1.0
"""Objects with a shorter side, at the size the network sees, are not learned from: a box without extent has no loss."""


class Learner(nn.Module):
    """A detector's module, asked for its loss.

    still: names of the modules that keep their eval mode, so that norms which were frozen where the weights come from stay as they are.
    Where not everything learns (`frozen`), nor do norms and dropout without a part in it.
    """

    def __init__(self, net: nn.Module, loss: Callable[[Tensor, Sequence[Objects]], Tensor], still: frozenset[str], frozen: bool) -> None:
        super().__init__()
        self.net = net
        self._loss, self._still, self._frozen = loss, still, frozen

    def forward(self, images: Tensor, truths: Tensor) -> Tensor:
        """The loss. truths: as a training set holds them."""
        return self._loss(images, objects(truths))

    def train(self, mode: bool = True) -> Learner:
        super().train(mode)
        for name, module in self.net.named_modules():
            leaf = next(module.children(), None) is None
            idle = leaf and not any(p.requires_grad for p in module.parameters(recurse=False))
            if name in self._still or (self._frozen and idle):
                module.training = False
        return self


def objects(truths: Tensor) -> list[Objects]:
    """Of each image, from a training set's padded rows (N, M, 5) or its instance maps (N, h, w); without those of no extent."""
    return [_of_image(truth) for truth in truths]


def _of_image(truth: Tensor) -> Objects:
    rows, masks = (truth, None) if truth.is_floating_point() else each_object(truth.cpu())
    chosen = ((rows[:, 2:4] - rows[:, 0:2]) >= LEAST_PX).all(dim=1) & (rows[:, 4] != NOTHING)
    rows = rows[chosen].to(truth.device)
    return Objects(rows[:, :4], rows[:, 4].long(), None if masks is None else masks[chosen].to(truth.device))
