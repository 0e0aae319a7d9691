"""Adapters both ways for the MAITE protocols (mit-ll-ai-technology/maite, of version 0.10), of image classification and object detection.

The protocols are structural, so that nothing is imported from that package: a model of theirs is called with a sequence of images (C, H, W)
and returns a target for each; a data set of theirs gives (image, target, metadata) by index; both have `metadata` with "id" and, where they
name classes, "index2label". What the protocols leave open is said here by the caller, and never guessed: what pixels a model takes, and
whether its class scores are probabilities or logits. Images of ours are float32 RGB in [0, 1].
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import numpy
import torch
from torch import Tensor

from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.tasks import Task
from robustbench_cv.types import (
    AnyModel,
    BoxPrediction,
    BoxTarget,
    Candidates,
    ClassPrediction,
    ClassTarget,
    Dataset,
    Labels,
    Logits,
    ModelInfo,
    Prediction,
    Sample,
    predict,
)

Scores = Literal["probabilities", "logits"]

_LEAST = 1e-30
"""Probabilities below it count as this much, so that their logarithm is a number (project choice)."""


class MaiteModel(Protocol):
    """A model of theirs. metadata: with "id"; "index2label" is theirs to leave out."""

    metadata: Any

    def __call__(self, batch_input: Sequence[Any], /) -> Sequence[Any]: ...


class MaiteDataset(Protocol):
    """A data set of theirs."""

    metadata: Any

    def __getitem__(self, ind: int, /) -> tuple[Any, Any, Any]: ...
    def __len__(self) -> int: ...


@runtime_checkable
class _HasMetadataOfData(Protocol):
    def get_metadata(self, ind: int, /) -> Mapping[str, Any]: ...


@dataclass(frozen=True, eq=False)
class Detected:
    """A target of object detection in their form: boxes (N, 4) xyxy in px, labels (N,), scores (N,)."""

    boxes: Any
    labels: Any
    scores: Any


@dataclass(frozen=True, eq=False)
class ClassifierFromMaite:
    """A Model of Logits that asks one of theirs. scale: what a pixel of 1 becomes."""

    model: MaiteModel
    info: ModelInfo
    scale: float
    scores: Scores

    def raw(self, images: Tensor, /) -> Logits:
        """Differentiable where theirs is. UserError where it returns another number of scores than it has classes."""
        said = [_tensor(target).float().to(images.device) for target in _ask(self.model, images * self.scale)]
        _require_one_each(self.info.name, said, images)
        for one in said:
            if one.shape != (len(self.info.classes),):
                raise UserError(
                    f"{self.info.name} returns scores {tuple(one.shape)} of an image, and it has {len(self.info.classes)} classes"
                )
        values = torch.stack(said)
        return Logits(values if self.scores == "logits" else values.clamp(min=_LEAST).log())

    def decode(self, raw: Logits, /) -> list[Prediction]:
        """Softmax of each row, which gives probabilities back as they were; on the CPU."""
        return [ClassPrediction(p) for p in raw.values.detach().float().softmax(dim=1).cpu()]


@dataclass(frozen=True, eq=False)
class DetectorFromMaite:
    """A Model of Candidates that asks one of theirs: its candidates are its detections, after its own threshold and suppression.

    An attack therefore sees no gradient through what was thresholded away, nor any where theirs returns no torch tensors.
    """

    model: MaiteModel
    info: ModelInfo
    scale: float

    def raw(self, images: Tensor, /) -> Candidates:
        """Of scores (N, C), that of each detection's own label counts."""
        said = _ask(self.model, images * self.scale)
        _require_one_each(self.info.name, said, images)
        rows = [self._rows(target, images.device) for target in said]
        most = max(len(labels) for _, labels, _ in rows)
        boxes = images.new_zeros(len(rows), most, 1, 4)
        log_score = images.new_full((len(rows), most, len(self.info.classes)), -torch.inf)
        valid = torch.zeros(len(rows), most, dtype=torch.bool, device=images.device)
        for k, (own, labels, scores) in enumerate(rows):
            there = torch.arange(len(labels), device=images.device)
            boxes[k, : len(labels), 0] = own
            log_score[k, there, labels] = scores.clamp(min=_LEAST).log()
            valid[k, : len(labels)] = True
        return Candidates(boxes, log_score, valid)

    def decode(self, raw: Candidates, /) -> list[Prediction]:
        """Every detection, the surest first; on the CPU."""
        made: list[Prediction] = []
        for boxes, log_score, valid in zip(raw.boxes.detach().cpu(), raw.log_score.detach().cpu(), raw.valid.cpu(), strict=True):
            best = log_score[valid].max(dim=1) if bool(valid.any()) else None
            if best is None:
                made.append(BoxPrediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)))
                continue
            order = best.values.argsort(descending=True, stable=True)
            made.append(BoxPrediction(boxes[valid][order, 0], best.values[order].exp(), best.indices[order]))
        return made

    def _rows(self, target: Any, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        boxes, labels, scores = (_tensor(getattr(target, name)).to(device) for name in ("boxes", "labels", "scores"))
        boxes, labels = boxes.float().reshape(-1, 4), labels.long().reshape(-1)
        if len(boxes) != len(labels) or len(scores) != len(labels):
            raise UserError(f"{self.info.name} returns {len(boxes)} boxes, {len(labels)} labels and {len(scores)} scores of one image")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.info.classes):
            raise UserError(f"{self.info.name} returns a label beyond its {len(self.info.classes)} classes")
        scores = scores.float()
        scores = scores[torch.arange(len(labels), device=device), labels] if scores.ndim == 2 else scores
        return boxes, labels, scores


def model_from_maite(
    model: MaiteModel, task: Task, *, scale: float, scores: Scores | None = None, classes: Sequence[str] | None = None
) -> AnyModel:
    """A model of theirs as one of ours. scale: what a pixel of 1 becomes for it (1, or 255).

    scores: of a classifier, whether it returns probabilities or logits: their protocol allows both. classes: names by index, where its
    metadata have no index2label. UserError for segmentation, which their protocols do not have.
    """
    names = _names(model.metadata, classes, "model")
    info = ModelInfo(str(model.metadata["id"]), task, names, "")
    if task == "detection":
        return DetectorFromMaite(model, info, scale)
    if task != "classification":
        raise UserError(f"MAITE has protocols for classification and detection, and none for {task}")
    if scores is None:
        raise UserError(
            "a MAITE classifier returns probabilities or logits, and does not say which; say scores='probabilities' or 'logits'"
        )
    return ClassifierFromMaite(model, info, scale, scores)


@dataclass(frozen=True, eq=False)
class AsMaiteModel:
    """A model of ours as one of theirs: images (3, H, W) of any sizes, float RGB in [0, 1]; class probabilities or `Detected`."""

    model: AnyModel
    device: str = "cpu"

    @cached_property
    def metadata(self) -> dict[str, Any]:
        return {"id": self.model.info.name, "index2label": dict(enumerate(self.model.info.classes.names))}

    def __call__(self, batch_input: Sequence[Any], /) -> list[Any]:
        """A target of numpy arrays for each image, in their order. UserError for pixels outside [0, 1]."""
        made: list[Any] = []
        for image in batch_input:
            pixels = _tensor(image).float()
            if pixels.ndim != 3 or len(pixels) != 3 or not bool(((pixels >= 0) & (pixels <= 1)).all()):
                raise UserError(f"images are (3, H, W) in [0, 1]; one is {tuple(pixels.shape)} from {pixels.min():g} to {pixels.max():g}")
            made.append(_target(predict(self.model, pixels[None].to(self.device))[0]))
        return made


def as_maite_model(model: AnyModel, device: str = "cpu") -> AsMaiteModel:
    """A classifier or detector of ours for their tools. UserError for a segmenter."""
    if model.info.task == "segmentation":
        raise UserError(f"{model.info.name} is a segmenter, and MAITE has protocols for classification and detection")
    return AsMaiteModel(model, device)


@dataclass(frozen=True, eq=False)
class AsMaiteDataset:
    """A data set of ours as one of theirs: numpy images (3, H, W) float32 in [0, 1]; one-hot classes, or `Detected` of score 1."""

    dataset: Dataset

    @cached_property
    def metadata(self) -> dict[str, Any]:
        return {"id": self.dataset.name, "index2label": dict(enumerate(self.dataset.labels.names))}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, ind: int, /) -> tuple[Any, Any, dict[str, Any]]:
        """BadSample for a sample that cannot be read."""
        sample = self.dataset[ind]
        return sample.image.numpy(), self._target(sample), self.get_metadata(ind)

    def get_input(self, ind: int, /) -> Any:
        return self.dataset[ind].image.numpy()

    def get_target(self, ind: int, /) -> Any:
        return self._target(self.dataset[ind])

    def get_metadata(self, ind: int, /) -> dict[str, Any]:
        return {"id": self.dataset.ids[ind]}

    def _target(self, sample: Sample) -> Any:
        target = sample.target
        if isinstance(target, ClassTarget):
            one_hot = numpy.zeros(len(self.dataset.labels), dtype=numpy.float32)
            one_hot[target.label] = 1
            return one_hot
        assert isinstance(target, BoxTarget)
        real = target.select(~target.crowd)
        return Detected(real.boxes.numpy(), real.labels.numpy(), numpy.ones(len(real.labels), dtype=numpy.float32))


def as_maite_dataset(dataset: Dataset) -> AsMaiteDataset:
    """A data set of ours for their tools; regions that COCO calls crowds are left out. UserError for segmentation."""
    if dataset.task == "segmentation":
        raise UserError(f"{dataset.name} is for segmentation, and MAITE has protocols for classification and detection")
    return AsMaiteDataset(dataset)


@dataclass(frozen=True, eq=False)
class DatasetFromMaite:
    """A data set of theirs as one of ours. scale: the pixel value that is white."""

    source: MaiteDataset
    name: str
    task: Task
    labels: Labels
    scale: float

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """By the ids of their metadata where these can be had without reading images; else by position."""
        source = self.source
        if isinstance(source, _HasMetadataOfData):
            return tuple(f"{self.name}/{source.get_metadata(i)['id']}" for i in range(len(self)))
        return tuple(f"{self.name}/{i:06d}" for i in range(len(self)))

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int, /) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"no sample {index} in {self.name}, which has {len(self)}")
        id_ = self.ids[index]
        image, target, _ = self.source[index % len(self)]
        pixels = _tensor(image).float() / self.scale
        if pixels.ndim != 3 or len(pixels) not in (1, 3):
            raise BadSample(f"sample {id_!r} is no image (C, H, W) of 1 or 3 channels, but {tuple(pixels.shape)}")
        if not bool(((pixels >= 0) & (pixels <= 1)).all()):
            seen = f"{float(pixels.min() * self.scale):g} to {float(pixels.max() * self.scale):g}"
            raise BadSample(f"sample {id_!r} has pixels from {seen}, and white is said to be {self.scale:g}; say scale=255, or scale=1")
        return Sample(id_, pixels.expand(3, -1, -1).contiguous(), self._target(target, id_))

    def fingerprint(self, index: int, /) -> str:
        """Hash of the pixels, of the target, and of the class names."""
        sample = self[index]
        digest = hashlib.sha256(repr((self.labels.names, tuple(sample.image.shape))).encode())
        target = sample.target
        parts = [torch.tensor([target.label])] if isinstance(target, ClassTarget) else []
        parts += [target.boxes, target.labels] if isinstance(target, BoxTarget) else []
        for part in (sample.image, *parts):
            digest.update(part.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _target(self, target: Any, id_: str) -> ClassTarget | BoxTarget:
        if self.task == "detection":
            boxes, labels = (_tensor(getattr(target, name)) for name in ("boxes", "labels"))
            self._require_known(labels, id_)
            return BoxTarget.of(boxes, labels)
        scores = _tensor(target)
        if scores.shape != (len(self.labels),) or int((scores == scores.max()).sum()) != 1:
            raise BadSample(f"sample {id_!r} has no one-hot target of {len(self.labels)} classes: its shape is {tuple(scores.shape)}")
        return ClassTarget(int(scores.argmax()))

    def _require_known(self, labels: Tensor, id_: str) -> None:
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.labels):
            raise BadSample(f"sample {id_!r} has a label beyond the {len(self.labels)} classes")


def dataset_from_maite(
    source: MaiteDataset, task: Task, *, scale: float, classes: Sequence[str] | None = None, name: str | None = None
) -> DatasetFromMaite:
    """A data set of theirs as one of ours. scale: the pixel value that is white (1, or 255). classes: where its metadata name none."""
    if task == "segmentation":
        raise UserError("MAITE has protocols for classification and detection, and none for segmentation")
    return DatasetFromMaite(source, name or str(source.metadata["id"]), task, _names(source.metadata, classes, "data set"), scale)


def _names(metadata: Mapping[str, Any], classes: Sequence[str] | None, what: str) -> Labels:
    if classes is not None:
        return Labels(tuple(classes))
    named = metadata.get("index2label")
    if not named:
        raise UserError(f"the MAITE {what} {metadata['id']!r} names no classes (index2label); say classes='a,b,c'")
    missing = [k for k in range(len(named)) if k not in named]
    if missing:
        raise UserError(f"the MAITE {what} {metadata['id']!r} numbers its classes with gaps: {missing[0]} of index2label is missing")
    return Labels(tuple(str(named[k]) for k in range(len(named))))


def _ask(model: MaiteModel, images: Tensor) -> list[Any]:
    """Targets of images. One that computes in numpy refuses images that record gradients: it is asked without, and gives none."""
    if images.requires_grad:
        try:
            return list(model(list(images)))
        except (RuntimeError, TypeError):
            images = images.detach()  # a fault of another kind comes again
    return list(model(list(images)))


def _tensor(values: Any) -> Tensor:
    """An array of anyone's; a tensor stays itself, with its gradient."""
    return values if isinstance(values, Tensor) else torch.from_numpy(numpy.array(values))


def _require_one_each(name: str, said: Sequence[Any], images: Tensor) -> None:
    if len(said) != len(images):
        raise UserError(f"{name} returned {len(said)} targets for {len(images)} images; a MAITE model returns one for each")


def _target(prediction: Prediction) -> Any:
    if isinstance(prediction, ClassPrediction):
        return prediction.probs.numpy()
    assert isinstance(prediction, BoxPrediction)
    return Detected(prediction.boxes.numpy(), prediction.labels.numpy(), prediction.scores.numpy())
