"""Corrupted images that somebody made and published, read as a condition: CIFAR-10-C's arrays, the folders of ImageNet-C and of COCO-C."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

from robustbench_cv.arguments import Severity
from robustbench_cv.catalogue import intervention
from robustbench_cv.data.images import read_image
from robustbench_cv.data.npz import PLACE, read_array
from robustbench_cv.data.source import IMAGE_SUFFIXES, existing_folder, list_files
from robustbench_cv.errors import BadSample, NotApplicable, UserError
from robustbench_cv.interventions.corruption_facts import GROUPS, SCORED, CorruptionFacts
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.target_update import make_edited, origin
from robustbench_cv.noise import Noise
from robustbench_cv.types import ABSENT, ClassTarget, Sample

STEPS = 5


@intervention(paper="arXiv:1903.12261")
def published_corruption(folder: str, corruption: str, severity: Severity = 3) -> Intervention:
    """The sample as a published -C data set has it, instead of one corrupted here.

    folder: with <corruption>.npy (CIFAR-10-C: uint8 (5 N, 32, 32, 3), severities one after the other, images in the order of the test set,
    as `cifar:` numbers them; where labels.npy lies beside, a sample of another class is an error: it is of another split or order), or
    with <corruption>/<severity>/ and the data set's own file names below it (ImageNet-C, COCO-C, made
    beforehand). UserError where neither is there. Targets and regions stay.
    """
    if corruption not in GROUPS:
        raise UserError(f"no corruption named {corruption!r}; ImageNet-C has {', '.join(GROUPS)}")
    root = existing_folder(folder, f"{corruption}.npy or {corruption}/{severity}/")
    array, images = root / f"{corruption}.npy", root / corruption / str(severity)
    if array.is_file():
        labels = root / "labels.npy"
        return PublishedCorruption(corruption, severity, (array, labels) if labels.is_file() else (array,), None)
    if not images.is_dir():
        raise UserError(f"{root} has neither {array.name} nor {corruption}/{severity}/")
    files = tuple(images / file for file in list_files(images, IMAGE_SUFFIXES).files)
    return PublishedCorruption(corruption, severity, files, images)


@dataclass(frozen=True)
class PublishedCorruption(Intervention):
    """files: what is read (an array, and labels.npy where it is there); a run's records depend on their bytes.

    images: the folder of the severity, None for an array.
    """

    name: str
    severity: int
    files: tuple[Path, ...]
    images: Path | None

    @property
    def corruption_facts(self) -> CorruptionFacts:
        """What reports say of it."""
        return CorruptionFacts(self.name, self.severity, GROUPS[self.name], self.name in SCORED, "everywhere")

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        if sample.edit is not None:
            raise UserError(
                f"published-corruption replaces the whole image, and the edit {sample.edit.kind!r} before it would be lost; put it first"
            )
        image = self._from_array(sample) if self.images is None else self._from_folder(sample, self.images)
        if image.shape != sample.image.shape and not isinstance(sample.target, ClassTarget):
            size = tuple(reversed(image.shape[1:]))
            raise BadSample(f"{self.name} {self.severity} of sample {sample.id} has {size} pixels; its labels are for another size")
        region = torch.ones(image.shape[-2:], dtype=torch.bool)
        resized = image.shape != sample.image.shape
        regions = {} if resized else dict(sample.regions)
        return make_edited(
            sample, "corruption", image, region=region, target=sample.target, before=origin(sample), regions=regions, moved=resized
        )

    def _from_array(self, sample: Sample) -> torch.Tensor:
        path, place = self.files[0], sample.attributes.get(PLACE)
        array = _load(path, "a -C array is uint8 (5 N, H, W, 3)")
        if array.dtype != numpy.uint8 or array.ndim != 4 or array.shape[3] != 3 or len(array) % STEPS:
            raise UserError(f"{path} is {array.dtype} {array.shape}; a -C array is uint8 (5 N, H, W, 3)")
        each = len(array) // STEPS
        if place is None or int(place) >= each:
            raise UserError(f"sample {sample.id!r} has no place among the {each} images of {path}; -C arrays are for `cifar:` test data")
        for labels in self.files[1:]:
            _same_class(labels, sample, int(place), len(array))
        pixels = torch.from_numpy(array[(self.severity - 1) * each + int(place)].astype(numpy.float32))
        return pixels.permute(2, 0, 1).contiguous().div_(255).to(sample.image.dtype)

    def _from_folder(self, sample: Sample, images: Path) -> torch.Tensor:
        """By the sample's path in its data set, or by its file name alone, whatever the suffix."""
        inside = sample.id.partition("/")[2]
        for stem in dict.fromkeys((inside, inside.rpartition("/")[2])):
            path = images / stem
            found = [p for p in sorted(path.parent.glob(f"{path.name}.*")) if p.suffix.lower() in IMAGE_SUFFIXES] if stem else []
            exact = [path] if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file() else []
            if exact or found:
                return read_image((exact or found)[0]).to(sample.image.dtype)
        raise NotApplicable(f"{images} has no picture of this sample ({sample.id})")


def _load(path: Path, expects: str) -> numpy.ndarray:
    try:
        return read_array(path)
    except UserError as error:
        raise UserError(f"{error}; {expects}") from error


def _same_class(path: Path, sample: Sample, number: int, count: int) -> None:
    """UserError where labels.npy, integers (5 N,), gives the image of this number another class than the sample has."""
    labels = _load(path, "it holds the classes, integers (5 N,)")
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise UserError(f"{path} is {labels.dtype} {labels.shape}; beside {count} images it is integers ({count},)")
    if isinstance(sample.target, ClassTarget) and sample.target.label not in (ABSENT, int(labels[number])):
        raise UserError(
            f"{path} gives image {number} class {labels[number]}, sample {sample.id!r} has {sample.target.label}: the data are "
            "another split or order, or count classes otherwise (then take labels.npy out of the folder)"
        )
