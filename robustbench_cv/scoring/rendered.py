"""A folder of edited images and its manifest: which sample each file shows, and by what it was edited."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy
from PIL import Image

from robustbench_cv.errors import UserError
from robustbench_cv.files import load_json
from robustbench_cv.scoring.sample_names import Name, without_suffix
from robustbench_cv.tasks import Task
from robustbench_cv.types import Dataset

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1


class RenderedImage(msgspec.Struct, frozen=True):
    """One file. image_id: its number in annotations of COCO's form, that of the data's own file where it has one. fingerprint: of
    the sample that it was made of. pixels_sha256: of the
    8-bit RGB values, row by row, however they are packed. rounding: the most that a value was moved by storing it in 8 bits, of 1."""

    sample: str
    file: str
    image_id: int
    width: int
    height: int
    sha256: str
    pixels_sha256: str
    fingerprint: str
    rounding: float


class NotRendered(msgspec.Struct, frozen=True):
    """A sample that the edit cannot serve, or that failed, and why."""

    sample: str
    status: str
    reason: str


class Manifest(msgspec.Struct, frozen=True):
    """What a folder of edited images holds. condition, data: specs, as they were typed. limit: to so many samples, None for all.

    categories: the id of each class in instances.json. rounding: the largest of all images.
    """

    condition: str
    data: str
    dataset: str
    task: Task
    seed: int
    limit: int | None
    classes: tuple[str, ...]
    categories: tuple[int, ...]
    images: tuple[RenderedImage, ...]
    left_out: tuple[NotRendered, ...]
    rounding: float
    robustbench_cv: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, eq=False)
class Rendered:
    """A folder with its manifest."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> Rendered:
        """UserError where it has no manifest, or one that cannot be read."""
        path = folder / MANIFEST
        if not path.is_file():
            raise UserError(f"{folder} has no {MANIFEST}: it is no folder of edited images (robustbench-cv render makes one)")
        manifest: Manifest = load_json(path, Manifest, remedy="render the images again")
        if manifest.schema_version != SCHEMA_VERSION:
            raise UserError(
                f"{path} has the form {manifest.schema_version}, and this version reads {SCHEMA_VERSION}: render the images again"
            )
        return cls(folder, manifest)

    @property
    def condition(self) -> str:
        return self.manifest.condition

    @functools.cached_property
    def samples(self) -> frozenset[str]:
        """Those that an image shows."""
        return frozenset(image.sample for image in self.manifest.images)

    @functools.cached_property
    def names(self) -> Mapping[Name, str]:
        """The sample of each name that a file has: its path with and without suffix, its name and stem, its number."""
        found: dict[Name, str] = {}
        for image in self.manifest.images:
            name = image.file.rpartition("/")[2]
            for key in (image.file, without_suffix(image.file), name, without_suffix(name), image.image_id, str(image.image_id)):
                found[key] = image.sample
        return found

    def require_same(self, dataset: Dataset) -> None:
        """UserError where the data are no longer those that the images were made of."""
        places = {id_: i for i, id_ in enumerate(dataset.ids)}
        for image in self.manifest.images:
            place = places.get(image.sample)
            if place is None or dataset.fingerprint(place) != image.fingerprint:
                gone = "is not among the data" if place is None else "has changed since"
                raise UserError(
                    f"{self.folder}: sample {image.sample!r} {gone} ({dataset.name}); render the images again, and predict again"
                )


def pixels_of(path: Path) -> numpy.ndarray:
    """The 8-bit RGB values of an image file (H, W, 3)."""
    with Image.open(path) as image:
        return numpy.array(image.convert("RGB"))


def pixels_sha256(pixels: numpy.ndarray) -> str:
    """Of 8-bit values, row by row."""
    return hashlib.sha256(numpy.ascontiguousarray(pixels).tobytes()).hexdigest()
