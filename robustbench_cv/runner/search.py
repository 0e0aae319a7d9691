"""The attack of a cell: on every sample that its condition leaves, in batches, with what it did to each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from robustbench_cv.adversary.attack import AttackResult
from robustbench_cv.adversary.attack import run as run_attack
from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.batching import in_batches
from robustbench_cv.metrics.similarity import structural_similarity
from robustbench_cv.models.folded import fold
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
    trace: AttackTrace
    failed: str = ""
    skipped: str = ""

    @classmethod
    def of(cls, made: AttackResult, i: int, radius: float | None, likeness: Tensor | None) -> Attacked:
        counts = int(made.forwards[i]), int(made.backwards[i])
        ssim = None if likeness is None else round(float(likeness[i]), 6)
        trace = AttackTrace(bool(made.success[i]), float(made.size[i]), radius, *counts, float(made.zero_grads[i]), ssim)
        return cls(made.images[i].cpu(), trace, made.failed.get(i, ""), made.skipped.get(i, ""))


def attack_samples(job: Job, samples: Sequence[Sample]) -> list[Attacked]:
    """The job's attack on samples whose targets are in the model's class indices; a row each, in their order."""
    purpose = Spec.parse(job.condition.attack or "").name
    radius = radius_of(job.attack)

    model = cast("Model[Any]", job.model)
    # A universal attack is judged against references of its own, where it lies, and searches nothing.
    searching = samples and not isinstance(job.attack, UniversalAttack)
    faster = fold(model, samples[0].image[None].to(job.device)) if searching else None

    def work(images: Tensor, positions: list[int]) -> list[Attacked]:
        noise = Noise(job.blank.seed, tuple(samples[i].id for i in positions), purpose)
        made = run_attack(job.attack, model, images.to(job.device), [samples[i].target for i in positions], noise, faster)
        likeness = structural_similarity(images.to(made.images.device), made.images)
        return [Attacked.of(made, i, radius, likeness) for i in range(len(images))]

    largest = max((s.image for s in samples), key=lambda image: image.numel(), default=None)
    most = largest_batch(model, largest) if largest is not None and job.device.startswith("cpu") else None
    return in_batches(samples, job.batch_size, work, most)


def radius_of(attack: Any) -> float | None:
    """Of an attack's budget; None where there is no single one."""
    region = attack.surface if isinstance(attack, UniversalAttack) else getattr(attack, "constraint", None)
    radius: float | None = getattr(region, "radius", None)
    return radius
