"""Another data set whose objects' masks are those that a detector finds, for interventions on data without masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.arguments import PositiveFraction
from robustbench_cv.boxes import iou, to_mask
from robustbench_cv.catalogue import DATASETS, dataset
from robustbench_cv.data.source import check_task
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.tasks import Task
from robustbench_cv.types import (
    AnyModel,
    BoxPrediction,
    BoxTarget,
    ClassTarget,
    Contents,
    Dataset,
    KnowsContents,
    Labels,
    Sample,
    predict,
)

SAME = 0.5
"""A detection shows an annotated object where their boxes overlap by at least this IoU (project choice, COCO's loosest)."""


@dataset(tasks="classification, detection", formerly="found")
def detected_masks(data: str, *, model: str, score: PositiveFraction = 0.5, task: Task | None = None) -> Dataset:
    """Model-found objects: detected-masks:folder:/data/photos(model='mask-rcnn(weights="DEFAULT")').

    data: spec of a data set for classification or detection. model: spec of a detector; without masks of its own, its boxes stand for them.
    score: the least that counts as found. Classification: the labelled object is the best detection of the label's class, or, where the
    detector has no class of that name, the best one. Detection: an object without an outline takes that of the detection over it, whatever
    its class, else it keeps its box. What the data says itself is left alone. A sample's attribute "masks" names the model, for such masks
    are a guess: the report's reader must know.
    """
    inner = DATASETS.build(data, **({} if task is None else {"task": task}))
    check_task("found", inner.task, ("classification", "detection"))
    detector = build(model)
    if detector.info.task != "detection":
        raise UserError(f"found needs a detector, and {model!r} is for {detector.info.task}; mask-rcnn finds objects with their outlines")
    return FoundObjects(inner, detector, score)


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """The samples of `inner` with regions from the model's detections of at least `score`."""

    inner: Dataset
    model: AnyModel = field(repr=False)
    score: float

    @property
    def name(self) -> str:
        return f"{self.inner.name}-found"

    @property
    def task(self) -> Task:
        return self.inner.task

    @property
    def labels(self) -> Labels:
        return self.inner.labels

    @property
    def ids(self) -> Sequence[str]:
        return self.inner.ids

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int, /) -> Sample:
        sample = self.inner[index]
        if isinstance(sample.target, ClassTarget) and not sample.regions:
            regions = self._labelled_regions(sample, self._detect(sample))
        elif isinstance(sample.target, BoxTarget) and (sample.attributes.get("masks") == "boxes" or not sample.regions):
            regions = self._outlined_regions(sample.target, sample, self._detect(sample))
        else:
            return sample
        return replace(sample, regions=regions, attributes={**sample.attributes, "masks": f"found by {self.model.info.name}"})

    def contents(self, index: int, /) -> Contents:
        """What the data themselves say: no detector is asked."""
        if isinstance(self.inner, KnowsContents):
            return self.inner.contents(index)
        sample = self.inner[index]
        target = sample.target
        labels = [target.label] if isinstance(target, ClassTarget) else cast("BoxTarget", target).labels.tolist()
        return Contents.of([self.labels.names[c] for c in labels if c >= 0], sample.attributes)

    def fingerprint(self, index: int, /) -> str:
        """That of the sample, with the model's weights and the score."""
        return f"{self.inner.fingerprint(index)} {self.model.info.weights_sha256} {self.score!r}"

    def _detect(self, sample: Sample) -> BoxPrediction:
        """With a mask for each detection."""
        prediction = predict(self.model, sample.image[None])[0]
        assert isinstance(prediction, BoxPrediction)
        kept = prediction.select(prediction.scores >= self.score)
        if kept.masks is not None:
            return kept.select(kept.masks.flatten(1).any(dim=1))
        size = sample.image.shape[-2:]
        masks = [to_mask(box, *size) for box in kept.boxes]
        return replace(kept, masks=torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.bool))

    def _labelled_regions(self, sample: Sample, seen: BoxPrediction) -> dict[str, Tensor]:
        masks = cast("Tensor", seen.masks)
        names = [self.model.info.classes.names[int(label)] for label in seen.labels]
        regions: dict[str, Tensor] = {"objects": masks.any(dim=0)}
        for k, name in enumerate(names):
            regions[f"instance:{k}"] = masks[k]
            regions[f"class:{name}"] = regions.get(f"class:{name}", torch.zeros_like(masks[k])) | masks[k]
        wanted = self._name_of(sample.target)
        known = wanted in self.model.info.classes.names
        main = next((k for k, name in enumerate(names) if name == wanted or not known), None)  # scores fall
        if main is not None:
            regions["object"] = masks[main]
        return regions

    def _name_of(self, target: Any) -> str | None:
        return self.labels.names[target.label] if target.label >= 0 else None

    def _outlined_regions(self, target: BoxTarget, sample: Sample, seen: BoxPrediction) -> dict[str, Tensor]:
        size = sample.image.shape[-2:]
        masks = cast("Tensor", seen.masks)
        overlap = iou(target.boxes, seen.boxes)
        own = [to_mask(box, *size) for box in target.boxes]
        for k, row in enumerate(overlap):
            if len(row) and not bool(target.crowd[k]) and float(row.max()) >= SAME:
                own[k] = masks[int(row.argmax())]
        regions = {f"instance:{k}": mask for k, mask in enumerate(own)}
        regions["objects"] = torch.stack(own).any(dim=0) if own else torch.zeros(size, dtype=torch.bool)
        for k, label in enumerate(target.labels.tolist()):
            if not bool(target.crowd[k]) and label >= 0:
                name = f"class:{self.labels.names[label]}"
                regions[name] = regions.get(name, torch.zeros(size, dtype=torch.bool)) | own[k]
        return regions
