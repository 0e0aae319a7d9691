"""Which rows of a head's tensors speak of which class: so that a class that two models share can keep what was learned of it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from robustbench_cv.models.detectors.darknet.detector import DarknetDetector
from robustbench_cv.models.detectors.darknet.heads import GridHead
from robustbench_cv.models.detectors.ssd import SsdDetector
from robustbench_cv.models.detectors.yolo.detector import YoloDetector
from robustbench_cv.models.sources.hf_detection import HfDetector
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector
from robustbench_cv.types import AnyModel


class Rows(NamedTuple):
    """of_class: row numbers (C, k), in the order of the model's classes. shared: rows of no class, such as the background's; (m,)."""

    of_class: Tensor
    shared: Tensor


def rows_of(model: AnyModel, length: int) -> Rows | None:
    """The rows of a tensor (length, ...) of the model's head; None where nothing is known of how it is laid out."""
    count = len(model.info.classes)
    classes = torch.arange(count)
    match model:
        case TorchvisionDetector():
            return _torchvision(model, length)
        case YoloDetector():
            return _by_anchor(length, 5 + count, 5 + classes, torch.arange(5))
        case SsdDetector():
            return _by_anchor(length, 1 + count, 1 + classes, torch.zeros(1, dtype=torch.long))
        case DarknetDetector() if isinstance(model.module.heads[0], GridHead):
            cells = model.module.heads[0].side ** 2
            return Rows((torch.arange(cells) * count + classes[:, None]), torch.arange(cells * count, length))
        case DarknetDetector():
            return _by_anchor(length, 5 + count, 5 + classes, torch.arange(5))
        case HfDetector():
            outputs: int = model.module.config.num_labels  # type: ignore[assignment, union-attr]
            return Rows(model.columns[:, None], torch.arange(outputs, length))
        case _:
            return Rows(classes[:, None], torch.arange(0)) if length == count else None


def _torchvision(model: TorchvisionDetector, length: int) -> Rows | None:
    """Two stages write all rows of a class together, one stage all classes of an anchor."""
    outputs = model.family.outputs(model.module)
    background = torch.arange(int(model.family.background))
    if not isinstance(model.module, FasterRCNN):
        return _by_anchor(length, outputs, model.columns, background)
    each = torch.arange(length // outputs)
    return Rows(model.columns[:, None] * len(each) + each, (background[:, None] * len(each) + each).flatten())


def _by_anchor(length: int, columns: int, classes: Tensor, shared: Tensor) -> Rows | None:
    if length % columns:
        return None
    anchors = torch.arange(length // columns) * columns
    return Rows(classes[:, None] + anchors, (anchors[:, None] + shared).flatten())


def keep(donor: AnyModel, given: Tensor, model: AnyModel, own: Tensor) -> Tensor:
    """`own` with the rows of `given` for every class that both models know by the same name, and for what is of no class.

    given, own: the tensors of one name in the two models' heads. `own` as it is where they differ in more than their first dimension,
    where the layout is not known, and where the models share no class.
    """
    theirs, ours = rows_of(donor, len(given)), rows_of(model, len(own))
    places = {name: index for index, name in enumerate(donor.info.classes.names)}
    pairs = [(places[name], index) for index, name in enumerate(model.info.classes.names) if name in places]
    if theirs is None or ours is None or not pairs or given.shape[1:] != own.shape[1:] or donor.info.classes.are_numbered:
        return own
    out = own.clone()
    old, new = torch.tensor(pairs).T
    out[ours.of_class[new].flatten()] = given[theirs.of_class[old].flatten()].to(own.dtype)
    if len(theirs.shared) == len(ours.shared):
        out[ours.shared] = given[theirs.shared].to(own.dtype)
    return out
