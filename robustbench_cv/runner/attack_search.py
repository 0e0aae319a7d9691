"""The attack of a cell: on every sample that its condition leaves, in batches, with what it did to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from robustbench_cv.adversary.attack import AttackResult
from robustbench_cv.adversary.attack import run as run_attack
from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.batching import in_batches
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import ForeignError
from robustbench_cv.foreign_errors import calling, name_samples, one_by_one
from robustbench_cv.metrics.ssim import structural_similarity
from robustbench_cv.models.batch_norm_folding import fold
from robustbench_cv.noise import Noise
from robustbench_cv.records import AttackTrace
from robustbench_cv.registry import Spec
from robustbench_cv.runner.memory import largest_batch
from robustbench_cv.types import Model, Sample

if TYPE_CHECKING:
    from robustbench_cv.runner.job import Job


@dataclass(frozen=True, eq=False)
class Attacked:
    """What an attack made of one sample. failed: why the model broke down on it; skipped: why there was nothing to attack."""

    image: Tensor
    trace: AttackTrace | None
    failed: str = ""
    skipped: str = ""

    @classmethod
    def of(cls, made: AttackResult, i: int, radius: float | None, likeness: Tensor | None) -> Attacked:
        trace = AttackTrace(
            success=bool(made.success[i]),
            size=float(made.size[i]),
            radius=radius,
            forwards=int(made.forwards[i]),
            backwards=int(made.backwards[i]),
            zero_grads=float(made.zero_grads[i]),
            ssim=None if likeness is None else round(float(likeness[i]), 6),
        )
        return cls(made.images[i].cpu(), trace, made.failed.get(i, ""), made.skipped.get(i, ""))


def attack_samples(job: Job, samples: Sequence[Sample]) -> list[Attacked]:
    """The job's attack on samples whose targets are in the model's class indices; a row each, in their order."""
    spec = job.condition.attack or ""
    purpose = Spec.parse(spec).name
    radius = radius_of(job.attack)

    model = cast("Model[Any]", job.model)
    faster, most = _prepare_search(job, samples)

    def work(images: Tensor, positions: list[int]) -> list[Attacked]:
        ids = tuple(samples[i].id for i in positions)
        noise = Noise(job.blank.seed, ids, purpose)
        with calling(f"attack {spec} on model {job.blank.model!r}, {name_samples(ids)}", partial(ATTACKS.is_bundled, spec)):
            made = run_attack(job.attack, model, images.to(job.device), [samples[i].target for i in positions], noise, faster)
        likeness = structural_similarity(images.to(made.images.device), made.images)
        return [Attacked.of(made, i, radius, likeness) for i in range(len(images))]

    broken = (lambda fault: Attacked(torch.empty(0), None, str(fault))) if job.skip_bad else None
    return in_batches(samples, job.batch_size, one_by_one(work, broken), most)


def _prepare_search(job: Job, samples: Sequence[Sample]) -> tuple[Model[Any] | None, int | None]:
    """The model with folded batch norms, and the most images that a pass may hold; None for what there is not, or fails on an image."""
    model = cast("Model[Any]", job.model)
    if not samples:
        return None, None
    largest = max((s.image for s in samples), key=lambda image: image.numel())
    try:
        with calling(f"model {job.blank.model!r}"):
            # A universal attack is judged against references of its own, where it lies, and searches nothing.
            searches = not isinstance(job.attack, UniversalAttack)
            faster = fold(model, samples[0].image[None].to(job.device)) if searches else None
            return faster, largest_batch(model, largest) if job.device.startswith("cpu") else None
    except ForeignError:
        return None, None  # the attack meets the same, and then the sample is known


def radius_of(attack: Any) -> float | None:
    """Of an attack's budget; None where there is no single one."""
    region = attack.surface if isinstance(attack, UniversalAttack) else getattr(attack, "constraint", None)
    radius: float | None = getattr(region, "radius", None)
    return radius
