"""SSD's network, its boxes by default and its loss. Liu et al., ECCV 2016, https://arxiv.org/abs/1512.02325"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.boxes import iou

VARIANCE = (0.1, 0.1, 0.2, 0.2)
"""By which the offsets of centre and size are divided when learned."""

VGG: tuple[int | str, ...] = (64, 64, "M", 128, 128, "M", 256, 256, 256, "C", 512, 512, 512, "M", 512, 512, 512)
"""VGG-16's convolutions up to conv5_3: maps, pool ("C": rounding up)."""

CONV4_3 = 12
"""Index in VGG of the last convolution before the fourth pool, the first source of boxes."""


@dataclass(frozen=True)
class Layout:
    """What distinguishes the published networks.

    extras: of each further source the maps of its 1x1 convolution, those of the next one, its side, stride and padding. boxes: default
    boxes a place, for each source. smallest, first: shares of the input in percent: the scale of the second source, and of the first.
    """

    extras: tuple[tuple[int, int, int, int, int], ...]
    boxes: tuple[int, ...]
    smallest: int
    first: int

    def cut(self, sources: int) -> Layout:
        """Only the first so many sources, for small inputs."""
        return Layout(self.extras[: sources - 2], self.boxes[:sources], self.smallest, self.first)

    def scales(self) -> list[float]:
        """Shares of the input, one a source and one beyond: section 2.2's equation 4 with Caffe's whole percents.

        >>> SSD300.scales()
        [0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05]
        """
        step = (90 - self.smallest) // max(1, len(self.boxes) - 2)
        return [p / 100 for p in (self.first, *(self.smallest + step * k for k in range(len(self.boxes))))]


SSD300 = Layout(((256, 512, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 1, 0), (128, 256, 3, 1, 0)), (4, 6, 6, 6, 4, 4), 20, 10)
"""The scales are the ones for VOC."""

SSD512 = Layout(
    ((256, 512, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 4, 1, 1)), (4, 6, 6, 6, 6, 4, 4), 10, 4
)
"""The scales are the ones for COCO."""


class Ssd(nn.Module):
    """Images (N, 3, H, W), normalised -> class scores (N, K, 1 + C), background first, and offsets (N, K, 4).

    Candidates are ordered by source, row, column, default box. width: maps of the first layer (the paper's 64), the others in proportion,
    at most `widest` (0: no bound). norm: batch normalisation in every convolution but the heads', which the paper's network has not.
    """

    def __init__(self, classes: int, layout: Layout, width: int = 64, widest: int = 0, *, norm: bool = False) -> None:
        super().__init__()

        def maps(count: int) -> int:
            mine = max(4, count * width // 64)
            return min(mine, widest) if widest else mine

        self.classes = classes
        body: list[nn.Module] = []
        inside = 3
        for index, item in enumerate(VGG):
            if isinstance(item, str):
                body.append(nn.MaxPool2d(2, 2, ceil_mode=item == "C"))
                continue
            body.append(_conv(inside, maps(item), 3, padding=1, norm=norm))
            inside = maps(item)
            if index == CONV4_3:
                self.split, four = len(body), inside
        fc6 = _conv(inside, maps(1024), 3, padding=6, dilation=6, norm=norm)
        body += [nn.MaxPool2d(3, 1, 1), fc6, _conv(maps(1024), maps(1024), 1, norm=norm)]
        self.body = nn.Sequential(*body)
        self.scale = nn.Parameter(torch.full((four,), 20.0))
        self.extras = nn.ModuleList()
        sources, inside = [four, maps(1024)], maps(1024)
        for narrow, wide, size, stride, padding in layout.extras:
            reduce = _conv(inside, maps(narrow), 1, norm=norm)
            self.extras.append(nn.Sequential(reduce, _conv(maps(narrow), maps(wide), size, stride, padding, norm=norm)))
            inside = maps(wide)
            sources.append(inside)
        pairs = list(zip(sources, layout.boxes, strict=True))
        self.places = nn.ModuleList(nn.Conv2d(i, 4 * b, 3, padding=1) for i, b in pairs)
        self.kinds = nn.ModuleList(nn.Conv2d(i, (1 + classes) * b, 3, padding=1) for i, b in pairs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def features(self, x: Tensor) -> list[Tensor]:
        """The sources, finest first; the first one of length `scale` at each place."""
        x = self.body[: self.split](x)
        sources = [F.normalize(x) * self.scale[:, None, None]]
        x = self.body[self.split :](x)
        sources.append(x)
        for block in self.extras:
            x = block(x)
            sources.append(x)
        return sources

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores before softmax, offsets before VARIANCE."""
        sources = self.features(x)
        scores = [_rows(head(f), 1 + self.classes) for head, f in zip(self.kinds, sources, strict=True)]
        offsets = [_rows(head(f), 4) for head, f in zip(self.places, sources, strict=True)]
        return torch.cat(scores, dim=1), torch.cat(offsets, dim=1)

    def shapes(self, side: int) -> list[int]:
        """The side of each source at an input of `side` px."""
        at = side
        for item in VGG[: CONV4_3 + 1]:
            at = -(-at // 2) if item == "C" else at // 2 if item == "M" else at
        sides = [at, at // 2]
        for extra in self.extras:
            conv = extra[1][0]  # type: ignore[index]
            sides.append((sides[-1] + 2 * conv.padding[0] - conv.kernel_size[0]) // conv.stride[0] + 1)
        return sides


def _conv(inside: int, outside: int, size: int, stride: int = 1, padding: int = 0, dilation: int = 1, *, norm: bool) -> nn.Sequential:
    conv = nn.Conv2d(inside, outside, size, stride, padding, dilation, bias=not norm)
    return nn.Sequential(conv, *([nn.BatchNorm2d(outside)] if norm else []), nn.ReLU(inplace=True))


def _rows(maps: Tensor, columns: int) -> Tensor:
    """(N, B * columns, h, w) -> (N, h w B, columns)."""
    return torch.unflatten(maps.movedim(1, -1), -1, (-1, columns)).flatten(1, 3)


def default_boxes(shapes: Sequence[int], boxes: Sequence[int], scales: Sequence[float], side: int) -> Tensor:
    """Centres and sizes (K, 4) in px: at each place a square of scale s_k, one of sqrt(s_k s_{k+1}), and both ways of 1:2 (and 1:3).

    They are not cut to the image. shapes: sides of the sources; scales: one more than there are sources.
    """
    levels = []
    for k, (cells, count) in enumerate(zip(shapes, boxes, strict=True)):
        small, large = scales[k] * side, scales[k + 1] * side
        between = (small * large) ** 0.5
        sizes = [(small, small), (between, between)]
        for ratio in (2, 3)[: (count - 2) // 2]:
            wide, high = small * ratio**0.5, small / ratio**0.5
            sizes += [(wide, high), (high, wide)]
        step = side / cells
        y, x = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
        centre = (torch.stack([x, y], dim=-1).flatten(0, 1) + 0.5) * step
        size = torch.tensor(sizes)
        levels.append(torch.cat([centre[:, None].expand(-1, count, -1), size[None].expand(len(centre), -1, -1)], dim=-1).flatten(0, 1))
    return torch.cat(levels)


def decode_boxes(offsets: Tensor, defaults: Tensor) -> Tensor:
    """Boxes (..., K, 4) xyxy in px of offsets (..., K, 4) and default boxes (K, 4); at most 62 times as wide, as in torchvision."""
    moved = offsets * offsets.new_tensor(VARIANCE)
    centre = defaults[:, :2] + moved[..., :2] * defaults[:, 2:]
    half = defaults[:, 2:] * moved[..., 2:].clamp(max=LARGEST).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)


LARGEST = 4.135166556742356
"""log(1000 / 16)."""


def encode_boxes(boxes: Tensor, defaults: Tensor) -> Tensor:
    """The offsets (M, 4) that lead from default boxes (M, 4) to boxes (M, 4) xyxy."""
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    moved = torch.cat([(centre - defaults[:, :2]) / defaults[:, 2:], (size / defaults[:, 2:]).log()], dim=1)
    return moved / moved.new_tensor(VARIANCE)


def match_boxes(boxes: Tensor, defaults: Tensor, least: float = 0.5) -> Tensor:
    """Which object each default box learns, -1 for none: int64 (K,). Section 2.2, matching strategy.

    Every object gets the default box that overlaps it most; others learn the object that they overlap by more than `least`.
    """
    corners = torch.cat([defaults[:, :2] - defaults[:, 2:] / 2, defaults[:, :2] + defaults[:, 2:] / 2], dim=1)
    owner = torch.full((len(defaults),), -1, device=defaults.device)
    if len(boxes) == 0:
        return owner
    overlap = iou(boxes, corners)
    value, nearest = overlap.max(dim=0)
    owner = torch.where(value > least, nearest, owner)
    owner[overlap.argmax(dim=1)] = torch.arange(len(boxes), device=owner.device)
    return owner


def ssd_loss(scores: Tensor, offsets: Tensor, defaults: Tensor, boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    """Equation 1 over a batch: (cross-entropy + smooth L1) / number of matched default boxes; 0 where there is none.

    Of the unmatched only the three times as many with the highest loss count in each image (hard negative mining). boxes: of each image
    (M, 4) px; labels (M,), without the background.
    """
    owners = torch.stack([match_boxes(b, defaults) for b in boxes])
    positive = owners >= 0
    wanted = torch.zeros_like(owners)
    place = offsets.new_zeros(())
    for row, (owner, mine, box, label) in enumerate(zip(owners, positive, boxes, labels, strict=True)):
        chosen = owner[mine]
        wanted[row, mine] = label[chosen] + 1
        place = place + F.smooth_l1_loss(offsets[row, mine], encode_boxes(box[chosen], defaults[mine]), reduction="sum")
    entropy = F.cross_entropy(scores.flatten(0, 1), wanted.flatten(), reduction="none").view_as(wanted)
    rank = torch.where(positive, -1.0, entropy.detach()).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    hard = (rank < 3 * positive.sum(dim=1, keepdim=True)) & ~positive
    loss: Tensor = (entropy * (positive | hard)).sum() + place
    return loss / positive.sum().clamp(min=1) * bool(positive.any())
