"""What a run is going to do, as data: models on data sets, what is fitted first, and the cells."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.results import AssociationRow, CellRow, DatasetRow, ModelRow, Pairing, TrackRow
from robustbench_cv.run_folder import digest
from robustbench_cv.runner.context_counts import ContextCounts
from robustbench_cv.runner.dependencies import Dependencies, DependencyReader
from robustbench_cv.runner.edited_samples import OriginalPredictions, Renderings
from robustbench_cv.runner.model_pool import ModelPool
from robustbench_cv.suite import Condition, Suite, Track
from robustbench_cv.tasks import Task
from robustbench_cv.types import AnyModel, Dataset


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may change of a suite. models (specs or built ones), data: replace the suite's, for the tracks of their task.

    notes: what readers of the report must know (data or weights that differ from the published ones). strength: samples that an attack
    did not break on which others are tried, to say whether it was strong; 0 tries none, None as many as the suite says.
    reread: read every file of the data again, also where its size and times say that it is as it was. placebos: whether the control of
    each edit is added. save_predictions: keep what classifiers and segmenters said of every sample; detections are kept always.
    workers: processes that compute cells, on this machine or, with executor="ray", on the cluster at address (None: RAY_ADDRESS's, or one
    of this machine); worker_memory: GB that each asks the cluster for. mirror: fsspec's address of a copy of the run folder, see mirror.py.
    allow: ids of checks whose "stop" marks numbers and does not block them.
    """

    models: tuple[str | AnyModel, ...] = ()
    data: tuple[str, ...] = ()
    limit: int | None = None
    seed: int | None = None
    device: str = "cpu"
    batch_size: int | None = None
    skip_bad: bool = False
    class_map: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()
    strength: int | None = None
    reread: bool = False
    placebos: bool = True
    save_predictions: bool = False
    workers: int = 1
    executor: Literal["local", "ray"] = "local"
    address: str | None = None
    worker_memory: float = 0.0
    mirror: str = ""
    allow: tuple[str, ...] = ()

    @property
    def elsewhere(self) -> bool:
        """Whether other processes compute the cells."""
        return self.workers > 1 or self.executor == "ray"


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """A model on a data set: classes matched, samples chosen, their fingerprints taken.

    donors: what edits may borrow from, the whole of the data set whatever the limit; contexts: how often its classes and contexts meet.
    renderings: its samples, shared with the other models.
    code: what both were built from.

    answers: a name for what the model says of a few fixed images.
    """

    models: ModelPool
    row: ModelRow
    dataset: Dataset
    dataset_row: DatasetRow
    class_map: ClassMap
    indices: tuple[int, ...]
    fingerprints: tuple[str, ...]
    donors: Donors
    contexts: ContextCounts
    renderings: Renderings
    code: Dependencies
    answers: str
    original_predictions: OriginalPredictions = field(default_factory=OriginalPredictions)

    @property
    def model(self) -> AnyModel:
        """The model itself, built where it is not alive; whichever was asked for before is let go."""
        return self.models.get(self.row.spec)

    @property
    def identity(self) -> list[object]:
        """What tells the model from every other, beside its code: its row, and what it says of a few fixed images."""
        return [self.row, self.answers]

    @functools.cached_property
    def fingerprint_of(self) -> Mapping[int, str]:
        """The fingerprint of each sample by its position in the data set."""
        return dict(zip(self.indices, self.fingerprints, strict=True))


@dataclass(frozen=True, eq=False, kw_only=True)
class FitPlan:
    """What a fit will take: the attack, and its samples by position. facts: all that theta depends on. data: None where theta is there."""

    attack: UniversalAttack[Any]
    facts: list[Any]
    data: Dataset | None = None
    indices: tuple[int, ...] = ()
    fingerprints: tuple[str, ...] = ()
    class_map: ClassMap | None = None

    @property
    def key(self) -> str:
        return digest(self.facts)


@dataclass(frozen=True, eq=False, kw_only=True)
class PlannedCell:
    """A cell with what building its job takes. code: what its records come from. lent: id and fingerprint of each
    sample that its edits may borrow from.

    compares_contexts: whether its records hold how compatible objects and contexts are.

    fit: what its attack is fitted on first, if it is one of those. base: the cell whose broken samples this one takes over;
    None for most.
    """

    row: CellRow
    pair: Pair
    condition: Condition
    indices: tuple[int, ...]
    pictures: int
    code: Dependencies
    lent: Sequence[tuple[str, str]] = ()
    compares_contexts: bool = False
    fit: FitPlan | None = None
    base: CellRow | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """Everything that a run will do. reader: of the source code as it was when this was planned."""

    suite: Suite
    tracks: tuple[TrackRow, ...]
    pairs: tuple[Pair, ...]
    cells: tuple[PlannedCell, ...]
    options: Options
    reader: DependencyReader
    models: ModelPool

    @property
    def code(self) -> Dependencies:
        """What all records come from."""
        return functools.reduce(operator.or_, (cell.code for cell in self.cells), Dependencies())

    def track(self, task: Task) -> Track:
        """The suite's track of a task."""
        return next(track for track in self.suite.tracks if track.task == task)

    def associations(self) -> tuple[AssociationRow, ...]:
        """Of every data set whose classes and contexts are compared."""
        rows = [AssociationRow(c.row.task, c.row.dataset, c.pair.contexts.association) for c in self.cells if c.compares_contexts]
        return tuple({(row.task, row.dataset): row for row in rows}.values())

    def pairings(self) -> tuple[Pairing, ...]:
        return tuple(Pairing(p.row.task, p.row.name, p.dataset_row.name, p.class_map.describe(), p.class_map.summary()) for p in self.pairs)
