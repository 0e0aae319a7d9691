"""transformers' detectors as models: DETR and its kin, whose queries are candidates. Nothing is suppressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import describe_module, freeze
from robustbench_cv.models.preprocessing import scale
from robustbench_cv.models.trainable import HeadRows, InputFrame, Objects, Refusal
from robustbench_cv.types import BoxPrediction, Candidates, Labels, ModelInfo

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SOFTMAX = ("detr", "yolos", "table-transformer")
"""Kinds whose last column is "no object"; the others score every class on its own."""


@dataclass(frozen=True)
class ImageProcessor:
    """What a network sees of an image: either `size` (h, w), or the short side at `short` px and the long one at most `longest`.

    mean, std: of [0, 1] pixels, None where they stay as they are.
    """

    size: tuple[int, int] | None = None
    short: int = 800
    longest: int = 1333
    mean: tuple[float, ...] | None = MEAN
    std: tuple[float, ...] | None = STD

    @classmethod
    def of(cls, said: Mapping[str, Any], kind: str, input_size: int) -> ImageProcessor:
        """From a preprocessor_config.json ({}: unknown) and the kind of model; input_size: px of the user's own, 0 where not said."""
        given = said.get("size", {"height": 640, "width": 640} if kind.startswith(("rt_detr", "d_fine")) else {})
        sides = given if isinstance(given, dict) else {"shortest_edge": given, "longest_edge": said.get("max_size", 1333)}
        plain = not said.get("do_normalize", not kind.startswith(("rt_detr", "d_fine")))
        mean, std = (None, None) if plain else (tuple(said.get("image_mean", MEAN)), tuple(said.get("image_std", STD)))
        if "height" in sides:
            size = (input_size, input_size) if input_size else (int(sides["height"]), int(sides["width"]))
            return cls(size, mean=mean, std=std)
        short, longest = int(sides.get("shortest_edge", 800)), int(sides.get("longest_edge", 1333))
        return cls(None, input_size or short, longest * input_size // short if input_size else longest, mean, std)

    def images(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> what the network takes; differentiable."""
        return self.normalised(scale(images, self.scaled(*images.shape[-2:])))

    def normalised(self, x: Tensor) -> Tensor:
        """Pixels (N, 3, h, w) in [0, 1] less the mean, over the standard deviation."""
        if self.mean is None or self.std is None:
            return x
        return (x - x.new_tensor(self.mean)[:, None, None]) / x.new_tensor(self.std)[:, None, None]

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) px, aspect kept where there is no fixed size.

        >>> ImageProcessor(short=800, longest=1333).scaled(480, 640), ImageProcessor(short=800, longest=1333).scaled(400, 1000)
        ((800, 1066), (533, 1332))
        """
        if self.size is not None:
            return self.size
        low, high = min(height, width), max(height, width)
        short = min(self.short, round(self.longest * low / high))
        return int(short * height / low), int(short * width / low)


@dataclass(frozen=True, eq=False, kw_only=True)
class HfDetector:
    """A Model of Candidates around one of transformers' detectors.

    columns: the module's output columns that name a class, in the order of info.classes. softmax: whether the last column is "no object",
    one class a query; else each class of each query is a detection, the best as many as there are queries.
    """

    module: nn.Module
    info: ModelInfo
    sight: ImageProcessor
    columns: Tensor
    softmax: bool
    threshold: float

    def raw(self, images: Tensor, /) -> Candidates:
        """Differentiable (RT-DETR chooses its queries, and the choice is not). Boxes (N, queries, 1, 4) in px of `images`."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"a detector takes images (N, 3, H, W) of one size, got {tuple(images.shape)}; group samples by shape first")
        out = self.module(pixel_values=self.sight.images(images))
        middle, side = out.pred_boxes[..., :2], out.pred_boxes[..., 2:]
        height, width = images.shape[-2:]
        boxes = torch.cat([middle - side / 2, middle + side / 2], dim=-1) * images.new_tensor([width, height, width, height])
        score = out.logits.log_softmax(dim=-1) if self.softmax else F.logsigmoid(out.logits)
        valid = torch.ones(score.shape[:2], dtype=torch.bool, device=score.device)
        return Candidates(boxes[:, :, None], score[..., self.columns.to(score.device)], valid)

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        """Every query's best class, or the best pairs of query and class; those above the threshold, scores falling; on the CPU."""
        rows = zip(raw.boxes.detach()[:, :, 0].cpu(), raw.log_score.detach().exp().cpu(), raw.valid.cpu(), strict=True)
        return [self._chosen(boxes[valid], scores[valid]) for boxes, scores, valid in rows]

    learns_masks = False

    @property
    def side(self) -> None:
        """What an input_size sets is known to the factory alone: the network works at any."""
        return None

    def refusal(self, spec: str, /) -> Refusal | None:
        """None: it can be fine-tuned."""
        return None

    def input_frame(self, height: int, width: int, /) -> InputFrame:
        """The fixed size, to which images are stretched; else the square that holds them at the scale at which the network sees them."""
        if self.sight.size is not None:
            return InputFrame(self.sight.size, letterbox=False)
        side = max(self.sight.scaled(height, width))
        return InputFrame((side, side), letterbox=True)

    def loss(self, images: Tensor, objects: Sequence[Objects], /) -> Tensor:
        """The set loss of transformers' own module: objects matched to queries one by one. In 32 bits, since the matching needs them."""
        height, width = images.shape[-2:]
        numbers = self.columns.to(images.device)
        labels = []
        for box, label, _ in objects:
            share = box / box.new_tensor([width, height, width, height])
            middle, side = (share[:, :2] + share[:, 2:]) / 2, share[:, 2:] - share[:, :2]
            labels.append({"class_labels": numbers[label], "boxes": torch.cat([middle, side], dim=1)})
        with torch.autocast(images.device.type, enabled=False):
            total: Tensor = self.module(pixel_values=self.sight.normalised(images), labels=labels).loss
        return total

    def head_rows(self, length: int, /) -> HeadRows | None:
        """A row for each column; "no object" is no class's."""
        outputs: int = self.module.config.num_labels  # type: ignore[assignment, union-attr]
        return HeadRows(self.columns[:, None], torch.arange(outputs, length))

    def _chosen(self, boxes: Tensor, scores: Tensor) -> BoxPrediction:
        if self.softmax:
            best, labels = scores.max(dim=1)
            order = best.argsort(descending=True, stable=True)
            prediction = BoxPrediction(boxes[order], best[order], labels[order])
        else:
            best, place = scores.flatten().topk(min(len(scores), scores.numel()))
            query = torch.div(place, scores.shape[1], rounding_mode="floor")
            prediction = BoxPrediction(boxes[query], best, place % scores.shape[1])
        return prediction.select(prediction.scores > self.threshold)


def hf_detector(
    network: nn.Module,
    name: str,
    given: tuple[str, ...] | None,
    sight: ImageProcessor,
    threshold: float,
    operating_score: float,
    weights: str = "",
) -> HfDetector:
    """Freeze a detector of transformers. given: class names, else the configuration's. UserError where they do not fit its outputs."""
    config: Any = network.config
    said = given or tuple(str(config.id2label.get(i, f"LABEL_{i}")) for i in range(config.num_labels))
    if len(said) != config.num_labels:
        raise UserError(f"{name}: {len(said)} class names for {config.num_labels} classes; give one for each, in the weights' order")
    numbered = all(label == f"LABEL_{i}" for i, label in enumerate(said))
    names = Labels.numbered(len(said)).names if numbered else said
    columns = [i for i, label in enumerate(names) if label != "N/A"]  # COCO skipped numbers, which no trained model reports
    shown = Labels(_distinct([names[i] for i in columns]))
    softmax = config.model_type in SOFTMAX
    facts = (repr(sight), repr(columns), f"threshold={threshold}", weights)
    info = describe_module(freeze(network), name, "detection", shown, *facts, operating_score=operating_score)
    return HfDetector(
        module=network, info=info, sight=sight, columns=torch.tensor(columns, device="cpu"), softmax=softmax, threshold=threshold
    )


def _distinct(names: list[str]) -> tuple[str, ...]:
    return tuple(name if names.index(name) == i else f"{name} ({i})" for i, name in enumerate(names))
