"""Multiply-adds of one torch operation, from its shapes. Fused attention is counted, which torch's own counter misses on the CPU.

Counted, as fvcore and ptflops do: convolutions (transposed and deformable too), matrix products in all their forms (linear layers, einsum,
attention). Not counted, by the same convention: biases, normalisation, activations, pooling, softmax, resizing, additions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from torch import Tensor

Kind = Literal["convolution", "linear", "matmul", "attention", "pooling", "resize"]
"""linear: a matrix product with a weight; matmul: one of two activations. Pooling and resizing cost nothing by convention."""


class Work(NamedTuple):
    """What an operation does: its kind and its multiply-adds."""

    kind: Kind
    macs: int


def work_of(name: str, args: Sequence[Any], out: Any, is_weight: Callable[[Tensor], bool]) -> Work | None:
    """Of an operation by its schema's name ("convolution", "addmm"); None for one that is neither counted nor listed."""
    if name in _LISTED:
        return Work(_LISTED[name], 0)
    formula = _FORMULAS.get(name)
    if formula is None:
        return None
    kind, macs = formula(args, out)
    if kind == "matmul" and any(is_weight(t) for t in args if isinstance(t, Tensor)):
        kind = "linear"
    return Work(kind, macs)


def is_hidden(namespace: str, name: str) -> bool:
    """Whether an operation may multiply in a way that nothing here counts, so that a total without it must be marked."""
    if namespace == "torchvision":
        return name not in ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d")
    return namespace not in ("aten", "prim", "prims") or name in _HIDDEN


def _convolution(args: Sequence[Any], out: Tensor) -> Work:
    """weight: (C_out, C_in / G, ...), or (C_in, C_out / G, ...) where transposed: then each *input* entry meets weight.numel() / C_in."""
    x, weight, transposed = args[0], args[1], args[6]
    return Work("convolution", (x if transposed else out).numel() * math.prod(weight.shape[1:]))


def _deformable(args: Sequence[Any], out: Tensor) -> Work:
    return Work("convolution", out.numel() * math.prod(args[1].shape[1:]))


def _product(first: int) -> Callable[[Sequence[Any], Tensor], Work]:
    """Of the arguments from `first` on, a @ b."""
    return lambda args, out: Work("matmul", args[first].numel() * (args[first + 1].shape[-1] if args[first + 1].ndim > 1 else 1))


def _attention(args: Sequence[Any], out: Any) -> Work:
    """softmax(q kᵀ) v, both products: q (..., L, E), k (..., S, E), v (..., S, D)."""
    q, k, v = args[:3]
    return Work("attention", math.prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1]))


_FORMULAS: Mapping[str, Callable[[Sequence[Any], Any], Work]] = {
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), _convolution),
    "deform_conv2d": _deformable,
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot"), _product(0)),
    **dict.fromkeys(("addmm", "baddbmm", "addbmm", "addmv", "_addmm_activation"), _product(1)),
    **dict.fromkeys(("_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu"), _attention),
    **dict.fromkeys(("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention"), _attention),
    **dict.fromkeys(("_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math_for_mps"), _attention),
}

_LISTED: Mapping[str, Kind] = {
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "_adaptive_avg_pool2d", "adaptive_max_pool2d"), "pooling"),
    **dict.fromkeys(("roi_align", "roi_pool"), "pooling"),
    **dict.fromkeys(("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d"), "resize"),
    "max_unpool2d": "resize",
}

_HIDDEN = {
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "mkldnn_rnn_layer",
    "_cudnn_rnn",
    "_transformer_encoder_layer_fwd",
    "_native_multi_head_attention",
    "_trilinear",
    "cdist",
    "_cdist_forward",
    "_fft_r2c",
    "_fft_c2c",
    "_fft_c2r",
    "_scaled_mm",
    "_int_mm",
    "_weight_int8pack_mm",
}
