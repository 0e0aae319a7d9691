"""From a recipe to a weights file with its card: read the data, run the loop, write, read back, measure."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from robustbench_cv.catalogue import MODELS, RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models import adapt
from robustbench_cv.models.weights.card import Card
from robustbench_cv.models.weights.described import Description, write
from robustbench_cv.training.evaluate import evaluate
from robustbench_cv.training.loop import Run, fit
from robustbench_cv.training.pool import Pool, collect
from robustbench_cv.training.progress import bar
from robustbench_cv.training.recipe import Recipe
from robustbench_cv.training.split import Part, split
from robustbench_cv.types import Dataset

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
) -> Card:
    """Train what a recipe spec names and write `out` (safetensors, self-describing) and, beside it, its card (.json).

    data: a data set or its spec; default the recipe's own. test: default the recipe's own for its own data; else every tenth sample is
    held out of the training. limit: at most so many samples of each. Interrupted, the same call goes on from the last whole epoch (`out`
    with the suffix .training keeps it until the end). UserError where the data do not fit the recipe.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"{out}: weights are written as safetensors; name the file {out.stem}.safetensors")
    made: Recipe = RECIPES.build(recipe)
    learned, judged = split(made, data, test, limit)
    pool = _read(made, learned)
    run = _run(recipe, made, pool, epochs or made.schedule.epochs, seed, device, out)
    network = _network(made, pool, seed)
    seconds = _fit(network, pool, run)
    write(out, network, Description(made.architecture, pool.labels.names, made.size, run.mean, run.std, made.arguments))
    metrics = _measure(made, judged, out, device)
    card = Card(
        name=f"{made.architecture}.{out.stem.rpartition('.')[2]}",
        recipe=recipe,
        seed=seed,
        epochs=run.epochs,
        data=learned.name,
        data_sha256=pool.sha256,
        samples=len(pool),
        test=judged.name,
        test_samples=len(judged),
        metrics=metrics,
        parameters=sum(p.numel() for p in network.parameters()),
        sha256=hashlib.sha256(out.read_bytes()).hexdigest(),
        date=datetime.now(UTC).date().isoformat(),
        seconds=round(seconds, 1),
        torch=torch.__version__,
    )
    card.write(out.with_suffix(".json"))
    return card


def _read(recipe: Recipe, part: Part) -> Pool:
    with bar(f"reading {part.name}", len(part)) as advance:
        samples = _counted(part.samples(), lambda done: advance(done, len(part), ""))
        return collect(part.dataset.labels, samples, recipe.size, recipe.letterbox)


def _run(spec: str, recipe: Recipe, pool: Pool, epochs: int, seed: int, device: str, out: Path) -> Run:
    mean, std = pool.statistics() if recipe.normalise else (None, None)
    facts = (spec, recipe.schedule, recipe.arguments, epochs, seed, device, pool.sha256, torch.__version__)
    key = hashlib.sha256(repr(facts).encode()).hexdigest()
    return Run(recipe, epochs, seed, device, mean, std, out.with_suffix(".training"), key)


def _network(recipe: Recipe, pool: Pool, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return recipe.network(pool)


def _fit(network: nn.Module, pool: Pool, run: Run) -> float:
    """Seconds it took."""
    began = time.monotonic()
    with bar(f"training {run.recipe.name}", run.epochs) as advance:
        fit(network, pool, run, lambda done, total, loss: advance(done, total, f"loss {loss:.3f}"))
    return time.monotonic() - began


def _measure(recipe: Recipe, part: Part, weights: Path, device: str) -> Mapping[str, float]:
    """Through the file just written, as anyone will use it."""
    model = adapt.to(MODELS.factory(recipe.architecture)(checkpoint=str(weights)), device)
    with bar(f"testing on {part.name}", len(part)) as advance:
        samples = _counted(part.samples(), lambda done: advance(done, len(part), ""))
        return evaluate(model, (sample for sample, _ in samples), recipe.metrics, device)


def _counted(items: Iterator[T], tell: Callable[[int], None]) -> Iterator[T]:
    for count, item in enumerate(items, 1):
        yield item
        tell(count)
