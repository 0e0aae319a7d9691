"""What fine-tuning asks of a detector: the loss that it learns by, how its network sees images, and which rows of its head are whose.

A detector class that has these members can be fine-tuned; nothing else knows of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from robustbench_cv.types import ModelInfo


class Objects(NamedTuple):
    """What one image shows: boxes (M, 4) xyxy px of the network's input; labels int64 (M,); uint8 masks (M, h, w) where there are any."""

    boxes: Tensor
    labels: Tensor
    masks: Tensor | None = None


@dataclass(frozen=True)
class InputFrame:
    """How a network sees images: at `size` (h, w) px, with grey borders where `letterbox`, else stretched."""

    size: tuple[int, int]
    letterbox: bool


class HeadRows(NamedTuple):
    """of_class: row numbers (C, k), in the order of the model's classes. shared: rows of no class, such as the background's; (m,)."""

    of_class: Tensor
    shared: Tensor


class Refusal(NamedTuple):
    """Why a detector cannot be fine-tuned, as what follows its spec in a sentence. way_out: what to do; "": whatever recipe trains it."""

    reason: str
    way_out: str = ""


NO_LOSS = Refusal("is not trained by one loss from pixels to boxes, so it cannot be fine-tuned here")


@runtime_checkable
class LearnsByLoss(Protocol):
    """A network that has a loss of its own."""

    def loss(self, images: Tensor, objects: Sequence[Objects], /) -> Tensor:
        """images (N, 3, h, w) in [0, 1], as the network sees them, and what each shows -> a scalar to be lowered."""
        ...


@runtime_checkable
class MayRefuse(Protocol):
    """A detector that can say whether it can be fine-tuned."""

    def refusal(self, spec: str, /) -> Refusal | None:
        """None where it can. spec: what it was built from, for the way out."""
        ...


@runtime_checkable
class Trainable(MayRefuse, LearnsByLoss, Protocol):
    """A detector that fine-tuning can train, unless it refuses."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def module(self) -> nn.Module: ...

    @property
    def side(self) -> int | None:
        """The number of px that an `input_size` sets: a square's side or the short side. None where the factory alone knows."""
        ...

    @property
    def learns_masks(self) -> bool:
        """Whether the loss needs the objects' masks."""
        ...

    def input_frame(self, height: int, width: int, /) -> InputFrame:
        """For images of height x width px."""
        ...

    def head_rows(self, length: int, /) -> HeadRows | None:
        """The rows of a tensor (length, ...) of the head; None where nothing is known of how it is laid out."""
        ...


def square_frame(side: int) -> InputFrame:
    """Images fitted into a square with grey borders."""
    return InputFrame((side, side), letterbox=True)


def one_row_each(classes: int, length: int) -> HeadRows | None:
    """The rows of a head that has one for each class and no others."""
    return HeadRows(torch.arange(classes)[:, None], torch.arange(0)) if length == classes else None


def rows_by_anchor(length: int, columns: int, classes: Tensor, shared: Tensor) -> HeadRows | None:
    """The rows of a head that writes `columns` rows for each anchor; classes, shared: which of these."""
    if length % columns:
        return None
    anchors = torch.arange(length // columns) * columns
    return HeadRows(classes[:, None] + anchors, (anchors[:, None] + shared).flatten())


def boxes_and_labels(objects: Sequence[Objects]) -> tuple[list[Tensor], list[Tensor]]:
    """Of each image."""
    return [o.boxes for o in objects], [o.labels for o in objects]
