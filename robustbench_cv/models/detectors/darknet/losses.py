"""What versions 1 to 3 of YOLO were trained with: sums over an image, means over the batch; boxes are px of the network's input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.boxes import iou
from robustbench_cv.models.detectors.darknet.heads import AnchorHead, GridHead
from robustbench_cv.models.detectors.yolo.anchors import shape_iou
from robustbench_cv.models.detectors.yolo.loss import Owners, loss_of_candidates

Truths = Sequence[Tensor]
"""Of each image boxes (M, 4), or labels (M,)."""

WARM = 12_800
"""Images for which version 2 pulls every box towards its anchor."""


def grid_loss(
    head: GridHead, grid: Tensor, boxes: Truths, labels: Truths, height: int, width: int, *, coord: float = 5.0, noobj: float = 0.5
) -> Tensor:
    """Equation 3 of Redmon et al. 2016, all squared errors.

    The cell with an object's centre is responsible: the box of its B that overlaps the object most learns place (x, y in the cell, roots of
    w, h of the image; times `coord`) and confidence, whose target is that overlap (the paper's definition; Darknet's rescore); every other
    confidence learns 0 (times `noobj`); the cell learns the class. Of two objects in one cell the first counts, as in Darknet.
    """
    classes, confidence, places = head.parts(grid)
    corners = head.corners(places, height, width).detach()
    image, row, column, box, label = _first_of_each_cell(head, boxes, labels, height, width)
    overlap = _pairwise(corners[image, row, column], box[:, None])
    best = overlap.argmax(dim=1)
    mine = torch.zeros_like(confidence, dtype=torch.bool)
    mine[image, row, column, best] = True
    confidences = confidence[image, row, column, best]
    loss = noobj * (confidence.square() * ~mine).sum() + (confidences - overlap.amax(dim=1)).square().sum()
    size = box.new_tensor([width, height])
    centre = (box[:, :2] + box[:, 2:]) / 2 / size * head.side
    share = (box[:, 2:] - box[:, :2]) / size
    wanted = torch.cat([centre - torch.stack([column, row], dim=1), share.sqrt() if head.root else share], dim=1)
    loss = loss + coord * (places[image, row, column, best] - wanted).square().sum()
    kinds = F.one_hot(label, head.classes).to(classes.dtype)
    return (loss + (classes[image, row, column] - kinds).square().sum()) / len(grid)


def _first_of_each_cell(
    head: GridHead, boxes: Truths, labels: Truths, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    every, label = torch.cat(list(boxes)), torch.cat(list(labels))
    image = torch.repeat_interleave(torch.tensor([len(b) for b in boxes], device=every.device))
    centre = (every[:, :2] + every[:, 2:]) / 2 / every.new_tensor([width, height]) * head.side
    column, row = centre.floor().long().clamp(0, head.side - 1).unbind(1)
    place = (image * head.side + row) * head.side + column
    order = torch.arange(len(place), device=every.device)
    # The earliest object of each place: a scatter of the least index.
    first = order.new_full((len(boxes) * head.side**2,), len(place)).scatter_reduce(0, place, order, "amin")
    keep = first[place] == order
    return image[keep], row[keep], column[keep], every[keep], label[keep]


def _pairwise(a: Tensor, b: Tensor) -> Tensor:
    """Overlap of the boxes (M, B, 4) with (M, 1, 4), row by row: (M, B)."""
    side = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    shared = side.prod(-1)
    areas = [(x[..., 2:] - x[..., :2]).clamp(min=0).prod(-1) for x in (a, b)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-9)


def region_loss(
    head: AnchorHead,
    grid: Tensor,
    boxes: Truths,
    labels: Truths,
    height: int,
    width: int,
    *,
    seen: int = WARM,
    thresh: float = 0.6,
    scales: tuple[float, float, float, float] = (5.0, 1.0, 1.0, 1.0),
) -> Tensor:
    """Version 2's, as Darknet's region layer defines its gradients (the paper prints no formula); halves of squared errors.

    An object belongs to the cell of its centre and the anchor of the nearest shape. There: sigmoid x, y and t_w, t_h (times 2 - w h, shares
    of the image), confidence towards the overlap of box and object, cross-entropy of the class. Elsewhere confidence towards 0, unless the
    box overlaps some object by more than `thresh`. scales: of confidence with an object, without, class and place. While `seen` < WARM
    images, every box is also pulled to its anchor at the middle of its cell, with weight 0.01.
    """
    objectness, background, kind, place = scales
    rows = head.rows(grid).movedim(2, -1)
    n, a, h, w = rows.shape[:4]
    predicted_boxes = head.believe(grid, height, width).boxes.detach()
    sure = rows[..., 4].sigmoid()
    image, anchor, row, column, box, label = _owners(head, boxes, labels, (h, w), (height, width))
    overlap = _pairwise(torch.unflatten(predicted_boxes, 1, (a, h, w))[image, anchor, row, column][:, None], box[:, None])[:, 0]
    mine = torch.zeros_like(sure, dtype=torch.bool)
    mine[image, anchor, row, column] = True
    best = torch.stack([iou(f, t).amax(1) if len(t) else f.new_zeros(len(f)) for f, t in zip(predicted_boxes, boxes, strict=True)])
    empty = ~mine & (torch.unflatten(best, 1, (a, h, w)) <= thresh)
    loss = background * (sure.square() * empty).sum() / 2
    if seen < WARM:
        loss = loss + 0.01 * ((rows[..., :2].sigmoid() - 0.5).square().sum() + rows[..., 2:4].square().sum()) / 2
    owned = rows[image, anchor, row, column]
    loss = loss + objectness * (sure[image, anchor, row, column] - overlap).square().sum() / 2
    loss = loss + kind * F.cross_entropy(owned[:, 5:], label, reduction="sum")
    cell = box.new_tensor([width / w, height / h])
    centre = (box[:, :2] + box[:, 2:]) / 2 / cell - torch.stack([column, row], dim=1)
    shapes = (head.anchors * cell if head.in_cells else head.anchors)[anchor]
    side = box[:, 2:] - box[:, :2]
    apart = (owned[:, :2].sigmoid() - centre).square().sum(1) + (owned[:, 2:4] - (side / shapes).log()).square().sum(1)
    small = 2 - side.prod(1) / (height * width)
    total: Tensor = (loss + place * (small * apart).sum() / 2) / n
    return total


def _owners(
    head: AnchorHead, boxes: Truths, labels: Truths, cells: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    (h, w), (height, width) = cells, size
    every, label = torch.cat(list(boxes)), torch.cat(list(labels))
    image = torch.repeat_interleave(torch.tensor([len(b) for b in boxes], device=every.device))
    cell = every.new_tensor([width / w, height / h])
    shapes = head.anchors * cell if head.in_cells else head.anchors
    anchor = shape_iou((every[:, 2:] - every[:, :2]).clamp(min=1e-3), shapes).argmax(1)
    centre = ((every[:, :2] + every[:, 2:]) / 2 / cell).floor().long()
    column, row = centre[:, 0].clamp(0, w - 1), centre[:, 1].clamp(0, h - 1)
    return image, anchor, row, column, every, label


def scales_loss(
    heads: Sequence[AnchorHead], grids: Sequence[Tensor], boxes: Truths, labels: Truths, height: int, width: int, *, ignore: float = 0.7
) -> Tensor:
    """Version 3's over all its detecting layers, as `yolo.loss` defines it: of all their anchors the best shape owns an object.

    Heads whose centres leave their cells (scale_x_y) learn as if they could not.
    """
    rows = [head.rows(grid).movedim(2, -1) for head, grid in zip(heads, grids, strict=True)]
    predicted_boxes = [head.believe(grid, height, width).boxes.detach() for head, grid in zip(heads, grids, strict=True)]
    every = torch.cat(list(boxes))
    image = torch.repeat_interleave(torch.tensor([len(b) for b in boxes], device=every.device))
    candidate, xy, wh = torch.zeros_like(image), torch.zeros_like(every[:, :2]), torch.zeros_like(every[:, :2])
    cells = [every.new_tensor([width / r.shape[3], height / r.shape[2]]) for r in rows]
    shapes = [head.anchors * cell if head.in_cells else head.anchors for head, cell in zip(heads, cells, strict=True)]
    level = torch.cat([torch.full((len(s),), k, device=every.device) for k, s in enumerate(shapes)])
    size = (every[:, 2:] - every[:, :2]).clamp(min=1e-3)
    best = level[shape_iou(size, torch.cat(shapes)).argmax(1)]
    before = 0
    for k, (head, r) in enumerate(zip(heads, rows, strict=True)):
        mine = best == k
        anchors, h, w = r.shape[1:4]
        _, anchor, row, column, box, _ = _owners(head, [every[mine]], [every[mine]], (h, w), (height, width))
        candidate[mine] = before + (anchor * h + row) * w + column
        xy[mine] = ((box[:, :2] + box[:, 2:]) / 2 / cells[k] - torch.stack([column, row], dim=1)).clamp(0, 1)
        wh[mine] = (size[mine] / shapes[k][anchor]).log()
        before += anchors * h * w
    owners = Owners(image, candidate, xy, wh)
    together = torch.cat([r.flatten(1, 3) for r in rows], dim=1)
    return loss_of_candidates(together, torch.cat(predicted_boxes, dim=1), owners, boxes, labels, height * width, ignore)
