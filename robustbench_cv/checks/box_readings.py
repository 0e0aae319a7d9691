"""What four numbers of a box may have been meant as: another format than corners in pixels, or one converted once too often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.model_from_predictions import BoxFormat

CORNERS = "x1, y1, x2, y2"

_Convert = Callable[[Tensor, int, int], Tensor]
"""Boxes (N, 4), and height and width of their image in px."""


@dataclass(frozen=True)
class Reading:
    """What boxes (N, 4) may have been meant as. convert: to xyxy pixels, given height and width in px. relative: shares of these.

    code: the same as Python about `boxes` (..., 4), `height` and `width`. written: xyxy pixels as this format has them, where a file writes
    boxes so, or somebody may have taken corners for it; code_written: the same of pixels as Python.
    """

    convert: _Convert
    code: str
    relative: bool = False
    written: _Convert | None = None
    code_written: str = ""

    def __call__(self, boxes: Tensor, height: int, width: int) -> Tensor:
        return self.convert(boxes, height, width)


def _scale(shares: Tensor, height: int, width: int) -> Tensor:
    """Shares of an image's sides in pixels."""
    return shares * shares.new_tensor([width, height, width, height])


def _from_centres(b: Tensor) -> Tensor:
    return torch.cat([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], 1)


def _as_sides(b: Tensor) -> Tensor:
    return torch.cat([b[:, :2], b[:, 2:] - b[:, :2]], 1)


def _as_centres(b: Tensor) -> Tensor:
    return torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1)


_SHARES = "boxes = boxes * boxes.new_tensor([width, height, width, height])"
_XYWH = "boxes = torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)"
_CENTRES = "boxes = torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)"
_TO_XYWH = "boxes = torch.cat([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], -1)"
_TO_CENTRES = "boxes = torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1)"

READINGS: dict[str, Reading] = {
    "x, y, width, height": Reading(
        lambda b, h, w: boxes.xywh_to_xyxy(b), _XYWH, written=lambda b, h, w: _as_sides(b), code_written=_TO_XYWH
    ),
    "centre x, centre y, width, height": Reading(
        lambda b, h, w: _from_centres(b), _CENTRES, written=lambda b, h, w: _as_centres(b), code_written=_TO_CENTRES
    ),
    "y1, x1, y2, x2": Reading(lambda b, h, w: b[:, [1, 0, 3, 2]], "boxes = boxes[..., [1, 0, 3, 2]]"),
    "x1, x2, y1, y2": Reading(lambda b, h, w: b[:, [0, 2, 1, 3]], "boxes = boxes[..., [0, 2, 1, 3]]"),
    "y1, y2, x1, x2": Reading(lambda b, h, w: b[:, [2, 0, 3, 1]], "boxes = boxes[..., [2, 0, 3, 1]]"),
    f"{CORNERS} as shares of the image": Reading(lambda b, h, w: _scale(b, h, w), _SHARES, relative=True),
    "centre x, centre y, width, height as shares of the image": Reading(
        lambda b, h, w: _from_centres(_scale(b, h, w)),
        f"{_SHARES}; {_CENTRES}",
        relative=True,
        written=lambda b, h, w: _as_centres(b) / b.new_tensor([w, h, w, h]),
    ),
    "x, y, width, height as shares of the image": Reading(
        lambda b, h, w: boxes.xywh_to_xyxy(_scale(b, h, w)), f"{_SHARES}; {_XYWH}", relative=True
    ),
}
"""By what is said of them."""


def readings_of_file(box_format: BoxFormat) -> dict[str, Reading]:
    """What the boxes of a file of detections may be, if not what its kind of file has; of xyxy pixels that were read from it as that."""
    written = READINGS[box_format].written
    assert written is not None, "every format of a file says how it writes corners"

    def of_file(reading: Reading) -> Reading:
        return Reading(lambda b, h, w: reading(written(b, h, w), h, w), reading.code, reading.relative)

    others = {CORNERS: Reading(lambda b, h, w: b, "")} | READINGS
    return {name: of_file(reading) for name, reading in others.items() if name != box_format}


def readings_of_model() -> dict[str, Reading]:
    """What the boxes of a model may be: another format, or corners that were converted from one that was not theirs."""
    undone = {
        f"{CORNERS}, converted from {name} once too often": Reading(reading.written, reading.code_written)
        for name, reading in READINGS.items()
        if reading.written is not None and reading.code_written
    }
    return READINGS | undone
