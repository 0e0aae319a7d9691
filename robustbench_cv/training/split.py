"""Which samples a training learns from, and which it is judged on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.errors import UserError
from robustbench_cv.training.drawn_copies import Candidate
from robustbench_cv.training.recipe import Recipe
from robustbench_cv.types import Dataset, Sample

HELD_OUT = 10
"""Every so many-th sample is held out where no test set is given."""


class Row(NamedTuple):
    """A sample of a part with its fingerprint. candidate: where it is one of several that each epoch draws from; None: always learned."""

    sample: Sample
    fingerprint: str
    candidate: Candidate | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of a data set; `name` says which, in words a card can print."""

    dataset: Dataset
    indices: Sequence[int]
    name: str

    def __len__(self) -> int:
        return len(self.indices)

    def rows(self) -> Iterator[Row]:
        """What is learned from, in order. BadSample where one cannot be read."""
        for index in self.indices:
            yield Row(self.dataset[index], self.dataset.fingerprint(index))

    def samples(self) -> Iterator[tuple[Sample, str]]:
        """Each with its fingerprint, in order. BadSample where one cannot be read."""
        return ((row.sample, row.fingerprint) for row in self.rows())


def split(recipe: Recipe, data: Dataset | str | None, test: Dataset | str | None, limit: int | None) -> tuple[Part, Part]:
    """(training, test). The recipe's own test set serves only its own data; other data without a test set give up every tenth sample.

    limit: at most so many of each. UserError where the data do not fit the recipe or each other.
    """
    if data is None and not recipe.data:
        raise UserError(f"the recipe {recipe.name!r} trains on data of yours: --data masks:FOLDER (robustbench-cv list datasets)")
    if test is None and data is None:
        test = recipe.test or None
    learned = _open_data(recipe, data if data is not None else recipe.data)
    if test is None:
        return _held_out(learned, limit)
    judged = _open_data(recipe, test)
    if judged.labels != learned.labels:
        raise UserError(f"training and test data differ in their classes: {learned.labels.names} and {judged.labels.names}")
    return _first(learned, learned.name, limit), _first(judged, test if isinstance(test, str) else test.name, limit)


def _open_data(recipe: Recipe, data: Dataset | str) -> Dataset:
    dataset = DATASETS.build(data, task=recipe.task) if isinstance(data, str) else data
    if dataset.task != recipe.task:
        raise UserError(f"the recipe {recipe.name!r} needs data for {recipe.task}; {dataset.name} is for {dataset.task}")
    return dataset


def _held_out(data: Dataset, limit: int | None) -> tuple[Part, Part]:
    count = len(data) if limit is None else min(limit, len(data))
    if count < 2:
        raise UserError(f"{data.name} has {count} samples; training and testing need at least 2")
    held = [i for i in range(count) if i % HELD_OUT == HELD_OUT - 1] or [count - 1]
    rest = sorted(set(range(count)) - set(held))
    return Part(data, rest, f"{data.name} but every {HELD_OUT}th"), Part(data, held, f"every {HELD_OUT}th of {data.name}")


def _first(data: Dataset, name: str, limit: int | None) -> Part:
    indices = range(len(data))[:limit]
    return Part(data, indices, name if len(indices) == len(data) else f"the first {len(indices)} of {name}")
