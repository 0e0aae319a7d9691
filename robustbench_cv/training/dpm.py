"""How deformable part models are fitted. Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 32(9), 2010, sections 4 and 5.

Root filters first, from objects warped to one size and random windows; then parts where the root is strong; then rounds of: find the best
placement of each object's hidden variables (component side, level, place, shifts of the parts), mine the background for the placements that
score too high, fit a linear SVM to both.

Deviations: squared hinge loss by L-BFGS-B; the background of a class is every image without an object of that class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from robustbench_cv.boxes import iou
from robustbench_cv.models.detectors.deformable.distance_transform import best_shift
from robustbench_cv.models.detectors.deformable.hog import CHANNELS, hog, mirror_filters
from robustbench_cv.models.detectors.deformable.network import REACH, Mixtures, features, level_sides, window_boxes
from robustbench_cv.training.loop import Run, Watch
from robustbench_cv.training.recipe import Fit
from robustbench_cv.training.svm import LinearSVM, fit_svm
from robustbench_cv.training.training_set import TrainingSet

COST, BIAS_FEATURE = 0.01, 10.0
"""The released code has a cost of 0.002 for thousands of objects; ours are a hundred a class."""
REMEMBERED = 700
"""Levels of background images whose features are kept: all classes are mined on much the same images."""
STIFFEST = 0.01
"""Least cost of a squared displacement, so that no part flies."""
PLACED = 0.6
"""IoU with its object that a hidden placement needs; the paper has 0.7, which coarse pyramids of small objects do not offer."""


Read = Callable[[int, int], tuple[Tensor, Tensor]]
"""(index of an image, cells of a level) -> its padded features at the roots' and at the parts' resolution."""


@dataclass(frozen=True)
class Effort:
    """objects: of a class, at most. backgrounds: images a class is mined on. hardest: placements kept of each. rounds: latent ones."""

    objects: int = 150
    backgrounds: int = 60
    hardest: int = 20
    rounds: int = 2


def fit_part_models(effort: Effort) -> Fit:
    """A fitting procedure for the mixtures of a pool's classes, one component a class and its mirror. No random numbers but the seed's."""

    def fit(network: nn.Module, pool: TrainingSet, run: Run, watch: Watch) -> None:
        mixtures = cast(Mixtures, network)
        if mixtures.shape.components != 1:
            raise ValueError(f"this procedure fits one component a class, not {mixtures.shape.components}")
        total = mixtures.classes * (1 + effort.rounds)
        read = lru_cache(REMEMBERED)(reader(mixtures, pool))
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(run.seed)
            for c in range(mixtures.classes):
                watch(c + 1, total, _fit_root(mixtures, c, pool, effort, read))
                _add_parts(mixtures, c)
            for turn in range(effort.rounds):
                for c in range(mixtures.classes):
                    watch(mixtures.classes * (1 + turn) + c + 1, total, _refit(mixtures, c, pool, effort, read))
        network.eval()

    return fit


def reader(mixtures: Mixtures, pool: TrainingSet) -> Read:
    """Features of a pool's images, which depend on the mixtures' sizes alone."""
    return lambda index, cells: features(pool.images[index][None].float() / 255, cells, mixtures)


def _objects_of(pool: TrainingSet, label: int, most: int) -> list[tuple[int, Tensor]]:
    """(image, box) of the first objects of a class that lie whole inside their image."""
    side = pool.images.shape[-1]
    places = []
    for index, rows in enumerate(pool.truths):
        for row in rows[rows[:, 4] == label]:
            if row[:4].min() >= 0 and row[:4].max() <= side and (row[2:4] - row[:2]).min() >= 6:
                places.append((index, row[:4]))
    return places[:most]


def _backgrounds_of(pool: TrainingSet, label: int, most: int) -> list[int]:
    """Images without an object of a class."""
    return ((pool.truths[..., 4] == label).sum(1) == 0).nonzero()[:most, 0].tolist()


def rectangle(shapes: Tensor, window: int) -> tuple[int, int]:
    """(height, width) in cells of the median aspect of shapes (M, 2), widths and heights; its longer side fills the window."""
    aspect = float((shapes[:, 0] / shapes[:, 1]).log().median().exp())
    longer, shorter = window, max(2, round(window / max(aspect, 1 / aspect)))
    return (shorter, longer) if aspect > 1 else (longer, shorter)


def _fit_root(mixtures: Mixtures, c: int, pool: TrainingSet, effort: Effort, read: Read) -> float:
    """Size and root filter of a class, from warped objects turned the way that agrees; the mean margin of the objects."""
    shape = mixtures.shape
    objects = _objects_of(pool, c, effort.objects)
    if not objects:
        mixtures.root[c], mixtures.bias[c] = 0, -1
        return -1.0
    boxes = torch.stack([b for _, b in objects])
    height, width = rectangle(boxes[:, 2:] - boxes[:, :2], shape.root)
    mixtures.sizes[c] = torch.tensor([height, width])
    warped = _warped_features(pool, [i for i, _ in objects], boxes, height, width, shape.cell)
    positive = _turn_alike(warped)
    negative = _random_windows(mixtures, read, pool.images.shape[-1], _backgrounds_of(pool, c, effort.backgrounds), height, width)
    svm = fit_svm(positive.flatten(1), negative.flatten(1), cost=COST, bias_feature=BIAS_FEATURE)
    top, left = (shape.root - height) // 2, (shape.root - width) // 2
    mixtures.root[c] = 0
    mixtures.root[c, :, top : top + height, left : left + width] = svm.weight.view(CHANNELS, height, width)
    mixtures.bias[c] = svm.bias
    return float(svm.margins(positive.flatten(1)).mean())


def _warped_features(pool: TrainingSet, images: list[int], boxes: Tensor, height: int, width: int, cell: int) -> Tensor:
    """HOG of each box stretched to height x width cells: (M, 32, height, width)."""
    margin = (boxes[:, 2:] - boxes[:, :2]) / boxes.new_tensor([width, height])
    wide = torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], dim=1)
    crops = []
    for index, box in zip(images, wide, strict=True):
        image = pool.images[index][None].float() / 255
        crops.append(roi_align(image, [box[None]], ((height + 2) * cell, (width + 2) * cell), sampling_ratio=1, aligned=True))
    return hog(torch.cat(crops), cell)


def _turn_alike(features: Tensor, rounds: int = 5) -> Tensor:
    """Features (M, 32, h, w), some of them mirrored so that all look the same way: two-means with tied centres, started at the most
    one-sided."""
    other = mirror_filters(features)
    one_sided = (features - other).flatten(1).norm(dim=1).argmax()
    centre = features[one_sided]
    for _ in range(rounds):
        keep = (features * centre).flatten(1).sum(1) >= (other * centre).flatten(1).sum(1)
        centre = torch.where(keep[:, None, None, None], features, other).mean(0)
    return torch.where(keep[:, None, None, None], features, other)


def _random_windows(mixtures: Mixtures, read: Read, side: int, images: list[int], height: int, width: int, each: int = 40) -> Tensor:
    """HOG windows of images at random levels and places: (count, 32, height, width)."""
    windows = []
    sides = level_sides(side, mixtures.shape)
    for index in images:
        coarse, _ = read(index, sides[int(torch.randint(len(sides), ()))])
        every = F.unfold(coarse, (height, width))[0].T
        windows.append(every[torch.randperm(len(every))[:each]].view(-1, CHANNELS, height, width))
    return torch.cat(windows)


def _add_parts(mixtures: Mixtures, c: int) -> None:
    """Parts where the root's positive weights are strong, greedily, each covering what no other covers; filled from the root, enlarged."""
    shape = mixtures.shape
    fine = F.interpolate(mixtures.root[c][None], scale_factor=2.0, mode="bicubic", align_corners=False)[0]
    energy = fine.clamp(min=0).square().sum(0)
    p = shape.part
    for k in range(shape.parts):
        share = F.avg_pool2d(energy[None, None], p, stride=1)[0, 0]
        top, left = divmod(int(share.argmax()), share.shape[1])
        mixtures.anchors[c, k] = torch.tensor([top, left])
        mixtures.parts[c, k] = fine[:, top : top + p, left : left + p] / shape.parts
        energy[top : top + p, left : left + p] = 0
    mixtures.springs[c] = mixtures.springs.new_tensor([0.1, 0, 0.1, 0])


@dataclass(frozen=True)
class Place:
    """A placement of a class' component: mirrored or not, level in cells, row and column of the window's corner, and its score."""

    mirror: bool
    cells: int
    y: int
    x: int
    score: float


def class_only(mixtures: Mixtures, c: int) -> Mixtures:
    """The one class as mixtures of its own: searching for it costs no others."""
    alone = Mixtures(1, mixtures.shape)
    with torch.no_grad():
        for mine, all_ in zip([*alone.parameters(), *alone.buffers()], [*mixtures.parameters(), *mixtures.buffers()], strict=True):
            mine.copy_(all_[c : c + 1])
    return alone


def _refit(mixtures: Mixtures, c: int, pool: TrainingSet, effort: Effort, read: Read) -> float:
    """One latent round of a class; the mean margin of its objects under the new SVM."""
    alone = class_only(mixtures, c)
    side, fresh = pool.images.shape[-1], reader(mixtures, pool)
    positive = [_best_inside(alone, fresh, i, box, side) for i, box in _objects_of(pool, c, effort.objects)]
    object_vectors = [v for v in positive if v is not None]
    if not object_vectors:
        return -1.0
    mined = [hardest(alone, read, i, side, effort.hardest) for i in _backgrounds_of(pool, c, effort.backgrounds)]
    x, y = torch.stack(object_vectors), torch.cat(mined)
    svm = fit_svm(x, y, cost=COST, bias_feature=BIAS_FEATURE, lowest=lowest(alone))
    unpack(mixtures, c, svm)
    return float(svm.margins(x).mean())


def _best_inside(alone: Mixtures, read: Read, index: int, box: Tensor, side: int) -> Tensor | None:
    """Features of the best placement that covers an object of an image of side px; None where none overlaps it by PLACED."""
    best: tuple[Place, Tensor, Tensor] | None = None
    for cells in level_sides(side, alone.shape):
        places = window_boxes(alone, cells, side)
        covering = (iou(places.flatten(0, 2), box[None])[:, 0] >= PLACED).view(places.shape[:3])
        if not covering.any():
            continue
        coarse, fine = read(index, cells)
        scores = alone.score(coarse, fine)[0].masked_fill(~covering, -math.inf)
        way, y, left = (int(v) for v in torch.unravel_index(scores.argmax(), scores.shape))
        if best is None or float(scores[way, y, left]) > best[0].score:
            best = Place(way == 1, cells, y, left, float(scores[way, y, left])), coarse, fine
    return None if best is None else vector(alone, *best)


def hardest(alone: Mixtures, read: Read, index: int, side: int, most: int) -> Tensor:
    """Features of the placements of an image of side px that score highest above -1: (at most `most`, D)."""
    windows: list[tuple[Place, Tensor, Tensor]] = []
    for cells in level_sides(side, alone.shape):
        coarse, fine = read(index, cells)
        scores = alone.score(coarse, fine)[0]
        top = scores.flatten().topk(min(most, scores.numel()))
        for score, place in zip(top.values.tolist(), top.indices, strict=True):
            way, y, left = (int(v) for v in torch.unravel_index(place, scores.shape))
            if score > -1:
                windows.append((Place(way == 1, cells, y, left, score), coarse, fine))
    windows = sorted(windows, key=lambda f: -f[0].score)[:most]
    return torch.stack([vector(alone, *f) for f in windows]) if windows else torch.zeros(0, length(alone))


def length(alone: Mixtures) -> int:
    """Numbers that a placement's features have, the bias left out."""
    return alone.root[0].numel() + alone.parts[0].numel() + alone.springs[0].numel()


def vector(alone: Mixtures, place: Place, coarse: Tensor, fine: Tensor) -> Tensor:
    """What the score of a placement is linear in: root window, part windows where the springs let them go, minus the displacements.

    As the unmirrored component sees it: windows of a mirrored placement are turned back.
    """
    root, parts, springs, anchors = (t[int(place.mirror)] for t in alone.both_ways())
    r, p = root.shape[-1], parts.shape[-1]
    window = coarse[0, :, place.y : place.y + r, place.x : place.x + r]
    inside = (root != 0).any(0)
    pieces = [_turn(window * inside, place.mirror).flatten()]
    shifts = []
    for part, spring, anchor in zip(parts, springs, anchors.tolist(), strict=True):
        y, x = 2 * place.y + 1 + anchor[0], 2 * place.x + 1 + anchor[1]
        top, left = max(0, y - REACH), max(0, x - REACH)
        near = fine[:, :, top : y + REACH + p, left : x + REACH + p]
        dy, dx = best_shift(F.conv2d(near, part[None])[0, 0], y - top, x - left, spring, REACH)
        pieces.append(_turn(fine[0, :, y + dy : y + dy + p, x + dx : x + dx + p], place.mirror).flatten())
        across = -dx if place.mirror else dx
        shifts.append(torch.tensor([-dx * dx, -across, -dy * dy, -dy], dtype=torch.float32))
    return torch.cat([*pieces, *shifts])


def _turn(window: Tensor, mirror: bool) -> Tensor:
    return mirror_filters(window) if mirror else window


def lowest(alone: Mixtures) -> Tensor:
    """Bounds from below of the SVM's weights: none but of the springs' squares."""
    bounds = torch.full((length(alone),), -math.inf)
    springs = bounds[-alone.springs[0].numel() :].view(-1, 4)
    springs[:, 0] = springs[:, 2] = STIFFEST
    return bounds


def unpack(mixtures: Mixtures, c: int, svm: LinearSVM) -> None:
    """An SVM's weights, in the order of `vector`, into the mixtures."""
    sizes = [mixtures.root[c].numel(), mixtures.parts[c].numel(), mixtures.springs[c].numel()]
    root, parts, springs = torch.split(svm.weight, sizes)
    mixtures.root[c] = root.view_as(mixtures.root[c])
    mixtures.parts[c] = parts.view_as(mixtures.parts[c])
    mixtures.springs[c] = springs.view_as(mixtures.springs[c])
    mixtures.bias[c] = svm.bias
