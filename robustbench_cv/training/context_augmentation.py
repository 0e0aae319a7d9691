"""Training images with another context, or without some of their objects: so that a model learns to see the object.

After Shetty, Schiele, Fritz, "Not Using the Car to See the Sidewalk", CVPR 2019 (arXiv:1812.06707): removed objects, chosen at random or
with small ones preferred, their pixels ignored in the loss or pushed away from the removed class. And the background randomisation of Xiao
et al., ICLR 2021 (arXiv:2006.09994, "Mixed-Rand"). How often which is made is a project choice. The paper's third way to choose, by how
badly a class is known, needs a model while images are made, and is not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy
import torch

from robustbench_cv.arguments import Fraction, PositiveInt, check_arguments
from robustbench_cv.catalogue import INTERVENTIONS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.intervention import NeedsDonors
from robustbench_cv.interventions.object_selection import things
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.training.losses import NEGATIVE
from robustbench_cv.training.split import Part
from robustbench_cv.types import ABSENT, IGNORE, ClassTarget, MaskTarget, Sample

LARGEST_SHARE = 0.3
"""A class that covers more of an image is not removed, as in measuring."""


@dataclass(frozen=True, kw_only=True)
class ContextAugmentation:
    """copies: edited images beside each image. swaps: the share of them with another context; the rest have a class removed.

    sampling: which class is removed, "random" or "size" (small ones are likelier). loss: what a segmenter learns of removed pixels,
    "ignore" nothing, or "negative", that they are not what they were. fill: the in-painter.
    """

    copies: int = 1
    swaps: float = 0.5
    sampling: Literal["random", "size"] = "random"
    loss: Literal["ignore", "negative"] = "ignore"
    fill: str = "telea"

    def edited(self, sample: Sample, donors: Donors, copy: int, seed: int) -> Sample | None:
        """One edited copy; None where neither a swap nor a removal serves the sample."""
        noise = Noise(seed, (sample.id,), f"context copy {copy}")
        rng = noise.rng()
        swap = f"swap-context(to='any', fill={self.fill!r}, draw={copy})"
        first = rng.random() < self.swaps
        for spec in (swap, self._removal(sample, noise)) if first else (self._removal(sample, noise), swap):
            made = spec and _apply(spec, sample, donors, noise)
            if made:
                return self._scored(sample, made) if isinstance(made.target, MaskTarget) else made
        return None

    def _removal(self, sample: Sample, noise: Noise) -> str | None:
        """The removal of a class from this image; of a classifier's image, of another one than the label's."""
        masks = {name: float(mask.float().mean()) for name, mask in things(sample).items()}
        own = sample.regions.get("object")
        if isinstance(sample.target, ClassTarget) and own is not None:
            masks = {name: area for name, area in masks.items() if not bool((things(sample)[name] & own).any())}
        masks = {name: area for name, area in masks.items() if 0 < area <= LARGEST_SHARE}
        if not masks:
            return None
        names = sorted(masks)
        weights = numpy.array([1.0 if self.sampling == "random" else 1 / masks[name] for name in names])
        chosen = noise.fork("class").rng().choice(len(names), p=weights / weights.sum())
        return str(Spec("remove", {"what": f"class:{names[int(chosen)]}", "fill": self.fill}))

    def _scored(self, before: Sample, made: Sample) -> Sample:
        """With "negative", removed pixels carry the class that they must not have."""
        if self.loss == "ignore" or made.edit is None or made.edit.kind != "remove":
            return made
        assert isinstance(before.target, MaskTarget)
        assert isinstance(made.target, MaskTarget)
        subject = made.edit.subject
        assert isinstance(subject, MaskTarget)
        gone = (subject.labels != IGNORE) & (made.target.labels == IGNORE)
        return replace(made, target=MaskTarget(torch.where(gone, NEGATIVE + subject.labels, made.target.labels)))


@dataclass(frozen=True, eq=False)
class AugmentedPart(Part):
    """The samples of a part, each followed by its edited copies."""

    augmentation: ContextAugmentation = ContextAugmentation()
    seed: int = 0

    def __len__(self) -> int:
        return len(self.indices) * (1 + self.augmentation.copies)

    def samples(self) -> Iterator[tuple[Sample, str]]:
        """Each with its fingerprint; that of a copy names what was asked of it too."""
        donors = Donors(self.dataset)
        for index in self.indices:
            sample, fingerprint = self.dataset[index], self.dataset.fingerprint(index)
            yield sample, fingerprint
            for copy in range(self.augmentation.copies):
                made = self.augmentation.edited(sample, donors, copy, self.seed)
                if made is not None:
                    yield replace(made, id=f"{sample.id}#context{copy}"), f"{fingerprint} {self.augmentation} {self.seed} {copy}"


def augment_part(part: Part, spec: str, seed: int) -> Part:
    """A part with what `spec` asks for beside each sample: "context", or such as "context(copies=2, sampling='size')". UserError."""
    augmentation = parse_augmentation(spec)
    if augmentation.loss == "negative" and len(part.dataset.labels) > IGNORE - NEGATIVE:
        raise UserError(f"loss='negative' serves up to {IGNORE - NEGATIVE} classes; {part.name} has {len(part.dataset.labels)}")
    name = f"{part.name} with {spec} augmentation"
    return AugmentedPart(part.dataset, part.indices, name, augmentation, seed)


def parse_augmentation(spec: str) -> ContextAugmentation:
    """UserError for another name, and for arguments that it does not take."""
    parsed = Spec.parse(spec)
    if parsed.name != "context" or parsed.target is not None:
        raise UserError(
            f"no augmentation named {spec!r}; there is context, such as \"context(copies=2, sampling='size', loss='negative')\""
        )
    try:
        check_arguments("augmentation 'context'", _context, parsed.args)
        return _context(**parsed.args)  # type: ignore[arg-type]
    except TypeError as error:
        raise UserError(f"augmentation {spec!r}: {error}; it takes copies, swaps, sampling, loss and fill") from error


def _context(
    copies: PositiveInt = 1,
    swaps: Fraction = 0.5,
    sampling: Literal["random", "size"] = "random",
    loss: Literal["ignore", "negative"] = "ignore",
    fill: str = "telea",
) -> ContextAugmentation:
    from robustbench_cv.interventions.fill import known_fill

    return ContextAugmentation(copies=copies, swaps=swaps, sampling=sampling, loss=loss, fill=known_fill(fill))


def _apply(spec: str, sample: Sample, donors: Donors, noise: Noise) -> Sample | None:
    """The edited sample; None where it cannot serve, or where its labelled object is gone."""
    intervention = INTERVENTIONS.build(spec)
    if isinstance(intervention, NeedsDonors):
        intervention = intervention.with_donors(donors)
    try:
        made = intervention(sample, noise)
    except NotApplicable:
        return None
    return None if isinstance(made.target, ClassTarget) and made.target.label == ABSENT else made
