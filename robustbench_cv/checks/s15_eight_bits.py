"""S15: does an attack survive being saved as a picture of 8 bits?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy
import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import After, AfterRun
from robustbench_cv.checks.outputs import differ
from robustbench_cv.errors import NotApplicable
from robustbench_cv.file_hashes import file_sha256
from robustbench_cv.kept_files import read_kept
from robustbench_cv.model_from_predictions import NEEDS_MODEL
from robustbench_cv.results import CellRow
from robustbench_cv.run_folder import SAVED_IMAGES, RunFolder, json_file
from robustbench_cv.types import Model

_TITLE = "saved pictures still deceive"


@check(
    stage="after",
    cost="passes",
    action="note",
    gives="how many saved pictures of an attack get another answer than the image that was judged",
)
def s15_eight_bits() -> After:
    """Reads the pictures (PNG, 8 bits) of attacked images and predicts again: a small perturbation may be rounded away in them."""
    return _examine


class _Reread(NamedTuple):
    """A cell's pictures: how many, and the samples of those that get another answer than the exact image."""

    cell: CellRow
    pictures: int
    changed: tuple[str, ...]


def _examine(after_run: AfterRun) -> Sequence[Finding]:
    reread = list(_reread(after_run))
    total = sum(r.pictures for r in reread)
    if not total:
        return [Finding("S15", _TITLE, "not applicable", "no attacked image was saved of a model that can be asked again")]
    notes = [_note(r) for r in reread if r.changed]
    return notes or [Finding("S15", _TITLE, "pass", f"all {total} pictures of attacked images get the answer of the exact ones")]


def _note(reread: _Reread) -> Finding:
    cell = reread.cell
    evidence = (
        f"{len(reread.changed)} of {reread.pictures} pictures get another answer than the image that was judged, first "
        f"{reread.changed[0]!r}: rounding to 8 bits undoes a part of the attack"
    )
    remedy = "the number stands, for it is of the exact images; hand on exact.safetensors, not the pictures, and never a JPEG of them"
    return Finding(
        "S15", _TITLE, "note", evidence, remedy, model=cell.model, dataset=cell.dataset, condition=cell.condition, task=cell.task
    )


def _reread(after_run: AfterRun) -> Iterator[_Reread]:
    results = after_run.results
    assert results.folder is not None, "an after-run check needs a run folder"
    folder = RunFolder(results.folder)
    attacks = {(t.task, c.name) for t in results.run.tracks for c in t.conditions if c.kind == "attack"}
    for cell in sorted(results.run.cells, key=lambda c: (c.task, c.model)):
        index = folder.image_index(cell.key)
        known = (cell.task, cell.model) in after_run.models
        if (cell.task, cell.condition) not in attacks or not known or not index.exists():
            continue
        samples = [str(entry["sample"]) for entry in read_kept(index, list[dict[str, Any]]) or []]
        pictures = [folder.images(cell.key) / f"{k}-after.png" for k in range(len(samples))]
        exact = folder.exact_images(cell.key)
        if not samples or not all(path.is_file() for path in (*pictures, exact)):
            continue  # S14 speaks of these

        def judge(cell: CellRow = cell, samples: list[str] = samples, folder: RunFolder = folder) -> tuple[str, ...]:
            return _changed(after_run, cell, samples, folder)

        facts = ["8 bits", cell.key, [file_sha256(path).hex() for path in (*pictures, exact)], after_run.device, after_run.code_sha256]
        try:
            changed = folder.remember(SAVED_IMAGES, facts, json_file(tuple[str, ...]), judge) if after_run.code_sha256 else judge()
        except NotApplicable as reason:
            if reason.code != NEEDS_MODEL:
                raise
            continue
        yield _Reread(cell, len(samples), changed)


def _changed(after_run: AfterRun, cell: CellRow, samples: Sequence[str], folder: RunFolder) -> tuple[str, ...]:
    """The samples whose picture gets another answer than the exact image; none where files are damaged, which S14 finds."""
    model = cast("Model[Any]", after_run.models[cell.task, cell.model])
    try:
        exact = safetensors.torch.load_file(folder.exact_images(cell.key))
        shown = [_pixels(folder, cell.key, k) for k in range(len(samples))]
    except (safetensors.SafetensorError, OSError):
        return ()
    if any(str(k) not in exact or exact[str(k)].shape != picture.shape for k, picture in enumerate(shown)):
        return ()
    device, score = after_run.device, model.info.operating_score
    return tuple(
        sample
        for k, (sample, picture) in enumerate(zip(samples, shown, strict=True))
        if differ(_predict(model, exact[str(k)], device), _predict(model, picture, device), score)
    )


def _pixels(folder: RunFolder, key: str, k: int) -> Tensor:
    """A picture as the model would see it: (3, H, W) in [0, 1]."""
    shown = numpy.array(Image.open(folder.images(key) / f"{k}-after.png").convert("RGB"), dtype=numpy.float32)
    return torch.from_numpy(shown).permute(2, 0, 1) / 255


def _predict(model: Model[Any], image: Tensor, device: str) -> Any:
    with torch.no_grad():
        return model.decode(model.raw(image[None].to(device)))[0]
