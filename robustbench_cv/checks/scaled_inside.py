"""Another scale for classifiers that resize images themselves: whatever they are handed, their network sees one size.

So images of twice the sides say nothing of such a model, and a wrong size inside it can't be undone from outside. Here the change reaches
the network: the input of its first layer is resized. What the model has shrunk away by then stays lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_pre_hook

from robustbench_cv.checks.check import Change, Preflight
from robustbench_cv.checks.first_layer import FIRST_LAYERS, first_input
from robustbench_cv.checks.input_geometry import resize, resized_sides
from robustbench_cv.checks.transform_families import Member
from robustbench_cv.model_from_predictions import ClosedModel
from robustbench_cv.types import AnyModel, HasModule, Logits, Model, ModelInfo, Prediction

_TRIED = 1.5
"""By what an image is enlarged to see whether the model undoes it."""


def scaled_inside(subject: Preflight, members: Sequence[Member]) -> tuple[Preflight, list[Member]]:
    """The subject and the members, so that those that resize images reach the network of a model that resizes images itself.

    Both as they are where it does not, where images have several sizes, and of other tasks, whose answers lie in a frame of their own.
    """
    shapes = {tuple(s.image.shape) for s in subject.samples}
    if subject.task != "classification" or isinstance(subject.model, ClosedModel) or len(shapes) != 1:
        return subject, list(members)
    model = cast("Model[Logits]", subject.model)
    image = subject.samples[0].image[None].to(subject.device)
    own, other = first_input(model, image), first_input(model, resize(image, _TRIED))
    if own is None or own != other:
        return subject, list(members)
    whole = subject.part(range(len(subject.samples)))  # with the answers that are had
    inside = replace(whole, model=cast("AnyModel", ScaledInside(model, own)))
    return inside, [m if m.resized is None else m._replace(change=_tagged(m.resized)) for m in members]


def _tagged(ratio: float) -> Change:
    """Images (N, 3, H, W) as they are, and a fourth channel that says at which scale the network shall see them."""
    return lambda x: torch.cat([x, x.new_full((len(x), 1, *x.shape[-2:]), ratio)], 1)


@dataclass(frozen=True, eq=False)
class ScaledInside:
    """A Model of Logits. seen: height and width in px of its first layer's input; times the ratio that a fourth channel says."""

    inner: Model[Logits]
    seen: tuple[int, int]

    @property
    def info(self) -> ModelInfo:
        """Of the model itself."""
        return self.inner.info

    @property
    def module(self) -> nn.Module:
        """Of the model itself, where it shows one."""
        if isinstance(self.inner, HasModule):
            return self.inner.module
        raise AttributeError(f"{self.info.name} shows no module")

    def raw(self, images: Tensor, /) -> Logits:
        """What the network says of the images at another scale; of images of three channels, what the model says."""
        if images.shape[1] == 3:
            return self.inner.raw(images)
        with _first_input_at(resized_sides(*self.seen, float(images[0, 3, 0, 0]))):
            return self.inner.raw(images[:, :3])

    def decode(self, raw: Logits, /) -> Sequence[Prediction]:
        """Of the model itself."""
        return self.inner.decode(raw)


@contextmanager
def _first_input_at(sides: tuple[int, int]) -> Iterator[None]:
    """Meanwhile the first convolution or batch norm of a pass gets its input at this height and width."""
    has_begun = False

    def change(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        nonlocal has_begun
        if has_begun or not isinstance(module, FIRST_LAYERS):
            return None
        has_begun = True
        return (F.interpolate(inputs[0], sides, mode="bilinear", align_corners=False, antialias=True), *inputs[1:])

    handle = register_module_forward_pre_hook(change)  # type: ignore[arg-type]  # what it returns becomes the input
    try:
        yield
    finally:
        handle.remove()
