"""ImageNet-9 as published: the original pictures in nine folders, their foreground masks, and seven variants of each picture beside them.

    original/val/00_dog/n02085620_1.JPEG                                         the sample
    fg_mask/val/00_dog/n02085620_1.npy                                           its mask, (H, W), 1 where the object is
    only_fg, no_fg, only_bg_b, only_bg_t/val/00_dog/n02085620_1.JPEG             under the same name
    mixed_same, mixed_rand, mixed_next/val/00_dog/fg_n02085620_1_bg_n0..._2.JPEG by the name of its foreground

A variant's picture is that of the sample of the same class folder and the same foreground. The background that a name says is not
believed: the published mixed_rand has the names of mixed_next (https://github.com/MadryLab/backgrounds_challenge/issues/8).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.folder import ImageFolder, folder
from robustbench_cv.data.images import exif_fact, read_picture
from robustbench_cv.data.lazy_masks import LazyMasks
from robustbench_cv.data.npz import read_array
from robustbench_cv.data.source import IMAGE_SUFFIXES, ModelView, check_task, dataset_name, digest, existing_folder, list_files, sample_id
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.models.imagenet9 import FINE, NINE, as_imagenet9, require_imagenet_classes
from robustbench_cv.tasks import Task
from robustbench_cv.types import ClassTarget, Labels, Sample

FOLDERS = ("only_fg", "no_fg", "only_bg_b", "only_bg_t", "mixed_same", "mixed_rand", "mixed_next")
"""The variants beside the original."""

BACKGROUNDS = "only_bg_t"
"""The variant that backgrounds are taken from."""

_LAYOUT = "original/val/00_dog ... 08_fish, and beside original the variants: " + ", ".join(FOLDERS)

_CLASS = re.compile(r"0([0-8])_.+")
_MIXED = re.compile(r"fg_(?P<foreground>.+)_bg_.+")


@dataclass(frozen=True, eq=False)
class Variant:
    """A folder of pictures. by_sample: those that show a sample's foreground, by its id; others: how many show none, or one again."""

    by_sample: Mapping[str, Path]
    others: int


@dataset(tasks="classification", paper="arXiv:2006.09994")
def imagenet9(path: str, *, task: Task = "classification", name: str | None = None) -> ImageNet9:
    """Classification from the published folders of ImageNet-9 (bg_challenge): original, its seven variants, and fg_mask.

    The samples are those of original/val, in the nine classes dog, bird, vehicle, reptile, carnivore, insect, instrument, primate and fish;
    `published-variant` shows each as a variant has it. A model of ImageNet's 1000 classes answers through `imagenet9`: the most probable
    of the 1000 first, which is then one of the nine, or none and so wrong. Folders that are not there are named, and so are pictures of
    variants that belong to no sample. UserError for any other layout.
    """
    check_task("imagenet9", task, ("classification",))
    root = existing_folder(path, _LAYOUT)
    original = root / "original" / "val"
    if not original.is_dir():
        inside = next((child for child in sorted(root.iterdir()) if (child / "original" / "val").is_dir()), None)
        raise UserError(
            f"{root} has no original/val; " + (f"did you mean {inside}?" if inside else f"give the folder that holds {_LAYOUT}")
        )
    pictures = folder(str(original))
    numbers = [_CLASS.fullmatch(c) for c in pictures.labels.names]
    if [m and int(m[1]) for m in numbers] != list(range(len(NINE))):
        raise UserError(f"{original} has the folders {', '.join(pictures.labels.names[:12])}; ImageNet-9 has nine, 00_dog to 08_fish")
    return ImageNet9(name=name or dataset_name(root), root=root, pictures=pictures)


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageNet9:
    """pictures: the original ones, whose folders are the nine classes in their order."""

    name: str
    root: Path
    pictures: ImageFolder = field(repr=False)
    task: Task = "classification"

    @property
    def labels(self) -> Labels:
        return Labels(NINE)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, file) for file in self.pictures.files)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        picture = read_picture(self.file_of(index))
        label = self.pictures.classes[index]
        regions: Mapping[str, Tensor] = {}
        mask = self.masks.get(self.ids[index])
        if mask is not None:
            size = (picture.pixels.shape[-2], picture.pixels.shape[-1])
            names = ("object", "objects", "instance:0", f"class:{NINE[label]}")
            regions = LazyMasks(names, lambda _: read_foreground(mask, size))
        return Sample(self.ids[index], picture.pixels, ClassTarget(label), regions, exif_fact(picture))

    def file_of(self, index: int, /) -> Path:
        """The original picture's path."""
        return self.pictures.file_of(index)

    @property
    def others(self) -> Sequence[Path]:
        """Files beside the originals that are no picture."""
        return self.pictures.others

    def fingerprint(self, index: int) -> str:
        """Hash of the picture, its mask and its class."""
        return digest(self.pictures.fingerprint(index), self.masks.get(self.ids[index]))

    def model_view(self, model: str, classes: Sequence[str], /) -> ModelView | None:
        """`imagenet9` for ImageNet's 1000 classes. UserError for 1000 others."""
        if len(classes) != FINE:
            return None
        require_imagenet_classes(model, classes)
        return ModelView("imagenet9", as_imagenet9)

    @cached_property
    def masks(self) -> Mapping[str, Path]:
        """The foreground masks by sample id; of some, or of none where the folder is not there."""
        found = [self.root / "fg_mask" / "val" / file.with_suffix(".npy") for file in self.pictures.files]
        return {id_: path for id_, path in zip(self.ids, found, strict=True) if path.is_file()}

    @cached_property
    def variants(self) -> Mapping[str, Variant]:
        """The variants that are there, by folder."""
        places = {(file.parent.as_posix(), file.stem): id_ for file, id_ in zip(self.pictures.files, self.ids, strict=True)}
        return {name: _variant(self.root / name / "val", places) for name in FOLDERS if (self.root / name / "val").is_dir()}

    @cached_property
    def backgrounds(self) -> tuple[Path, ...]:
        """Every picture of only_bg_t, of all nine classes, in the order of the names; none where the folder is not there."""
        root = self.root / BACKGROUNDS / "val"
        return tuple(root / file for file in list_files(root, IMAGE_SUFFIXES).files) if root.is_dir() else ()

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What is not there, and how many pictures of each variant belong to a sample."""
        absent = [name for name in (*FOLDERS, "fg_mask") if not (self.root / name / "val").is_dir()]
        notes = [f"{self.name} lacks the folders {', '.join(absent)}: there are no numbers for these"] if absent else []
        if "fg_mask" not in absent and (bare := len(self) - len(self.masks)):
            notes.append(f"fg_mask has no mask for {bare} of the {len(self)} originals of {self.name}")
        for name, variant in self.variants.items():
            missing = len(self) - len(variant.by_sample)
            if missing:
                notes.append(f"{name} has no picture of {missing} of the {len(self)} originals of {self.name}, which its numbers leave out")
            if variant.others:
                notes.append(f"{variant.others} pictures of {name} show the foreground of no original, or one again, and are passed over")
        return tuple(notes)


def _variant(root: Path, places: Mapping[tuple[str, str], str]) -> Variant:
    by_sample: dict[str, Path] = {}
    files = list_files(root, IMAGE_SUFFIXES).files
    for file in files:
        id_ = places.get((file.parent.as_posix(), foreground_of(file.stem)))
        if id_ is not None:
            by_sample.setdefault(id_, root / file)
    return Variant(by_sample, len(files) - len(by_sample))


def foreground_of(stem: str) -> str:
    """The picture that a variant's foreground is from, by its name.

    >>> foreground_of("fg_n02085620_17_bg_n02099601_4"), foreground_of("n02085620_17")
    ('n02085620_17', 'n02085620_17')
    """
    mixed = _MIXED.fullmatch(stem)
    return mixed["foreground"] if mixed else stem


def read_foreground(path: Path, size: tuple[int, int]) -> Tensor:
    """The mask of an object: bool (H, W) of this size. BadSample where the file holds none."""
    try:
        mask = read_array(path)
    except UserError as error:
        raise BadSample(f"{error}; it holds the mask of one foreground") from error
    if mask.shape != size or mask.dtype.kind not in "biuf":
        raise BadSample(f"{path} is {mask.dtype} {mask.shape}; the mask of a picture of {size} (H, W) is numbers of that shape")
    return torch.from_numpy(mask >= 1)
