"""Whether what a cell was planned on is still as it was when the cell is done: a record of anything else would be trusted for ever."""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_cv.errors import UserError
from robustbench_cv.runner.planned_cells import PlannedCell
from robustbench_cv.types import Dataset


def require_unchanged(cell: PlannedCell) -> None:
    """UserError where a sample, one that edits may borrow from, or code is no longer what it was when the cell was planned."""
    pair = cell.pair
    require_same_samples(pair.dataset, cell.indices, [pair.fingerprint_of[i] for i in cell.indices])
    donors = pair.donors.source
    if cell.lent and not isinstance(donors, Sequence):
        places = {id_: i for i, id_ in enumerate(donors.ids)}
        require_same_samples(donors, [places[id_] for id_, _ in cell.lent], [fingerprint for _, fingerprint in cell.lent])
    edited = cell.code.edited_files()
    if edited:
        raise UserError(
            f"{edited[0]} was edited while the run was going on: what was computed meanwhile is not stored; run the same command again"
        )


def require_same_samples(dataset: Dataset, indices: Sequence[int], fingerprints: Sequence[str]) -> None:
    """UserError naming the first sample whose bytes or annotations are others than those of its fingerprint."""
    moved = [dataset.ids[i] for i, known in zip(indices, fingerprints, strict=True) if dataset.fingerprint(i) != known]
    if moved:
        more = f" and {len(moved) - 1} more of its samples" if len(moved) > 1 else ""
        raise UserError(
            f"sample {moved[0]!r}{more} of data {dataset.name!r} changed while the run was going on: what was computed on it is not "
            "stored; leave the data alone and run the same command again"
        )
