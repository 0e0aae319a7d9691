"""The mixture of deformable part models of every class, and their scores over a pyramid of HOG features.

A component is a root filter, parts at twice the root's resolution, each with an anchor and a spring, and a bias; every component also
stands mirrored, with the same parameters. Score of a placement = root + sum of transformed parts + bias (PAMI 2010, equation 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.models.detectors.deformable.distance_transform import transform
from robustbench_cv.models.detectors.deformable.hog import CHANNELS, hog, mirror_filters, pad_cells
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.models.preprocessing import scale
from robustbench_cv.types import Candidates

REACH = 4
"""The farthest a part moves, cells of its own resolution."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a mixture. components: of a class, without mirrors. root: side of the window of cells in which each root filter has its own
    rectangle. parts: of a component. part: side of a part, cells. cell: px. octave: levels of the pyramid by which the scale halves.
    """

    components: int = 3
    root: int = 10
    parts: int = 8
    part: int = 6
    cell: int = 8
    octave: int = 10


class Mixtures(nn.Module):
    """Components of all classes, C * components of them (M), class by class.

    root (M, 32, R, R), zero outside the component's rectangle; parts (M, P, 32, p, p); springs (M, P, 4) as `transform` takes them; bias
    (M,). sizes (M, 2): height and width of the rectangle, which lies in the middle of the window. anchors (M, P, 2): row and column of each
    part in the window at twice the resolution.
    """

    sizes: Tensor
    anchors: Tensor

    def __init__(self, classes: int, shape: Shape) -> None:
        super().__init__()
        self.classes, self.shape = classes, shape
        count, p, r = classes * shape.components, shape.part, shape.root
        self.root = nn.Parameter(torch.randn(count, CHANNELS, r, r) * 0.01)
        self.parts = nn.Parameter(torch.randn(count, shape.parts, CHANNELS, p, p) * 0.01)
        self.springs = nn.Parameter(torch.tensor([0.1, 0.0, 0.1, 0.0]).repeat(count, shape.parts, 1))
        self.bias = nn.Parameter(torch.zeros(count))
        self.register_buffer("sizes", torch.full((count, 2), r))
        places = torch.tensor([[(k // 3) % 3, k % 3] for k in range(shape.parts)]) * ((2 * r - p) // 2)
        self.register_buffer("anchors", places.repeat(count, 1, 1))

    def both_ways(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(root, parts, springs, anchors) of M components and then of their M mirrors."""
        turned = self.springs * self.springs.new_tensor([1, -1, 1, 1])
        across = 2 * self.shape.root - self.shape.part - self.anchors[..., 1]
        return (
            torch.cat([self.root, mirror_filters(self.root)]),
            torch.cat([self.parts, mirror_filters(self.parts)]),
            torch.cat([self.springs, turned]),
            torch.cat([self.anchors, torch.stack([self.anchors[..., 0], across], dim=-1)]),
        )

    def score(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Scores (N, 2 M, h, w) of each component with its window's corner at each cell of `coarse` (N, 32, .., ..), padded by `pad`.

        fine: the features at twice the resolution, padded by twice as much. The mirror of component m is m + M.
        """
        root, parts, springs, anchors = self.both_ways()
        total = F.conv2d(coarse, root) + self.bias.repeat(2)[:, None, None]
        moved = transform(F.conv2d(fine, parts.flatten(0, 1)), springs.flatten(0, 1), REACH)
        # HOG drops the outermost cell, so the coarse cell y, which is cell y + 1 of the image, begins at the fine cell 2 (y + 1) - 1.
        rows, columns = (2 * torch.arange(side, device=coarse.device) + 1 for side in total.shape[-2:])
        at = anchors.flatten(0, 1)
        which = torch.arange(len(at), device=coarse.device)[:, None, None]
        taken = moved[:, which, (rows + at[:, :1])[:, :, None], (columns + at[:, 1:])[:, None, :]]
        return total + torch.unflatten(taken, 1, (2 * len(self.root), self.shape.parts)).sum(2)

    @property
    def pad(self) -> int:
        """Cells by which a root's window may hang over the image."""
        return self.shape.root // 2


def level_sides(side: int, shape: Shape) -> list[int]:
    """Cells along a square of `side` px at each level of the roots, from its own size down to where half a window still fits."""
    sides: list[int] = []
    while True:
        cells = round(side / shape.cell * 2 ** (-len(sides) / shape.octave))
        if cells < max(4, shape.root // 2 + 2):
            return sides
        sides.append(cells)


def features(squares: Tensor, cells: int, mixtures: Mixtures) -> tuple[Tensor, Tensor]:
    """Padded HOG of a level's roots and parts."""
    cell, pad = mixtures.shape.cell, mixtures.pad
    coarse = hog(scale(squares, (cells * cell, cells * cell)), cell)
    fine = hog(scale(squares, (2 * cells * cell, 2 * cells * cell)), cell)
    return pad_cells(coarse, pad, pad), pad_cells(fine, 2 * pad, 2 * pad)


def window_boxes(mixtures: Mixtures, cells: int, side: int) -> Tensor:
    """Box of each component at each place of a level: (2 M, h, w, 4) in px of the square."""
    px = side / cells
    count = cells - 2 + 2 * mixtures.pad - mixtures.shape.root + 1
    sizes = mixtures.sizes.repeat(2, 1)
    inset = (mixtures.shape.root - sizes) // 2
    # a mirrored rectangle of odd margin lies one cell further
    inset[len(inset) // 2 :, 1] = mixtures.shape.root - sizes[len(inset) // 2 :, 1] - inset[: len(inset) // 2, 1]
    places = torch.arange(count, device=sizes.device) - mixtures.pad + 1
    top, left = ((places + inset[:, k : k + 1]).float() * px for k in (0, 1))
    corner = torch.stack([(left[:, None, :] + 0 * top[:, :, None]), (top[:, :, None] + 0 * left[:, None, :])], dim=-1)
    return torch.cat([corner, corner + (sizes.flip(1).float() * px)[:, None, None]], dim=-1)


class PartModels(nn.Module):
    """The best component of each class at every place and level."""

    def __init__(self, mixtures: Mixtures) -> None:
        super().__init__()
        self.mixtures = mixtures

    def forward(self, squares: Tensor, frame: Letterbox) -> Candidates:
        """Differentiable as far as `hog` is. The box is the best component's, with no correction; its choice jumps. B = C."""
        classes, log_scores, placed, seen = self.mixtures.classes, [], [], []
        for cells in level_sides(frame.side, self.mixtures.shape):
            scores = self.mixtures.score(*features(squares, cells, self.mixtures))
            ways = torch.unflatten(scores, 1, (2, classes, -1)).movedim(2, 1).flatten(2, 3)
            best, which = ways.flatten(3).max(2)
            boxes = (
                torch.unflatten(window_boxes(self.mixtures, cells, frame.side), 0, (2, classes, -1))
                .movedim(1, 0)
                .flatten(1, 2)
                .flatten(2, 3)
            )
            chosen = boxes[None].expand(len(squares), -1, -1, -1, -1).gather(2, which[:, :, None, :, None].expand(-1, -1, -1, -1, 4))
            log_scores.append(F.logsigmoid(best).movedim(1, 2))
            placed.append(chosen[:, :, 0].movedim(1, 2))
            middle = boxes.mean((0, 1))
            seen.append(frame.touched(torch.cat([(middle[:, :2] + middle[:, 2:]) / 2 - 1, (middle[:, :2] + middle[:, 2:]) / 2 + 1], dim=1)))
        valid = torch.cat(seen).expand(len(squares), -1)
        return Candidates(torch.cat(placed, dim=1), torch.cat(log_scores, dim=1), valid)
