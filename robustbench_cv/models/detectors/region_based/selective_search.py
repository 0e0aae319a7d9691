"""Selective search. Uijlings, van de Sande, Gevers, Smeulders, IJCV 104, 2013, https://doi.org/10.1007/s11263-013-0620-5

Start from many small segments (Felzenszwalb and Huttenlocher, IJCV 2004), join the two most alike neighbours until one is left, and propose
the box of every segment that ever was. Alike: colour + texture + size + fill, equations 2-6, all weights 1.

Deviations: texture is read from plain gradients instead of Gaussian derivatives; where two pairs are equally alike the earlier pair is
joined, and boxes come largest segment first instead of in an order with random numbers. So the same image gives the same list everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_cv.models.optional_import import need

Array = NDArray[Any]
COLOUR_BINS, TEXTURE_BINS, DIRECTIONS = 25, 10, 8


@dataclass(frozen=True)
class SelectiveSearch:
    """Images to boxes. scales: of the first segments, larger joins more (the paper's fast mode has 50 and 100, on [0, 255] colours).

    smallest: px, area of the smallest first segment. side: px, of the smallest box proposed. top: the most boxes proposed.
    Not differentiable: it works on detached pixels.
    """

    scales: tuple[int, ...] = (50, 100)
    smallest: int = 20
    side: int = 8
    top: int = 2000

    @classmethod
    def for_side(cls, size: tuple[int, int] | None) -> SelectiveSearch:
        """The settings for images of about this size, whose smallest objects cover a constant share. Project choice.

        At 500 px they are the paper's 20 px for a box's side; at 96 px objects of 5 px are still found.
        """
        side = max(size or (500, 500))
        return cls(smallest=max(12, side // 10), side=max(5, side // 25))

    def __call__(self, image: Tensor) -> Tensor:
        """(3, H, W) in [0, 1] -> boxes (P, 4) xyxy px, at least one, on the image's device. UserError where scikit-image is missing.

        Values outside the range count as its nearer end: histograms have no bins for them.
        """
        pixels = image.detach().cpu().double().nan_to_num().clamp(0, 1).movedim(0, -1).numpy()
        hsv = _hue_saturation_value(pixels)
        hierarchies = [_hierarchy(hsv, _segments(pixels, scale, self.smallest)) for scale in self.scales]
        boxes = numpy.concatenate([numpy.array([[0, 0, pixels.shape[1], pixels.shape[0]]]), *hierarchies])
        _, first = numpy.unique(boxes, axis=0, return_index=True)
        boxes = boxes[numpy.sort(first)]
        large: Array = numpy.asarray(numpy.all(boxes[:, 2:] - boxes[:, :2] >= self.side, axis=1))
        large[0] = True
        kept = boxes[large]
        kept = kept[numpy.argsort(-(kept[:, 2:] - kept[:, :2]).prod(1), kind="stable")][: self.top]
        return torch.from_numpy(kept.astype(numpy.float32)).to(image.device)


def _segments(pixels: Array, scale: int, smallest: int) -> Array:
    """Label of the first segment of each pixel: (H, W), 0 to S - 1."""
    need("classical", "selective search")
    from skimage.segmentation import felzenszwalb  # an extra, and a tenth of a second to import

    labels: Array = felzenszwalb(pixels, scale=scale, sigma=0.8, min_size=smallest, channel_axis=-1)
    return labels


def _hue_saturation_value(pixels: Array) -> Array:
    """(H, W, 3) RGB -> HSV, each in [0, 1]."""
    high, low = pixels.max(-1), pixels.min(-1)
    spread = high - low
    safe = numpy.where(spread > 0, spread, 1)
    red, green, blue = numpy.moveaxis(pixels, -1, 0)
    hue = numpy.where(high == red, (green - blue) / safe % 6, numpy.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4))
    saturation = spread / numpy.where(high > 0, high, 1)
    return numpy.stack([numpy.where(spread > 0, hue / 6, 0), saturation, high], axis=-1)


def _hierarchy(colours: Array, labels: Array) -> Array:
    """Boxes (2 S - 1, 4) of all segments, the last joined first."""
    count, area = int(labels.max()) + 1, labels.size
    total = 2 * count - 1
    sizes, boxes = numpy.zeros(total), numpy.zeros((total, 4), dtype=numpy.int64)
    described = numpy.zeros((total, 3 * (COLOUR_BINS + DIRECTIONS * TEXTURE_BINS)))
    sizes[:count] = numpy.bincount(labels.ravel(), minlength=count)
    described[:count] = _describe(colours, labels, count) / sizes[:count, None]
    boxes[:count] = _boxes(labels, count)
    alike = numpy.full((total, total), -numpy.inf)
    near = numpy.zeros((total, total), dtype=bool)
    first, second = _touching(labels)
    near[first, second] = near[second, first] = True
    for i in range(count):
        others = numpy.flatnonzero(near[i, :count])
        alike[i, others] = _alike(i, others, described, sizes, boxes, area)
    for new in range(count, total):
        a, b = divmod(int(alike[:new, :new].argmax()), new)
        sizes[new] = sizes[a] + sizes[b]
        described[new] = (described[a] * sizes[a] + described[b] * sizes[b]) / sizes[new]
        boxes[new, :2] = numpy.minimum(boxes[a, :2], boxes[b, :2])
        boxes[new, 2:] = numpy.maximum(boxes[a, 2:], boxes[b, 2:])
        joined = near[a] | near[b]
        joined[[a, b]] = False
        for gone in (a, b):
            near[gone] = near[:, gone] = False
            alike[gone] = alike[:, gone] = -numpy.inf
        near[new], near[:, new] = joined, joined
        others = numpy.flatnonzero(joined)
        alike[new, others] = alike[others, new] = _alike(new, others, described, sizes, boxes, area)
    return boxes[::-1]


def _alike(i: int, others: Array, described: Array, sizes: Array, boxes: Array, area: int) -> Array:
    """Equations 2 to 6 for segment i and each of the others."""
    shared = numpy.minimum(described[i], described[others]).sum(1)
    together = numpy.maximum(boxes[i, 2:], boxes[others, 2:]) - numpy.minimum(boxes[i, :2], boxes[others, :2])
    both = sizes[i] + sizes[others]
    alike: Array = shared + (1 - both / area) + (1 - (together.prod(1) - both) / area)
    return alike


def _describe(colours: Array, labels: Array, count: int) -> Array:
    """Counts a segment of colour and texture, each group of bins summing to the segment's size / 3 channels: (S, bins)."""
    texture = []
    for channel in numpy.moveaxis(colours, -1, 0):
        down, right = numpy.gradient(channel)
        angles = numpy.arange(DIRECTIONS) * (2 * numpy.pi / DIRECTIONS)
        texture += [numpy.clip(right * numpy.cos(t) + down * numpy.sin(t), 0, 0.5) * 2 for t in angles]
    groups = [(value, COLOUR_BINS, 3) for value in numpy.moveaxis(colours, -1, 0)]
    groups += [(numpy.sqrt(value), TEXTURE_BINS, 3 * DIRECTIONS) for value in texture]
    flat, counts = labels.ravel(), []
    for value, bins, share in groups:
        place = flat * bins + numpy.minimum((value.ravel() * bins).astype(numpy.int64), bins - 1)
        counts.append(numpy.bincount(place, minlength=count * bins).reshape(count, bins) / share)
    return numpy.concatenate(counts, axis=1)


def _boxes(labels: Array, count: int) -> Array:
    """Tight boxes (S, 4), the far edges exclusive."""
    height, width = labels.shape
    rows, columns = numpy.divmod(numpy.arange(labels.size), width)
    flat = labels.ravel()
    boxes = numpy.tile(numpy.array([width, height, 0, 0]), (count, 1))
    numpy.minimum.at(boxes[:, 0], flat, columns)
    numpy.minimum.at(boxes[:, 1], flat, rows)
    numpy.maximum.at(boxes[:, 2], flat, columns + 1)
    numpy.maximum.at(boxes[:, 3], flat, rows + 1)
    return boxes


def _touching(labels: Array) -> tuple[Array, Array]:
    """Pairs of labels that meet at an edge."""
    across, down = (labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])
    first, second = (numpy.concatenate([across[k].ravel(), down[k].ravel()]) for k in (0, 1))
    differ = first != second
    return first[differ], second[differ]
