"""The forms that predictions come in, known by what lies at a path. No torch is loaded to say that nothing lies there."""

from __future__ import annotations

from pathlib import Path

from robustbench_cv.data.source import list_files
from robustbench_cv.errors import UserError
from robustbench_cv.tasks import Task

FORMS = (
    "COCO results (.json), a CSV of class scores (.csv), a folder of YOLO text files (.txt), or a folder of masks of class indices (.png)"
)
MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff"})


def task_of(path: Path) -> Task:
    """The task that predictions are for, from what lies there. UserError where nothing does that is read."""
    if path.is_dir():
        names = list_files(path, frozenset({".txt"}) | MASK_SUFFIXES).files
        masks = any(name.suffix.lower() in MASK_SUFFIXES for name in names)
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
