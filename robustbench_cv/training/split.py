"""Which samples a training learns from, and which it is judged on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.errors import UserError
from robustbench_cv.training.recipe import Recipe
from robustbench_cv.types import Dataset, Sample

HELD_OUT = 10
"""Every so many-th sample is held out where no test set is given."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of a data set; `name` says which, in words a card can print."""

    dataset: Dataset
    indices: Sequence[int]
    name: str

    def __len__(self) -> int:
        return len(self.indices)

    def samples(self) -> Iterator[tuple[Sample, str]]:
        """Each with its fingerprint, in order. BadSample where one cannot be read."""
        for index in self.indices:
            yield self.dataset[index], self.dataset.fingerprint(index)


def split(recipe: Recipe, data: Dataset | None, test: Dataset | None, limit: int | None) -> tuple[Part, Part]:
    """(training, test). The recipe's own test set serves only its own data; other data without a test set give up every tenth sample.

    limit: at most so many of each. UserError where the data do not fit the recipe or each other.
    """
    own = data is None and test is None and recipe.test
    data = _checked(recipe, data if data is not None else _default(recipe))
    if own:
        test = DATASETS.build(recipe.test)
    if test is not None:
        test = _checked(recipe, test)
        if test.labels != data.labels:
            raise UserError(f"training and test data differ in their classes: {data.labels.names} and {test.labels.names}")
        name = recipe.test if own else test.name
        return _part(data, range(len(data)), data.name, limit), _part(test, range(len(test)), name, limit)
    count = len(data) if limit is None else min(limit, len(data))
    held = [i for i in range(count) if i % HELD_OUT == HELD_OUT - 1] or [count - 1]
    rest = [i for i in range(count) if i not in set(held)]
    return Part(data, rest, f"{data.name} but every {HELD_OUT}th"), Part(data, held, f"every {HELD_OUT}th of {data.name}")


def _default(recipe: Recipe) -> Dataset:
    if not recipe.data:
        raise UserError(f"the recipe {recipe.name!r} trains on data of yours: --data masks:FOLDER (robustbench-cv list datasets)")
    return DATASETS.build(recipe.data)


def _checked(recipe: Recipe, data: Dataset) -> Dataset:
    if data.task != recipe.task:
        raise UserError(f"the recipe {recipe.name!r} needs data for {recipe.task}; {data.name} is for {data.task}")
    return data


def _part(data: Dataset, indices: range, name: str, limit: int | None) -> Part:
    return Part(data, indices[:limit], name if limit is None else f"{name}, first {min(limit, len(indices))}")
