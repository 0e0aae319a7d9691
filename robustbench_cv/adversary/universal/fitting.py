"""Fitting a theta that all samples share: stochastic ascent of the mean objective over training samples, with their places drawn anew.

The loop of Brown et al. 2017 for patches, and for universal perturbations of Shafahi et al., "Universal Adversarial Training", AAAI 2020
(arXiv:1811.11304), which replaces the DeepFool steps of Moosavi-Dezfooli et al. 2017.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from robustbench_cv.adversary.attack_references import Clean
from robustbench_cv.adversary.gradient_transforms import adam, stateless
from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.adversary.victim import Victim, frozen_eval, non_finite, require_raw
from robustbench_cv.batching import positions_by_shape
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import Model, R, Sample, Target

MARKS = 10
"""The objective's mean is noted over so many equal parts of the fit."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedTheta:
    """theta on the CPU, in the 8 bits a channel that a picture file holds where it is a patch. ids: of the samples that served.

    trace: the mean objective over each tenth of the steps. forwards, backwards: passes of single images.
    """

    theta: Tensor
    ids: tuple[str, ...]
    trace: tuple[float, ...]
    forwards: int
    backwards: int
    image: tuple[int, int]


@dataclass(frozen=True, eq=False)
class _Served:
    """A training sample with what to aim at."""

    id: str
    image: Tensor
    goal: Target
    reference: Target


def fit(
    attack: UniversalAttack[R], model: Model[R], samples: Iterable[Sample], *, seed: int, device: torch.device | str = "cpu"
) -> FittedTheta:
    """theta for `model` from training samples, whose targets are in the model's class indices.

    Deterministic in (seed, samples, attack). UserError where no sample serves; NotApplicable where the model has no gradient.
    """
    with frozen_eval(model):
        served, forwards = _serving(attack, model, samples, torch.device(device))
        return _climb(attack, model, served, forwards, Noise(seed, (attack.name,), "fit"))


def _serving(attack: UniversalAttack[R], model: Model[R], samples: Iterable[Sample], device: torch.device) -> tuple[list[_Served], int]:
    """Up to training.limit samples that give the attack something to aim at, and the passes that finding them took."""
    limit, batch = attack.training.limit, attack.training.batch
    served: list[_Served] = []
    forwards = looked = 0
    for chunk in _chunks(samples, batch):
        images = torch.stack([s.image for s in chunk]).to(device)
        clean = Clean(model, images, [s.target for s in chunk], attack.name, attack.accepts)
        aim = attack.reference(clean)
        forwards += len(chunk) * clean.was_looked_at
        looked += len(chunk)
        kept = [i for i in range(len(chunk)) if i not in aim.skipped]
        served += [_Served(chunk[i].id, images[i], aim.goals[i], aim.references[i]) for i in kept]
        if len(served) >= limit or looked >= attack.training.scan * limit:
            break
    if not served:
        raise UserError(f"attack {attack.name!r} found nothing to be fitted on in {looked} training samples; give it others with fit='...'")
    return served[:limit], forwards


def _chunks(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    """In order, at most `size` of one image shape together."""
    chunk: list[Sample] = []
    for sample in samples:
        if chunk and (len(chunk) == size or chunk[0].image.shape != sample.image.shape):
            yield chunk
            chunk = []
        chunk.append(sample)
    if chunk:
        yield chunk


def _climb(attack: UniversalAttack[R], model: Model[R], served: Sequence[_Served], forwards: int, noise: Noise) -> FittedTheta:
    training = attack.training
    theta = attack.surface.project(attack.surface.start(served[0].image, noise.fork("start"))).requires_grad_()
    mover = adam() if training.move == "adam" else stateless(torch.sign)
    state = mover.init(theta.detach()[None])
    values: list[float] = []
    passes = 0
    for step, chosen in zip(range(training.steps), _batches(served, training.batch, noise), strict=False):
        value = _mean_objective(attack, model, [served[i] for i in chosen], theta, step, noise)
        passes += len(chosen)
        cost = -value + sum((term(theta) for term in attack.terms), torch.zeros((), device=theta.device))
        if step == 0 and not _reaches(value, theta):
            raise NotApplicable(f"attack {attack.name!r} follows gradients and model {model.info.name!r} gives none to its input")
        (grad,) = torch.autograd.grad(cost, theta)
        values.append(float(value.detach()))
        if not (math.isfinite(values[-1]) and bool(grad.isfinite().all())):
            raise UserError(
                f"fitting {attack.name!r} met a value that is not finite at step {step + 1}: model {model.info.name!r} breaks down"
            )
        move, state = mover.update(-grad[None], state)
        rate = training.alpha * (1 if training.move == "sign" else 1 - 0.9 * step / training.steps)
        theta = attack.surface.project(theta.detach() + rate * move[0]).requires_grad_()
    height, width = served[0].image.shape[-2:]
    kept = attack.surface.stored_theta(theta.detach().cpu())
    ids = tuple(s.id for s in served)
    return FittedTheta(
        theta=kept, ids=ids, trace=_trace(values), forwards=forwards + passes, backwards=passes, image=(int(height), int(width))
    )


def _reaches(value: Tensor, theta: Tensor) -> bool:
    """Whether the model's part of the cost has a gradient by theta: the terms have one of their own, and hidden weights may ask for one."""
    return value.requires_grad and torch.autograd.grad(value, theta, retain_graph=True, allow_unused=True)[0] is not None


def _mean_objective(
    attack: UniversalAttack[R], model: Model[R], batch: Sequence[_Served], theta: Tensor, step: int, noise: Noise
) -> Tensor:
    images = torch.stack([s.image for s in batch])
    # Their places differ at every step, as if they were new samples each time.
    streams = Noise(noise.seed, tuple(s.id for s in batch), f"{noise.purpose}/step {step}")
    victim: Victim[R] = Victim(
        model=model, x0=images, goals=[s.goal for s in batch], references=[s.reference for s in batch], noise=streams
    )
    placed, goals, _ = attack.place(victim, attack.surface, "place")
    with torch.enable_grad():
        raw: R = model.raw(placed.apply(theta))
        require_raw(attack.name, attack.accepts, raw)
        values: Tensor = attack.objective(raw, goals, step / max(attack.training.steps, 1))
    # Samples on which the model breaks down teach nothing.
    good = ~non_finite(raw).to(values.device)
    return torch.where(good, values, 0).sum() / good.sum().clamp(min=1)


def _batches(served: Sequence[_Served], size: int, noise: Noise) -> Iterator[list[int]]:
    """Endless rounds through all samples in random order, each batch of one image shape."""
    shapes = positions_by_shape(s.image for s in served)
    rng = noise.fork("order").rng()
    while True:
        parts = []
        for group in shapes:
            order = [group[i] for i in rng.permutation(len(group))]
            parts += [order[i : i + size] for i in range(0, len(order), size)]
        yield from (parts[i] for i in rng.permutation(len(parts)))


def _trace(values: Sequence[float]) -> tuple[float, ...]:
    parts = numpy.array_split(numpy.array(values), min(MARKS, max(len(values), 1)))
    return tuple(round(float(part.mean()), 6) for part in parts if len(part))
