"""Pictures whose object and context name a class by their colours, and models that read one of the two, or both.

The object is a disk at one place in the colour of its class; the context is everything else, in a darker colour of the class. What reads
the object looks at the disk's colours, what reads the context at a corner; what needs a compatible context reports an object that it sees
only where the corner is of the object's class or of the next one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from robustbench_cv.noise import Noise
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
    Sample,
)

CLASSES = ("car", "boat", "cow", "plane")
GROUND = len(CLASSES)
SIDE = 48
_HUES = torch.tensor([[1.0, 0.1, 0.1], [0.1, 1.0, 0.1], [0.1, 0.1, 1.0], [1.0, 1.0, 0.1]])
_OBJECTS, _CONTEXTS = 0.9 * _HUES, 0.35 * _HUES
_BOX = torch.tensor([[13.0, 13.0, 24.0, 24.0]])

Reads = Literal["object", "context", "compatible"]


def disk() -> Tensor:
    y, x = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None, :]
    return (y - 18) ** 2 + (x - 18) ** 2 <= 30


@dataclass(frozen=True, kw_only=True)
class ToyData:
    """samples of one task; classes take turns. lands: whose context objects take turns in, counted from their own class."""

    task: str
    samples: int = 40
    lands: tuple[int, ...] = (0,)

    @property
    def name(self) -> str:
        return "toy-context"

    @property
    def labels(self) -> Labels:
        return Labels((*CLASSES, "ground") if self.task == "segmentation" else CLASSES)

    @property
    def ids(self) -> list[str]:
        return [f"toy/{i:03}" for i in range(self.samples)]

    def __len__(self) -> int:
        return self.samples

    def fingerprint(self, index: int, /) -> str:
        return hashlib.sha256(f"{self.task} {index} {self.lands}".encode()).hexdigest()

    def __getitem__(self, index: int, /) -> Sample:
        label, mask = index % len(CLASSES), disk()
        land = (label + self.lands[index // len(CLASSES) % len(self.lands)]) % len(CLASSES)
        image = torch.where(mask, _OBJECTS[label][:, None, None], _CONTEXTS[land][:, None, None])
        image = (image + 0.04 * Noise(0, (self.ids[index],), "toy").uniform((3, SIDE, SIDE))[0]).clamp(0, 1)
        regions = {"object": mask, "objects": mask, f"class:{CLASSES[label]}": mask, "instance:0": mask}
        targets = {
            "classification": ClassTarget(label),
            "segmentation": MaskTarget(torch.where(mask, label, GROUND)),
            "detection": BoxTarget.of(_BOX, torch.tensor([label])),
        }
        return Sample(self.ids[index], image, targets[self.task], regions, {"context": f"land of the {CLASSES[land]}"})


def toy(task: str = "classification", samples: int = 40) -> ToyData:
    """The data set, as `--data tests/toy_context.py:toy` finds it."""
    return ToyData(task=task, samples=samples)


def mixed(task: str = "classification", samples: int = 120) -> ToyData:
    """Of ten objects, six stand in their own context, three in that of the next class and one in that of the class after it."""
    return ToyData(task=task, samples=samples, lands=(0, 1, 0, 0, 2, 0, 1, 0, 1, 0))


def evidence(images: Tensor, reads: Reads) -> Tensor:
    """How much of each class's colour is where the model looks: (N, classes), about 1 where it is there and 0 where it is not."""
    if reads == "compatible":
        context = evidence(images, "context") > 0.5
        return evidence(images, "object") * (context | context.roll(-1, dims=1))
    if reads == "object":
        seen, colours = images[:, :, disk()], _OBJECTS
    else:
        seen, colours = images[:, :, :4, :4].flatten(2), _CONTEXTS
    distance = (seen[:, None] - colours[None, :, :, None]).square().sum(dim=2)
    return torch.exp(-distance / 0.03).mean(dim=2)


@dataclass(frozen=True, eq=False)
class Toy:
    """A model of one task that looks at the object, at the context, or at both."""

    task: str
    reads: Reads

    @property
    def info(self) -> ModelInfo:
        labels = ToyData(task=self.task).labels
        return ModelInfo(f"reads-{self.reads}", self.task, labels, "0" * 64, operating_score=0.5)  # type: ignore[arg-type]

    def raw(self, images: Tensor, /) -> Logits | PixelLogits | Candidates:
        seen = evidence(images, self.reads)
        if self.task == "classification":
            # where nothing is seen, the first class is the answer
            return Logits(20 * seen + torch.tensor([0.1, 0, 0, 0]))
        if self.task == "detection":
            boxes = _BOX.reshape(1, 1, 1, 4).expand(len(images), 1, 1, 4)
            return Candidates(boxes, logsigmoid(20 * (seen - 0.5))[:, None], torch.ones(len(images), 1, dtype=torch.bool))
        ground = torch.full((len(images), 1), 10.0)
        inside = torch.cat([20 * seen, ground], dim=1)[:, :, None, None]
        outside = torch.cat([torch.zeros_like(seen), ground], dim=1)[:, :, None, None]
        return PixelLogits(torch.where(disk(), inside, outside))

    def decode(self, raw: Logits | PixelLogits | Candidates, /) -> list[ClassPrediction | MaskPrediction | BoxPrediction]:
        if isinstance(raw, Logits):
            return [ClassPrediction(p) for p in raw.values.softmax(dim=1)]
        if isinstance(raw, PixelLogits):
            return [MaskPrediction(labels) for labels in raw.values.argmax(dim=1)]
        out: list[ClassPrediction | MaskPrediction | BoxPrediction] = []
        for boxes, scores in zip(raw.boxes[:, 0, 0], raw.log_score[:, 0].exp(), strict=True):
            kept = (scores > 0.05).nonzero()[:, 0]
            order = kept[scores[kept].argsort(descending=True)]
            out.append(BoxPrediction(boxes.expand(len(order), 4), scores[order], order))
        return out
