"""Tiny models of the three tasks, for the adversary's tests. Weights come from a seed, not from the global generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.boxes import iou
from robustbench_cv.noise import Noise
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
    Target,
)

SIDE = 16


def seeded(module: nn.Module, seed: int = 0) -> nn.Module:
    """Eval mode, normal weights of He's scale, no biases; parameters trainable, as a careless user leaves them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if p.dim() > 1:
                p.copy_(torch.randn(p.shape, generator=generator) * (2 / p[0].numel()) ** 0.5)
            else:
                p.fill_(float(name.endswith("weight")))
    return module.eval()


def info(name: str, task: Task, classes: int, operating_score: float = 0.25) -> ModelInfo:
    return ModelInfo(name=name, task=task, classes=Labels.numbered(classes), weights_sha256="0" * 64, operating_score=operating_score)


@dataclass(eq=False)
class TinyClassifier:
    """Convolution, batch norm, dropout and a linear layer; logits times `gain`."""

    module: nn.Module
    info: ModelInfo
    gain: float = 1.0

    def raw(self, images: Tensor, /) -> Logits:
        return Logits(self.gain * self.module(images - 0.5))

    def decode(self, raw: Logits, /) -> list[Prediction]:
        return [ClassPrediction(p) for p in raw.values.softmax(1)]


def classifier(gain: float = 4.0, classes: int = 5, seed: int = 0) -> TinyClassifier:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8 * 64, classes))
    return TinyClassifier(seeded(net, seed), info("tiny classifier", "classification", classes), gain)


def linear(gain: float, classes: int = 4, side: int = SIDE) -> TinyClassifier:
    """Logits = gain * W x: at a large gain float32 softmax saturates and cross-entropy has no gradient left."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, classes, bias=False))
    return TinyClassifier(seeded(net), info("linear", "classification", classes), gain)


@dataclass(eq=False)
class TinySegmenter:
    """Two convolutions; logits times `gain`."""

    module: nn.Module
    info: ModelInfo
    gain: float = 1.0

    def raw(self, images: Tensor, /) -> PixelLogits:
        return PixelLogits(self.gain * self.module(images - 0.5))

    def decode(self, raw: PixelLogits, /) -> list[Prediction]:
        return [MaskPrediction(labels) for labels in raw.values.argmax(1)]


def segmenter(gain: float = 1.0, classes: int = 4) -> TinySegmenter:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 3, padding=1))
    return TinySegmenter(seeded(net), info("tiny segmenter", "segmentation", classes), gain)


@dataclass(eq=False)
class TinyDetector:
    """A grid of 4-pixel cells with two anchors each: objectness and classes by sigmoid, boxes a little movable. bias: of objectness."""

    module: nn.Module
    info: ModelInfo
    bias: float = -2.0

    def raw(self, images: Tensor, /) -> Candidates:
        n, _, height, width = images.shape
        classes = len(self.info.classes)
        out = self.module(images - 0.5).reshape(n, 2, 5 + classes, -1).permute(0, 3, 1, 2).reshape(n, -1, 5 + classes)
        y, x = torch.meshgrid(torch.arange(2.0, height, 4), torch.arange(2.0, width, 4), indexing="ij")
        centres = torch.stack([x, y], -1).reshape(-1, 1, 2).expand(-1, 2, 2).reshape(-1, 2).to(images)
        half = torch.tensor([[1.9, 1.9], [3.0, 3.0]]).repeat(len(centres) // 2, 1).to(images) * (1 + 0.1 * out[..., 2:4].tanh())
        centres = centres + 0.3 * out[..., :2].tanh()
        boxes = torch.cat([centres - half, centres + half], -1)[:, :, None]
        log_score = F.logsigmoid(6 * out[..., 4:5] + self.bias) + F.logsigmoid(3 * out[..., 5:])
        # The last candidate is padding with tempting values.
        valid = torch.ones(n, boxes.shape[1], dtype=torch.bool, device=images.device)
        valid[:, -1] = False
        log_score = torch.cat([log_score[:, :-1], torch.zeros_like(log_score[:, -1:])], 1)
        return Candidates(boxes, log_score, valid)

    def decode(self, raw: Candidates, /) -> list[Prediction]:
        return [self._one(*parts) for parts in zip(raw.boxes, raw.log_score, raw.valid, strict=True)]

    def _one(self, boxes: Tensor, log_score: Tensor, valid: Tensor) -> BoxPrediction:
        scores, labels = log_score.exp().masked_fill(~valid[:, None], 0).max(1)
        order = scores.argsort(descending=True)
        kept: list[int] = []
        for i in order[scores[order] > 0.05].tolist():
            if not kept or float(iou(boxes[i], boxes[kept, 0]).max()) < 0.45:
                kept.append(i)
        return BoxPrediction(boxes[kept, 0], scores[kept], labels[kept])


def detector(classes: int = 3, bias: float = -2.0) -> TinyDetector:
    net = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, 2 * (5 + classes), 1))
    return TinyDetector(seeded(net), info("tiny detector", "detection", classes), bias)


MODELS = {"classification": classifier, "segmentation": segmenter, "detection": detector}


def images(n: int = 6, side: int = SIDE, seed: int = 0) -> Tensor:
    """Smooth random pictures in [0, 1], white and black areas included."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (F.interpolate(coarse, (side, side), mode="bilinear") * 1.6 - 0.3).clamp(0, 1)


def targets(model: TinyClassifier | TinySegmenter | TinyDetector, x: Tensor) -> Sequence[Target]:
    """What the model says of x, as annotations: clean accuracy is 1."""
    with torch.no_grad():
        predictions = model.decode(model.raw(x))  # type: ignore[arg-type]
    made: list[Target] = []
    for p in predictions:
        if isinstance(p, ClassPrediction):
            made.append(ClassTarget(p.label))
        elif isinstance(p, MaskPrediction):
            labels = p.labels.clone()
            labels[0] = 255
            made.append(MaskTarget(labels))
        else:
            keep = p.scores >= model.info.operating_score
            made.append(BoxTarget.of(p.boxes[keep], p.labels[keep]))
    return made


def noise(n: int, seed: int = 0) -> Noise:
    return Noise(seed, tuple(f"sample {i}" for i in range(n)))
