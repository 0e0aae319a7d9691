"""S14: are the images that were judged the images that were kept?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy
import safetensors
import safetensors.torch
import torch
from PIL import Image

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import After, AfterRun
from robustbench_cv.errors import NotApplicable
from robustbench_cv.file_hashes import file_sha256
from robustbench_cv.kept_files import read_kept
from robustbench_cv.model_from_predictions import NEEDS_MODEL
from robustbench_cv.results import CellRow
from robustbench_cv.run_folder import SAVED_IMAGES, RunFolder, json_file
from robustbench_cv.types import BoxPrediction, ClassPrediction, MaskPrediction, Model, Prediction

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


@dataclass(frozen=True)
class _Reread:
    """A condition's saved images: how many, and which gave another prediction than recorded."""

    cell: CellRow
    images: int
    flipped: tuple[str, ...]


def _examine(after_run: AfterRun) -> Sequence[Finding]:
    reread = list(_reread(after_run))
    if not any(r.images for r in reread):
        return [Finding("S14", _TITLE, "not applicable", "no image was saved of a model that can be asked again")]
    stops = [_stop(r) for r in reread if r.flipped]
    if stops:
        return stops
    total = sum(r.images for r in reread)
    return [Finding("S14", _TITLE, "pass", f"{total} saved images of {len(reread)} cells give the recorded predictions")]


def _stop(reread: _Reread) -> Finding:
    count = f"{len(reread.flipped)} of {reread.images}"
    evidence = f"{count} saved images or their predictions are not those that were judged, first {reread.flipped[0]!r}"
    remedy = "the model is not deterministic, or the run folder was changed: delete the folder and run again"
    cell = reread.cell
    return Finding(
        "S14", _TITLE, "stop", evidence, remedy, model=cell.model, dataset=cell.dataset, condition=cell.condition, task=cell.task
    )


def _reread(after_run: AfterRun) -> Iterator[_Reread]:
    assert after_run.results.folder is not None, "an after-run check needs a run folder"
    folder = RunFolder(after_run.results.folder)
    # the cells of a model together, which is then built once
    for cell in sorted(after_run.results.run.cells, key=lambda c: (c.task, c.model)):
        index = folder.image_index(cell.key)
        if not index.exists() or (cell.task, cell.model) not in after_run.models:
            continue
        entries = read_kept(index, list[dict[str, Any]]) or []
        # A cell's key says which model predicted; what else can have changed since is what lies here.
        facts = [cell.key, _hashes(folder.images(cell.key)), after_run.device, after_run.code_sha256]
        judge = partial(_flipped_samples, after_run, cell, entries, folder)
        kept = json_file(tuple[str, ...])
        try:
            flipped = folder.remember(SAVED_IMAGES, facts, kept, judge) if after_run.code_sha256 else judge()
        except NotApplicable as reason:
            if reason.code != NEEDS_MODEL:
                raise
            continue
        yield _Reread(cell, len(entries), flipped)


def _hashes(folder: Path) -> list[tuple[str, str]]:
    """Name and sha256 of every file of a cell's pictures."""
    return [(path.name, file_sha256(path).hex()) for path in sorted(folder.iterdir()) if path.is_file()]


def _flipped_samples(after_run: AfterRun, cell: CellRow, entries: Sequence[dict[str, Any]], folder: RunFolder) -> tuple[str, ...]:
    model = cast("Model[Any]", after_run.models[cell.task, cell.model])
    images = folder.images(cell.key)
    try:
        exact = safetensors.torch.load_file(folder.exact_images(cell.key))
    except (safetensors.SafetensorError, OSError):
        return tuple(entry["sample"] for entry in entries)
    flipped = []
    for k, entry in enumerate(entries):
        image, after = exact[str(k)], entry["after"]
        with torch.no_grad():
            again = model.decode(model.raw(image[None].to(after_run.device)))[0]
        if not _is_shown(images / after["image"], image) or not _same(again, after["prediction"], images, model.info.operating_score):
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
