"""S15: does an attack survive being saved as a picture of 8 bits?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import After, AfterRun
from robustbench_cv.checks.outputs import differ
from robustbench_cv.checks.saved_pictures import UNREADABLE, Reread, SavedPictures, reread
from robustbench_cv.errors import NotApplicable

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


def _examine(after_run: AfterRun) -> Sequence[Finding]:
    attacks = {(t.task, c.name) for t in after_run.results.run.tracks for c in t.conditions if c.kind == "attack"}
    found = list(reread(after_run, "S15", _changed, wanted=lambda cell: (cell.task, cell.condition) in attacks))
    total = sum(r.samples for r in found)
    if not total:
        return [Finding("S15", _TITLE, "not applicable", "no attacked image was saved, in files that can be read, of a model to ask again")]
    notes = [_note(r) for r in found if r.told]
    return notes or [Finding("S15", _TITLE, "pass", f"all {total} pictures of attacked images get the answer of the exact ones")]


def _note(found: Reread) -> Finding:
    cell = found.cell
    evidence = (
        f"{len(found.told)} of {found.samples} pictures get another answer than the image that was judged, first "
        f"{found.told[0]!r}: rounding to 8 bits undoes a part of the attack"
    )
    remedy = "the number stands, for it is of the exact images; hand on exact.safetensors, not the pictures, and never a JPEG of them"
    return Finding(
        "S15", _TITLE, "note", evidence, remedy, model=cell.model, dataset=cell.dataset, condition=cell.condition, task=cell.task
    )


def _changed(saved: SavedPictures) -> tuple[str, ...]:
    """The samples whose picture gets another answer than the exact image. NotApplicable where files are damaged: S14 speaks of these."""
    changed, score = [], saved.model.info.operating_score
    for k, entry in enumerate(saved.entries):
        exact, picture = saved.exact.get(str(k)), _pixels(saved.folder / entry["after"]["image"])
        if exact is None or exact.shape != picture.shape:
            raise NotApplicable("the exact images are gone, or other ones", UNREADABLE)
        if differ(saved.ask(exact), saved.ask(picture), score):
            changed.append(str(entry["sample"]))
    return tuple(changed)


def _pixels(path: Path) -> Tensor:
    """A picture as the model would see it: (3, H, W) in [0, 1]. NotApplicable where it is gone or damaged."""
    try:
        shown = numpy.array(Image.open(path).convert("RGB"), dtype=numpy.float32)
    except OSError as error:
        raise NotApplicable(f"{path.name}: {error}", UNREADABLE) from error
    return torch.from_numpy(shown).permute(2, 0, 1) / 255
