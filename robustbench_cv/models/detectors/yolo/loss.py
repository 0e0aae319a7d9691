"""YOLOv3's training loss, as section 2 of the paper and the published network's code define it.

Each object is owned by the one anchor, of all nine, whose shape fits it best, in the cell that holds its centre. There: binary
cross-entropy of x, y (against the place in the cell) and half the squared error of t_w, t_h, both times 2 - w h of the object (shares of
the image); objectness 1; independent binary cross-entropy of each class. Elsewhere objectness 0, unless the predicted box overlaps some
object by more than `ignore` (0.7 in the published configuration, 0.5 in the paper's text).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.boxes import iou
from robustbench_cv.models.detectors.yolo.anchors import shape_iou
from robustbench_cv.models.detectors.yolo.decode import boxes
from robustbench_cv.models.detectors.yolo.network import STRIDES


@dataclass(frozen=True)
class Owners:
    """Where the M objects of a batch belong: image, candidate (as `boxes` orders them), place in the cell and t_w, t_h to be learned."""

    image: Tensor
    candidate: Tensor
    xy: Tensor
    wh: Tensor


def yolo_loss(maps: Sequence[Tensor], anchors: Tensor, truths: Sequence[Tensor], labels: Sequence[Tensor], ignore: float = 0.7) -> Tensor:
    """Sum over each image, mean over the batch: a scalar. truths: boxes (M, 4) in px of the network's input; labels (M,).

    Objects that share cell and anchor each pull on it, and it gets both classes.
    """
    rows = torch.cat([m.movedim(2, -1).flatten(1, 3) for m in maps], dim=1)
    height, width = (side * STRIDES[0] for side in maps[0].shape[-2:])
    owners = assign(maps, anchors, truths)
    return loss_of_candidates(rows, boxes(maps, anchors).detach(), owners, truths, labels, height * width, ignore)


def loss_of_candidates(
    rows: Tensor, found: Tensor, owners: Owners, truths: Sequence[Tensor], labels: Sequence[Tensor], area: float, ignore: float = 0.7
) -> Tensor:
    """The same of candidates from any maps: rows (N, K, 5 + C), their boxes (N, K, 4) without a gradient, area: of the input, px."""
    objectness, classes = rows[..., 4], rows[..., 5:]
    wanted = torch.zeros_like(objectness)
    wanted[owners.image, owners.candidate] = 1
    counts = (wanted == 1) | ~_overlapping(found, truths, ignore)
    loss = (F.binary_cross_entropy_with_logits(objectness, wanted, reduction="none") * counts).sum()
    kinds = torch.zeros_like(classes)
    kinds[owners.image, owners.candidate, torch.cat(list(labels))] = 1
    loss = loss + (F.binary_cross_entropy_with_logits(classes, kinds, reduction="none") * wanted[..., None]).sum()
    return (loss + _place_loss(rows[owners.image, owners.candidate, :4], owners, truths, area)) / len(objectness)


def _place_loss(found: Tensor, owners: Owners, truths: Sequence[Tensor], area: float) -> Tensor:
    place = F.binary_cross_entropy_with_logits(found[:, :2], owners.xy, reduction="none").sum(1)
    size = 0.5 * (found[:, 2:4] - owners.wh).square().sum(1)
    every = torch.cat(list(truths))
    share = (every[:, 2] - every[:, 0]) * (every[:, 3] - every[:, 1]) / area
    return ((2 - share) * (place + size)).sum()


def assign(maps: Sequence[Tensor], anchors: Tensor, truths: Sequence[Tensor]) -> Owners:
    """The candidate that owns each object: the best-shape anchor, the cell of the centre."""
    every = torch.cat(list(truths))
    image = torch.repeat_interleave(torch.tensor([len(t) for t in truths], device=every.device))
    size = (every[:, 2:] - every[:, :2]).clamp(min=1e-3)
    centre = (every[:, :2] + every[:, 2:]) / 2
    best = shape_iou(size, anchors.flatten(0, 1)).argmax(1)
    level, anchor = best // anchors.shape[1], best % anchors.shape[1]
    heights, widths = (torch.tensor([m.shape[d] for m in maps], device=every.device) for d in (-2, -1))
    offsets = torch.tensor([0] + [m.shape[1] * m.shape[-2] * m.shape[-1] for m in maps[:-1]], device=every.device).cumsum(0)
    scaled = centre / torch.tensor(STRIDES, device=every.device)[level, None]
    limit = torch.stack([widths[level], heights[level]], dim=1) - 1
    cell = torch.minimum(scaled.floor().long().clamp(min=0), limit)
    candidate = offsets[level] + (anchor * heights[level] + cell[:, 1]) * widths[level] + cell[:, 0]
    return Owners(image, candidate, (scaled - cell).clamp(0, 1), (size / anchors.flatten(0, 1)[best]).log())


def _overlapping(found: Tensor, truths: Sequence[Tensor], ignore: float) -> Tensor:
    """Which candidates (N, K) share more than `ignore` with some object of their image."""
    best = [iou(f, t).amax(1) if len(t) else f.new_zeros(len(f)) for f, t in zip(found, truths, strict=True)]
    return torch.stack(best) > ignore
