"""A network built from Darknet's sections, layer by layer; its outputs are the maps of its detecting layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from robustbench_cv.models.detectors.darknet import layers
from robustbench_cv.models.detectors.darknet.cfg import Section
from robustbench_cv.models.detectors.darknet.heads import AnchorHead, GridHead, Head

Shape = tuple[int, int, int]
"""Maps, height, width."""


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
        self.height, self.width = net.integer("height"), net.integer("width")
        shapes: list[Shape] = []
        self.layers = nn.ModuleList()
        self.kinds = tuple(section.kind for section in sections[1:])
        for section in sections[1:]:
            before = shapes[-1] if shapes else (net.integer("channels", 3), self.height, self.width)
            module, after = _layer(section, before, shapes)
            self.layers.append(module)
            shapes.append(after)
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


def _layer(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    make = LAYERS.get(section.kind)
    if make is None:
        raise section.wrong(f"is a layer that this reader does not know; it knows {', '.join(sorted(LAYERS))}")
    module, after = make(section, before, shapes)
    if min(after) < 1:
        raise section.wrong(f"leaves nothing of {before} (maps, height, width); give a larger input_size")
    return module, after


def _convolutional(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    size, stride, groups = section.integer("size", 1), section.integer("stride", 1), section.integer("groups", 1)
    padding = size // 2 if section.integer("pad", 0) else section.integer("padding", 0)
    filters = section.integer("filters", 1)
    norm = bool(section.integer("batch_normalize", 0))
    module = layers.Convolutional(before[0], filters, size, stride, padding, groups, _act(section, "logistic"), norm=norm)
    return module, (filters, *((side + 2 * padding - size) // stride + 1 for side in before[1:]))  # type: ignore[return-value]


def _local(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    size, stride = section.integer("size", 1), section.integer("stride", 1)
    padding = size // 2 if section.integer("pad", 0) else 0
    module = layers.Local(before, section.integer("filters", 1), size, stride, padding, _act(section, "logistic"))
    maps, height, width = module.bias.shape
    return module, (maps, height, width)


def _connected(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    outside = section.integer("output", 1)
    norm = bool(section.integer("batch_normalize", 0))
    return layers.Connected(math.prod(before), outside, _act(section, "logistic"), norm=norm), (outside, 1, 1)


def _maxpool(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    stride = section.integer("stride", 1)
    size = section.integer("size", stride)
    padding = section.integer("padding", size - 1)
    height, width = ((side + padding - size) // stride + 1 for side in before[1:])
    return layers.MaxPool(size, stride, padding), (before[0], height, width)


def _route(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    sources = _earlier(section, section.integers("layers"), len(shapes))
    groups, group = section.integer("groups", 1), section.integer("group_id", 0)
    sizes = {shapes[source][1:] for source in sources}
    if len(sizes) > 1:
        raise section.wrong(f"joins layers of different sizes {sorted(sizes)}")
    maps = sum(shapes[source][0] // groups for source in sources)
    return layers.Route(sources, groups, group), (maps, *sizes.pop())


def _shortcut(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    sources = _earlier(section, section.integers("from"), len(shapes))
    if any(shapes[source] != before for source in sources):
        raise section.wrong(f"adds layers of different shapes {[before, *(shapes[s] for s in sources)]}")
    return layers.Shortcut(sources, _act(section, "linear")), before


def _upsample(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    stride = section.integer("stride", 2)
    return layers.Upsample(stride), (before[0], before[1] * stride, before[2] * stride)


def _reorg(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    stride = section.integer("stride", 1)
    if any(side % stride for side in before[1:]) or before[0] % stride**2:
        raise section.wrong(f"with stride {stride} cannot divide {before}")
    return layers.Reorg(stride), (before[0] * stride**2, before[1] // stride, before[2] // stride)


def _dropout(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    return nn.Dropout(section.real("probability", 0.5)), before


def _yolo(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    if section.integer("new_coords", 0):
        raise section.wrong("has new_coords=1, another box formula, which this reader does not know")
    anchors = _anchors(section)
    mask = section.integers("mask") or tuple(range(len(anchors)))
    stretch = section.real("scale_x_y", 1.0)
    head = AnchorHead(section.integer("classes", 20), anchors[list(mask)], in_cells=False, softmax=False, stretch=stretch)
    return _fitting(section, head, before), before


def _region(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    if "tree" in section.options or "map" in section.options:
        raise section.wrong("has a tree of classes (YOLO9000), which this reader does not know")
    if not section.integer("softmax", 0):
        raise section.wrong("has softmax=0, under which Darknet leaves class scores without a scale; train it with softmax=1")
    return _fitting(section, AnchorHead(section.integer("classes", 20), _anchors(section), in_cells=True, softmax=True), before), before


def _detection(section: Section, before: Shape, shapes: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    classes, side, boxes = section.integer("classes", 1), section.integer("side", 7), section.integer("num", 1)
    if section.integer("softmax", 0):
        raise section.wrong("has softmax=1, which no published network uses; this reader does not know it")
    return _fitting(section, GridHead(classes, side, boxes, root=bool(section.integer("sqrt", 0))), before), before


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
    found = tuple(index if index >= 0 else here + index for index in given)
    if not found or any(not 0 <= index < here for index in found):
        raise section.wrong(f"points to the layers {list(given)}, of which there are {here} before it")
    return found


def _anchors(section: Section) -> Tensor:
    values = section.reals("anchors")
    if not values or len(values) % 2:
        raise section.wrong(f"needs anchors= with pairs of width and height, found {len(values)} numbers")
    return torch.tensor(values).reshape(-1, 2)


def _fitting(section: Section, head: Head, before: Shape) -> Head:
    if math.prod(before) != head.channels and before[0] != head.channels:
        raise section.wrong(f"with {head.classes} classes needs {head.channels} maps before it, found {before[0]}")
    return head
