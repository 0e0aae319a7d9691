"""A file or folder of predictions, read as what it is: COCO results, a CSV of class scores, YOLO text files, masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from robustbench_cv.data.source import list_files
from robustbench_cv.errors import UserError
from robustbench_cv.scoring.class_scores import read_class_scores
from robustbench_cv.scoring.coco_results import read_coco_results
from robustbench_cv.scoring.predicted_masks import SUFFIXES, read_predicted_masks
from robustbench_cv.scoring.reading import Read, Reading
from robustbench_cv.scoring.yolo_predictions import read_yolo_predictions
from robustbench_cv.tasks import Task

FORMS = (
    "COCO results (.json), a CSV of class scores (.csv), a folder of YOLO text files (.txt), or a folder of masks of class indices (.png)"
)

_READERS: dict[Task, Callable[[Path, Reading], Read]] = {
    "classification": read_class_scores,
    "segmentation": read_predicted_masks,
}


def task_of(path: Path) -> Task:
    """The task that predictions are for, from what lies there. UserError where nothing does that is read."""
    if path.is_dir():
        names = list_files(path, frozenset({".txt"}) | SUFFIXES).files
        masks = any(name.suffix.lower() in SUFFIXES for name in names)
        texts = any(name.suffix.lower() == ".txt" and name.name != "classes.txt" for name in names)
        if masks == texts:
            what = "masks and text files" if masks else "neither text files nor masks"
            raise UserError(f"{path} holds {what}; give {FORMS}")
        return "segmentation" if masks else "detection"
    if not path.exists():
        raise UserError(f"{path} does not exist; give {FORMS}")
    suffix = path.suffix.lower()
    if suffix not in (".json", ".csv"):
        raise UserError(f"{path} is no file of predictions that is read; give {FORMS}")
    return "detection" if suffix == ".json" else "classification"


def read_predictions(path: Path, task: Task, reading: Reading) -> Read:
    """Those of one condition. UserError where they are for another task, or not what they should be."""
    found = task_of(path)
    if found != task:
        raise UserError(f"{path} holds predictions for {found}, and the others are for {task}; score the tasks one by one")
    if task == "detection":
        return read_yolo_predictions(path, reading) if path.is_dir() else read_coco_results(path, reading)
    return _READERS[task](path, reading)
