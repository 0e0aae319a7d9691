"""From a recipe to a weights file with its card: read the data, run the loop, write, read back, measure."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from robustbench_cv.catalogue import MODELS, RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models import adapt
from robustbench_cv.models.weights.card import Card
from robustbench_cv.models.weights.description import Description, write
from robustbench_cv.training.context_augmentation import augment_part
from robustbench_cv.training.drawn_copies import Candidate, drawn_copies
from robustbench_cv.training.evaluate import evaluate
from robustbench_cv.training.loop import Run, fit
from robustbench_cv.training.progress import bar
from robustbench_cv.training.recipe import Recipe
from robustbench_cv.training.split import Part, Row, split
from robustbench_cv.training.training_set import TrainingSet, collect
from robustbench_cv.types import AnyModel, Dataset, Sample

T = TypeVar("T")


def train(
    recipe: str,
    *,
    data: Dataset | str | None = None,
    test: Dataset | str | None = None,
    out: Path,
    seed: int = 0,
    device: str = "cpu",
    epochs: int | None = None,
    limit: int | None = None,
    augment: str | None = None,
) -> Card:
    """Train what a recipe spec names and write `out` (safetensors, self-describing) and, beside it, its card (.json).

    data: a data set or its spec; default the recipe's own. test: default the recipe's own for its own data; else every tenth sample is
    held out of the training. limit: at most so many samples of each. augment: edited copies to learn from too, see `context_augmentation`.
    Interrupted, the same call goes on from the last whole epoch (`out` with the suffix .training keeps it until the end). UserError where
    the data do not fit the recipe.
    """
    require_safetensors(out)
    made: Recipe = RECIPES.build(recipe)
    learned, judged = split(made, data, test, limit)
    if augment is not None:
        learned = augment_part(learned, augment, seed, draws=made.fit is None)
    pool = read(made, learned)
    run = _run(recipe, made, pool, epochs=epochs or made.schedule.epochs, seed=seed, device=device, out=out)
    network = _network(made, pool, seed)
    seconds = fit_with_bar(network, pool, run)
    description = Description(
        architecture=made.architecture,
        classes=pool.labels.names,
        input_size=made.size,
        mean=run.mean,
        std=run.std,
        arguments=made.arguments,
    )
    write(out, network, description, bits=made.bits)
    metrics = measure(MODELS.factory(made.architecture)(checkpoint=str(out)), made, judged, device)
    name = f"{made.architecture}.{out.stem.rpartition('.')[2]}"
    return write_card(
        out,
        name,
        recipe,
        run=run,
        learned=learned,
        pool=pool,
        judged=judged,
        metrics=metrics,
        parameters=sum(p.numel() for p in network.parameters()),
        seconds=seconds,
    )


def require_safetensors(out: Path) -> None:
    """UserError for a file name of another kind."""
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: weights are written as safetensors; name the file {out.stem}.safetensors")


def write_card(
    out: Path,
    name: str,
    recipe: str,
    run: Run,
    learned: Part,
    pool: TrainingSet,
    judged: Part,
    metrics: Mapping[str, float],
    parameters: int,
    seconds: float,
) -> Card:
    """The card of a weights file that was just written, beside it."""
    card = Card(
        name=name,
        recipe=recipe,
        seed=run.seed,
        epochs=run.epochs,
        data=learned.name,
        data_sha256=pool.sha256,
        samples=pool.per_epoch,
        test=judged.name,
        test_samples=len(judged),
        metrics=metrics,
        parameters=parameters,
        sha256=hashlib.sha256(out.read_bytes()).hexdigest(),
        date=datetime.now(UTC).date().isoformat(),
        seconds=round(seconds, 1),
        torch=torch.__version__,
    )
    card.write(out.with_suffix(".json"))
    return card


def read(recipe: Recipe, part: Part) -> TrainingSet:
    """A part of the data in memory, at the recipe's size."""
    candidates: list[Candidate | None] = []
    originals: list[int] = []

    def note(row: Row) -> tuple[Sample, str]:
        if row.sample.edit is None:
            originals.append(len(candidates))
        candidates.append(row.candidate)
        advance(len(originals), len(part.indices), "")
        return row.sample, row.fingerprint

    with bar(f"reading {part.name}", len(part.indices)) as advance:
        pool = collect(part.dataset.labels, map(note, part.rows()), recipe.size, recipe.letterbox, recipe.instances)
    return replace(pool, drawn=drawn_copies(candidates, originals))


def _run(spec: str, recipe: Recipe, pool: TrainingSet, epochs: int, seed: int, device: str, out: Path) -> Run:
    mean, std = pool.statistics() if recipe.normalise else (None, None)
    facts = (spec, recipe.schedule, recipe.adversary, recipe.arguments, epochs, seed, device, pool.sha256, torch.__version__)
    key = hashlib.sha256(repr(facts).encode()).hexdigest()
    return Run(recipe=recipe, epochs=epochs, seed=seed, device=device, mean=mean, std=std, state=out.with_suffix(".training"), key=key)


def _network(recipe: Recipe, pool: TrainingSet, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return recipe.network(pool)


def fit_with_bar(network: nn.Module, pool: TrainingSet, run: Run) -> float:
    """Seconds it took."""
    began = time.monotonic()
    with bar(f"training {run.recipe.name}", run.epochs) as advance:
        train = run.recipe.fit or fit
        train(network, pool, run, lambda done, total, loss: advance(done, total, f"loss {loss:.3f}"))
    return time.monotonic() - began


def measure(model: AnyModel, recipe: Recipe, part: Part, device: str) -> Mapping[str, float]:
    """The recipe's metrics, of a model built from the file just written, as anyone will use it."""
    model = adapt.to(model, device)
    with bar(f"testing on {part.name}", len(part)) as advance:
        samples = _count(part.samples(), lambda done: advance(done, len(part), ""))
        return evaluate(model, (sample for sample, _ in samples), recipe.metrics, device)


def _count(items: Iterator[T], tell: Callable[[int], None]) -> Iterator[T]:
    for count, item in enumerate(items, 1):
        yield item
        tell(count)
