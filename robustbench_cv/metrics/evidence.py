"""Evidence of many samples as one typed Arrow column, with the ids of the samples beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy
import pyarrow

from robustbench_cv.arrow_compute import compute
from robustbench_cv.types import Evidence

Values: TypeAlias = pyarrow.Array | Sequence[Evidence]
"""What a metric kept of each sample, in the rising order of the sample ids: an Arrow array of its evidence_type, or what makes one."""


def array_of(values: Values, kind: pyarrow.DataType) -> pyarrow.Array:
    """The values as one array (N,) of a type; 0 and 1 are false and true. ValueError where one does not fit the type.

    >>> array_of([True, False], pyarrow.bool_()).type
    DataType(bool)
    """
    if isinstance(values, pyarrow.Array):
        array: pyarrow.Array = values
        return array if array.type == kind else array.cast(kind)
    if pyarrow.types.is_boolean(kind) and all(v in (0, 1, None) for v in values):
        values = [None if v is None else bool(v) for v in values]
    try:
        return pyarrow.array(values, type=kind)
    except (pyarrow.ArrowException, TypeError) as error:
        raise ValueError(f"evidence does not fit the type that its metric declares, {kind}: {error}") from error


@dataclass(frozen=True, eq=False)
class Column:
    """Evidence by sample: ids (N,) strings, rising and distinct; values (N,) of one type, none of them missing."""

    ids: pyarrow.StringArray
    values: pyarrow.Array

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, evidence: Mapping[str, Evidence], kind: pyarrow.DataType) -> Column:
        """From evidence by sample id.

        >>> Column.of({"b": True, "a": False}, pyarrow.bool_()).ids.to_pylist()
        ['a', 'b']
        """
        ids = sorted(evidence)
        return cls(pyarrow.array(ids, pyarrow.string()), array_of([evidence[i] for i in ids], kind))

    def to_dict(self) -> dict[str, Evidence]:
        """Evidence by sample id, as Python values."""
        return dict(zip(self.ids.to_pylist(), self.values.to_pylist(), strict=True))

    @classmethod
    def taken(cls, side: Side, kind: pyarrow.DataType) -> Column:
        """A column as it is; evidence by sample id as one."""
        return side if isinstance(side, Column) else cls.of(side, kind)

    def only(self, ids: pyarrow.Array) -> Column:
        """Of these samples alone, those that are here."""
        if self.ids.equals(ids):
            return self
        here = compute.is_in(self.ids, value_set=ids)
        return Column(self.ids.filter(here), self.values.filter(here))


Side: TypeAlias = Column | Mapping[str, Evidence]
"""One side of a comparison: a column, or evidence by sample id."""


def shared_ids(columns: Sequence[Column]) -> pyarrow.Array:
    """The ids that all columns have, rising."""
    ids = columns[0].ids
    for column in columns[1:]:
        if not ids.equals(column.ids):
            ids = ids.filter(compute.is_in(ids, value_set=column.ids))
    return ids


def aligned(columns: Sequence[Column]) -> list[Column]:
    """The columns over the samples that all of them have: equal ids."""
    ids = shared_ids(columns)
    return [column.only(ids) for column in columns]


def all_ids(columns: Sequence[Column]) -> int:
    """How many samples have evidence in any of the columns."""
    ids = columns[0].ids
    if all(ids.equals(column.ids) for column in columns[1:]):
        return len(ids)
    return len(compute.unique(pyarrow.chunked_array([column.ids for column in columns])))


def row_of(lists: pyarrow.ListArray) -> numpy.ndarray:
    """The row (0 .. N - 1) of each item of a column of lists, in the order of its flatten()."""
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    return numpy.repeat(numpy.arange(len(lists)), lengths)
