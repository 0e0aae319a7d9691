"""The published networks as sections: the layers, anchors and sizes of Darknet's own configuration files, and smaller copies of them.

`stride` is the side of a cell in px; where it is less than the paper's, some halvings are left out: version 2's first ones, of version 1
those that HALVINGS_1 says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robustbench_cv.models.detectors.darknet.cfg import Section

Sections = tuple[Section, ...]

COCO_ANCHORS_2 = (0.57273, 0.677385, 1.87446, 2.06253, 3.33843, 5.47434, 7.88282, 3.52778, 9.77052, 9.16828)
VOC_ANCHORS_2 = (1.3221, 1.73145, 3.19275, 4.00944, 5.05587, 8.09892, 9.47112, 4.84053, 11.2364, 10.0071)
VOC_ANCHORS_2_TINY = (1.08, 1.19, 3.42, 4.41, 6.63, 11.38, 9.42, 5.11, 16.62, 10.52)
"""Version 2's, in cells."""

ANCHORS_3 = (10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326)
ANCHORS_3_TINY = (10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319)
"""Version 3's, in px at an input of 416."""


SCALES_1 = {"object_scale": 1, "noobject_scale": 0.5, "class_scale": 1, "coord_scale": 5}
"""Version 1's weights of the parts of its loss."""


def section(kind: str, **options: object) -> Section:
    """One section; a tuple becomes a comma list."""
    return Section(kind, {k: ",".join(map(str, v)) if isinstance(v, tuple) else str(v) for k, v in options.items()})


def conv(filters: int, size: int, stride: int = 1, *, norm: bool = True, activation: str = "leaky") -> Section:
    """A padded convolution."""
    normalised = {"batch_normalize": 1} if norm else {}
    return section("convolutional", **normalised, filters=filters, size=size, stride=stride, pad=1, activation=activation)


def last(filters: int) -> Section:
    """The linear 1x1 convolution before a detecting layer."""
    return conv(filters, 1, norm=False, activation="linear")


def pool(size: int = 2, stride: int = 2) -> Section:
    """A max-pool."""
    return section("maxpool", size=size, stride=stride)


def route(*sources: int) -> Section:
    """Earlier layers, joined."""
    return section("route", layers=sources)


def net(side: int) -> Section:
    """The first section."""
    return section("net", width=side, height=side, channels=3)


def narrow(sections: Sections, width: int, widest: int = 0) -> Sections:
    """The same network with `width` maps in its first layer and all others in proportion, at least 4 and at most `widest`; 0 = as it is.

    The linear convolution before a detecting layer keeps its maps, and a connected layer its units.
    """
    first = next(s.integer("filters") for s in sections if "filters" in s.options)

    def maps(count: int) -> int:
        mine = max(4, count * width // first) if width else count
        return min(mine, widest) if widest else mine

    return tuple(
        replace(s, options={**s.options, "filters": str(maps(s.integer("filters")))})
        if "filters" in s.options and s.text("activation") != "linear"
        else s
        for s in sections
    )


def version1(
    side: int = 448,
    classes: int = 20,
    *,
    hidden: int = 4096,
    stride: int = 64,
    norm: bool = False,
    dropout: float = 0.5,
) -> Sections:
    """The paper's: 24 convolutions, two connected layers, two boxes a cell. norm: batch normalisation, which the paper's has not."""
    grid = side // stride
    cells = grid * grid * (classes + 2 * 5)
    return (
        net(side),
        *_body1(stride, norm=norm),
        section("connected", output=hidden, activation="leaky"),
        section("dropout", probability=dropout),
        section("connected", output=cells, activation="linear"),
        section("detection", classes=classes, coords=4, rescore=0, side=grid, num=2, softmax=0, sqrt=1, **SCALES_1),
    )


def version1_shipped(side: int = 448, classes: int = 20) -> Sections:
    """yolov1.cfg: batch normalisation, a locally connected layer instead of one connected layer, three boxes a cell."""
    grid = side // 64
    return (
        net(side),
        *_body1(64, norm=True),
        section("local", size=3, stride=1, pad=1, filters=256, activation="leaky"),
        section("dropout", probability=0.5),
        section("connected", output=grid * grid * (classes + 15), activation="linear"),
        section("detection", classes=classes, coords=4, rescore=1, side=grid, num=3, softmax=0, sqrt=1, **SCALES_1),
    )


def version1_tiny(side: int = 448, classes: int = 20) -> Sections:
    """yolov1-tiny.cfg: eight convolutions, one connected layer, two boxes a cell."""
    grid = side // 64
    body = [step for maps in (16, 32, 64, 128, 256, 512) for step in (conv(maps, 3), pool())]
    return (
        net(side),
        *body,
        conv(1024, 3),
        conv(256, 3),
        section("connected", output=grid * grid * (classes + 10), activation="linear"),
        section("detection", classes=classes, coords=4, rescore=1, side=grid, num=2, softmax=0, sqrt=1, **SCALES_1),
    )


HALVINGS_1 = {64: (0, 1, 2, 3, 4, 5), 32: (0, 1, 3, 4, 5), 16: (0, 1, 3, 4), 8: (0, 1, 3)}
"""Which of version 1's six halvings are kept for a stride. The first two always are: maps of the full size cost most of the time."""


def _body1(stride: int, *, norm: bool) -> Sections:
    """24 convolutions and four pools, less the halvings that a stride of less than 64 leaves out."""
    halves = iter([k in HALVINGS_1[stride] for k in range(6)])

    def c(filters: int, size: int, step: int = 1) -> Section:
        return conv(filters, size, step, norm=norm)

    def halving() -> Sections:
        return (pool(),) if next(halves) else ()

    return (
        c(64, 7, 2 if next(halves) else 1),
        *halving(),
        c(192, 3),
        *halving(),
        *(c(128, 1), c(256, 3), c(256, 1), c(512, 3)),
        *halving(),
        *(c(256, 1), c(512, 3)) * 4,
        *(c(512, 1), c(1024, 3)),
        *halving(),
        *(c(512, 1), c(1024, 3)) * 2,
        c(1024, 3),
        c(1024, 3, 2 if next(halves) else 1),
        *(c(1024, 3), c(1024, 3)),
    )


def version2(
    side: int,
    classes: int,
    anchors: Sequence[float],
    *,
    stride: int = 32,
) -> Sections:
    """Darknet-19, three more convolutions, and the finer map of half the stride brought in by a reorg before the last of them."""
    halvings = {32: 5, 16: 4, 8: 3}[stride]
    body: list[Section] = []
    for level, sizes in enumerate(([32], [64], [128, 64, 128], [256, 128, 256], [512, 256, 512, 256, 512], [1024, 512, 1024, 512, 1024])):
        if level > 5 - halvings:
            body.append(pool())
        if level == 5:
            fine = len(body) - 2
        body += [conv(filters, 3 if i % 2 == 0 else 1) for i, filters in enumerate(sizes)]
    return (
        net(side),
        *body,
        *(conv(1024, 3), conv(1024, 3)),
        route(fine),
        conv(64, 1),
        section("reorg", stride=2),
        route(-1, -4),
        conv(1024, 3),
        last(len(anchors) // 2 * (5 + classes)),
        _region(anchors, classes),
    )


def version2_tiny(side: int, classes: int, anchors: Sequence[float], maps: int) -> Sections:
    """Eight convolutions and six pools, the last of stride 1; `maps` in the last but one (512 for COCO, 1024 for VOC)."""
    body = [step for count in (16, 32, 64, 128, 256) for step in (conv(count, 3), pool())]
    return (
        net(side),
        *body,
        *(conv(512, 3), pool(2, 1), conv(1024, 3), conv(maps, 3)),
        last(len(anchors) // 2 * (5 + classes)),
        _region(anchors, classes),
    )


def _region(anchors: Sequence[float], classes: int) -> Section:
    fixed = {"coords": 4, "softmax": 1, "bias_match": 1, "rescore": 1, "thresh": 0.6, "absolute": 1, "random": 1}
    scales = {"object_scale": 5, "noobject_scale": 1, "class_scale": 1, "coord_scale": 1}
    return section("region", anchors=tuple(anchors), classes=classes, num=len(anchors) // 2, **fixed, **scales)


def version3(side: int = 416, classes: int = 80, *, pyramid: bool = False) -> Sections:
    """Darknet-53 and three heads: 107 layers. pyramid: the SPP network, whose coarsest head pools at three more sizes."""
    body: list[Section] = [conv(32, 3)]
    for maps, repeats in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        body.append(conv(maps, 3, 2))
        body += [conv(maps // 2, 1), conv(maps, 3), section("shortcut", **{"from": -3}, activation="linear")] * repeats
    five = [conv(512, 1), conv(1024, 3), conv(512, 1)]
    if pyramid:
        five += [pool(5, 1), route(-2), pool(9, 1), route(-4), pool(13, 1), route(-1, -3, -5, -6), conv(512, 1)]
    five += [conv(1024, 3), conv(512, 1)]
    heads = [*five, *_head3(1024, classes, (6, 7, 8)), *_finer(256, 61), *_neck(256), *_head3(512, classes, (3, 4, 5))]
    return (net(side), *body, *heads, *_finer(128, 36), *_neck(128), *_head3(256, classes, (0, 1, 2)))


def _neck(maps: int) -> list[Section]:
    return [conv(maps, 1), conv(2 * maps, 3), conv(maps, 1), conv(2 * maps, 3), conv(maps, 1)]


def _finer(maps: int, source: int) -> list[Section]:
    return [route(-4), conv(maps, 1), section("upsample", stride=2), route(-1, source)]


def _head3(maps: int, classes: int, mask: tuple[int, ...], anchors: tuple[int, ...] = ANCHORS_3) -> list[Section]:
    facts = {"num": len(anchors) // 2, "jitter": 0.3, "ignore_thresh": 0.7, "truth_thresh": 1, "random": 1}
    return [conv(maps, 3), last(len(mask) * (5 + classes)), section("yolo", mask=mask, anchors=anchors, classes=classes, **facts)]


def version3_tiny(side: int = 416, classes: int = 80) -> Sections:
    """Thirteen convolutions, six pools and two heads, with six anchors of its own.

    The finer head's mask is 0,1,2 in Darknet's latest file and was 1,2,3 in its first; for weights of that age give that cfg to `darknet:`.
    """
    body = [step for maps in (16, 32, 64, 128, 256) for step in (conv(maps, 3), pool())]
    top = [conv(512, 3), pool(2, 1), conv(1024, 3), conv(256, 1)]
    coarse = _head3(512, classes, (3, 4, 5), ANCHORS_3_TINY)
    fine = [route(-4), conv(128, 1), section("upsample", stride=2), route(-1, 8), *_head3(256, classes, (0, 1, 2), ANCHORS_3_TINY)]
    return (net(side), *body, *top, *coarse, *fine)
