"""What classifiers and segmenters said of every sample, kept in the forms that `robustbench-cv score` reads, for whoever asks for it.

Each cell keeps its own; once all are there they become one CSV of probabilities, or one folder of masks, for each condition. Detections are
kept by every run, see run.py.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy
import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from robustbench_cv.data.file_names import inside
from robustbench_cv.errors import UserError
from robustbench_cv.files import write_bytes
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner.planned_cells import Plan, PlannedCell
from robustbench_cv.types import IGNORE, ClassPrediction, MaskPrediction, Prediction

_SUFFIX = {"classification": ".csv", "segmentation": ""}


def save_cell(folder: RunFolder, cell: PlannedCell, predictions: Mapping[str, Prediction]) -> None:
    """The probabilities, or the label maps (255: no evaluated class), of a cell's samples by id. UserError for more classes than fit."""
    classes = len(cell.pair.row.classes)
    if cell.row.task == "segmentation" and classes > IGNORE:
        raise UserError(f"{cell.row.model} has {classes} classes, and saved masks hold {IGNORE} at most; leave --save-predictions out")
    kept = {id_: tensor for id_, p in predictions.items() if (tensor := _tensor(p)) is not None}
    write_bytes(folder.cell_answers(cell.row.key), safetensors.torch.save(kept))


def has_cell(folder: RunFolder, cell: PlannedCell) -> bool:
    """Whether what `save_cell` writes is there, and whole."""
    return _read(folder, cell) is not None


def merge(folder: RunFolder, plan: Plan) -> None:
    """One CSV or folder of masks for each classifier or segmenter, data set and condition, of its cells' files."""
    merged: dict[tuple[str, str, str], list[PlannedCell]] = {}
    for cell in plan.cells:
        if cell.row.task in _SUFFIX and has_cell(folder, cell):
            merged.setdefault((cell.row.model, cell.row.dataset, cell.row.condition), []).append(cell)
    for where, cells in merged.items():
        path = folder.predictions(*where)
        path = path.with_name(path.name.removesuffix(".json") + _SUFFIX[cells[0].row.task])
        said = ((id_, tensor) for cell in cells for id_, tensor in (_read(folder, cell) or {}).items())
        classes = cells[0].pair.row.classes
        if cells[0].row.task == "classification":
            _write_csv(path, classes, said)
        else:
            _write_masks(path, classes, said)


def _tensor(prediction: Prediction) -> Tensor | None:
    if isinstance(prediction, ClassPrediction):
        return prediction.probs.float().contiguous()
    if isinstance(prediction, MaskPrediction):
        labels = prediction.labels
        return labels.where(labels >= 0, IGNORE).to(torch.uint8).contiguous()
    return None


def _read(folder: RunFolder, cell: PlannedCell) -> dict[str, Tensor] | None:
    try:
        return safetensors.torch.load(folder.cell_answers(cell.row.key).read_bytes())
    except (OSError, safetensors.SafetensorError):
        return None


def _write_csv(path: Path, classes: tuple[str, ...], said: Iterator[tuple[str, Tensor]]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", *classes])
    # As doubles, every digit of which is written: so they are the very same floats when they are read.
    rows.writerows([id_, *map(repr, probs.tolist())] for id_, probs in sorted(said))
    write_bytes(path, text.getvalue().encode())


def _write_masks(path: Path, classes: tuple[str, ...], said: Iterator[tuple[str, Tensor]]) -> None:
    write_bytes(path / "classes.txt", "".join(f"{name}\n" for name in classes).encode())
    for id_, labels in said:
        buffer = io.BytesIO()
        Image.fromarray(labels.numpy().astype(numpy.uint8)).save(buffer, format="PNG")
        write_bytes(inside(path, f"{id_.partition('/')[2] or id_}.png", f"sample {id_!r}"), buffer.getvalue())
