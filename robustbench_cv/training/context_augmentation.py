"""Training images with another context, or without some of their objects: so that a model learns to see the object.

After Shetty, Schiele, Fritz, "Not Using the Car to See the Sidewalk", CVPR 2019 (arXiv:1812.06707): removed objects, chosen at random, with
small ones preferred, or with the classes preferred that the model is weak in; their pixels ignored in the loss or pushed away from the
removed class. And the background randomisation of Xiao et al., ICLR 2021 (arXiv:2006.09994, "Mixed-Rand"). How often which is made is a
project choice.

Copies are made before training. By weak classes ("hard-negative"), that is one copy of an image without each class that can go, of which
each epoch draws as many as the image was to have, by how badly the network knows each class then (see `class_difficulty`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

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
from robustbench_cv.training.drawn_copies import Candidate
from robustbench_cv.training.losses import NEGATIVE
from robustbench_cv.training.split import Part, Row
from robustbench_cv.types import ABSENT, IGNORE, ClassTarget, MaskTarget, Sample

LARGEST_SHARE = 0.3
"""A class that covers more of an image is not removed, as in measuring."""


Sampling: TypeAlias = Literal["random", "size", "hard-negative"]


@dataclass(frozen=True, kw_only=True)
class ContextAugmentation:
    """copies: edited images beside each image. swaps: the share of them with another context; the rest have a class removed.

    sampling: which class is removed: "random", "size" (small ones are likelier), or "hard-negative" (those that the model knows worst are,
    chosen anew for each epoch). loss: what a segmenter learns of removed pixels,
    "ignore" nothing, or "negative", that they are not what they were. fill: the in-painter.
    """

    copies: int = 1
    swaps: float = 0.5
    sampling: Sampling = "random"
    loss: Literal["ignore", "negative"] = "ignore"
    fill: str = "telea"

    def edited(self, sample: Sample, donors: Donors, copy: int, seed: int) -> Sample | None:
        """One edited copy; None where neither a swap nor a removal serves the sample."""
        noise = _noise(sample, copy, seed)
        swap, removal = self._swap(copy), self._removal(sample, noise)
        for spec in (swap, removal) if self._swaps_first(noise) else (removal, swap):
            made = spec and _apply(spec, sample, donors, noise)
            if made:
                return self._scored(made)
        return None

    def alternatives(self, sample: Sample, donors: Donors, seed: int) -> Alternatives:
        """All copies of a sample where each epoch chooses which class is removed; a removal or a swap where the other does not serve."""
        noises = [_noise(sample, copy, seed) for copy in range(self.copies)]
        first = [self._swaps_first(noise) for noise in noises]
        swapped = [_apply(self._swap(copy), sample, donors, noises[copy]) if first[copy] else None for copy in range(self.copies)]
        missing = [copy for copy, made in enumerate(swapped) if made is None]
        noise = Noise(seed, (sample.id,), "context removals")
        removed = {name: _apply(self._without(name), sample, donors, noise) for name in _removable(sample)} if missing else {}
        removals = {name: self._scored(made) for name, made in removed.items() if made is not None}
        if missing and not removals:
            for copy in missing:
                swapped[copy] = None if first[copy] else _apply(self._swap(copy), sample, donors, noises[copy])
        return Alternatives({copy: made for copy, made in enumerate(swapped) if made is not None}, removals, len(missing))

    def _swaps_first(self, noise: Noise) -> bool:
        return bool(noise.rng().random() < self.swaps)

    def _swap(self, copy: int) -> str:
        return f"swap-context(to='any', fill={self.fill!r}, draw={copy})"

    def _without(self, name: str) -> str:
        return str(Spec("remove", {"what": f"class:{name}", "fill": self.fill}))

    def _removal(self, sample: Sample, noise: Noise) -> str | None:
        """The removal of a class from this image."""
        areas = _removable(sample)
        if not areas:
            return None
        names = sorted(areas)
        weights = numpy.array([1 / areas[name] if self.sampling == "size" else 1.0 for name in names])
        chosen = noise.fork("class").rng().choice(len(names), p=weights / weights.sum())
        return self._without(names[int(chosen)])

    def _scored(self, made: Sample) -> Sample:
        """With "negative", removed pixels carry the class that they must not have."""
        if self.loss == "ignore" or made.edit is None or made.edit.kind != "remove" or not isinstance(made.target, MaskTarget):
            return made
        subject = made.edit.subject
        assert isinstance(subject, MaskTarget)
        gone = (subject.labels != IGNORE) & (made.target.labels == IGNORE)
        return replace(made, target=MaskTarget(torch.where(gone, NEGATIVE + subject.labels, made.target.labels)))


class Alternatives(NamedTuple):
    """swapped: copies with another context, by number. removed: one without each class that can go, by its name, of which each epoch
    draws `times`."""

    swapped: dict[int, Sample]
    removed: dict[str, Sample]
    times: int


@dataclass(frozen=True, eq=False)
class AugmentedPart(Part):
    """The samples of a part, each followed by its edited copies."""

    augmentation: ContextAugmentation = ContextAugmentation()
    seed: int = 0

    def __len__(self) -> int:
        return len(self.indices) * (1 + self.augmentation.copies)

    def rows(self) -> Iterator[Row]:
        """Each with its fingerprint; that of a copy names what was asked of it too."""
        donors = Donors(self.dataset)
        for index in self.indices:
            sample, fingerprint = self.dataset[index], self.dataset.fingerprint(index)
            yield Row(sample, fingerprint)
            asked = f"{fingerprint} {self.augmentation} {self.seed}"
            copies = self._drawn if self.augmentation.sampling == "hard-negative" else self._fixed
            yield from copies(sample, donors, asked)

    def _fixed(self, sample: Sample, donors: Donors, asked: str) -> Iterator[Row]:
        for copy in range(self.augmentation.copies):
            made = self.augmentation.edited(sample, donors, copy, self.seed)
            if made is not None:
                yield Row(replace(made, id=f"{sample.id}#context{copy}"), f"{asked} {copy}")

    def _drawn(self, sample: Sample, donors: Donors, asked: str) -> Iterator[Row]:
        made, names = self.augmentation.alternatives(sample, donors, self.seed), self.dataset.labels.names
        for copy, swapped in made.swapped.items():
            yield Row(replace(swapped, id=f"{sample.id}#context{copy}"), f"{asked} {copy}")
        for name, without in made.removed.items():
            label = names.index(name) if name in names else len(names)
            yield Row(replace(without, id=f"{sample.id}#without {name}"), f"{asked} {name}", Candidate(sample.id, label, made.times))


def augment_part(part: Part, spec: str, seed: int, *, draws: bool = True) -> Part:
    """A part with what `spec` asks for beside each sample: "context", or such as "context(copies=2, sampling='size')".

    draws: whether the training takes what is drawn for each epoch. UserError.
    """
    augmentation = parse_augmentation(spec)
    if augmentation.sampling == "hard-negative" and not draws:
        raise UserError(
            "sampling='hard-negative' draws copies anew for each epoch, and this recipe's own way of training takes all of them at once; "
            "take sampling='size'"
        )
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
    sampling: Sampling = "random",
    loss: Literal["ignore", "negative"] = "ignore",
    fill: str = "telea",
) -> ContextAugmentation:
    from robustbench_cv.interventions.fill import known_fill

    return ContextAugmentation(copies=copies, swaps=swaps, sampling=sampling, loss=loss, fill=known_fill(fill))


def _noise(sample: Sample, copy: int, seed: int) -> Noise:
    return Noise(seed, (sample.id,), f"context copy {copy}")


def _removable(sample: Sample) -> dict[str, float]:
    """The classes that may be removed from an image, with the share of it that each covers; from a classifier's, not the label's."""
    masks, own = things(sample), sample.regions.get("object")
    if isinstance(sample.target, ClassTarget) and own is not None:
        masks = {name: mask for name, mask in masks.items() if not bool((mask & own).any())}
    areas = {name: float(mask.float().mean()) for name, mask in masks.items()}
    return {name: area for name, area in areas.items() if 0 < area <= LARGEST_SHARE}


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
