"""Tiny models that are exactly right on rendered samples of three tasks, and ways to break each of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.boxes import iou
from robustbench_cv.tasks import Task
from robustbench_cv.types import (
    BoxPrediction,
    BoxTarget,
    Candidates,
    ClassPrediction,
    ClassTarget,
    Labels,
    Logits,
    MaskPrediction,
    MaskTarget,
    ModelInfo,
    PixelLogits,
    Prediction,
    Sample,
)

SIDE, CELL = 24, 6
# Vivid and pale colours of three hues, so that a change of scale takes one for the other; hues that swapping red and blue does not permute.
COLOURS = torch.tensor(
    [
        [0.85, 0.15, 0.15],
        [0.62, 0.40, 0.40],
        [0.85, 0.55, 0.10],
        [0.62, 0.53, 0.36],
        [0.20, 0.75, 0.25],
        [0.40, 0.60, 0.42],
        [0.45, 0.45, 0.45],
    ]
)
CLASSES = Labels(("brick", "rose", "orange", "sand", "grass", "sage", "stone"))
GROUND = 6
MEAN, STD = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]

Change = Callable[[Tensor], Tensor]


def normalise(x: Tensor) -> Tensor:
    return (x - MEAN) / STD


def same(x: Tensor) -> Tensor:
    return x


def as_they_are(boxes: Tensor, height: int, width: int) -> Tensor:
    return boxes


class Colours(nn.Module):
    """Per-pixel class scores of normalised images: minus the squared distance to each class's normalised colour."""

    def __init__(self) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(normalise(COLOURS[:, :, None, None]).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return -((x[:, None] - self.prototypes[None, :, :, None, None]) ** 2).sum(2)


@dataclass(eq=False)
class Tiny:
    """A right model, or one with a mistake: `before` is applied to the images, `after` to the scores (N, C, ...), `boxes` to the boxes."""

    task: Task
    module: nn.Module = field(default_factory=lambda: Colours().eval().requires_grad_(False))
    prepare: Change = normalise
    before: Change = same
    after: Change = same
    boxes: Callable[[Tensor, int, int], Tensor] = as_they_are
    score: float = 0.5

    @property
    def info(self) -> ModelInfo:
        classes = Labels(CLASSES.names[:GROUND]) if self.task == "detection" else CLASSES
        return ModelInfo(name=f"tiny {self.task}", task=self.task, classes=classes, weights_sha256="0" * 64, operating_score=self.score)

    def raw(self, images: Tensor, /) -> Logits | PixelLogits | Candidates:
        scores = 3 * self.module(self.prepare(self.before(images)))
        if self.task == "classification":
            return Logits(self.after(scores.mean((2, 3))))
        return PixelLogits(self.after(scores)) if self.task == "segmentation" else self._candidates(scores)

    def _candidates(self, scores: Tensor) -> Candidates:
        """Every box of a coarse grid; its confidence is that of its cells, less what its rim would still add."""
        n, _, height, width = scores.shape
        logs = scores.log_softmax(1)[:, :GROUND]
        grid, inside, around = _grid(height, width)
        cells, shares = F.avg_pool2d(logs, CELL).flatten(2), F.avg_pool2d(logs.exp(), CELL).flatten(2)
        log_score = self.after(cells @ inside - 3 * (shares @ around)).movedim(1, 2)
        found = self.boxes(grid, height, width)
        return Candidates(found.expand(n, -1, -1)[:, :, None], log_score, torch.ones(n, len(grid), dtype=torch.bool))

    def decode(self, raw: Logits | PixelLogits | Candidates, /) -> list[Prediction]:
        if isinstance(raw, Logits):
            return [ClassPrediction(p) for p in raw.values.softmax(1)]
        if isinstance(raw, PixelLogits):
            return [MaskPrediction(v.argmax(0)) for v in raw.values]
        return [_suppressed(b[:, 0], s.exp()) for b, s in zip(raw.boxes.detach(), raw.log_score.detach(), strict=True)]


@functools.cache
def _grid(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes of one to three cells a side: xyxy (K, 4); the means of their cells and of the rim around them as (cells, K)."""
    rows, columns = height // CELL, width // CELL
    found = [
        (x, y, x + w, y + h)
        for x in range(columns)
        for y in range(rows)
        for w in (1, 2, 3)
        for h in (1, 2, 3)
        if x + w <= columns and y + h <= rows
    ]
    inside, around = torch.zeros(len(found), rows, columns), torch.zeros(len(found), rows, columns)
    for k, (x1, y1, x2, y2) in enumerate(found):
        around[k, max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = 1
        around[k, y1:y2, x1:x2] = 0
        inside[k, y1:y2, x1:x2] = 1
    means = [(m / m.sum((1, 2), keepdim=True).clamp(min=1)).flatten(1).T for m in (inside, around)]
    return CELL * torch.tensor(found).float(), means[0], means[1]


def _suppressed(boxes: Tensor, score: Tensor) -> BoxPrediction:
    best, labels = score.max(1)
    overlaps = (iou(boxes, boxes) > 0.3).numpy()
    kept: list[int] = []
    for i in best.argsort(descending=True, stable=True).tolist():
        if best[i] > 0.05 and not overlaps[i, kept].any():
            kept.append(i)
    return BoxPrediction(boxes[kept], best[kept], labels[kept])


def samples(task: Task, count: int = 64, seed: int = 0, height: int = SIDE, width: int = 36) -> list[Sample]:
    """Noisy pictures of coloured surfaces: one of them, four bands of them, or one or two rectangles on stone."""
    rng = numpy.random.default_rng(seed)
    return [_sample(task, f"{task}-{i}", rng, height, width) for i in range(count)]


def _sample(task: Task, id_: str, rng: numpy.random.Generator, height: int, width: int) -> Sample:
    labels = torch.full((height, width), GROUND)
    boxes: list[list[int]] = []
    classes: list[int] = []
    if task == "classification":
        labels[:] = int(rng.integers(len(CLASSES)))
    elif task == "segmentation":
        for k, band in enumerate(labels.chunk(4, dim=0)):
            band[:] = int((rng.integers(2) + 2 * k) % len(CLASSES)) if rng.random() < 0.7 else int(rng.integers(len(CLASSES)))
    else:
        for column in (0, 1)[: int(rng.integers(1, 3))]:
            x, y = 18 * column + 6 * int(rng.integers(2)), 6 * int(rng.integers(2))
            w, h = (6 if x % 18 else 12), 6 * int(rng.integers(1, 3))
            classes.append(int(rng.integers(GROUND)))
            boxes.append([x, y, x + w, y + h])
            labels[y : y + h, x : x + w] = classes[-1]
    noise = torch.from_numpy(rng.normal(0, 0.03, (3, height, width))).float()
    image = (COLOURS[labels].permute(2, 0, 1) + noise).clamp(0, 1)
    if task == "classification":
        return Sample(id_, image, ClassTarget(int(labels[0, 0])))
    if task == "segmentation":
        labels[0, :3] = 255
        return Sample(id_, image, MaskTarget(labels))
    return Sample(id_, image, BoxTarget.of(torch.tensor(boxes), torch.tensor(classes)))


def with_boxes(found: Sequence[Sample], change: Callable[[Tensor, int, int], Tensor]) -> list[Sample]:
    """The samples with their boxes misread."""
    out = []
    for s in found:
        assert isinstance(s.target, BoxTarget)
        out.append(replace(s, target=BoxTarget.of(change(s.target.boxes, *s.image.shape[1:]), s.target.labels)))
    return out


@dataclass(frozen=True, eq=False)
class Listed:
    """A data set of given samples."""

    samples: Sequence[Sample]
    task: Task
    labels: Labels
    name: str = "listed"

    @property
    def ids(self) -> list[str]:
        return [s.id for s in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> Sample:
        return self.samples[index]

    def fingerprint(self, index: int, /) -> str:
        return self.samples[index].id
