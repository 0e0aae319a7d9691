"""A model of which only predictions are here: it answers about the samples that it was asked about elsewhere, and about no other image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

import torch
from torch import Tensor

from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.types import BoxPrediction, Logits, ModelInfo, Prediction, Sample

NEEDS_MODEL = "predictions-only"
"""Reason code of what would have to ask the model itself."""

Missing = Literal["empty", "failed", "error"]
"""What a sample without a prediction is: one in which nothing was found (detection alone), one that failed, or a mistake of the user's."""


BoxFormat = Literal["", "x, y, width, height", "centre x, centre y, width, height as shares of the image"]
"""How a file of detections writes a box; empty of predictions without boxes."""


class Answers(Protocol):
    """The predictions of one model under one condition, by sample id."""

    def of(self, sample: str, height: int, width: int, /) -> Prediction | None:
        """In the model's class indices, for an image of this size; None where there is none. BadSample where it cannot be read."""
        ...


@dataclass(frozen=True, eq=False)
class ClosedModel:
    """A Model whose answers are looked up. answers: by the name of the condition. missing: what samples without one are.

    box_format: how its file writes boxes, which are answered as xyxy pixels.
    """

    info: ModelInfo
    answers: Mapping[str, Answers]
    missing: Missing = "error"
    box_format: BoxFormat = ""

    def answer(self, condition: str, sample: Sample) -> Prediction | None:
        """What the model said of a sample under a condition; None where that counts as a failure. UserError where it is a mistake."""
        height, width = sample.image.shape[1:]
        said = self.answers[condition].of(sample.id, height, width)
        if said is not None or self.missing == "failed":
            return said
        if self.missing == "empty":
            return BoxPrediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
        raise UserError(
            f"sample {sample.id!r} has no prediction under {condition!r}; give one for every sample, or say --missing failed: such samples "
            "then count as failed, and the numbers that they are missing from say so"
        )

    def raw(self, images: Tensor, /) -> NoReturn:
        raise NotApplicable("only this model's predictions are here, and this asks the model itself", NEEDS_MODEL)

    def decode(self, raw: Logits, /) -> NoReturn:
        raise NotApplicable("only this model's predictions are here, and this asks the model itself", NEEDS_MODEL)
