"""One XML file of Pascal VOC: the objects of an image. Written by people's tools, so every fault is told with its object."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

from robustbench_cv.arguments import shorten
from robustbench_cv.data.coco_objects import OVERSHOOT_PX
from robustbench_cv.data.objects import AnnotatedObject
from robustbench_cv.errors import BadSample
from robustbench_cv.files import read_regular
from robustbench_cv.types import Labels

_LARGEST_BYTES = 2**24


def read_annotation(path: Path, labels: Labels, height: int, width: int) -> list[AnnotatedObject]:
    """The objects in the order of the file. BadSample, naming the file and the object, for what is none of an image of this size."""
    root = _parse(path)
    size = root.find("size")
    if size is not None:
        said = tuple(_number(size, name, path) for name in ("width", "height"))
        if said not in ((0.0, 0.0), (float(width), float(height))):
            raise BadSample(f"{path} is of an image of {said[0]:g} x {said[1]:g} pixels, its image has {width} x {height}")
    return [_object(node, labels, height, width, f"{path}, object {k + 1}") for k, node in enumerate(root.findall("object"))]


def _parse(path: Path) -> ElementTree.Element:
    try:
        data = read_regular(path, _LARGEST_BYTES)
    except OSError as error:
        raise BadSample(f"cannot read {path}: {error.strerror or error}; every image of VOC has an XML of its name") from error
    parser = ElementTree.XMLParser(target=_NoEntities())  # noqa: S314 # nosec B314 - what declares entities is refused there
    try:
        parser.feed(data)
        root: ElementTree.Element = parser.close()
    except _DeclaresEntities as error:
        raise BadSample(f"{path} declares entities, which could grow without end; an annotation has none: take them out") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an encoding that nobody knows
        raise BadSample(f"{path} is no XML: {error}") from error
    if root.tag != "annotation":
        raise BadSample(f"{path} is <{root.tag[:60]}>, not the <annotation> of an image")
    return root


class _DeclaresEntities(Exception):
    """A document type, in which alone entities are declared."""


class _NoEntities(ElementTree.TreeBuilder):
    """Asked by the parser, which knows the encoding: in UTF-16 a look at the bytes finds nothing."""

    def doctype(self, name: str, pubid: str | None, system: str | None, /) -> None:
        raise _DeclaresEntities(name)


def _object(node: ElementTree.Element, labels: Labels, height: int, width: int, where: str) -> AnnotatedObject:
    name = (node.findtext("name") or "").strip()
    if name not in labels.names:
        known = ", ".join(labels.names[:6])
        raise BadSample(f"{where}: class {shorten(repr(name))} is not one of {len(labels)} ({known}, ...); name your own with classes=PATH")
    box = node.find("bndbox")
    if box is None:
        raise BadSample(f"{where}: it has no bndbox")
    x1, y1, x2, y2 = (_number(box, part, where) for part in ("xmin", "ymin", "xmax", "ymax"))
    edges = x1 - 1, y1 - 1, x2, y2
    if x2 < x1 or y2 < y1:
        raise BadSample(f"{where}: the box from {x1:g}, {y1:g} to {x2:g}, {y2:g} has no pixel; xmin <= xmax and ymin <= ymax")
    if min(edges[:2]) < -OVERSHOOT_PX or x2 > width + OVERSHOOT_PX or y2 > height + OVERSHOOT_PX:
        raise BadSample(f"{where}: the box from {x1:g}, {y1:g} to {x2:g}, {y2:g} leaves the image, 1, 1 to {width}, {height}")
    inside = max(edges[0], 0.0), max(edges[1], 0.0), min(edges[2], float(width)), min(edges[3], float(height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise BadSample(f"{where}: the box from {x1:g}, {y1:g} to {x2:g}, {y2:g} lies beyond the edge of the image of {width} x {height}")
    difficult = (node.findtext("difficult") or "0").strip()
    if difficult not in ("0", "1"):
        raise BadSample(f"{where}: difficult is {shorten(repr(difficult))}; it is 0 or 1")
    area = (inside[2] - inside[0]) * (inside[3] - inside[1])
    return AnnotatedObject(inside, labels.index(name), difficult == "1", area, None)


def _number(node: ElementTree.Element, name: str, where: object) -> float:
    text = node.findtext(name)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadSample(f"{where}: {name} is {shorten(repr(text))}, no number")
    return value
