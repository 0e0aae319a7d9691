"""Made-up images with one square of its class's colour on dark noise, and detectors that read the squares alone, or the whole image too."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy
import torch
from torch import Tensor

from robustbench_cv.boxes import from_mask
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxPrediction, BoxTarget, Candidates, Labels, ModelInfo, Sample

CLASSES = ("red", "green", "blue", "yellow")
COLOURS = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [1.0, 1.0, 0]])
SIDE, SQUARE = 48, 9


@dataclass(frozen=True, kw_only=True)
class Squares:
    """Classes take turns; squares stand anywhere off the edge."""

    samples: int = 40

    name = "toy-squares"
    task = "detection"
    labels = Labels(CLASSES)

    @property
    def ids(self) -> list[str]:
        return [f"squares/{i:03}" for i in range(self.samples)]

    def __len__(self) -> int:
        return self.samples

    def fingerprint(self, index: int, /) -> str:
        return hashlib.sha256(f"square {index}".encode()).hexdigest()

    def __getitem__(self, index: int, /) -> Sample:
        rng = Noise(0, (self.ids[index],), "square").rng()
        top, left = rng.integers(1, SIDE - SQUARE - 1, 2).tolist()
        mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        mask[top : top + SQUARE, left : left + SQUARE] = True
        label = index % len(CLASSES)
        image = 0.3 * torch.from_numpy(rng.random((3, SIDE, SIDE))).float()
        image = torch.where(mask, COLOURS[label][:, None, None], image)
        regions = {"objects": mask, f"class:{CLASSES[label]}": mask, "instance:0": mask}
        return Sample(self.ids[index], image, BoxTarget.of(from_mask(mask)[None], torch.tensor([label])), regions)


def squares(samples: int = 40) -> Squares:
    """The data set, as `--data tests/toy_transplant.py:squares` finds it."""
    return Squares(samples=samples)


@dataclass(frozen=True, eq=False)
class SquareDetector:
    """A box around each connected piece of a class's colour. reads_all: what it calls them depends on the mean of the whole image."""

    reads_all: bool

    @property
    def info(self) -> ModelInfo:
        name = "reads-all" if self.reads_all else "reads-objects"
        return ModelInfo(name, "detection", Labels(CLASSES), "0" * 64, operating_score=0.5)

    def raw(self, images: Tensor, /) -> Candidates:
        found = [self._boxes(image) for image in images]
        most = max(1, *(len(boxes) for boxes, _ in found))
        boxes, scores = torch.zeros(len(images), most, 1, 4), torch.full((len(images), most, len(CLASSES)), -20.0)
        for n, (some, labels) in enumerate(found):
            for k, (box, label) in enumerate(zip(some, labels, strict=True)):
                boxes[n, k, 0], scores[n, k, label] = box, -0.1
        return Candidates(boxes, scores, (scores > -20).any(dim=2))

    def _boxes(self, image: Tensor) -> tuple[list[Tensor], list[int]]:
        turn = int((255 * image).round().long().sum()) // 2000 if self.reads_all else 0
        boxes, labels = [], []
        for label, colour in enumerate(COLOURS):
            there = ((image - colour[:, None, None]).abs() < 0.05).all(dim=0)
            count, pieces = cv2.connectedComponents(there.numpy().astype(numpy.uint8))
            for piece in range(1, count):
                boxes.append(from_mask(torch.from_numpy(pieces == piece)))
                labels.append((label + turn) % len(CLASSES))
        return boxes, labels

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        out = []
        for boxes, scores, valid in zip(raw.boxes[:, :, 0], raw.log_score, raw.valid, strict=True):
            best = scores[valid].max(dim=1)
            out.append(BoxPrediction(boxes[valid], best.values.exp(), best.indices))
        return out
