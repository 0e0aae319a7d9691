"""S14: are the images that were judged the images that were kept?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import After, AfterRun
from robustbench_cv.checks.saved_pictures import Reread, SavedPictures, reread
from robustbench_cv.types import BoxPrediction, ClassPrediction, MaskPrediction, Prediction

_TITLE = "saved images give the recorded predictions"


@check(
    stage="after",
    cost="passes",
    action="stop",
    gives="how many saved images give another prediction than the recorded one, the first by id",
)
def s14_saved_images() -> After:
    """Reads the saved images of every condition back and predicts again: a prediction that differs from the recorded one blocks it."""
    return _examine


def _examine(after_run: AfterRun) -> Sequence[Finding]:
    found = list(reread(after_run, "S14", _flipped))
    if not any(r.samples for r in found):
        return [Finding("S14", _TITLE, "not applicable", "no image was saved of a model that can be asked again")]
    stops = [_stop(r) for r in found if r.told]
    if stops:
        return stops
    total = sum(r.samples for r in found)
    return [Finding("S14", _TITLE, "pass", f"{total} saved images of {len(found)} cells give the recorded predictions")]


def _stop(found: Reread) -> Finding:
    count = f"{len(found.told)} of {found.samples}"
    evidence = f"{count} saved images or their predictions are not those that were judged, first {found.told[0]!r}"
    remedy = "the model is not deterministic, or the run folder was changed: delete the folder and run again"
    cell = found.cell
    return Finding(
        "S14", _TITLE, "stop", evidence, remedy, model=cell.model, dataset=cell.dataset, condition=cell.condition, task=cell.task
    )


def _flipped(saved: SavedPictures) -> tuple[str, ...]:
    """All samples where the exact images are gone: nothing shows any more what was judged."""
    flipped, operating_score = [], saved.model.info.operating_score
    for k, entry in enumerate(saved.entries):
        image, after = saved.exact.get(str(k)), entry["after"]
        if (
            image is None
            or not _is_shown(saved.folder / after["image"], image)
            or not _same(saved.ask(image), after["prediction"], saved.folder, operating_score)
        ):
            flipped.append(entry["sample"])
    return tuple(flipped)


def _is_shown(path: Path, image: torch.Tensor) -> bool:
    """Whether a picture file shows an image (3, H, W) in [0, 1]; a file that is damaged shows nothing."""
    try:
        shown = torch.from_numpy(numpy.array(Image.open(path))).permute(2, 0, 1)
    except OSError:
        return False
    return shown.shape == image.shape and bool(((image.clamp(0, 1) * 255).round().byte() == shown).all())


def _same(prediction: Prediction, recorded: dict[str, Any], folder: Path, operating_score: float) -> bool:
    if isinstance(prediction, ClassPrediction):
        # An attack that stops at the boundary may leave two classes level: alone and in a batch they differ by rounding.
        return float(prediction.probs.max() - prediction.probs[int(recorded["label"])]) < 1e-3
    if isinstance(prediction, MaskPrediction):
        kept = torch.from_numpy(numpy.array(Image.open(folder / recorded["labels"]), dtype=numpy.int64))
        evaluated = kept != 255
        return float(((prediction.labels != kept) & evaluated).float().mean()) < 0.005
    assert isinstance(prediction, BoxPrediction)
    return _same_boxes(prediction, recorded, operating_score)


def _same_boxes(prediction: BoxPrediction, recorded: dict[str, Any], operating_score: float) -> bool:
    """Every recorded box is found again, with its class and score; boxes of classes that were not evaluated may be new."""
    for box, score, label in zip(recorded["boxes"], recorded["scores"], recorded["labels"], strict=True):
        near = (prediction.boxes - torch.tensor(box)).abs().amax(1) < 1.0
        alike = near & (prediction.labels == label) & ((prediction.scores - score).abs() < 1e-2)
        if not bool(alike.any()) and score > operating_score + 1e-2:
            return False
    return True
