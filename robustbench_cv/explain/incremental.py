"""Many images that differ from one in a window each, through a network, at the cost of what the window changes.

What lies outside a convolution's reach of the window is what it is for the whole image, and is computed once. Exact but for rounding: the
exact mode of Nakandala, Kumar, Papakonstantinou, "Incremental and Approximate Inference for Faster Occlusion-based Deep CNN Explanations",
SIGMOD 2019, https://doi.org/10.1145/3299869.3319874. Where a window has grown over most of a map, and at every operation that is not known
here, whole maps are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

MOST = 0.6
"""A window that costs more than this share of the whole map is not worth keeping apart (project choice)."""

READING = 200
"""What reading and pasting a number costs, in multiply-adds (by measurement on one core; it only decides what is worth it)."""


class Place(NamedTuple):
    """Where N windows of one size lie in maps of size (height, width): tops, lefts (N,), and the windows' height and width."""

    top: Tensor
    left: Tensor
    height: int
    width: int


class Windows(Tensor):
    """N maps (N, C, H, W) that are equal outside of a window each. base: (1, C, H, W); parts: (N, C, h, w), what is in the windows."""

    base: Tensor
    parts: Tensor
    place: Place

    @staticmethod
    def __new__(cls, base: Tensor, parts: Tensor, place: Place) -> Windows:
        shape = (len(parts), *base.shape[1:])
        made: Windows = Tensor._make_wrapper_subclass(cls, shape, dtype=base.dtype, device=base.device)
        made.base, made.parts, made.place = base, parts, place
        return made

    @classmethod
    def of(cls, base: Tensor, maps: Tensor, place: Place) -> Windows:
        """Maps (N, C, H, W) that differ from the base (1, C, H, W) at a place alone."""
        return cls(base, _own(maps, place), place)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _METADATA:
            return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        known = _KNOWN.get(func)
        if known is not None and (made := known(func, *args, **kwargs)) is not None:
            return made
        return func(*_whole(args), **_whole(kwargs))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return func(*_whole(args), **_whole(kwargs or {}))

    def whole(self) -> Tensor:
        """The N maps as one tensor."""
        maps = self.base.repeat(len(self.parts), 1, 1, 1).contiguous(memory_format=torch.channels_last)
        _write(maps, self.parts, self.place)
        return maps


def _whole(value: Any) -> Any:
    if isinstance(value, Windows):
        return value.whole()
    if isinstance(value, tuple | list):
        return type(value)(_whole(part) for part in value) if not hasattr(value, "_fields") else value
    return {key: _whole(part) for key, part in value.items()} if isinstance(value, dict) else value


def _rows(start: Tensor, length: int) -> Tensor:
    return start[:, None] + torch.arange(length, device=start.device)


def _read(base: Tensor, place: Place) -> Tensor:
    """The windows of a map (1, C, H, W): (N, C, h, w), channels last."""
    y, x = _rows(place.top, place.height), _rows(place.left, place.width)
    return base[0].permute(1, 2, 0)[y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def _write(maps: Tensor, parts: Tensor, place: Place) -> None:
    """Put parts into maps (N, C, H, W), in place."""
    y, x = _rows(place.top, place.height), _rows(place.left, place.width)
    n = torch.arange(len(parts), device=parts.device)[:, None, None]
    maps.permute(0, 2, 3, 1)[n, y[:, :, None], x[:, None, :]] = parts.permute(0, 2, 3, 1)


def _widened(maps: Windows, base: Tensor, place: Place, shift: int = 0) -> Tensor:
    """Windows at a larger place around the maps' own, of the base, which may be padded by `shift` on the top and left."""
    wide = _read(base, place)
    own = maps.place
    inside = Place(own.top + shift - place.top, own.left + shift - place.left, own.height, own.width)
    _write(wide, maps.parts, inside)
    return wide


class _Step(NamedTuple):
    """How a sliding operation goes along one axis: kernel, stride, padding, dilation."""

    kernel: int
    stride: int
    padding: int
    dilation: int

    def reach(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    def outputs(self, start: Tensor, length: int, size: int) -> tuple[Tensor, int, int]:
        """First outputs that inputs [start, start + length) reach, how many (the most of all windows), and the outputs of all the map."""
        every = (size + 2 * self.padding - self.reach()) // self.stride + 1
        first = (-((self.reach() - 1 - self.padding - start) // self.stride)).clamp(0, every - 1)
        last = ((start + length - 1 + self.padding) // self.stride).clamp(0, every - 1)
        many = max(1, int((last - first).max()) + 1)
        return first.clamp(max=every - many), many, every


def _slide(
    maps: Windows,
    steps: tuple[_Step, _Step],
    fill: float,
    whole: Callable[[Tensor], Tensor],
    inside: Callable[[Tensor], Tensor],
    work: float = READING,
) -> Any:
    """A sliding operation: `whole` of the base, `inside` (without padding) of what reaches the windows; work: multiply-adds for each number
    that is read. None where it is not worth it."""
    place, (height, width) = maps.place, maps.base.shape[-2:]
    top, tall, every_y = steps[0].outputs(place.top, place.height, height)
    left, wide, every_x = steps[1].outputs(place.left, place.width, width)
    if tall * wide * (1 + READING / work) > MOST * every_y * every_x * (2 if work == READING else 1):
        return None
    pad_y, pad_x = steps[0].padding, steps[1].padding
    base = F.pad(maps.base, (pad_x, pad_x, pad_y, pad_y), value=fill) if pad_x or pad_y else maps.base
    needed = [(k - 1) * step.stride + step.reach() for k, step in ((tall, steps[0]), (wide, steps[1]))]
    at = Place(top * steps[0].stride, left * steps[1].stride, needed[0], needed[1])
    return _pasted(maps, base, at, (pad_y, pad_x), lambda read: Windows(whole(maps.base), inside(read), Place(top, left, tall, wide)))


def _pasted(maps: Windows, base: Tensor, at: Place, pad: tuple[int, int], make: Callable[[Tensor], Windows]) -> Windows:
    """What is read at a place, with the maps' own windows in it as far as they lie there."""
    own = maps.place
    # Inputs that no output reads (beyond the last stride) need not be copied.
    y, x = _rows(at.top, at.height) - pad[0], _rows(at.left, at.width) - pad[1]
    read = _read(base, at)
    in_y, in_x = y - own.top[:, None], x - own.left[:, None]
    there_y, there_x = (in_y >= 0) & (in_y < own.height), (in_x >= 0) & (in_x < own.width)
    n = torch.arange(len(own.top), device=base.device)[:, None, None]
    mine = maps.parts.permute(0, 2, 3, 1)[n, in_y.clamp(0, own.height - 1)[:, :, None], in_x.clamp(0, own.width - 1)[:, None, :]]
    there = (there_y[:, :, None] & there_x[:, None, :])[..., None]
    return make(torch.where(there, mine, read.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


def _convolution(
    func: Any, x: Any, weight: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    if not isinstance(x, Windows) or isinstance(padding, str):
        return None
    s, p, d = _pair(stride), _pair(padding), _pair(dilation)
    steps = (_Step(weight.shape[2], s[0], p[0], d[0]), _Step(weight.shape[3], s[1], p[1], d[1]))
    return _slide(
        x,
        steps,
        0.0,
        lambda base: func(base, weight, bias, s, p, d, groups),
        lambda read: func(read, weight, bias, s, 0, d, groups),
        work=weight.shape[0] * weight.shape[2] * weight.shape[3] / (s[0] * s[1] * groups),
    )


def _max_pool(
    func: Any, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, **rest: Any
) -> Any:
    if not isinstance(x, Windows) or ceil_mode or rest.get("return_indices"):
        return None
    k, p, d = _pair(kernel_size), _pair(padding), _pair(dilation)
    s = _pair(kernel_size if stride is None or stride == [] else stride)
    steps = (_Step(k[0], s[0], p[0], d[0]), _Step(k[1], s[1], p[1], d[1]))
    return _slide(
        x,
        steps,
        -torch.inf,
        lambda base: F.max_pool2d(base, k, s, p, d),
        lambda read: F.max_pool2d(read, k, s, 0, d),
    )


def _average_pool(
    func: Any,
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Any:
    p = _pair(padding)
    if not isinstance(x, Windows) or ceil_mode or divisor_override is not None or (any(p) and not count_include_pad):
        return None
    k, s = _pair(kernel_size), _pair(kernel_size if stride is None or stride == [] else stride)
    steps = (_Step(k[0], s[0], p[0], 1), _Step(k[1], s[1], p[1], 1))
    return _slide(x, steps, 0.0, lambda base: F.avg_pool2d(base, k, s, p), lambda read: F.avg_pool2d(read, k, s, 0))


def _pointwise(func: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation on each number by itself, of windows and of what is the same for every pixel."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    windows = [a for a in tensors if isinstance(a, Windows)]
    if not all(isinstance(a, Windows) or _is_the_same_everywhere(a) for a in tensors):
        return None
    if any(isinstance(a, Tensor) for a in kwargs.values()) or (shared := _shared(windows)) is None:
        return None
    place, parts = shared
    bases, own = iter([w.base for w in windows]), iter(parts)
    base = func(*(next(bases) if isinstance(a, Windows) else a for a in args), **kwargs)
    return Windows(base, func(*(next(own) if isinstance(a, Windows) else a for a in args), **kwargs), place)


def _is_the_same_everywhere(values: Tensor) -> bool:
    """Whether it is broadcast over images, rows and columns."""
    shape = (1,) * (4 - values.ndim) + tuple(values.shape)
    return values.ndim == 0 or (len(shape) == 4 and shape[0] == shape[2] == shape[3] == 1)


def _in_place(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """As _pointwise, and the tensor itself changes."""
    if not isinstance(x, Windows):
        return None
    if any(isinstance(a, Tensor) and a.ndim > 0 for a in args):
        made = _pointwise(_PLAIN[func], x, *args, **kwargs) if func in _PLAIN else None
        if made is None:
            return None
        x.base, x.parts, x.place = made.base, made.parts, made.place
        return x
    func(x.base, *args, **kwargs)
    func(x.parts, *args, **kwargs)
    return x


def _maybe_in_place(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    return (_in_place if kwargs.get("inplace") else _pointwise)(func, x, *args, **kwargs)


def _joined(func: Any, tensors: Any, dim: int = 0) -> Any:
    if dim not in (1, -3) or not all(isinstance(t, Windows) for t in tensors):
        return None
    shared = _shared(tensors)
    if shared is None:
        return None
    place, parts = shared
    return Windows(func([t.base for t in tensors], 1), func(list(parts), 1), place)


def _shared(windows: Sequence[Windows]) -> tuple[Place, Sequence[Tensor]] | None:
    """Windows of several maps at one place that holds them all; None where there is none that is worth it."""
    first, *rest = windows
    if any(w.base.shape[-2:] != first.base.shape[-2:] or len(w.parts) != len(first.parts) for w in rest):
        return None
    if all(w.place is first.place for w in rest):
        return first.place, [w.parts for w in windows]
    height, width = first.base.shape[-2:]
    top, tall = _hull([(w.place.top, w.place.height) for w in windows], height)
    left, wide = _hull([(w.place.left, w.place.width) for w in windows], width)
    if tall * wide > MOST * height * width:
        return None
    place = Place(top, left, tall, wide)
    return place, [w.parts if _is_at(w.place, place) else _widened(w, w.base, place) for w in windows]


def _is_at(one: Place, other: Place) -> bool:
    same = one.height == other.height and one.width == other.width
    return same and torch.equal(one.top, other.top) and torch.equal(one.left, other.left)


def _hull(spans: Sequence[tuple[Tensor, int]], size: int) -> tuple[Tensor, int]:
    start = torch.stack([start for start, _ in spans]).amin(dim=0)
    end = torch.stack([start + length for start, length in spans]).amax(dim=0)
    length = int((end - start).max())
    return start.clamp(max=size - length), length


def _normalised(
    func: Any,
    x: Any,
    mean: Any,
    variance: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if not isinstance(x, Windows) or training:
        return None
    base, parts = (func(t, mean, variance, weight, bias, False, momentum, eps) for t in (x.base, x.parts))
    return Windows(base, parts, x.place)


def _resized(
    func: Any, x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None, **rest: Any
) -> Any:
    """By whole numbers with nearest neighbours. Of an image (few channels), any other way: whole, and then cut to what its pixels reach."""
    if not isinstance(x, Windows) or align_corners or mode not in _REACH:
        return None
    place, maps = x.place, x.base.shape[-2:]
    if size is None:
        factors = (scale_factor, scale_factor) if isinstance(scale_factor, int | float) else scale_factor
        if not all(float(f).is_integer() for f in factors):
            return None
        size = tuple(int(f) * s for f, s in zip(factors, maps, strict=True))
    wanted = _pair(size)
    up = [w // s if w % s == 0 else 0 for w, s in zip(wanted, maps, strict=True)]
    if all(up) and mode == "nearest":
        parts = func(x.parts, size=(place.height * up[0], place.width * up[1]), mode=mode)
        moved = Place(place.top * up[0], place.left * up[1], place.height * up[0], place.width * up[1])
        return Windows(func(x.base, size=wanted, mode=mode), parts, moved)
    if x.base.shape[1] > _FEW_CHANNELS or mode == "nearest":
        return None
    top, tall = _reached(place.top, place.height, maps[0], wanted[0], _REACH[mode])
    left, wide = _reached(place.left, place.width, maps[1], wanted[1], _REACH[mode])
    at = Place(top, left, tall, wide)
    every, base = (func(t, size=wanted, mode=mode, align_corners=align_corners, **rest) for t in (x.whole(), x.base))
    return Windows(base, _own(every, at), at)


_REACH = {"nearest": 1, "bilinear": 1, "bicubic": 2}
"""How many inputs (or outputs, where there are fewer of these) an output of a resize looks to each side."""

_FEW_CHANNELS = 4


def _reached(start: Tensor, length: int, size: int, wanted: int, reach: int) -> tuple[Tensor, int]:
    """First outputs of a resize along an axis that inputs [start, start + length) reach, and how many, one more at each side."""
    ratio = size / wanted
    margin = reach * max(1.0, ratio) + 1
    first = ((start - margin) / ratio).floor().long().clamp(0, wanted - 1)
    last = ((start + length + margin) / ratio).ceil().long().clamp(0, wanted - 1)
    many = int((last - first).max()) + 1
    return first.clamp(max=wanted - many), many


def _own(maps: Tensor, place: Place) -> Tensor:
    """The windows of N maps, each of its own."""
    y, x = _rows(place.top, place.height), _rows(place.left, place.width)
    n = torch.arange(len(maps), device=maps.device)[:, None, None]
    return maps.permute(0, 2, 3, 1)[n, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)


def _cropped(func: Any, x: Any, index: Any) -> Any:
    """A rectangle of the maps: x[..., a:b, c:d]."""
    if not isinstance(x, Windows) or not isinstance(index, tuple) or len(index) not in (3, 4):
        return None
    *head, rows, columns = index
    if head != [Ellipsis] and head != [slice(None), slice(None)]:
        return None
    if not isinstance(rows, slice) or not isinstance(columns, slice) or rows.step not in (None, 1) or columns.step not in (None, 1):
        return None
    (top, bottom, _), (left, right, _) = rows.indices(x.base.shape[-2]), columns.indices(x.base.shape[-1])
    own, base = x.place, x.base[..., top:bottom, left:right]
    height, width = min(own.height, bottom - top), min(own.width, right - left)
    if height < 1 or width < 1:
        return None
    at = Place((own.top - top).clamp(0, bottom - top - height), (own.left - left).clamp(0, right - left - width), height, width)
    moved = Windows(base, x.parts, Place(own.top - top, own.left - left, own.height, own.width))
    return _pasted(moved, base, at, (0, 0), lambda read: Windows(base, read, at))


def _padded(func: Any, x: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    """With a constant around the maps."""
    if not isinstance(x, Windows) or mode != "constant" or len(pad) > 4 or min(pad) < 0:
        return None
    left, _, top, _ = (*pad, 0, 0)[:4] if len(pad) == 2 else pad
    return Windows(func(x.base, pad, mode, value), x.parts, Place(x.place.top + top, x.place.left + left, *x.place[2:]))


def _as_it_is(func: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Asked for another memory format, or for the dtype and device that it has."""
    for a in (*args, *kwargs.values()):
        if isinstance(a, torch.dtype) and a != x.dtype:
            return None
        if isinstance(a, torch.device | str) and torch.device(a) != x.device:
            return None
        if isinstance(a, Tensor):
            return None
    return x


_METADATA = {
    *(Tensor.shape.__get__, Tensor.ndim.__get__, Tensor.dtype.__get__, Tensor.device.__get__, Tensor.requires_grad.__get__),  # type: ignore[attr-defined]
    *(Tensor.size, Tensor.dim, Tensor.__len__, Tensor.is_floating_point, Tensor.numel, Tensor.layout.__get__, Tensor.is_complex),  # type: ignore[attr-defined]
}
_ONE_BY_ONE = (
    *(
        torch.relu,
        Tensor.relu,
        torch.sigmoid,
        Tensor.sigmoid,
        torch.tanh,
        Tensor.tanh,
        F.gelu,
        torch.exp,
        Tensor.exp,
        torch.abs,
        Tensor.abs,
    ),
    *(torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__, torch.sub, Tensor.sub, Tensor.__sub__, Tensor.__rsub__),
    *(torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__, torch.div, Tensor.div, Tensor.__truediv__, torch.clamp, Tensor.clamp),
)
_PLAIN = {Tensor.add_: torch.add, Tensor.mul_: torch.mul, Tensor.__iadd__: torch.add, Tensor.__imul__: torch.mul}
_KNOWN: dict[Any, Callable[..., Any]] = {
    torch.conv2d: _convolution,
    F.conv2d: _convolution,
    torch.max_pool2d: _max_pool,
    F.max_pool2d: _max_pool,
    F.avg_pool2d: _average_pool,
    torch.cat: _joined,
    F.batch_norm: _normalised,
    F.interpolate: _resized,
    F.pad: _padded,
    Tensor.__getitem__: _cropped,
    **dict.fromkeys(_ONE_BY_ONE, _pointwise),
    **dict.fromkeys((F.relu, F.leaky_relu, F.silu, F.relu6, F.hardswish, F.hardsigmoid, F.elu, F.mish), _maybe_in_place),
    **dict.fromkeys((torch.relu_, Tensor.relu_, F.relu_, F.leaky_relu_, Tensor.sigmoid_, *_PLAIN), _in_place),
    **dict.fromkeys((Tensor.to, Tensor.float, Tensor.contiguous, Tensor.cpu), _as_it_is),
}
