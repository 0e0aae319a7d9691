"""Predictions as plain values: for the pictures of a report and for COCO result files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from robustbench_cv.types import BoxPrediction, ClassPrediction, MaskPrediction, Prediction


def to_json(prediction: Prediction, operating_score: float) -> dict[str, Any]:
    """{"label", "score"} | {"boxes", "scores", "labels"} of the boxes that reach the operating score; a mask is saved as a picture: {}."""
    match prediction:
        case ClassPrediction():
            return {"label": prediction.label, "score": float(prediction.probs.max())}
        case BoxPrediction():
            keep = prediction.scores >= operating_score
            values = {"boxes": prediction.boxes, "scores": prediction.scores, "labels": prediction.labels}
            return {name: value[keep].tolist() for name, value in values.items()}
        case MaskPrediction():
            return {}


def to_coco(sample: str, prediction: BoxPrediction, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Entries of a COCO results file (bbox as x, y, width, height). image_id is the sample's id, category_id the model's class index."""
    # Sides are taken in double precision, so that x + width is the very corner again.
    low, high = prediction.boxes[:, :2].double(), prediction.boxes[:, 2:].double()
    boxes = torch.cat([low, high - low], dim=1).tolist()
    return [
        {"image_id": sample, "category_id": label, "category": class_names[label], "bbox": box, "score": score}
        for box, score, label in zip(boxes, prediction.scores.tolist(), prediction.labels.tolist(), strict=True)
    ]
