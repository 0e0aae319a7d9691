"""The models of a run: built when they are asked for, one at a time, so that a run takes the memory of its largest model."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import weights_sha256
from robustbench_cv.results import ModelRow
from robustbench_cv.runner.memory import give_back_freed_memory
from robustbench_cv.tasks import Task
from robustbench_cv.training.train_on_demand import build
from robustbench_cv.types import AnyModel, HasModule

T = TypeVar("T")
K = TypeVar("K")


class ModelPool:
    """Models by spec. The one asked for last is alive, and those beside it that attacks transfer from; every other was let go.

    given: models that were handed over built: they are the caller's, and stay. A model that is built again must be what it was the first
    time, or the cells that were planned for it would be another one's.
    """

    def __init__(self, device: str, given: Mapping[str, AnyModel] | None = None) -> None:
        self._device, self._given = device, dict(given or {})
        self._current: dict[str, AnyModel] = {}
        self._beside: dict[str, AnyModel] = {}
        self._expected: dict[str, tuple[ModelRow, Callable[[], object]]] = {}

    def get(self, spec: str) -> AnyModel:
        """The model of a spec; the one before it is let go first. UserError where it is not what it was when the run was planned."""
        if spec not in self._current:
            self._let_go(self._current)
            self._current[spec] = self._built(spec, self._beside)
        return self._current[spec]

    def beside(self, specs: Iterable[str]) -> Mapping[str, AnyModel]:
        """These models by spec, alive beside the one that `get` gave last; any other that was beside it is let go."""
        wanted = list(dict.fromkeys(specs))
        self._let_go(self._beside, keep=wanted)
        for spec in wanted:
            if spec not in self._beside:
                self._beside[spec] = self._built(spec, self._current)
        return {spec: self._beside[spec] for spec in wanted}

    def give(self, spec: str, model: AnyModel) -> None:
        """A model that was made of one that was handed over: it stays as long as that does."""
        self._given.setdefault(spec, model)

    def is_given(self, spec: str) -> bool:
        return spec in self._given

    def expect(self, row: ModelRow, forget: Callable[[], object] = lambda: None) -> None:
        """What a model has to be whenever it is built. forget: is called where it is not, before the error."""
        self._expected[row.spec] = row, forget

    def _built(self, spec: str, others: Mapping[str, AnyModel]) -> AnyModel:
        there = {**others, **self._given}
        return there[spec] if spec in there else self._build(spec)

    def _build(self, spec: str) -> AnyModel:
        model = build(spec, device=self._device)
        if spec in self._expected:
            expected, forget = self._expected[spec]
            found = model_row(spec, model)
            if found != expected:
                forget()
                raise UserError(
                    f"model {spec!r} is another one each time it is built ({_difference(expected, found)}): does its factory draw random "
                    "numbers without a fixed seed, or did a file that it reads change meanwhile? Let it build the same model each time, "
                    "and run the same command again; nothing was stored of what was built last"
                )
        return model

    def _let_go(self, models: dict[str, AnyModel], keep: Sequence[str] = ()) -> None:
        """Forget models, and see to it that their memory is free before the next one takes its own."""
        gone = [models.pop(spec) for spec in [*models] if spec not in keep]
        held = {id(model) for model in [*self._given.values(), *self._current.values(), *self._beside.values()]}
        modules = [weakref.ref(model.module) for model in gone if isinstance(model, HasModule) and id(model) not in held]
        del gone
        if any(module() is not None for module in modules):
            gc.collect()  # cycles: a part that knows its whole, a hook that knows its module
        if modules:
            give_back_freed_memory()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def model_row(spec: str, model: AnyModel) -> ModelRow:
    """What run.json says of a model. Its weights' hash is empty for a model that has none to show."""
    info = model.info
    weights = info.weights_sha256 or (weights_sha256(model.module) if isinstance(model, HasModule) else "")
    return ModelRow(info.name or spec, spec, info.task, info.classes.names, info.parameters, weights, info.operating_score)


def _difference(one: ModelRow, other: ModelRow) -> str:
    field = next(name for name in one.__struct_fields__ if getattr(one, name) != getattr(other, name))
    values = [str(getattr(row, field)) for row in (one, other)]
    return f"{field} {values[0][:12]}, then {values[1][:12]}" if field == "weights_sha256" else f"{field} {values[0]}, then {values[1]}"


class ModelsByName(Mapping[tuple[Task, str], AnyModel]):
    """The models of a run by task and name, each built when it is taken out."""

    def __init__(self, pool: ModelPool, rows: Iterable[ModelRow]) -> None:
        self._pool = pool
        self._specs: dict[tuple[Task, str], str] = {(row.task, row.name): row.spec for row in rows}

    def __getitem__(self, key: tuple[Task, str]) -> AnyModel:
        return self._pool.get(self._specs[key])

    def __contains__(self, key: object) -> bool:
        return key in self._specs

    def __iter__(self) -> Iterator[tuple[Task, str]]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def by_model(items: Iterable[T], model: Callable[[T], K]) -> list[T]:
    """The items of each model together, models and items otherwise in their order: so that each model is built once."""
    places: dict[K, int] = {}
    return sorted(items, key=lambda item: places.setdefault(model(item), len(places)))
