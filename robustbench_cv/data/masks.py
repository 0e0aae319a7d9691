"""Image-and-mask pairs: images/, masks/ (PNG of class indices, 255 = ignore), classes.txt."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import read_classes
from robustbench_cv.data.images import read_image, read_mask
from robustbench_cv.data.lazy_masks import LazyMasks
from robustbench_cv.data.source import IMAGE_SUFFIXES, check_task, dataset_name, digest, existing_folder, list_files, sample_id
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.tasks import Task
from robustbench_cv.types import IGNORE, Labels, MaskTarget, Sample


@dataset(tasks="segmentation")
def masks(path: str, *, classes: str | None = None, task: Task = "segmentation", name: str | None = None) -> MaskFolder:
    """Segmentation from a folder with images/, masks/ (PNG of class indices, 255 = ignore) and classes.txt.

    An image and its mask have the same path but for the suffix. classes: path of the class list; otherwise classes.txt of the folder, or of
    the one above it, where splits share one.
    """
    check_task("masks", task, ("segmentation",))
    root = existing_folder(path, "images/, masks/ and classes.txt")
    missing = [part for part in ("images", "masks") if not (root / part).is_dir()]
    if missing:
        raise UserError(f"{root} has no folder {' and no folder '.join(missing)}; a mask data set is images/, masks/ and classes.txt")
    labels = read_classes(Path(classes).expanduser() if classes else _class_list(root))
    if len(labels) > IGNORE:
        raise UserError(f"{root} has {len(labels)} classes, but index {IGNORE} means ignore; at most {IGNORE} classes fit")
    return MaskFolder(name or dataset_name(root), labels, root, _pair(root))


@dataclass(frozen=True)
class Pair:
    """Paths relative to the root; None where that half is missing."""

    stem: str
    image: Path | None
    mask: Path | None


@dataclass(frozen=True, eq=False)
class MaskFolder:
    """Images with a label for every pixel. Regions: "class:<name>" for each class in the picture."""

    name: str
    labels: Labels
    root: Path
    pairs: tuple[Pair, ...] = field(repr=False)
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
        image, labels = read_image(self.root / pair.image), read_mask(self.root / pair.mask)
        present = self._check(self.root / pair.mask, labels, image)
        names = tuple(f"class:{self.labels.names[c]}" for c in present)
        return Sample(self.ids[index], image, MaskTarget(labels), LazyMasks(names, partial(_region, labels, self.labels)))

    def fingerprint(self, index: int) -> str:
        """Hash of the bytes of image and mask and of the class names."""
        pair = self.pairs[index]
        return digest(*(half and self.root / half for half in (pair.image, pair.mask)), repr(self.labels.names))

    def _check(self, path: Path, labels: Tensor, image: Tensor) -> list[int]:
        """The classes in the mask; BadSample for another size than the image's, or for an index without a name."""
        if labels.shape != image.shape[1:]:
            size = " x ".join(map(str, reversed(labels.shape))), " x ".join(map(str, reversed(image.shape[1:])))
            raise BadSample(f"{path} is {size[0]} pixels, but its image is {size[1]}; a mask has a label for each pixel of its image")
        values = [v for v in torch.bincount(labels.flatten()).nonzero()[:, 0].tolist() if v != IGNORE]
        unknown = [v for v in values if v >= len(self.labels)]
        if unknown:
            raise BadSample(f"{path} has class index {unknown[:5]}, but classes.txt names 0 to {len(self.labels) - 1} (255 = ignore)")
        return values


def _region(labels: Tensor, classes: Labels, name: str) -> Tensor:
    return labels == classes.index(name.removeprefix("class:"))


def _class_list(root: Path) -> Path:
    return next((p for p in (root / "classes.txt", root.parent / "classes.txt") if p.is_file()), root / "classes.txt")


def _pair(root: Path) -> tuple[Pair, ...]:
    halves: dict[str, dict[str, Path]] = {}
    for part, suffixes in (("images", IMAGE_SUFFIXES), ("masks", frozenset({".png"}))):
        for file in list_files(root / part, suffixes):
            half = halves.setdefault(file.with_suffix("").as_posix(), {})
            if part in half:
                raise UserError(f"{root}: {half[part]} and {part}/{file.as_posix()} have one name; each image needs a name of its own")
            half[part] = Path(part, file)
    if not halves:
        raise UserError(f"{root} is empty: no images in images/ and no PNG masks in masks/")
    return tuple(Pair(stem, half.get("images"), half.get("masks")) for stem, half in sorted(halves.items()))
