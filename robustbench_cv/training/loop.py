"""The one training loop: a network, a pool, a recipe and a seed. Interrupted, it goes on from the last whole epoch and ends the same."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robustbench_cv.noise import Noise
from robustbench_cv.tasks import Task
from robustbench_cv.training.class_difficulty import class_difficulty
from robustbench_cv.training.recipe import Recipe
from robustbench_cv.training.training_set import TrainingSet

Watch = Callable[[int, int, float], None]
"""Told after each step: steps done, steps in all, the step's loss."""

Judge = Callable[[nn.Module], float]
"""How bad a network is, on data that it does not learn from; infinite where nothing can be said yet, which ends no training."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a training depends on besides the network and the pool. state: file for going on after an interruption; key: of what made it.

    judge: asked after each epoch, in eval mode; the training stops when `patience` epochs have not bettered the best, whose weights stay.
    """

    recipe: Recipe
    epochs: int
    seed: int
    device: str = "cpu"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    state: Path | None = None
    key: str = ""
    judge: Judge | None = None
    patience: int = 5


def fit(network: nn.Module, pool: TrainingSet, run: Run, watch: Watch = lambda done, total, loss: None) -> None:
    """Train `network` in place, and leave it in eval mode. RuntimeError where the loss stops being a number.

    Deterministic for a seed on one kind of machine: the order and augmentation of an epoch are functions of (seed, epoch).
    """
    network.to(run.device).to(memory_format=torch.channels_last).train()
    schedule = run.recipe.schedule
    optimizer = torch.optim.AdamW(_groups(network, schedule.decay), lr=schedule.peak)
    first, best = _resume(network, optimizer, run)
    steps = max(1, pool.per_epoch // schedule.batch)
    for epoch in range(first, run.epochs):
        if best.waited >= run.patience:
            break
        with _seed_epoch(run.seed, epoch) as rng:
            learned = _learned_from(network, pool, run, rng)
            for step, places in enumerate(_batches(len(learned), schedule.batch, rng)):
                chosen, done = learned[places], epoch * steps + step
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate((done + 1) / (run.epochs * steps + 1))
                loss = _step(network, optimizer, pool.images[chosen], pool.truths[chosen], run, rng)
                if not loss == loss:
                    raise RuntimeError(f"the loss is not a number at step {done}; lower the recipe's peak rate ({schedule.peak})")
                watch(done + 1, run.epochs * steps, loss)
        if run.judge is not None:
            network.eval()
            best.consider(network, run.judge(network))
            network.train()
        _save(network, optimizer, run, epoch + 1, best)
    if run.state is not None:
        run.state.unlink(missing_ok=True)
    if best.weights:
        network.load_state_dict(best.weights)
    network.eval()


def _learned_from(network: nn.Module, pool: TrainingSet, run: Run, rng: torch.Generator) -> Tensor:
    """Positions of the images of an epoch. What is drawn follows from the network as it is: nothing else need be kept to go on with."""
    if pool.drawn is None:
        return torch.arange(len(pool))
    _hold_still(network, run.recipe.task)
    try:
        with torch.no_grad(), torch.random.fork_rng():
            difficulty = class_difficulty(
                run.recipe.task,
                pool,
                pool.drawn.originals,
                scores=lambda images: _forward(run, images.to(run.device), network).float(),
                loss=lambda images, truths: _recipe_loss(network, run, images.to(run.device), truths.to(run.device)),
                batch=run.recipe.schedule.batch,
            )
    finally:
        network.train()
    return pool.drawn.draw(difficulty, rng)


def _hold_still(network: nn.Module, task: Task) -> None:
    """Eval mode; of a detector, which may have no loss there, only of its layers without parts, as all norms and dropouts are."""
    for module in network.modules():
        if task != "detection" or next(module.children(), None) is None:
            module.training = False


@dataclass
class _Best:
    """The best weights so far, and for how many epochs they have been that."""

    score: float = float("inf")
    waited: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def consider(self, network: nn.Module, score: float) -> None:
        self.waited += 1
        if self.score == score == float("inf"):
            self.waited = 0
        if score < self.score:
            self.score, self.waited = score, 0
            self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _step(network: nn.Module, optimizer: Any, images: Tensor, truths: Tensor, run: Run, rng: torch.Generator) -> float:
    x, truths = run.recipe.augment(images.to(run.device).float() / 255, truths.to(run.device), rng)
    lowered = functools.partial(_recipe_loss, network, run)
    if run.recipe.adversary is not None:
        x = run.recipe.adversary.perturb(network, lowered, x, truths, rng)
    loss = lowered(x, truths)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), run.recipe.schedule.clip)
    optimizer.step()
    return float(loss.detach())


def _recipe_loss(network: nn.Module, run: Run, x: Tensor, truths: Tensor) -> Tensor:
    """The recipe's loss of images in [0, 1]."""
    return _forward(run, x, lambda images: run.recipe.loss(network, images, truths))


def _forward(run: Run, x: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
    """What `ask` makes of images in [0, 1] once they are as the network learns from them."""
    if run.mean is not None and run.std is not None:
        x = (x - x.new_tensor(run.mean)[:, None, None]) / x.new_tensor(run.std)[:, None, None]
    with torch.autocast(x.device.type, torch.bfloat16, enabled=_half_pays(x.device)):
        return ask(x.contiguous(memory_format=torch.channels_last))


def _half_pays(device: torch.device) -> bool:
    """Whether 16-bit products are fast: more than twice here on a CPU with matrix tiles, half as fast on one that emulates them."""
    return device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_amx_tile_supported())


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay for kernels and matrices, none for biases and normalisation."""
    many = [p for p in network.parameters() if p.ndim > 1]
    few = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": many, "weight_decay": decay}, {"params": few, "weight_decay": 0.0}]


def _batches(count: int, batch: int, rng: torch.Generator) -> Iterator[Tensor]:
    """Every sample once, in random order, in batches of one size: a last, shorter batch is dropped unless it is the only one."""
    order = torch.randperm(count, generator=rng)
    for start in range(0, max(1, count // batch) * batch, batch):
        yield order[start : start + batch]


@contextlib.contextmanager
def _seed_epoch(seed: int, epoch: int) -> Iterator[torch.Generator]:
    """The epoch's generator; the global one is seeded too, for networks that draw by themselves, and restored after."""
    key = Noise(seed, (f"epoch {epoch}",), "training").key()
    with torch.random.fork_rng():
        torch.manual_seed(key)
        yield torch.Generator().manual_seed(key)


def _save(network: nn.Module, optimizer: Any, run: Run, epoch: int, best: _Best) -> None:
    if run.state is None:
        return
    part = run.state.with_name(run.state.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"key": run.key, "epoch": epoch, "network": network.state_dict(), "optimizer": optimizer.state_dict(), "best": vars(best)}, part
    )
    part.replace(run.state)


def _resume(network: nn.Module, optimizer: Any, run: Run) -> tuple[int, _Best]:
    """The epoch to go on with, and the best so far.

    A state that another recipe, seed, data set or code left is ignored: it does not lead to this result.
    """
    if run.state is None or not run.state.is_file():
        return 0, _Best()
    state = torch.load(run.state, map_location=run.device, weights_only=True)
    if state["key"] != run.key:
        return 0, _Best()
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"]), _Best(**state["best"])
