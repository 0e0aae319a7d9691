"""A network built from Darknet's sections, layer by layer; its outputs are the maps of its detecting layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from robustbench_cv.models.detectors.darknet import layers
from robustbench_cv.models.detectors.darknet.cfg import Section
from robustbench_cv.models.detectors.darknet.heads import AnchorHead, GridHead, Head

Shape = tuple[int, int, int]
"""Maps, height, width."""

MOST_LAYERS, MOST_SIDE, MOST_MAPS, MOST_UPSAMPLING = 1_000, 16_384, 100_000, 64
"""Layers of a network; px of an input, a kernel, a stride; maps, classes or boxes of a layer; times (project choices, several times what
any published network has).
"""
MOST_PARAMETERS, MOST_VALUES = 10**9, 2 * 10**9
"""Of a whole network, and of all its layers' outputs for one image: 4 and 8 GB (project choices)."""


class DarknetNetwork(nn.Module):
    """Images (N, 3, H, W) in [0, 1] -> one map for each detecting layer, in the cfg's order.

    layers: one module a section, [net] left out, so that indices are Darknet's own. height, width: of the input, as [net] says; networks
    without [connected], [local] or [detection] take any multiple of their stride. seen: images that training has shown it, as Darknet
    counts in its files. UserError, naming the section, for what cannot be built.
    """

    seen: Tensor

    def __init__(self, sections: Sequence[Section]) -> None:
        super().__init__()
        net = sections[0]
        _require_bounded(sections)
        self.kinds = tuple(section.kind for section in sections[1:])
        self.height, self.width = _side(net, "height"), _side(net, "width")
        self.layers = nn.ModuleList(module for module, _ in _layers(sections))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self._kept = {source for module in self.layers for source in _sources(module)}
        if not self.heads:
            raise net.wrong("is of no detector: there is no [yolo], [region] or [detection] section")

    @property
    def heads(self) -> list[Head]:
        """The detecting layers, in order."""
        return [module for module in self.layers if isinstance(module, Head)]

    def forward(self, x: Tensor) -> list[Tensor]:
        """What each detecting layer sees."""
        kept: dict[int, Tensor] = {}
        maps: list[Tensor] = []
        for index, module in enumerate(self.layers):
            sources = _sources(module)
            if isinstance(module, layers.Shortcut):
                x = module(x, *(kept[source] for source in sources))
            else:
                x = module(*(kept[source] for source in sources)) if sources else module(x)
            if index in self._kept:
                kept[index] = x
            if isinstance(module, Head):
                maps.append(x)
        return maps


def _sources(module: nn.Module) -> tuple[int, ...]:
    return module.sources if isinstance(module, layers.Route | layers.Shortcut) else ()


def _side(net: Section, key: str) -> int:
    return net.integer(key, least=1, most=MOST_SIDE)


def _require_bounded(sections: Sequence[Section]) -> None:
    """UserError, before any memory is taken, for a network of too many layers, parameters or outputs, or of none that detects."""
    net = sections[0]
    if len(sections) > MOST_LAYERS:
        raise net.wrong(f"is of {len(sections) - 1:,} layers; this reader builds up to {MOST_LAYERS}")
    parameters = values = 0
    with torch.device("meta"):
        for section, (module, shape) in zip(sections[1:], _layers(sections), strict=True):
            parameters += sum(p.numel() for p in module.parameters())
            values += math.prod(shape)
            for count, what, most in ((parameters, "parameters", MOST_PARAMETERS), (values, "outputs for one image", MOST_VALUES)):
                if count > most:
                    raise section.wrong(f"brings the network to {count:,} {what}; this reader builds up to {most:,}")


def _layers(sections: Sequence[Section]) -> Iterator[tuple[nn.Module, Shape]]:
    """Each section's module and the shape of its output."""
    net = sections[0]
    before: Shape = (net.integer("channels", 3, least=3, most=3), _side(net, "height"), _side(net, "width"))
    shapes: list[Shape] = []
    for section in sections[1:]:
        make = LAYERS.get(section.kind)
        if make is None:
            raise section.wrong(f"is a layer that this reader does not know; it knows {', '.join(sorted(LAYERS))}")
        module, after = make(section, before, shapes)
        if min(after) < 1:
            raise section.wrong(f"leaves nothing of {before} (maps, height, width); give a larger input_size")
        shapes.append(after)
        before = after
        yield module, after


def _convolutional(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    groups = section.integer("groups", 1, least=1, most=before[0])
    filters, size, stride, padding = _kernel(section)
    if before[0] % groups or filters % groups:
        raise section.wrong(f"has groups={groups}, which does not divide its {before[0]} maps before it and {filters} filters")
    after = _windows(section, before, size, stride, 2 * padding)
    norm = section.flag("batch_normalize")
    module = layers.Convolutional(before[0], filters, size, stride, padding, groups, _act(section, "logistic"), norm=norm)
    return module, (filters, *after)


def _kernel(section: Section) -> tuple[int, int, int, int]:
    """Filters, side, stride and padding of a layer with kernels."""
    size = section.integer("size", 1, least=1, most=MOST_SIDE)
    stride = section.integer("stride", 1, least=1, most=MOST_SIDE)
    padding = size // 2 if section.flag("pad") else section.integer("padding", 0, least=0, most=size)
    return section.integer("filters", 1, least=1, most=MOST_MAPS), size, stride, padding


def _windows(section: Section, before: Shape, size: int, stride: int, padding: int) -> tuple[int, int]:
    """How many windows fit below and beside each other; padding: in all. UserError where none does."""
    height, width = ((side + padding - size) // stride + 1 for side in before[1:])
    if min(height, width) < 1:
        raise section.wrong(f"leaves nothing of {before} (maps, height, width); give a larger input_size")
    return height, width


def _local(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    filters, size, stride, _ = _kernel(section)
    padding = size // 2 if section.flag("pad") else 0
    after = _windows(section, before, size, stride, 2 * padding)
    return layers.Local(before, filters, size, stride, padding, _act(section, "logistic")), (filters, *after)


def _connected(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    outside = section.integer("output", 1, least=1, most=MOST_PARAMETERS)
    norm = section.flag("batch_normalize")
    return layers.Connected(math.prod(before), outside, _act(section, "logistic"), norm=norm), (outside, 1, 1)


def _maxpool(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    stride = section.integer("stride", 1, least=1, most=MOST_SIDE)
    size = section.integer("size", stride, least=1, most=MOST_SIDE)
    # More, and a window would lie in the padding alone.
    padding = section.integer("padding", size - 1, least=0, most=2 * (size - 1))
    return layers.MaxPool(size, stride, padding), (before[0], *_windows(section, before, size, stride, padding))


def _route(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    sources = _earlier(section, section.integers("layers"), len(shapes))
    groups = section.integer("groups", 1, least=1, most=MOST_MAPS)
    group = section.integer("group_id", 0, least=0, most=groups - 1)
    sizes = {shapes[source][1:] for source in sources}
    if len(sizes) > 1:
        raise section.wrong(f"joins layers of different sizes {sorted(sizes)}")
    if any(shapes[source][0] % groups for source in sources):
        raise section.wrong(
            f"has groups={groups}, which does not divide the {[shapes[source][0] for source in sources]} maps that it joins"
        )
    maps = sum(shapes[source][0] // groups for source in sources)
    return layers.Route(sources, groups, group), (maps, *sizes.pop())


def _shortcut(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    sources = _earlier(section, section.integers("from"), len(shapes))
    if any(shapes[source] != before for source in sources):
        raise section.wrong(f"adds layers of different shapes {[before, *(shapes[s] for s in sources)]}")
    return layers.Shortcut(sources, _act(section, "linear")), before


def _upsample(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    stride = section.integer("stride", 2, least=1, most=MOST_UPSAMPLING)
    return layers.Upsample(stride), (before[0], before[1] * stride, before[2] * stride)


def _reorg(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    stride = section.integer("stride", 1, least=1, most=min(before[1:]))
    if any(side % stride for side in before[1:]) or before[0] % stride**2:
        raise section.wrong(f"with stride {stride} cannot divide {before}")
    return layers.Reorg(stride), (before[0] * stride**2, before[1] // stride, before[2] // stride)


def _dropout(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    return nn.Dropout(section.real("probability", 0.5, least=0, most=1)), before


def _yolo(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    if section.integer("new_coords", 0):
        raise section.wrong("has new_coords=1, another box formula, which this reader does not know")
    anchors = _anchors(section)
    mask = section.integers("mask") if "mask" in section.options else tuple(range(len(anchors)))
    if not mask or min(mask) < 0 or max(mask) >= len(anchors):
        raise section.wrong(f"has mask={section.text('mask')}; it must name some of its {len(anchors)} anchors, 0 to {len(anchors) - 1}")
    stretch = section.real("scale_x_y", 1.0, least=1, most=10)
    head = AnchorHead(_classes(section, 20), anchors[list(mask)], in_cells=False, softmax=False, stretch=stretch)
    return _fitting(section, head, before), before


def _region(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    if "tree" in section.options or "map" in section.options:
        raise section.wrong("has a tree of classes (YOLO9000), which this reader does not know")
    if not section.flag("softmax"):
        raise section.wrong("has softmax=0, under which Darknet leaves class scores without a scale; train it with softmax=1")
    return _fitting(section, AnchorHead(_classes(section, 20), _anchors(section), in_cells=True, softmax=True), before), before


def _detection(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    side, boxes = section.integer("side", 7, least=1, most=MOST_SIDE), section.integer("num", 1, least=1, most=MOST_MAPS)
    if section.flag("softmax"):
        raise section.wrong("has softmax=1, which no published network uses; this reader does not know it")
    return _fitting(section, GridHead(_classes(section, 1), side, boxes, root=section.flag("sqrt")), before), before


def _classes(section: Section, default: int) -> int:
    return section.integer("classes", default, least=1, most=MOST_MAPS)


LAYERS: dict[str, Callable[[Section, Shape, Sequence[Shape]], tuple[nn.Module, Shape]]] = {
    "convolutional": _convolutional,
    "local": _local,
    "connected": _connected,
    "maxpool": _maxpool,
    "route": _route,
    "shortcut": _shortcut,
    "upsample": _upsample,
    "reorg": _reorg,
    "dropout": _dropout,
    "yolo": _yolo,
    "region": _region,
    "detection": _detection,
}


def _act(section: Section, default: str) -> nn.Module:
    name = section.text("activation", default)
    act = layers.activation(name)
    if act is None:
        raise section.wrong(f"has activation={name}; known are leaky, {', '.join(layers.ACTIVATIONS)}")
    return act


def _earlier(section: Section, given: tuple[int, ...], here: int) -> tuple[int, ...]:
    """Absolute indices; negative ones count back from this layer."""
    indices = tuple(index if index >= 0 else here + index for index in given)
    if not indices or any(not 0 <= index < here for index in indices):
        raise section.wrong(f"points to the layers {list(given)}, of which there are {here} before it")
    return indices


def _anchors(section: Section) -> Tensor:
    """(A, 2), as many as num= says where it does."""
    values = section.reals("anchors")
    if not values or len(values) % 2:
        raise section.wrong(f"needs anchors= with pairs of width and height, found {len(values)} numbers")
    if min(values) <= 0:
        raise section.wrong(f"has an anchor of {min(values):g}; widths and heights are above 0")
    pairs = len(values) // 2
    if section.integer("num", pairs, least=1, most=MOST_MAPS) != pairs:
        raise section.wrong(f"has num={section.text('num')} and {pairs} pairs in anchors=; they must be as many")
    return torch.tensor(values).reshape(-1, 2)


def _fitting(section: Section, head: Head, before: Shape) -> Head:
    if math.prod(before) != head.channels and before[0] != head.channels:
        raise section.wrong(f"with {head.classes} classes needs {head.channels} maps before it, found {before[0]}")
    return head
