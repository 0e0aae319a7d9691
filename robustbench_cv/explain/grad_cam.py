"""The last convolution's maps, each weighted by how much the score asks for it.

Selvaraju et al., "Grad-CAM", ICCV 2017, arXiv:1610.02391, equations 1 and 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.errors import UserError
from robustbench_cv.explain.targets import Explained, score_of
from robustbench_cv.types import AnyModel, HasModule


def grad_cam(model: AnyModel, explained: Explained, image: Tensor, *, layer: str | None = None) -> Tensor:
    """ReLU(sum over channels of mean gradient times activation), scaled up bilinearly to the image: (H, W), not negative.

    layer: the name of a module whose output is (N, C, h, w). None: of the convolutions that the logit depends on, the last of those with
    the coarsest maps of more than one pixel; that is the last one of a classifier, the bottleneck of a U-Net (as Vinogradova et al., AAAI
    2020, arXiv:2002.11434, chose) and the end of a detector's backbone (a project choice). The map is stretched over the whole image, which
    is exact where the network sees all of it.
    """
    with torch.enable_grad(), _outputs(_layers(model, layer)) as outputs:
        score = score_of(model, explained, "logit")(image[None].detach().clone().requires_grad_())
        maps = [output for output in outputs if output.ndim == 4 and output.requires_grad]
        if not maps or not score.requires_grad:
            raise UserError(
                f"{_what(model, layer)} gives no map (N, C, h, w) with a gradient; name another layer, or use --method occlusion"
            )
        gradients = torch.autograd.grad(score.sum(), maps, allow_unused=True)
    pairs = [(a.detach(), g) for a, g in zip(maps, gradients, strict=True) if g is not None and (bool(g.any()) or layer is not None)]
    if not pairs:  # nothing asks for any map: an answer that no pixel changes
        return torch.zeros(image.shape[-2:])
    activation, slope = pairs[-1] if layer is not None else _coarsest(pairs)
    heat = (slope.mean(dim=(2, 3), keepdim=True) * activation).sum(dim=1, keepdim=True).relu()
    return F.interpolate(heat, image.shape[-2:], mode="bilinear", align_corners=False)[0, 0].float().cpu()


def _coarsest(pairs: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    sizes = [a.shape[-2] * a.shape[-1] for a, _ in pairs]
    coarsest = min((size for size in sizes if size > 1), default=1)
    return next(pair for pair, size in reversed(list(zip(pairs, sizes, strict=True))) if size == coarsest)


def _layers(model: AnyModel, layer: str | None) -> list[nn.Module]:
    """The module of that name, or every convolution. UserError where there is none."""
    if not isinstance(model, HasModule):
        raise UserError(f"{model.info.name} shows no torch module, which Grad-CAM looks into; use --method occlusion")
    named = dict(model.module.named_modules())
    if layer is not None:
        if layer not in named:
            close = difflib.get_close_matches(layer, named, n=3)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"its last is {list(named)[-1]!r}"
            raise UserError(f"{model.info.name} has no layer {layer!r}; {hint}")
        return [named[layer]]
    convolutions: list[nn.Module] = [module for module in named.values() if isinstance(module, nn.Conv2d)]
    if not convolutions:
        raise UserError(f"{model.info.name} has no convolution, whose maps Grad-CAM weighs; name a layer=, or use --method occlusion")
    return convolutions


@contextmanager
def _outputs(modules: list[nn.Module]) -> Iterator[list[Tensor]]:
    """What the modules put out while the block runs, in that order. They hand on copies: a ReLU in place would change what is kept."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: object) -> object:
        if not isinstance(output, Tensor):
            return output
        kept.append(output)
        return output.clone()

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _what(model: AnyModel, layer: str | None) -> str:
    return f"layer {layer!r} of {model.info.name}" if layer is not None else model.info.name
