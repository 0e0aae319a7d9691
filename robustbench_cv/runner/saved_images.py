"""Before-and-after images of a cell, saved losslessly, with their truth and what the model said of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import safetensors.torch
from PIL import Image
from torch import Tensor

from robustbench_cv.files import write_bytes, write_json
from robustbench_cv.predictions import to_json
from robustbench_cv.runner.cell import Shot
from robustbench_cv.types import IGNORE, BoxTarget, ClassTarget, MaskPrediction, MaskTarget, Prediction, Target


def save(folder: Path, shots: Sequence[Shot], operating_score: float) -> None:
    """Write <k>-before.png, <k>-after.png, label maps of predictions and truth as PNG, index.json, and the exact pixels of "after"
    (exact.safetensors)."""
    if not shots:
        return
    index: list[dict[str, Any]] = []
    for k, shot in enumerate(shots):
        sides = {"before": (shot.before, shot.before_prediction), "after": (shot.after, shot.after_prediction)}
        entry: dict[str, Any] = {"sample": shot.sample}
        for side, (sample, prediction) in sides.items():
            name = f"{k}-{side}"
            write_bytes(folder / f"{name}.png", _png(_to_uint8(sample.image)))
            entry[side] = {
                "image": f"{name}.png",
                "prediction": _prediction(folder, name, prediction, operating_score),
                "truth": _truth(folder, name, sample.target),
            }
        index.append(entry)
    exact = {str(k): shot.after.image.contiguous() for k, shot in enumerate(shots)}
    write_bytes(folder / "exact.safetensors", safetensors.torch.save(exact))
    write_json(folder / "index.json", index)


def _prediction(folder: Path, name: str, prediction: Prediction, operating_score: float) -> dict[str, Any]:
    if isinstance(prediction, MaskPrediction):
        # -1 (no evaluated class) is written as 255
        labels = prediction.labels.clone()
        labels[labels < 0] = 255
        write_bytes(folder / f"{name}-labels.png", _png(labels.numpy().astype(numpy.uint8)))
        return {"labels": f"{name}-labels.png"}
    return to_json(prediction, operating_score)


def _truth(folder: Path, name: str, target: Target) -> dict[str, Any]:
    """In the model's class indices: {"label"}, {"labels": a picture} or {"boxes", "labels"} without regions to ignore."""
    match target:
        case ClassTarget():
            return {"label": target.label}
        case MaskTarget():
            write_bytes(folder / f"{name}-truth.png", _png(target.labels.clamp(0, IGNORE).numpy().astype(numpy.uint8)))
            return {"labels": f"{name}-truth.png"}
        case BoxTarget():
            kept = target.select(~target.crowd)
            return {"boxes": kept.boxes.tolist(), "labels": kept.labels.tolist()}


def _to_uint8(image: Tensor) -> numpy.ndarray:
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def _png(pixels: numpy.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
