"""Checks of a file of predictions: boxes that were written in another format are found, and named in the terms of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.catalogue import CHECKS
from robustbench_cv.checks.check import Preflight
from robustbench_cv.model_from_predictions import BoxFormat, ClosedModel
from robustbench_cv.types import BoxPrediction, Sample
from tests.test_checks_families import DETECTOR, built, clean, scenes

COCO: BoxFormat = "x, y, width, height"
YOLO: BoxFormat = "centre x, centre y, width, height as shares of the image"


@dataclass(frozen=True)
class Rows:
    """Predictions by sample id."""

    rows: Mapping[str, BoxPrediction]

    def of(self, sample: str, height: int, width: int, /) -> BoxPrediction:
        return self.rows[sample]


def shares(b: Tensor, height: int, width: int) -> Tensor:
    return b / b.new_tensor([width, height, width, height])


def corner_and_size(b: Tensor, height: int, width: int) -> Tensor:
    return torch.cat([b[:, :2], b[:, 2:] - b[:, :2]], 1)


def centre_and_size(b: Tensor, height: int, width: int) -> Tensor:
    return torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1)


def from_centres(b: Tensor) -> Tensor:
    return torch.cat([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], 1)


def read(written: Tensor, box_format: BoxFormat, height: int, width: int) -> Tensor:
    """As the readers of the two kinds of file turn what is written into xyxy pixels."""
    if box_format == COCO:
        return boxes.xywh_to_xyxy(written)
    return from_centres(written) * written.new_tensor([width, height, width, height])


Write = Callable[[Tensor, int, int], Tensor]
WRITTEN: dict[tuple[BoxFormat, str], Write] = {
    (COCO, "x1, y1, x2, y2"): lambda b, h, w: b,
    (COCO, "centre x, centre y, width, height"): centre_and_size,
    (COCO, "x, y, width, height as shares of the image"): lambda b, h, w: shares(corner_and_size(b, h, w), h, w),
    (COCO, YOLO): lambda b, h, w: shares(centre_and_size(b, h, w), h, w),
    (YOLO, "x1, y1, x2, y2 as shares of the image"): shares,
    (YOLO, "x, y, width, height as shares of the image"): lambda b, h, w: shares(corner_and_size(b, h, w), h, w),
}


def checked(box_format: BoxFormat, write: Write) -> tuple[str, str]:
    """Verdict and remedy of S22 on a file of a bundled detector's predictions."""
    samples: list[Sample] = scenes("detection")
    rows = {}
    for sample, said in zip(samples, clean(DETECTOR), strict=True):
        assert isinstance(said, BoxPrediction)
        height, width = sample.image.shape[1:]
        rows[sample.id] = BoxPrediction(read(write(said.boxes, height, width), box_format, height, width), said.scores, said.labels)
    model = ClosedModel(built(DETECTOR).info, {"clean": Rows(rows)}, "empty", box_format)
    found = CHECKS.build("s22-boxes")(Preflight(model, "detection", samples))
    return found.verdict, found.remedy


@pytest.mark.parametrize(("box_format", "wrong"), WRITTEN)
def test_boxes_written_in_another_format_are_named_in_the_terms_of_the_file(box_format: BoxFormat, wrong: str) -> None:
    verdict, remedy = checked(box_format, WRITTEN[box_format, wrong])
    assert verdict == "stop"
    unit = " in pixels" if box_format == COCO else ""
    assert remedy == f"the model's boxes are {wrong}: write them as {box_format}{unit}, as this kind of file has them"


@pytest.mark.parametrize("box_format", [COCO, YOLO])
def test_boxes_in_the_format_of_the_file_pass(box_format: BoxFormat) -> None:
    write: Write = corner_and_size if box_format == COCO else lambda b, h, w: shares(centre_and_size(b, h, w), h, w)
    assert checked(box_format, write)[0] == "pass"


@pytest.mark.parametrize("taken_for", ["x, y, width, height", "centre x, centre y, width, height"])
def test_corners_that_a_model_converts_once_too_often_are_named(taken_for: str) -> None:
    samples = scenes("detection")
    convert = boxes.xywh_to_xyxy if taken_for == "x, y, width, height" else from_centres
    rows = {s.id: BoxPrediction(convert(p.boxes), p.scores, p.labels) for s, p in zip(samples, clean(DETECTOR), strict=True)}  # type: ignore[union-attr]
    found = CHECKS.build("s22-boxes")(Preflight(ClosedModel(built(DETECTOR).info, {"clean": Rows(rows)}, "empty"), "detection", samples))
    assert found.verdict == "stop"
    assert f"x1, y1, x2, y2, converted from {taken_for} once too often" in found.remedy
