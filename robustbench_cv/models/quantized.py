"""Kernels in 8 bits: each row of a tensor as whole numbers from -127 to 127 and one scale, half the file of 16-bit numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SUFFIX = ".scale"
"""What the name of a packed tensor's scales has behind it."""

SHORTEST_ROW = 16
"""Numbers in a row below which a scale would cost more than it is worth."""


def quantize(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every float tensor of rows long enough as int8 with its float32 scales, one a row (first axis); the rest as it is.

    A number moves by at most half a scale: 1/254 of the greatest magnitude in its row.
    """
    quantized: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point() or tensor.ndim < 2 or tensor[0].numel() < SHORTEST_ROW:
            quantized[name] = tensor
            continue
        rows = tensor.flatten(1).float()
        scales = rows.abs().amax(1) / 127
        whole = torch.where(scales[:, None] > 0, rows / scales[:, None], 0.0)
        quantized[name] = whole.round().to(torch.int8).view(tensor.shape)
        quantized[name + SUFFIX] = scales
    return quantized


def dequantize(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float32 tensors that `quantize` stored, under their own names; a state without any comes back as it is.

    >>> state = {"kernel": torch.linspace(-1, 1, 64).view(2, 32)}
    >>> float((dequantize(quantize(state))["kernel"] - state["kernel"]).abs().max()) <= 1 / 254
    True
    """
    scales = {name.removesuffix(SUFFIX): t for name, t in state.items() if name.endswith(SUFFIX) and _is_quantized(state, name)}
    plain = {name: tensor for name, tensor in state.items() if not (name.endswith(SUFFIX) and name.removesuffix(SUFFIX) in scales)}
    for name, rows in scales.items():
        plain[name] = plain[name] * rows.view(-1, *[1] * (plain[name].ndim - 1))
    return plain


def _is_quantized(state: Mapping[str, Tensor], scale: str) -> bool:
    """Whether a tensor called "….scale" belongs to one of 8 bits; layers may have a parameter of that name themselves."""
    kernel = state.get(scale.removesuffix(SUFFIX))
    return kernel is not None and kernel.dtype == torch.int8 and state[scale].shape == kernel.shape[:1]
