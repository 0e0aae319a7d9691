"""Image-and-mask pairs: images/, masks/ (PNG or TIFF of class indices, 255 = ignore), classes.txt."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import read_classes
from robustbench_cv.data.images import exif_fact, read_mask, read_picture
from robustbench_cv.data.lazy_masks import LazyMasks
from robustbench_cv.data.source import IMAGE_SUFFIXES, check_task, dataset_name, digest, existing_folder, list_files, sample_id
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.tasks import Task
from robustbench_cv.types import IGNORE, Labels, MaskTarget, Sample

_FEW_VALUES = 2**16


@dataset(tasks="segmentation")
def masks(
    path: str,
    *,
    classes: str | None = None,
    objects: str | None = None,
    task: Task = "segmentation",
    name: str | None = None,
    upright: bool = False,
) -> MaskFolder:
    """Segmentation from a folder with images/, masks/ (PNG or TIFF of class indices, 255 = ignore) and classes.txt.

    An image and its mask have the same path but for the suffix; links to files and folders are followed. classes: path of the class list;
    otherwise classes.txt of the folder, or of the one above it, where splits share one. objects: the classes that are objects and not
    surfaces, "car,person"; without it every class is an object but for those named like a surface (sky, road, wall ...), which the check
    D05 lists. upright: turn photos as their EXIF orientation says, for masks that were drawn on what a viewer shows; without it pixels stay
    as they are stored.
    """
    check_task("masks", task, ("segmentation",))
    root = existing_folder(path, "images/, masks/ and classes.txt")
    missing = [part for part in ("images", "masks") if not (root / part).is_dir()]
    if missing:
        raise UserError(f"{root} has no folder {' and no folder '.join(missing)}; a mask data set is images/, masks/ and classes.txt")
    labels = read_classes(Path(classes).expanduser() if classes else _class_list(root))
    if len(labels) > IGNORE:
        raise UserError(f"{root} has {len(labels)} classes, but index {IGNORE} means ignore; at most {IGNORE} classes fit")
    pairs, others = _pair(root)
    things = None if objects is None else _object_classes(objects, labels)
    return MaskFolder(
        name=name or dataset_name(root), labels=labels, root=root, pairs=pairs, upright=upright, others=others, objects=things
    )


@dataclass(frozen=True)
class Pair:
    """Paths relative to the root; None where that half is missing."""

    stem: str
    image: Path | None
    mask: Path | None


@dataclass(frozen=True, eq=False, kw_only=True)
class MaskFolder:
    """Images with a label for every pixel. Regions: "class:<name>" for each class in the picture, and "objects" where it is said which
    classes are objects: `objects`, by index. others: files that are in no pair."""

    name: str
    labels: Labels
    root: Path
    pairs: tuple[Pair, ...] = field(repr=False)
    upright: bool = False
    others: tuple[Path, ...] = field(default=(), repr=False)
    objects: frozenset[int] | None = None
    task: Task = "segmentation"

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, pair.stem) for pair in self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        pair = self.pairs[index]
        if pair.image is None or pair.mask is None:
            have, lack = (pair.mask, "images") if pair.image is None else (pair.image, "masks")
            raise BadSample(f"{self.root}: {have} has no partner {lack}/{pair.stem}.*")
        picture = read_picture(self.root / pair.image, upright=self.upright)
        labels = read_mask(self.root / pair.mask, upright=self.upright)
        present = self._check(self.root / pair.mask, labels, picture.pixels)
        names = tuple(f"class:{self.labels.names[c]}" for c in present)
        names += ("objects",) if self.objects is not None else ()
        regions = LazyMasks(names, partial(_region, labels, self.labels, self.objects or frozenset()))
        return Sample(self.ids[index], picture.pixels, MaskTarget(labels), regions, exif_fact(picture))

    def file_of(self, index: int, /) -> Path:
        """The mask's path, or the image's where there is no mask."""
        pair = self.pairs[index]
        return self.root / (pair.mask or pair.image or ".")

    def fingerprint(self, index: int) -> str:
        """Hash of the bytes of image and mask and of the class names."""
        pair = self.pairs[index]
        facts = repr(self.labels.names) + "upright" * self.upright + ("" if self.objects is None else repr(sorted(self.objects)))
        return digest(*(half and self.root / half for half in (pair.image, pair.mask)), facts)

    def _check(self, path: Path, labels: Tensor, image: Tensor) -> list[int]:
        """The classes in the mask; BadSample for another size than the image's, or for an index without a name."""
        if labels.shape != image.shape[1:]:
            size = " x ".join(map(str, reversed(labels.shape))), " x ".join(map(str, reversed(image.shape[1:])))
            raise BadSample(f"{path} is {size[0]} pixels, but its image is {size[1]}; a mask has a label for each pixel of its image")
        values = [v for v in count_labels(labels) if v != IGNORE]
        unknown = [v for v in values if not 0 <= v < len(self.labels)]
        if unknown:
            raise BadSample(f"{path} has class index {unknown[:5]}, but classes.txt names 0 to {len(self.labels) - 1} (255 = ignore)")
        return values


def count_labels(labels: Tensor) -> dict[int, int]:
    """How many pixels of an integer tensor have each value, by rising value.

    >>> count_labels(torch.tensor([[0, 2], [2, 255]]))
    {0: 1, 2: 2, 255: 1}
    """
    if labels.numel() and int(labels.min()) >= 0 and int(labels.max()) < _FEW_VALUES:
        # counting is many times faster than sorting
        counts = torch.bincount(labels.flatten())
        values = counts.nonzero()[:, 0]
        return dict(zip(values.tolist(), counts[values].tolist(), strict=True))
    values, counts = torch.unique(labels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _object_classes(objects: str, labels: Labels) -> frozenset[int]:
    named = [name.strip() for name in objects.split(",") if name.strip()]
    unknown = [name for name in named if name not in labels.names]
    if unknown or not named:
        what = f"{', '.join(map(repr, unknown))} is none of the classes" if unknown else "it names no class"
        raise UserError(f"objects={objects!r}: {what}; they are {', '.join(labels.names)}")
    return frozenset(labels.index(name) for name in named)


def _region(labels: Tensor, classes: Labels, objects: frozenset[int], name: str) -> Tensor:
    if name == "objects":
        return torch.isin(labels, torch.tensor(sorted(objects), dtype=labels.dtype))
    return labels == classes.index(name.removeprefix("class:"))


def _class_list(root: Path) -> Path:
    return next((p for p in (root / "classes.txt", root.parent / "classes.txt") if p.exists()), root / "classes.txt")


def _pair(root: Path) -> tuple[tuple[Pair, ...], tuple[Path, ...]]:
    """The pairs in the order of their names, and what is no image."""
    halves: dict[str, dict[str, Path]] = {}
    others: list[Path] = []
    for part in ("images", "masks"):
        listing = list_files(root / part, IMAGE_SUFFIXES)
        others += (root / part / other for other in listing.others)
        for file in listing.files:
            half = halves.setdefault(unicodedata.normalize("NFC", file.with_suffix("").as_posix()), {})
            if part in half:
                raise UserError(f"{root}: {half[part]} and {part}/{file.as_posix()} have one name; each image needs a name of its own")
            half[part] = Path(part, file)
    if not halves:
        raise UserError(f"{root} is empty: no images in images/ and no masks in masks/")
    pairs = tuple(Pair(stem, half.get("images"), half.get("masks")) for stem, half in sorted(halves.items()))
    _refuse_strangers(root, pairs)
    return pairs, tuple(others)


def _refuse_strangers(root: Path, pairs: Sequence[Pair]) -> None:
    """UserError where both folders hold files and no two of them have one name: that is a way of naming, not a missing file."""
    images, labels = ([half for half in halves if half] for halves in ([p.image for p in pairs], [p.mask for p in pairs]))
    if images and labels and not any(p.image and p.mask for p in pairs):
        raise UserError(
            f"{root}: none of {len(images)} images has a mask of its name ({images[0].as_posix()}, {labels[0].as_posix()}); "
            "an image and its mask have the same path but for the suffix, so rename one side"
        )
