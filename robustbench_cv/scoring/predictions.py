"""A file or folder of predictions, read as what it is: COCO results, a CSV of class scores, YOLO text files, masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from robustbench_cv.errors import UserError
from robustbench_cv.scoring.class_scores import read_class_scores
from robustbench_cv.scoring.coco_results import read_coco_results
from robustbench_cv.scoring.predicted_masks import read_predicted_masks
from robustbench_cv.scoring.prediction_forms import task_of
from robustbench_cv.scoring.reading import Read, Reading
from robustbench_cv.scoring.yolo_predictions import read_yolo_predictions
from robustbench_cv.tasks import Task

_READERS: dict[Task, Callable[[Path, Reading], Read]] = {
    "classification": read_class_scores,
    "segmentation": read_predicted_masks,
}


def read_predictions(path: Path, task: Task, reading: Reading) -> Read:
    """Those of one condition. UserError where they are for another task, or not what they should be."""
    found = task_of(path)
    if found != task:
        raise UserError(f"{path} holds predictions for {found}, and the others are for {task}; score the tasks one by one")
    if task == "detection":
        return read_yolo_predictions(path, reading) if path.is_dir() else read_coco_results(path, reading)
    return _READERS[task](path, reading)
