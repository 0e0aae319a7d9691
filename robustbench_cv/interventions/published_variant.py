"""Pictures of other backgrounds that somebody made and published, read as a condition of their originals: ImageNet-9's variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from robustbench_cv.catalogue import intervention
from robustbench_cv.data.imagenet9 import ImageNet9
from robustbench_cv.data.images import read_image
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.context_facts import Choice, ContextFacts, Experiment
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.target_update import make_edited, origin
from robustbench_cv.noise import Noise
from robustbench_cv.types import ABSENT, ClassTarget, Dataset, Sample, Target

Name = Literal["only-fg", "no-fg", "only-bg-b", "only-bg-t", "mixed-same", "mixed-rand", "mixed-next"]


class _Kind(NamedTuple):
    """experiment, method: as `object-only`, `context-only` and `swap-context` declare themselves. natural: see ContextFacts."""

    experiment: Experiment
    method: str
    natural: bool


_KINDS: Mapping[str, _Kind] = {
    "only-fg": _Kind("swap-context", "black", natural=False),
    "no-fg": _Kind("remove-object", "black", natural=False),
    "only-bg-b": _Kind("remove-object", "black box", natural=False),
    "only-bg-t": _Kind("remove-object", "tile box", natural=False),
    "mixed-same": _Kind("swap-context", "same", natural=True),
    "mixed-rand": _Kind("swap-context", "any", natural=True),
    "mixed-next": _Kind("swap-context", "next", natural=True),
}


@intervention(paper="arXiv:2006.09994")
def published_variant(variant: Name) -> Intervention:
    """The sample as a variant of the published ImageNet-9 has it, instead of one edited here: for `imagenet9:` data.

    Without its object (no-fg, only-bg-b, only-bg-t) an image has the label ABSENT: `object-recall` says how often it is still answered with
    the object's class, which is the published accuracy of these. A sample without a picture of the variant is not applicable.
    """
    return PublishedVariant(variant)


@dataclass(frozen=True)
class PublishedVariant(Intervention):
    """pictures: by sample id, once the data set is known; absent: why there are none."""

    variant: str
    pictures: Mapping[str, Path] = field(default_factory=dict, repr=False, compare=False)
    classes: Sequence[str] = field(default=(), repr=False, compare=False)
    absent: str = ""

    @property
    def _folder(self) -> str:
        return self.variant.replace("-", "_")

    @property
    def control(self) -> str | None:
        """None: no placebo was published. Mixed-Same is what Mixed-Rand and Mixed-Next are compared with (BG-Gap)."""
        return None

    @property
    def removes_objects(self) -> bool:
        return _KINDS[self.variant].experiment == "remove-object"

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        kind = _KINDS[self.variant]
        return ContextFacts(
            experiment=kind.experiment, choice=Choice("auto", "objects"), method=kind.method, natural=kind.natural, published=True
        )

    @property
    def files(self) -> Sequence[Path]:
        """What is read, once the data set is known."""
        return sorted(self.pictures.values())

    def with_dataset(self, dataset: Dataset, /) -> Intervention:
        """The same, taking from this data set. UserError where it is not ImageNet-9 as published."""
        if not isinstance(dataset, ImageNet9):
            raise UserError(
                f"published-variant shows the pictures of ImageNet-9's folders, and {dataset.name} has none: give --data imagenet9:PATH "
                "(robustbench-cv run imagenet9 makes the variants from any data with masks)"
            )
        there = dataset.variants.get(self._folder)
        if there is None:
            return replace(self, absent=f"{dataset.root} has no folder {self._folder}/val")
        return replace(self, pictures=there.by_sample, classes=dataset.labels.names)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        if self.absent:
            raise NotApplicable(self.absent)
        if sample.edit is not None:
            raise UserError(
                f"published-variant replaces the whole image, and the edit {sample.edit.kind!r} before it would be lost; put it first"
            )
        if sample.id not in self.pictures:
            raise NotApplicable(f"{self._folder} has no picture of this sample ({sample.id})")
        image = read_image(self.pictures[sample.id]).to(sample.image.dtype)
        resized = image.shape != sample.image.shape
        target, removed = self._target(sample)
        return make_edited(
            sample,
            "published-variant",
            image,
            region=torch.ones(image.shape[-2:], dtype=torch.bool),
            target=target,
            before=origin(sample),
            regions={} if resized or self.removes_objects else sample.regions,
            removed=removed,
            chosen=torch.ones(sample.image.shape[-2:], dtype=torch.bool),
            moved=resized,
        )

    def _target(self, sample: Sample) -> tuple[Target, frozenset[str]]:
        target = sample.target
        if not self.removes_objects or not isinstance(target, ClassTarget):
            return target, frozenset()
        return ClassTarget(ABSENT), frozenset({self.classes[target.label]})
