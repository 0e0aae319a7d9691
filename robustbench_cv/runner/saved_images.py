"""Before-and-after images of a cell, saved losslessly, with their truth and what the model said of them."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import safetensors
import safetensors.torch
from PIL import Image
from torch import Tensor

from robustbench_cv.files import write_bytes
from robustbench_cv.kept_files import read_kept, write_kept
from robustbench_cv.predictions import to_json
from robustbench_cv.runner.cell import Shot
from robustbench_cv.types import IGNORE, BoxTarget, ClassTarget, MaskPrediction, MaskTarget, Prediction, Target

_INDEX, _EXACT = "index.json", "exact.safetensors"

logger = logging.getLogger(__name__)


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
    write_bytes(folder / _EXACT, safetensors.torch.save(exact))
    write_kept(folder / _INDEX, index)


def is_whole(folder: Path) -> bool:
    """Whether what `save` wrote can all be read, or nothing was written; a warning where a file is damaged or gone.

    Other pictures in their place are for a check to find (S14), not for this.
    """
    if not (folder / _INDEX).exists():
        return True
    index = read_kept(folder / _INDEX, list[dict[str, Any]])
    if index is None:
        return False
    try:
        pictures = [name for entry in index for name in _pictures(entry)]
    except (KeyError, TypeError, AttributeError):
        logger.warning("%s is damaged: taken as missing", folder / _INDEX)
        return False
    damaged = next((path for path in [folder / _EXACT, *(folder / name for name in pictures)] if not _can_be_read(path)), None)
    if damaged is not None:
        logger.warning("%s is damaged or gone: taken as missing", damaged)
    return damaged is None


def _pictures(entry: Mapping[str, Any]) -> Iterator[str]:
    """The names of the pictures of an entry of the index."""
    for side in ("before", "after"):
        yield entry[side]["image"]
        for said in (entry[side]["prediction"], entry[side].get("truth", {})):
            if isinstance(said.get("labels"), str):
                yield said["labels"]


def _can_be_read(path: Path) -> bool:
    try:
        if path.name == _EXACT:
            with safetensors.safe_open(path, framework="pt") as file:
                return bool(file.keys())
        with Image.open(path, formats=("PNG",)) as picture:
            picture.verify()  # the sums of its chunks
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, safetensors.SafetensorError):
        return False
    return True


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
