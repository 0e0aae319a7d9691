"""What attacks did to detectors, object by object: vanished, mislabelled, made up. Chow et al., 2020, https://arxiv.org/abs/2004.04320"""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.metrics.detection_attack import MANY
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell, Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Group, Results
from robustbench_cv.suite import Condition

_COLUMNS = ("model", "condition", "objects found clean", "vanished", "mislabelled", "new boxes an image", f"{MANY} new or more", "touched")


@report(paper="arXiv:2004.04320")
def detection_attacks() -> Report:
    """Of the objects that a detector finds on the clean image: how many each attack hides or renames; and the boxes that it makes up."""
    return lambda results: [_table(results)] if _is_measured(results) else []


_METRIC = "detection-rate"
"""Any metric whose evidence is what became of each object serves: they share it."""


def _is_measured(results: Results) -> bool:
    """Whether there is a detector, an attack, and a metric of the track that kept what became of each object."""
    if "detection" not in reporting.tasks_of(results) or not results.conditions("detection", "attack"):
        return False
    key = {results.metric(group, _METRIC).evidence_key for group in reporting.groups_of(results, "detection")}
    return bool(key & {m.evidence_key for m in results.run.metrics("detection")})


def _table(results: Results) -> Table:
    notes = Footnotes()
    rows = [
        _row(results, group, condition, notes)
        for group in reporting.groups_of(results, "detection")
        for condition in results.conditions("detection", "attack")
    ]
    caption = (
        "Object detection: what each attack did to the objects that the detector finds on the clean image, at its operating score and "
        "IoU 0.5; its mistakes on clean images are not counted as the attack's. 95 % intervals."
    )
    touched = "Touched: images in which an object that was found is lost or renamed, or a box is added where no object is."
    frame, every = cells_of(_COLUMNS, rows), (*notes.notes, touched)
    return Table(frame, caption, "detection-attacks", every, "detection", blocks="model", title="Attacks on objects")


def _row(results: Results, group: Group, condition: Condition, notes: Footnotes) -> list[Cell]:
    clean = results.conditions("detection", "clean")[0].name
    made, names = results.detection_attack(group, condition.name, _METRIC), [clean, condition.name]
    shares = [reporting.estimate_cell(results, group, names, "rate", e, notes) for e in (made.vanished, made.mislabelled)]
    added = reporting.estimate_cell(results, group, names, "count per image", made.fabricated, notes)
    images = [reporting.estimate_cell(results, group, names, "rate", e, notes) for e in (made.fabrication, made.touched)]
    clean_objects: Cell = None if added.blocked else made.n_reference
    return [reporting.title_of(group), condition.name, clean_objects, *shares, added, *images]
