"""Receptive fields through a network as it runs: what each torch operation does to the places that a tensor's entries stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from robustbench_cv.models.complexity.receptive_field import AxisField, convolved, deconvolved, moved, pooled, resized, union


@dataclass(frozen=True)
class ReceptiveFields:
    """What the entries of a tensor see of the network's input.

    axes: the dimensions that are places of the image. merged: dimensions that a view made of several, as (sizes, axes among them).
    whole: every entry depends on the whole image. lost: an operation that is not followed came before.
    """

    axes: Mapping[int, AxisField] = field(default_factory=dict)
    merged: Mapping[int, tuple[tuple[int, ...], Mapping[int, AxisField]]] = field(default_factory=dict)
    whole: bool = False
    lost: bool = False

    @property
    def places(self) -> list[AxisField]:
        """Of each axis of the image, wherever it is now: height first."""
        inside = [reach for _, axes in self.merged.values() for _, reach in sorted(axes.items())]
        return [reach for _, reach in sorted(self.axes.items())] or inside


WHOLE, LOST = ReceptiveFields(whole=True), ReceptiveFields(lost=True)


class ReceptiveFieldTracer:
    """Remembers the sight of each tensor of a pass. Tensors that no convolution or pooling has seen yet are the image: they have none."""

    def __init__(self) -> None:
        self._sights: Any = WeakTensorKeyDictionary()

    def of(self, tensor: object) -> ReceptiveFields | None:
        """None for the image, for weights and for constants."""
        found: ReceptiveFields | None = self._sights.get(tensor) if isinstance(tensor, Tensor) else None
        return found

    def follow(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> None:
        """Note what the outputs of an operation see."""
        name = func._schema.name.split("::")[1].rstrip("_")
        named = {a.name: v for a, v in zip(func._schema.arguments, args, strict=False)} | dict(kwargs)
        results = [t for t in (out if isinstance(out, list | tuple) else [out]) if isinstance(t, Tensor)]
        rule = _RULES.get(name) or (_pointwise if torch.Tag.pointwise in func.tags else None)
        inputs = [t for value in named.values() for t in (value if isinstance(value, list | tuple) else [value]) if isinstance(t, Tensor)]
        for result in results:
            sight = _unknown(self, named, inputs, result) if rule is None else rule(self, named, inputs, result)
            if sight is not None:
                self._sights[result] = sight


Rule = Callable[[ReceptiveFieldTracer, Mapping[str, Any], Sequence[Tensor], Tensor], ReceptiveFields | None]


def _unknown(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    return LOST if any(seen.of(t) for t in inputs) else None


def _start(seen: ReceptiveFieldTracer, image: Tensor) -> ReceptiveFields:
    """A convolution or pooling begins the network: its input's own pixels are what receptive fields are measured in."""
    return seen.of(image) or ReceptiveFields({dim: AxisField() for dim in range(2, image.ndim)})


def _along(sight: ReceptiveFields, change: Callable[[int, AxisField], AxisField]) -> ReceptiveFields:
    return replace(sight, axes={dim: change(dim, reach) for dim, reach in sight.axes.items()})


def _per_axis(value: Any, dim: int, default: int) -> int:
    """Entry of a stride, padding, ... for a dimension: one for all, one each, or empty."""
    values = [value] if isinstance(value, int) else list(value)
    return default if not values else int(values[0] if len(values) == 1 else values[dim - 2])


def _convolution(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields:
    weight, behind = named["weight"], deconvolved if named["transposed"] else convolved

    def change(dim: int, reach: AxisField) -> AxisField:
        stride, padding, dilation = (_per_axis(named[key], dim, 1) for key in ("stride", "padding", "dilation"))
        return behind(reach, weight.shape[dim], stride, padding, dilation)

    return _along(_start(seen, named["input"]), change)


def _pool(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields:
    def change(dim: int, reach: AxisField) -> AxisField:
        kernel = _per_axis(named["kernel_size"], dim, 1)
        padding, dilation = (_per_axis(named.get(key, default), dim, default) for key, default in (("padding", 0), ("dilation", 1)))
        return convolved(reach, kernel, _per_axis(named.get("stride", []), dim, kernel), padding, dilation)

    return _along(_start(seen, named["self"]), change)


def _adaptive(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields:
    x = named["self"]
    if out.shape[2:].numel() == 1:
        return WHOLE
    return _along(_start(seen, x), lambda dim, reach: pooled(reach, x.shape[dim], out.shape[dim]))


def _resize(taps: int) -> Rule:
    def rule(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
        x = inputs[0]
        sight = seen.of(x)
        return sight and _along(sight, lambda dim, reach: resized(reach, x.shape[dim], out.shape[dim], taps))

    return rule


def _pad(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    pad, sight = [*named.get("pad", named.get("padding", []))], seen.of(named["self"])

    def change(dim: int, reach: AxisField) -> AxisField:
        place = 2 * (out.ndim - 1 - dim)
        return moved(reach, -pad[place]) if place < len(pad) else reach

    return sight and _along(sight, change)


def _slice(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    x, sight = named["self"], seen.of(named["self"])
    dim, start = named.get("dim", 0) % x.ndim, named.get("start") or 0
    start = min(max(start + x.shape[dim] if start < 0 else start, 0), x.shape[dim])
    return sight and _along(sight, lambda d, reach: moved(reach, start, named.get("step", 1)) if d == dim else reach)


def _relabelled(sight: ReceptiveFields | None, place: Callable[[int], int | None]) -> ReceptiveFields | None:
    """Dimensions moved: old -> new, None where the dimension is gone (one place of it was taken)."""
    if sight is None:
        return None
    axes = {place(dim): reach for dim, reach in sight.axes.items()}
    merged = {place(dim): parts for dim, parts in sight.merged.items()}
    if None in {*axes, *merged} and not sight.whole:
        return LOST
    return replace(sight, axes={d: r for d, r in axes.items() if d is not None}, merged={d: p for d, p in merged.items() if d is not None})


def _permute(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    order = [d % out.ndim for d in named["dims"]]
    return _relabelled(seen.of(named["self"]), order.index)


def _transpose(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    a, b = (named.get(key, default) % max(out.ndim, 1) for key, default in (("dim0", 0), ("dim1", 1)))
    return _relabelled(seen.of(named["self"]), lambda d: b if d == a else a if d == b else d)


def _unsqueeze(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    new = named["dim"] % out.ndim
    return _relabelled(seen.of(named["self"]), lambda d: d + (d >= new))


def _select(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    gone = named.get("dim", 0) % named["self"].ndim
    return _relabelled(seen.of(named["self"]), lambda d: None if d == gone else d - (d > gone))


def _split(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    sight, dim = seen.of(named["self"]), named.get("dim", 0) % named["self"].ndim
    return LOST if sight and (dim in sight.axes or dim in sight.merged) else sight


def _expand(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    return _relabelled(seen.of(named["self"]), lambda d: d + out.ndim - named["self"].ndim)


def _view(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    x, sight = named["self"], seen.of(named["self"])
    return sight and viewed(sight, tuple(x.shape), tuple(out.shape))


def viewed(sight: ReceptiveFields, before: tuple[int, ...], after: tuple[int, ...]) -> ReceptiveFields:
    """A tensor's sight under another shape: dimensions kept, merged, or split back into what they were merged from."""
    axes: dict[int, AxisField] = {}
    merged: dict[int, tuple[tuple[int, ...], Mapping[int, AxisField]]] = {}
    whole = sight.whole
    for old, new in _blocks(before, after):
        inside = {i: sight.axes[d] for i, d in enumerate(old) if d in sight.axes}
        parts = [sight.merged[d] for d in old if d in sight.merged]
        if not inside and not parts:
            continue
        if not new:  # places of size one that the view leaves out
            whole = True
        elif len(old) == len(new) == 1:
            axes.update(zip(new, inside.values(), strict=False))
            merged.update(zip(new, parts, strict=False))
        elif len(new) == 1 and not parts:
            merged[new[0]] = (tuple(before[d] for d in old), inside)
        elif len(old) == 1 and parts and tuple(after[d] for d in new) == tuple(s for s in parts[0][0] if s != 1):
            kept = [i for i, size in enumerate(parts[0][0]) if size != 1]
            axes |= {new[kept.index(i)]: reach for i, reach in parts[0][1].items() if i in kept}
            whole = whole or any(i not in kept for i in parts[0][1])
        else:
            return WHOLE if whole and not sight.lost else LOST
    return ReceptiveFields(axes, merged, whole, sight.lost)


def _blocks(before: Sequence[int], after: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of dimensions with equal products; those of size one on their own, without a partner."""
    old, new = ([d for d, size in enumerate(shape) if size != 1] for shape in (before, after))
    blocks: list[tuple[list[int], list[int]]] = [([d], []) for d, size in enumerate(before) if size == 1]
    i = j = 0
    while i < len(old) and j < len(new):
        block: tuple[list[int], list[int]] = ([old[i]], [new[j]])
        a, b, i, j = before[old[i]], after[new[j]], i + 1, j + 1
        while a != b:
            if a < b:
                a, i = a * before[old[i]], i + 1
                block[0].append(old[i - 1])
            else:
                b, j = b * after[new[j]], j + 1
                block[1].append(new[j - 1])
        blocks.append(block)
    return blocks


def _reduce(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    x, sight = named["self"], seen.of(named["self"])
    if sight is None:
        return None
    given = named.get("dim")
    dims = {d % x.ndim for d in ([given] if isinstance(given, int) else given or range(x.ndim))}
    over = {d for d in (*sight.axes, *sight.merged) if d in dims}
    kept = ReceptiveFields(
        {d: r for d, r in sight.axes.items() if d not in dims},
        {d: p for d, p in sight.merged.items() if d not in dims},
        sight.whole or bool(over),
        sight.lost,
    )
    return kept if named.get("keepdim") else _relabelled(kept, lambda d: d - sum(g < d for g in dims))


def _same(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    """Entry by entry, apart from statistics of what is not a place: a copy, a normalisation by stored statistics."""
    return seen.of(inputs[0])


def _strided(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    """Any view at all; only what sees everything stays known."""
    sight = seen.of(named["self"])
    return LOST if sight and (sight.lost or not sight.whole) else sight


def _across(dims: Callable[[Mapping[str, Any], Tensor], set[int]]) -> Rule:
    """Of the input's shape, each entry made of all along some dimensions: softmax, layer norm."""

    def rule(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
        sight = seen.of(inputs[0])
        mixed = dims(named, inputs[0])
        return sight and replace(sight, whole=sight.whole or any(d in mixed for d in (*sight.axes, *sight.merged)))

    return rule


def _every(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    """Statistics of all places: group and instance norm, attention."""
    sights = [s for s in map(seen.of, inputs) if s is not None]
    if not sights:
        return None
    return LOST if any(s.lost for s in sights) else replace(sights[0], whole=True)


def _pointwise(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    """Broadcast from the right: what any input sees."""
    moved_ = [_relabelled(seen.of(t), lambda d, t=t: d + out.ndim - t.ndim) for t in inputs]  # type: ignore[misc]
    return _together([s for s in moved_ if s is not None])


def _cat(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    sights = [s for s in map(seen.of, inputs) if s is not None]
    dim = named.get("dim", 0) % out.ndim
    if any(dim in s.axes for s in sights):
        return LOST
    if any(dim in s.merged for s in sights):
        # tokens beside those of the image, such as a class token: no view splits them back, attention still mixes them all
        return replace(sights[0], merged={**sights[0].merged, dim: ((-1,), {})}) if len(sights) == 1 else LOST
    return _together(sights)


def _together(sights: Sequence[ReceptiveFields]) -> ReceptiveFields | None:
    if len(sights) < 2:
        return sights[0] if sights else None
    axes: dict[int, AxisField] = {}
    for sight in sights:
        for dim, reach in sight.axes.items():
            both = union(axes[dim], reach) if dim in axes else reach
            if both is None:
                return LOST
            axes[dim] = both
    merged: dict[int, tuple[tuple[int, ...], Mapping[int, AxisField]]] = {}
    for sight in sights:
        for dim, parts in sight.merged.items():
            if merged.setdefault(dim, parts) != parts:
                return LOST
    return ReceptiveFields(axes, merged, any(s.whole for s in sights), any(s.lost for s in sights))


def _matmul(seen: ReceptiveFieldTracer, named: Mapping[str, Any], inputs: Sequence[Tensor], out: Tensor) -> ReceptiveFields | None:
    a, b = inputs[-2:]
    one, other = seen.of(a), seen.of(b)
    if one is not None and other is not None:
        return LOST if one.lost or other.lost else WHOLE
    sight, summed = (one, a.ndim - 1) if one is not None else (other, max(b.ndim - 2, 0))
    if sight is None:
        return None
    if summed in sight.axes or summed in sight.merged:
        return WHOLE if not sight.lost else LOST
    return sight


def _of_dim(named: Mapping[str, Any], x: Tensor) -> set[int]:
    return {named["dim"] % x.ndim}


def _of_last(named: Mapping[str, Any], x: Tensor) -> set[int]:
    return set(range(x.ndim - len(named["normalized_shape"]), x.ndim))


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable"), _convolution),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool2d", "avg_pool2d", "max_pool1d", "avg_pool1d"), _pool),
    **dict.fromkeys(("_adaptive_avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d"), _adaptive),
    **dict.fromkeys(("upsample_nearest2d", "_upsample_nearest_exact2d", "max_unpool2d"), _resize(1)),
    "upsample_bilinear2d": _resize(2),
    "upsample_bicubic2d": _resize(4),
    **dict.fromkeys(("constant_pad_nd", "reflection_pad2d", "replication_pad2d"), _pad),
    "slice": _slice,
    "permute": _permute,
    **dict.fromkeys(("transpose", "t"), _transpose),
    "unsqueeze": _unsqueeze,
    **dict.fromkeys(("select", "unbind"), _select),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), _split),
    "expand": _expand,
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze"), _view),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "std", "var", "logsumexp", "linalg_vector_norm"), _reduce),
    **dict.fromkeys(("clone", "contiguous", "_to_copy", "detach", "alias", "native_dropout", "dropout"), _same),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "batch_norm"), _same),
    **dict.fromkeys(("_softmax", "_safe_softmax", "_log_softmax", "cumsum"), _across(_of_dim)),
    "native_layer_norm": _across(_of_last),
    **dict.fromkeys(("native_group_norm", "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention"), _every),
    **dict.fromkeys(("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention"), _every),
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm", "mv", "addmv"), _matmul),
    "cat": _cat,
    "as_strided": _strided,
    # entry by entry, though torch does not tag them so
    **dict.fromkeys(("hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "elu", "celu", "gelu", "silu", "mish", "prelu"), _pointwise),
}
