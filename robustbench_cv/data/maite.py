"""A data set that follows MAITE's protocols, from a file of yours."""

from __future__ import annotations

from typing import Any

from robustbench_cv.arguments import PositiveNumber
from robustbench_cv.catalogue import DATASETS, dataset
from robustbench_cv.data.source import check_task
from robustbench_cv.maite import DatasetFromMaite, dataset_from_maite
from robustbench_cv.models.labels import class_names
from robustbench_cv.registry import Product, Spec
from robustbench_cv.tasks import Task

_THEIRS = Product("a MAITE data set (metadata, __getitem__, __len__)", ("metadata", "__getitem__", "__len__"))


@dataset(tasks="classification, detection")
def maite(
    path: str, *, scale: PositiveNumber, task: Task = "classification", classes: str | None = None, name: str | None = None
) -> DatasetFromMaite:
    """maite:file.py:factory(scale=255): what the factory returns gives an image (C, H, W), a target and metadata by index.

    scale: the pixel value that is white. classes: "a,b,c" or a text file, where its metadata have no index2label. Samples are called as
    their metadata say where the data set has get_metadata, else by position.
    """
    check_task("maite", task, ("classification", "detection"))
    spec = Spec.parse(path)
    made: Any = DATASETS.call(spec, DATASETS.factory(spec), {}, _THEIRS)
    return dataset_from_maite(made, task, scale=scale, classes=None if classes is None else class_names(classes), name=name)
