"""The model around a network that names its own candidates: letterbox, raw candidates, detections. And proposals as a part of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import describe_module, freeze
from robustbench_cv.models.detection_postprocessing import detections
from robustbench_cv.models.detectors.region_based.selective_search import SelectiveSearch
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.models.preprocessing import Preprocessing
from robustbench_cv.models.trainable import NO_LOSS, HeadRows, InputFrame, LearnsByLoss, Objects, Refusal, one_row_each, square_frame
from robustbench_cv.models.weights.initial_weights import InitialWeights
from robustbench_cv.types import BoxPrediction, Candidates, ModelInfo

Propose: TypeAlias = Callable[[Tensor], Tensor]
"""An image (3, h, w) in [0, 1] -> boxes (P, 4) in its px, at least one. Not differentiated."""


@dataclass(frozen=True, eq=False, kw_only=True)
class BoxDetector:
    """A Model of Candidates. module: (squares (N, 3, side, side), frame) -> Candidates in px of the square. The rest: what decode keeps."""

    module: nn.Module
    info: ModelInfo
    side: int
    threshold: float
    nms_iou: float
    top: int = 100

    def raw(self, images: Tensor, /) -> Candidates:
        """Every candidate, in px of the images and cut to them. ValueError where the images are no float batch (N, 3, H, W)."""
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"a model takes float images (N, 3, H, W) in [0, 1], got {images.dtype} {tuple(images.shape)}")
        frame = Letterbox(images.shape[-2], images.shape[-1], self.side)
        candidates = cast(Candidates, self.module(frame.images(images), frame))
        return Candidates(frame.back(candidates.boxes), candidates.log_score, candidates.valid)

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        """Threshold, suppression within each class, the best `top`; on the CPU."""
        return detections(raw, self.threshold, self.nms_iou, self.top)

    learns_masks = False

    def refusal(self, spec: str, /) -> Refusal | None:
        """None where the module has a loss of its own; most of these detectors are trained in stages."""
        return None if isinstance(self.module, LearnsByLoss) else NO_LOSS

    def input_frame(self, height: int, width: int, /) -> InputFrame:
        """The square."""
        return square_frame(self.side)

    def loss(self, images: Tensor, objects: Sequence[Objects], /) -> Tensor:
        """The module's own."""
        return cast(LearnsByLoss, self.module).loss(images, objects)

    def head_rows(self, length: int, /) -> HeadRows | None:
        """One for each class."""
        return one_row_each(len(self.info.classes), length)


class Proposing(nn.Module):
    """Normalise, propose, judge each proposal. net: (images, proposals of each) -> log scores (P, C), boxes (P, B, 4), rows image by image.

    Proposals are made of the picture alone, not of the border around it. They are constants to the gradient: it reaches the input through
    what the network reads inside them, never through where they lie.
    """

    def __init__(self, net: nn.Module, prepare: Preprocessing, propose: Propose) -> None:
        super().__init__()
        self.net, self.prepare, self.propose = net, prepare, propose

    def forward(self, squares: Tensor, frame: Letterbox) -> Candidates:
        """Differentiable in the pixels that the proposals frame."""
        (h, w), (top, left) = frame.scaled, frame.corner
        pictures = squares.detach()[:, :, top : top + h, left : left + w]
        corner = squares.new_tensor([left, top, left, top])
        proposals = [self.propose(p) + corner for p in pictures]
        log_score, boxes = self.net(self.prepare(squares), proposals)
        counts = [len(p) for p in proposals]
        inside = torch.arange(max(counts), device=squares.device) < torch.tensor(counts, device=squares.device)[:, None]
        return Candidates(_stack(boxes, counts), _stack(log_score, counts), inside)


def _stack(rows: Tensor, counts: list[int]) -> Tensor:
    return pad_sequence(list(torch.split(rows, counts)), batch_first=True)


def box_detector(
    module: nn.Module, begin: InitialWeights, threshold: float, nms_iou: float, operating_score: float, *facts: str
) -> BoxDetector:
    """Freeze a module and describe it; its square is the start's input size. facts: whatever else decides its output."""
    side = square_side(begin.input_size, begin.name)
    facts = (f"side={side}", f"mean={begin.mean}", f"std={begin.std}", f"threshold={threshold}", f"nms_iou={nms_iou}", *facts)
    frozen = freeze(module)
    info = describe_module(frozen, begin.name, "detection", begin.classes, *facts, operating_score=operating_score)
    return BoxDetector(module=frozen, info=info, side=side, threshold=threshold, nms_iou=nms_iou)


def on_selective_search(
    begin: InitialWeights, network: Callable[[int, int], nn.Module], threshold: float, nms_iou: float, operating_score: float
) -> BoxDetector:
    """A network that judges the proposals of selective search. network: (classes, width) -> one as Proposing takes it."""
    search = SelectiveSearch.for_side(begin.input_size)
    made = begin.make(lambda: network(len(begin.classes), begin.arguments["width"]))
    return box_detector(
        Proposing(made, Preprocessing(begin.mean, begin.std), search), begin, threshold, nms_iou, operating_score, repr(search)
    )


def square_side(size: tuple[int, int] | None, name: str) -> int:
    """The side of a square; UserError for anything else."""
    if size is None or size[0] != size[1]:
        raise UserError(f"{name} fits images into a square, not {size}; say input_size=96")
    return size[0]
