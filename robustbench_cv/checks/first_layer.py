"""What a network sees of an image: the input of its first layer, where the model resizes images itself."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from robustbench_cv.types import Model

FIRST_LAYERS = (nn.Conv2d, nn.modules.batchnorm._BatchNorm)
"""Where a network begins, whatever is done to images before."""


class _Seen(Exception):
    """The first layer was reached."""


def first_input(model: Model[Any], images: Tensor) -> tuple[int, int] | None:
    """Height and width in px of what the model's first convolution or batch norm gets; None where it has none, or raises before it.

    The pass ends there, so that it changes nothing in a model that counts what it sees.
    """
    seen: list[tuple[int, int]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, FIRST_LAYERS):
            seen.append((int(inputs[0].shape[-2]), int(inputs[0].shape[-1])))
            raise _Seen

    handle = register_module_forward_pre_hook(note)
    try:
        # what the model itself raises is for other checks to say
        with torch.no_grad(), suppress(Exception):
            model.raw(images)
    finally:
        handle.remove()
    return seen[0] if seen else None
