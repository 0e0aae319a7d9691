"""What of a sample is explained: its main object, the model's own answer there, and whether that is right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_cv.boxes import iou
from robustbench_cv.errors import NotApplicable
from robustbench_cv.explain.targets import OVERLAP, ClassScore, DetectionScore, Explained, RegionScore
from robustbench_cv.interventions.object_selection import instances, named_region, things
from robustbench_cv.types import (
    IGNORE,
    BoxPrediction,
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    MaskPrediction,
    MaskTarget,
    ModelInfo,
    Prediction,
    Sample,
)


class MainObject(NamedTuple):
    """The object's class, in the model's indices, and its visible pixels, bool (H, W). number: in a BoxTarget."""

    label: int
    mask: Tensor
    number: int | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says of the main object. explained: None where it says nothing that could be explained (no box there).

    says: in words. boxes: of the detection that is explained, one row or none.
    """

    explained: Explained | None
    is_right: bool
    says: str
    boxes: Tensor


def main_object(sample: Sample) -> MainObject:
    """Of a sample whose target is in the model's indices. NotApplicable where the data gives no mask of an object.

    Classification: the region "object". Segmentation: the same, or else the largest class that is a thing, with the label that most of its
    pixels have. Detection: the annotated object with the most visible pixels, crowds left out.
    """
    target = sample.target
    if isinstance(target, BoxTarget):
        masks = {k: m for k, m in instances(sample).items() if k < len(target.boxes) and not target.crowd[k] and bool(m.any())}
        if not masks:
            raise NotApplicable(f"sample {sample.id} has no annotated object")
        k = max(masks, key=lambda k: (int(masks[k].sum()), -k))
        return MainObject(int(target.labels[k]), masks[k], k)
    if isinstance(target, ClassTarget):
        if target.label < 0:
            raise NotApplicable(f"sample {sample.id} shows no object")
        return MainObject(target.label, named_region(sample, "object"))
    mask = named_region(sample, "object") if "object" in sample.regions else _largest_thing(sample)
    label = _commonest(target.labels[mask])
    if label == IGNORE:
        raise NotApplicable(f"sample {sample.id}: most of the object's pixels are not scored")
    return MainObject(label, mask)


def answer(prediction: Prediction, main: MainObject, sample: Sample, info: ModelInfo) -> Answer:
    """The model's own answer, right or wrong.

    A classifier's is its top class. A segmenter's is the class that most of the object's pixels get. A detector's is the surest box, at its
    operating score or above, that overlaps the object's by half, of the object's class where there is one.
    """
    nothing = torch.zeros(0, 4)
    if isinstance(prediction, ClassPrediction):
        label = prediction.label
        return Answer(ClassScore(label), label == main.label, f"{_name(info, label)} {float(prediction.probs[label]):.2f}", nothing)
    if isinstance(prediction, MaskPrediction):
        inside = prediction.labels[main.mask & (_labels(sample) != IGNORE)]
        label = _commonest(inside)
        share = float((inside == label).float().mean())
        explained = RegionScore(label, main.mask) if 0 <= label < len(info.classes) else None
        return Answer(explained, label == main.label, f"{_name(info, label)} on {100 * share:.0f} % of it", nothing)
    return _found(prediction, main, sample, info)


def _found(prediction: BoxPrediction, main: MainObject, sample: Sample, info: ModelInfo) -> Answer:
    assert isinstance(sample.target, BoxTarget)
    assert main.number is not None
    overlap = iou(prediction.boxes.reshape(-1, 4).float(), sample.target.boxes[main.number][None].float())[:, 0]
    near = ((overlap >= OVERLAP) & (prediction.scores >= info.operating_score)).nonzero()[:, 0].tolist()
    if not near:
        return Answer(None, False, "nothing there", torch.zeros(0, 4))
    best = max(near, key=lambda i: (int(prediction.labels[i]) == main.label, float(prediction.scores[i])))
    label, box = int(prediction.labels[best]), prediction.boxes[best].float()
    return Answer(DetectionScore(label, box), label == main.label, f"{_name(info, label)} {float(prediction.scores[best]):.2f}", box[None])


def _largest_thing(sample: Sample) -> Tensor:
    masks = things(sample)
    if not masks:
        raise NotApplicable(f"sample {sample.id} marks no object; it has regions {sorted(sample.regions)}")
    return max(masks.values(), key=lambda mask: int(mask.sum()))


def _labels(sample: Sample) -> Tensor:
    assert isinstance(sample.target, MaskTarget)
    return sample.target.labels


def _commonest(labels: Tensor) -> int:
    values, counts = torch.unique(labels, return_counts=True)
    return int(values[counts.argmax()])


def _name(info: ModelInfo, label: int) -> str:
    return info.classes.names[label] if 0 <= label < len(info.classes) else f"class {label}"
