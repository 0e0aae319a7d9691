"""Image folders: one sub-folder a class, as torchvision's ImageFolder reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.images import read_image
from robustbench_cv.data.source import IMAGE_SUFFIXES, check_task, dataset_name, digest, existing_folder, list_files, sample_id
from robustbench_cv.errors import UserError
from robustbench_cv.tasks import Task
from robustbench_cv.types import ClassTarget, Labels, Sample


@dataset(tasks="classification")
def folder(path: str, *, task: Task = "classification", name: str | None = None, upright: bool = False) -> ImageFolder:
    """Classification from a folder with one sub-folder of images for each class.

    Classes are the sub-folders in the order of their names; images may lie deeper. Other files are passed over.
    """
    check_task("folder", task, ("classification",))
    root = existing_folder(path, "one sub-folder of images for each class")
    classes = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not classes:
        loose = len(list_files(root, IMAGE_SUFFIXES))
        raise UserError(f"{root} has no class folders ({loose} images lie loose in it); make one sub-folder for each class")
    found = {c: [Path(c, file) for file in list_files(root / c, IMAGE_SUFFIXES)] for c in classes}
    empty = [c for c, files in found.items() if not files]
    if empty:
        known = " ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(f"{root}: no images in class folder {', '.join(map(repr, empty))} ({known}); add some or remove the folder")
    files = [(file, label) for label, c in enumerate(classes) for file in found[c]]
    return ImageFolder(
        name or dataset_name(root), Labels(tuple(classes)), root, tuple(f for f, _ in files), tuple(y for _, y in files), upright
    )


@dataclass(frozen=True, eq=False)
class ImageFolder:
    """Images and their classes. files: relative to root, sorted."""

    name: str
    labels: Labels
    root: Path
    files: tuple[Path, ...] = field(repr=False)
    classes: tuple[int, ...] = field(repr=False)
    upright: bool = False
    task: Task = "classification"

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, file) for file in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        image = read_image(self.root / self.files[index], upright=self.upright)
        return Sample(self.ids[index], image, ClassTarget(self.classes[index]))

    def fingerprint(self, index: int) -> str:
        """Hash of the file's bytes, its class and the class names."""
        return digest(self.root / self.files[index], str(self.classes[index]), repr((self.labels.names, self.upright)))
