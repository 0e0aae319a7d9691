"""Where a run's records lie and how they are read: a folder for each model, data set and condition, one column of one condition at a time.

While a condition is being computed its folder holds one file a cell; when all its cells are there they become one file.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow

from robustbench_cv.arrow_compute import compute
from robustbench_cv.errors import Damaged
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.records import EVIDENCE, REFERENCE, Record, cells_in, read_table, schema_of, to_table, write_table
from robustbench_cv.run_folder import RunFolder, digest

logger = logging.getLogger(__name__)

WHOLE = "all-"
"""How the name of a file begins that holds the records of several cells."""


class Place(NamedTuple):
    """What the records of one folder have in common."""

    task: str
    model: str
    dataset: str
    condition: str


class Cell(Protocol):
    """What is asked of a cell: its key, and whose records it makes."""

    @property
    def key(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def condition(self) -> str: ...


def place_of(cell: Cell) -> Place:
    return Place(cell.task, cell.model, cell.dataset, cell.condition)


def by_place(cells: Iterable[Cell]) -> dict[Place, list[str]]:
    """The keys of cells by where their records lie, in their order."""
    keys: dict[Place, list[str]] = {}
    for cell in cells:
        keys.setdefault(place_of(cell), []).append(cell.key)
    return keys


@dataclass(frozen=True, eq=False)
class ConditionRecords:
    """The records of one model on one data set under one condition, in the order of the sample ids; a column is read when it is asked for.

    names: of the columns. read: some of them.
    """

    names: frozenset[str]
    read: Callable[[Sequence[str]], pyarrow.Table]

    def __len__(self) -> int:
        return len(self._column("status"))

    @functools.cached_property
    def _kept(self) -> dict[str, pyarrow.Array]:
        return {}

    def _column(self, name: str) -> pyarrow.Array:
        if name not in self._kept:
            table = self.read(_SMALL if name in _SMALL else [name])
            for one in table.column_names:
                column = table.column(one)
                column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
                self._kept[one] = column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column
        return self._kept[name]

    def column(self, name: str) -> pyarrow.Array:
        """A column (N,), one of `names`."""
        return self._column(name)

    @property
    def samples(self) -> pyarrow.Array:
        """The ids of all samples, rising."""
        return self._column("sample")

    def has_status(self, status: str) -> pyarrow.Array:
        """Which records have it: bool (N,)."""
        return compute.equal(self._column("status"), status)

    def values(self, key: str, *, reference: bool = False) -> pyarrow.Array | None:
        """The evidence of the samples that have it, in their order; None where no record ever had any."""
        name = (REFERENCE if reference else EVIDENCE) + key
        return self._column(name).drop_null() if name in self.names else None

    def evidence(self, key: str, kind: pyarrow.DataType, *, reference: bool = False) -> Column:
        """The same with the ids of the samples. kind: its type, for where there is none."""
        name = (REFERENCE if reference else EVIDENCE) + key
        if name not in self.names:
            return Column.of({}, kind)
        column = self._column(name)
        if column.null_count == 0:
            return Column(self.samples, column)
        there = column.is_valid()
        return Column(self.samples.filter(there), column.filter(there))

    def excluded(self) -> list[dict[str, str]]:
        """For each sample that some metric means nothing for, the reasons by metric."""
        column = self._column("excluded")
        some = column.filter(compute.greater(compute.list_value_length(column), 0))
        return [{one["metric"]: one["reason"] for one in row} for row in some.to_pylist()]


_SMALL = ("status", "reason", "reason_code", "excluded")
"""Columns that hold next to nothing and are asked for together: one reading serves all."""


class Source(Protocol):
    """Where results take their records from."""

    def at(self, place: Place) -> ConditionRecords:
        """Those of one condition; empty ones where there are none."""
        ...

    def files(self, place: Place) -> list[Path] | None:
        """The files that hold them; None where they lie in none."""
        ...

    def tables(self) -> Iterable[pyarrow.Table]:
        """All records, a table for each condition."""
        ...


_NOTHING = to_table([], {})


@dataclass(frozen=True, eq=False)
class InMemory:
    """Records that lie in no folder."""

    by_place: Mapping[Place, pyarrow.Table]

    @classmethod
    def of(cls, records: Iterable[Record], types: Mapping[str, pyarrow.DataType]) -> InMemory:
        """types: of evidence, by evidence key."""
        rows: dict[Place, list[Record]] = {}
        for record in records:
            rows.setdefault(Place(record.task, record.model, record.dataset, record.condition), []).append(record)
        return cls({place: to_table(those, types) for place, those in rows.items()})

    def at(self, place: Place) -> ConditionRecords:
        table = self.by_place.get(place, _NOTHING)
        return ConditionRecords(frozenset(table.column_names), lambda columns: table.select(list(columns)))

    def files(self, place: Place) -> list[Path] | None:
        return None

    def tables(self) -> Iterable[pyarrow.Table]:
        return self.by_place.values()


@dataclass(frozen=True)
class RecordStore:
    """The records of a run folder."""

    folder: RunFolder

    def part(self, cell: Cell) -> Path:
        """The file that a cell's records are written to."""
        return self.folder.records(*place_of(cell)) / f"{cell.key}.parquet"

    def write(self, cell: Cell, records: Sequence[Record], types: Mapping[str, pyarrow.DataType]) -> None:
        """The records of a cell. types: of evidence, by evidence key. ValueError naming evidence that is not of its type."""
        write_table(self.part(cell), to_table(records, types, cell.key), [cell.key])

    def holders(self, place: Place) -> dict[str, Path]:
        """The file that holds each cell of a condition. Damaged; WrittenByNewer."""
        paths = self.folder.records(*place).glob("*.parquet")
        parts: list[Path] = []
        whole: list[Path] = []
        for path in sorted(paths):
            (whole if path.stem.startswith(WHOLE) else parts).append(path)
        return {path.stem: path for path in parts} | {key: path for path in whole for key in cells_in(path)}

    def has(self, cells: Iterable[Cell]) -> bool:
        """Whether the records of all these cells are there."""
        return all(set(keys) <= set(self.holders(place)) for place, keys in by_place(cells).items())

    def read(self, cells: Sequence[Cell], columns: Sequence[str] | None = None) -> pyarrow.Table:
        """The records of cells of one condition, those that are there, by sample id. Damaged; WrittenByNewer."""
        if not cells:
            return _read([], frozenset(), columns)
        (place,) = by_place(cells)
        return _read(self.holding(place, [c.key for c in cells]), frozenset(c.key for c in cells), columns)

    def holding(self, place: Place, keys: Iterable[str]) -> list[Path]:
        """The files that hold cells of a condition, those that are there."""
        holders = self.holders(place)
        return list(dict.fromkeys(holders[key] for key in keys if key in holders))

    def compact(self, cells: Iterable[Cell]) -> None:
        """Make one file of each condition whose cells are all there; what it holds is then nowhere else."""
        for place, keys in by_place(cells).items():
            holders = self.holders(place)
            if len(keys) > 1 and set(keys) <= set(holders):
                self._compact(place, keys, holders)

    def drop_damaged(self, place: Place) -> None:
        """Delete the files of a condition of which not every byte can be read, with a warning: they would stand in the way of new ones."""
        for path in sorted(self.folder.records(*place).glob("*.parquet")):
            try:
                cells_in(path)
                read_table(path)
            except Damaged:
                logger.warning("%s is damaged: taken as missing, and deleted", path)
                path.unlink()

    def _compact(self, place: Place, keys: Sequence[str], holders: Mapping[str, Path]) -> None:
        path = self.folder.records(*place) / f"{WHOLE}{digest(sorted(keys))[:32]}.parquet"
        if any(holders[key] != path for key in keys):
            write_table(path, _read(list(dict.fromkeys(holders[key] for key in keys)), frozenset(keys), None), keys)
        for other in self.folder.records(*place).glob("*.parquet"):
            if other != path and self._holds_only(other, keys):
                other.unlink()

    def _holds_only(self, path: Path, keys: Sequence[str]) -> bool:
        """Whether a file has nothing but these cells, or nothing that can be read."""
        try:
            return cells_in(path) <= set(keys)
        except Damaged:
            logger.warning("%s is damaged: deleted", path)
            return True


@dataclass(frozen=True, eq=False)
class Stored:
    """The records of a run's cells, as they lie in its folder."""

    store: RecordStore
    cells: Sequence[Cell]

    @functools.cached_property
    def _keys(self) -> dict[Place, list[str]]:
        return by_place(self.cells)

    @functools.cached_property
    def _files(self) -> dict[Place, list[Path]]:
        return {}

    def files(self, place: Place) -> list[Path]:
        if place not in self._files:
            self._files[place] = self.store.holding(place, self._keys.get(place, []))
        return self._files[place]

    def at(self, place: Place) -> ConditionRecords:
        files, keys = self.files(place), frozenset(self._keys.get(place, []))
        names = schema_of(files[0]).names if files else _NOTHING.column_names
        return ConditionRecords(frozenset(names), lambda columns: _read(files, keys, columns))

    def tables(self) -> Iterable[pyarrow.Table]:
        for place in self._keys:
            if files := self.files(place):
                yield _read(files, frozenset(self._keys[place]), None)

    def paths(self) -> list[Path]:
        """Every file that holds records of the run."""
        return [path for place in self._keys for path in self.files(place)]


def _read(paths: Sequence[Path], keys: frozenset[str], columns: Sequence[str] | None) -> pyarrow.Table:
    """Columns of the records of these cells, in the order of the sample ids. Damaged; WrittenByNewer."""
    if not paths:
        return _NOTHING if columns is None else _NOTHING.select(list(columns))
    if len(paths) == 1 and cells_in(paths[0]) <= keys:
        return read_table(paths[0], None if columns is None else list(columns))
    wanted = None if columns is None else list(dict.fromkeys([*columns, "cell", "sample"]))
    tables = [read_table(path, wanted) for path in paths]
    every = pyarrow.concat_tables([t.filter(compute.is_in(t["cell"], value_set=pyarrow.array(sorted(keys)))) for t in tables])
    every = every.unify_dictionaries().take(compute.sort_indices(every["sample"]))
    return every if columns is None else every.select(list(columns))
