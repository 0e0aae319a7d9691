"""The figures that vision courses print, recomputed. Where a printed total is not the sum of its own rows, both are here and named."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import roi_align, roi_pool

from robustbench_cv.models.build import build
from robustbench_cv.models.complexity.op_trace import Layer, OpTrace, trace_ops
from robustbench_cv.models.complexity.profile import count


def layers_of(name: str, side: int) -> list[Layer]:
    return count(build(name, device="meta"), torch.zeros(3, side, side)).layers


def test_alexnet_s_first_convolution() -> None:
    """227 x 227 x 3, 96 kernels of 11 x 11 at stride 4: (227 - 11) / 4 + 1 = 55, and (11 * 11 * 3 + 1) * 96 = 35 K parameters."""
    first = layers_of("alexnet-original", 227)[0]
    assert first.outputs == (1, 96, 55, 55)
    assert first.parameters == 34_944


def test_the_introductory_network_has_338460_parameters() -> None:
    """10 kernels of 5x5 on one channel (250 + 10), a pool to 13 x 13 x 10 = 1,690, a layer to 200 (338,000 + 200)."""
    convolution, pool, last = layers_of("shallow-cnn", 30)
    assert (convolution.parameters, convolution.outputs) == (250 + 10, (1, 10, 26, 26))
    assert (pool.parameters, pool.outputs) == (0, (1, 10, 13, 13))
    assert (last.parameters, last.outputs) == (1_690 * 200 + 200, (1, 200))
    assert build("shallow-cnn", device="meta").info.parameters == 338_460


VGG16 = [
    ("conv3-64", 224, 64, 1_792), ("conv3-64", 224, 64, 36_928), ("pool", 112, 64, 0),
    ("conv3-128", 112, 128, 73_856), ("conv3-128", 112, 128, 147_584), ("pool", 56, 128, 0),
    ("conv3-256", 56, 256, 295_168), ("conv3-256", 56, 256, 590_080), ("conv3-256", 56, 256, 590_080), ("pool", 28, 256, 0),
    ("conv3-512", 28, 512, 1_180_160), ("conv3-512", 28, 512, 2_359_808), ("conv3-512", 28, 512, 2_359_808), ("pool", 14, 512, 0),
    ("conv3-512", 14, 512, 2_359_808), ("conv3-512", 14, 512, 2_359_808), ("conv3-512", 14, 512, 2_359_808), ("pool", 7, 512, 0),
    ("fc", 1, 4096, 102_764_544), ("fc", 1, 4096, 16_781_312), ("fc", 1, 1000, 4_097_000),
]  # fmt: skip
"""Layer, side, maps, parameters: table 1 of Simonyan and Zisserman 2014, configuration D, as courses unfold it."""


def vgg16() -> list[Layer]:
    """Without the adaptive pooling that changes nothing at this size."""
    return [layer for layer in layers_of("vgg16", 224) if not (layer.kind == "pooling" and layer.inputs == layer.outputs)]


def test_vgg16_layer_by_layer() -> None:
    found = vgg16()
    kinds = {"convolution": "conv3", "pooling": "pool", "linear": "fc"}
    rows = [
        (
            f"{kinds[x.kind]}-{x.outputs[1]}" if x.kind == "convolution" else kinds[x.kind],
            x.outputs[2] if len(x.outputs) > 2 else 1,
            x.outputs[1],
            x.parameters,
        )
        for x in found
    ]
    assert rows == VGG16
    assert sum(x.parameters for x in found) == 138_357_544
    assert sum(x.macs for x in found) == 15_470_264_320


def test_vgg16_keeps_15_million_values_an_image_and_not_24() -> None:
    """Courses print "24 M values x 4 bytes = 96 MB an image" under a table whose rows, the image included, sum to 15.2 M values = 61 MB.

    Both directions, a value and its gradient each, take 122 MB. No sum of the table's rows gives 24 M.
    """
    values = 3 * 224**2 + sum(layer.values for layer in vgg16())
    assert values == 3 * 224**2 + sum(side**2 * maps for _, side, maps, _ in VGG16) == 15_237_608
    assert 4 * values / 1e6 == pytest.approx(61, abs=0.1)
    assert 4 * 24e6 / 1e6 == 96


class Inception(nn.Module):
    """The courses' module on 28 x 28 x 256: 128 1x1, 192 3x3, 96 5x5 and a pooling; reduced: 64 1x1 before or behind each but the first."""

    def __init__(self, reduced: bool) -> None:
        super().__init__()
        self.one, self.pool = nn.Conv2d(256, 128, 1), nn.MaxPool2d(3, 1, 1)
        narrow = 64 if reduced else 256
        self.reduce3, self.reduce5, self.project = (nn.Conv2d(256, 64, 1) if reduced else nn.Identity() for _ in range(3))
        self.three, self.five = nn.Conv2d(narrow, 192, 3, padding=1), nn.Conv2d(narrow, 96, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        branches = self.one(x), self.three(self.reduce3(x)), self.five(self.reduce5(x)), self.project(self.pool(x))
        return torch.cat(branches, dim=1)


def seen(net: nn.Module, *shape: int) -> tuple[OpTrace, tuple[int, ...]]:
    outputs: list[Tensor] = []
    with torch.no_grad(), torch.device("meta"):
        x = torch.rand(1, *shape)
        found = trace_ops(lambda: outputs.append(net(x)), net)
    return found, tuple(outputs[0].shape)


def test_the_inception_module_with_and_without_bottlenecks() -> None:
    """854 M operations without. With them courses print 358 M, whose rows sum to 271 M: the total counts the 3x3 row twice."""
    with torch.device("meta"):
        plain, reduced = Inception(reduced=False), Inception(reduced=True)
    naive, shape = seen(plain, 256, 28, 28)
    assert shape == (1, 128 + 192 + 96 + 256, 28, 28)
    assert round(naive.macs / 1e6) == 854
    bottled, shape = seen(reduced, 256, 28, 28)
    assert shape == (1, 128 + 192 + 96 + 64, 28, 28)
    assert round(bottled.macs / 1e6) == 271
    three = next(layer.macs for layer in bottled.layers if layer.module == "three")
    assert round((bottled.macs + three) / 1e6) == 358


def test_no_even_bottleneck_does_358_million_operations() -> None:
    """Of the courses' module with `narrow` maps before its 3x3 and 5x5 and 64 behind its pool, 64 maps do 271 M, 88 do 359 M."""

    def millions(narrow: int) -> int:
        return round(28 * 28 * (256 * 128 + 2 * 256 * narrow + 9 * narrow * 192 + 25 * narrow * 96 + 256 * 64) / 1e6)

    assert millions(64) == 271
    assert (millions(87), millions(88)) == (355, 359)


def test_segnet_basic_at_360_rows_unpools_to_the_rows_there_were() -> None:
    """59.19 GMAC. Doubling every map instead, 45 rows pooled to 23 become 46 and in the end 368: 60.22, as is printed too."""
    layers = layers_of("segnet-basic", 360)  # square: rows as in 360 x 480
    rows = [layer.outputs[2] for layer in layers if layer.kind == "convolution"]
    assert rows == [360, 180, 90, 45, 45, 90, 180, 360, 360]
    inside, taps = [3, *[64] * 8], [*[49] * 8, 1]

    def macs(heights: list[int]) -> float:
        outside = [*[64] * 8, 11]
        widths = [480, 240, 120, 60, 60, 120, 240, 480, 480]
        return sum(h * w * i * o * k for h, w, i, o, k in zip(heights, widths, inside, outside, taps, strict=True)) / 1e9

    found = count(build("segnet-basic", device="meta"), torch.zeros(3, 360, 480)).macs / 1e9
    assert found == pytest.approx(macs(rows))
    assert round(found, 2) == 59.19
    assert macs([360, 180, 90, 45, 46, 92, 184, 368, 368]) == pytest.approx(60.22, abs=0.006)


def test_googlenet_against_alexnet() -> None:
    """ "12 x fewer" is the courses' 60 M against 5 M. Counted, GoogLeNet has 7.0 M: 8.7 x fewer, 10.2 x without its classifier."""
    alexnet, googlenet = (build(name, device="meta").info.parameters for name in ("alexnet-original", "googlenet"))
    classifier = 1024 * 1000 + 1000
    assert (round(alexnet / googlenet, 1), round(alexnet / (googlenet - classifier), 1)) == (8.7, 10.2)
    assert round(60e6 / 5e6) == 12


def test_stacked_3x3_convolutions_have_fewer_weights_than_the_large_one_they_see_as_much_as() -> None:
    maps = 8

    def chain(kernel: int, times: int) -> tuple[int, object]:
        net = nn.Sequential(*(nn.Conv2d(maps, maps, kernel, bias=False) for _ in range(times)))
        found, _ = seen(net.to("meta"), maps, 32, 32)
        return sum(p.numel() for p in net.parameters()) // maps**2, found.layers[-1].receptive_field

    assert (chain(3, 2), chain(5, 1)) == ((18, (5, 5)), (25, (5, 5)))
    assert (chain(3, 3), chain(7, 1)) == ((27, (7, 7)), (49, (7, 7)))


RESNETS = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160, "resnet152": 60_192_808}


@pytest.mark.parametrize("name", RESNETS)
def test_resnets_have_their_parameters_and_their_number_of_layers(name: str) -> None:
    """The name counts the convolutions and the classifier, without the projections of shortcuts."""
    model = build(name, device="meta")
    assert model.info.parameters == RESNETS[name]
    weighted = [x for x in count(model, torch.zeros(3, 224, 224)).layers if x.kind in ("convolution", "linear")]
    assert sum("downsample" not in layer.module for layer in weighted) == int(name.removeprefix("resnet"))


@pytest.mark.parametrize(("name", "grid", "boxes", "classes"), [("yolov1", 7, 2, 20), ("yolov1-darknet", 7, 3, 20)])
def test_yolo_gives_s_by_s_by_5b_plus_c_numbers(name: str, grid: int, boxes: int, classes: int) -> None:
    last = [layer for layer in layers_of(name, 448) if layer.kind == "linear"][-1]
    assert math.prod(last.outputs) == grid * grid * (5 * boxes + classes)


# --- RoI pooling against RoIAlign on 8 x 8 -----------------------------------------------------------------------------------------

MAP = torch.tensor(
    [
        [0.88, 0.44, 0.14, 0.16, 0.37, 0.77, 0.96, 0.27],
        [0.19, 0.45, 0.57, 0.16, 0.63, 0.29, 0.71, 0.70],
        [0.66, 0.26, 0.82, 0.64, 0.54, 0.73, 0.59, 0.26],
        [0.85, 0.34, 0.76, 0.84, 0.29, 0.75, 0.62, 0.25],
        [0.32, 0.74, 0.21, 0.39, 0.34, 0.03, 0.33, 0.48],
        [0.20, 0.14, 0.16, 0.13, 0.73, 0.65, 0.96, 0.32],
        [0.19, 0.69, 0.09, 0.86, 0.88, 0.07, 0.01, 0.48],
        [0.83, 0.24, 0.97, 0.04, 0.24, 0.35, 0.50, 0.91],
    ]
)
"""The widely taught example: the region of columns 0-6 and rows 3-7, divided into 2 x 2 bins."""


def pooled_by_hand(first: tuple[int, int], last: tuple[int, int], bins: int, *, overlap: bool) -> Tensor:
    """Maximum of each bin. Fast R-CNN's edges are floor and ceiling, so that bins overlap; floor alone divides."""
    out = torch.empty(bins, bins)
    height, width = (b - a + 1 for a, b in zip(first, last, strict=True))
    for i in range(bins):
        for j in range(bins):
            best = -math.inf
            for y in range(first[0] + math.floor(i * height / bins), first[0] + _end(i, height, bins, overlap)):
                for x in range(first[1] + math.floor(j * width / bins), first[1] + _end(j, width, bins, overlap)):
                    best = max(best, float(MAP[y, x]))
            out[i, j] = best
    return out


def _end(i: int, size: int, bins: int, overlap: bool) -> int:
    return math.ceil((i + 1) * size / bins) if overlap else math.floor((i + 1) * size / bins)


def test_roi_pooling_on_the_worked_example() -> None:
    """Taught: 0.85 0.84 / 0.97 0.96, with bins that do not overlap. Fast R-CNN's own bins overlap, and its upper right becomes 0.96."""
    taught = torch.tensor([[0.85, 0.84], [0.97, 0.96]])
    torch.testing.assert_close(pooled_by_hand((3, 0), (7, 6), 2, overlap=False), taught)
    fast = pooled_by_hand((3, 0), (7, 6), 2, overlap=True)
    torch.testing.assert_close(fast, torch.tensor([[0.85, 0.96], [0.97, 0.96]]))
    region = torch.tensor([[0.0, 0, 3, 6, 7]])  # batch index, then x and y of the first and the last cell
    torch.testing.assert_close(roi_pool(MAP[None, None], region, 2)[0, 0], fast)


def bilinear(y: float, x: float) -> float:
    """The map at a point, whose integer coordinates are the centres of cells."""
    y, x = (min(max(v, 0.0), 7.0) for v in (y, x))
    top, left = min(int(y), 6), min(int(x), 6)
    down, right = y - top, x - left
    above = float(MAP[top, left]) * (1 - right) + float(MAP[top, left + 1]) * right
    below = float(MAP[top + 1, left]) * (1 - right) + float(MAP[top + 1, left + 1]) * right
    return above * (1 - down) + below * down


def aligned_by_hand(box: tuple[float, float, float, float], bins: int, samples: int) -> Tensor:
    """Mean of samples x samples bilinear points of each bin; x1, y1, x2, y2 are edges, half a cell from centres. Nothing is rounded."""
    x1, y1, x2, y2 = box
    out = torch.empty(bins, bins)
    for i in range(bins):
        for j in range(bins):
            total = 0.0
            for a in range(samples):
                for b in range(samples):
                    y = y1 + (y2 - y1) * (i + (a + 0.5) / samples) / bins - 0.5
                    x = x1 + (x2 - x1) * (j + (b + 0.5) / samples) / bins - 0.5
                    total += bilinear(y, x)
            out[i, j] = total / samples**2
    return out


@pytest.mark.parametrize("box", [(0.0, 3.0, 7.0, 8.0), (0.4, 2.7, 6.3, 7.6)])
def test_roi_align_on_the_worked_example(box: tuple[float, float, float, float]) -> None:
    found = roi_align(MAP[None, None], torch.tensor([[0.0, *box]]), 2, sampling_ratio=2, aligned=True)[0, 0]
    torch.testing.assert_close(found, aligned_by_hand(box, 2, 2), atol=1e-6, rtol=1e-5)


def test_pooling_forgets_a_shift_below_one_cell_that_align_keeps() -> None:
    """The reason for RoIAlign: moved by 0.3 of a cell, the region rounds to the same cells."""
    boxes = [torch.tensor([[0.0, 0 + d, 3 + d, 6 + d, 7 + d]]) for d in (0.0, 0.3)]
    pooled = [roi_pool(MAP[None, None], box, 2) for box in boxes]
    aligned = [roi_align(MAP[None, None], box, 2, sampling_ratio=2, aligned=True) for box in boxes]
    assert torch.equal(*pooled)
    assert (aligned[0] - aligned[1]).abs().min() > 0.001
