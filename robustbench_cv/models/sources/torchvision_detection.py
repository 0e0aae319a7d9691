"""torchvision's detectors as Candidates: everything that is believed before threshold and suppression, differentiable in the image.

`raw` runs the detector's own parts (transform, backbone, heads, box coder) in eval mode; `decode` repeats its own post-processing. The
proposals of two-stage detectors are chosen without gradients, as torchvision does, so gradients flow through the features inside each
proposal and not through the choice of proposals. Masks and key points are not predicted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import describe_module, freeze
from robustbench_cv.models.sources import torchvision_masks as masks
from robustbench_cv.models.sources.torchvision_builders import Request, build_module
from robustbench_cv.models.sources.torchvision_decode import Settings, suppress
from robustbench_cv.models.sources.torchvision_heads import Family, family_of
from robustbench_cv.models.trainable import HeadRows, InputFrame, Objects, Refusal, rows_by_anchor, square_frame
from robustbench_cv.types import BoxPrediction, Candidates, Labels, ModelInfo


@dataclass(frozen=True, eq=False)
class TorchvisionDetector:
    """A Model of Candidates around one of torchvision's detectors.

    columns: the module's output columns that name a class, in the order of info.classes; the others (background, and the eleven numbers
    that COCO skipped) are left out after the scores are computed.
    """

    module: nn.Module
    info: ModelInfo
    family: Family
    columns: Tensor

    def raw(self, images: Tensor, /) -> Candidates:
        """Differentiable. The detector's internal resizing is undone: boxes are in pixels of `images`, clipped to them.

        One-stage detectors give every anchor, and after each pyramid level one candidate of padding, by which decode tells levels apart.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"a detector takes images (N, 3, H, W) of one size, got {tuple(images.shape)}; group samples by shape first")
        inner, _ = self.module.transform(list(images))  # type: ignore[operator]
        features = self.module.backbone(inner.tensors)  # type: ignore[operator]
        beliefs = self.family.believe(self.module, inner, features)
        columns = self.columns.to(images.device)
        boxes = beliefs.boxes if beliefs.boxes.shape[2] == 1 else beliefs.boxes[:, :, columns]
        (height, width), (h, w) = images.shape[-2:], inner.image_sizes[0]
        ratio = boxes.new_tensor([width, height, width, height]) / boxes.new_tensor([w, h, w, h])
        kept = masks.mask_features(self.module, features, images, inner.image_sizes[0]) if masks.has_masks(self.module) else ()
        first = beliefs.proposals
        proposals = None if first is None else replace(first, boxes=first.boxes * ratio)
        return Candidates(boxes * ratio, beliefs.log_score[..., columns], beliefs.valid, kept, proposals)

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        """Threshold, top candidates, suppression per class and cap: as the detector itself does. Mask R-CNN adds masks of what is left."""
        settings = Settings.of(self.module)
        rows = zip(raw.boxes.detach(), raw.log_score.detach().exp(), raw.valid, strict=True)
        predictions = [suppress(self.family.choose, settings, boxes, scores, valid) for boxes, scores, valid in rows]
        if not raw.features:
            return predictions
        return [masks.with_masks(self.module, f, self.columns[f.labels], [m[i] for m in raw.features]) for i, f in enumerate(predictions)]

    @property
    def side(self) -> int:
        """The short side at which the network sees images, px."""
        transform: Any = self.module.transform
        return int(transform.min_size[-1])

    @property
    def learns_masks(self) -> bool:
        """Mask R-CNN does."""
        return masks.has_masks(self.module)

    def refusal(self, spec: str, /) -> Refusal | None:
        """Key points are in no data set here."""
        heads: Any = dict(self.module.named_children()).get("roi_heads")
        if heads is None or not heads.has_keypoint():
            return None
        return Refusal("learns key points, which no data set here has", "fine-tune faster-rcnn or mask-rcnn")

    def input_frame(self, height: int, width: int, /) -> InputFrame:
        """The fixed size, to which images are stretched; else the square that holds them at the scale at which the network sees them."""
        transform: Any = self.module.transform
        if transform.fixed_size is not None:
            return InputFrame((transform.fixed_size[1], transform.fixed_size[0]), letterbox=False)
        low, high = sorted((height, width))
        return square_frame(round(high * min(transform.min_size[-1] / low, transform.max_size / high)))

    def loss(self, images: Tensor, objects: Sequence[Objects], /) -> Tensor:
        """The sum of what the module returns in training, on images at the size that they have."""
        numbers = self.columns.to(images.device)
        targets = []
        for boxes, labels, drawn in objects:
            target = {"boxes": boxes, "labels": numbers[labels]}
            targets.append(target if drawn is None else target | {"masks": drawn})
        with _not_scaling(self.module, images.shape[-2]):
            parts = self.module(list(images), targets)
        return torch.stack([part.float() for part in parts.values()]).sum()

    def head_rows(self, length: int, /) -> HeadRows | None:
        """Class by class or anchor by anchor, as the family writes them."""
        outputs = self.family.outputs(self.module)
        background = torch.arange(int(self.family.background))
        if not self.family.by_class:
            return rows_by_anchor(length, outputs, self.columns, background)
        each = torch.arange(length // outputs)
        return HeadRows(self.columns[:, None] * len(each) + each, (background[:, None] * len(each) + each).flatten())


@contextmanager
def _not_scaling(module: Any, side: int) -> Iterator[None]:
    """torchvision's modules scale images themselves: not here, where they are squares that have their size already."""
    own = module.transform
    if own.fixed_size is None:
        module.transform = GeneralizedRCNNTransform(side, side, own.image_mean, own.image_std, size_divisible=own.size_divisible)
        module.transform.training = own.training
    try:
        yield
    finally:
        module.transform = own


def detection(
    request: Request,
    *,
    min_size: int | None = None,
    max_size: int | None = None,
    score_thresh: float | None = None,
    nms_thresh: float | None = None,
    detections_per_img: int | None = None,
    topk_candidates: int | None = None,
) -> TorchvisionDetector:
    """A detector of torchvision; the settings are its own, None leaves them alone.

    RetinaNet and FCOS number classes from 0, and torchvision's weights leave number 0 unused; so does num_classes = classes + 1 (the
    default). Give num_classes equal to the number of classes for weights that use number 0.
    """
    if min_size == 0:
        raise UserError(f"torchvision:{request.name}: a detector always scales its images; give min_size of at least 1, or leave it out")
    _not_published(request)
    made = build_module(request, reserved=1)
    settings = {
        "score_thresh": score_thresh,
        "nms_thresh": nms_thresh,
        "detections_per_img": detections_per_img,
        "topk_candidates": topk_candidates,
    }
    Settings.change(made.module, {key: value for key, value in settings.items() if value is not None}, request.name)
    _resize(made.module, min_size, max_size, request.name)
    return detector(made.module, made.names, request.title, request.weights or "")


def detector(
    module: nn.Module, names: tuple[str, ...] | None, name: str, weights: str = "", operating_score: float = 0.25
) -> TorchvisionDetector:
    """Freeze one of torchvision's detector modules. UserError where it is of no known family or the names do not fit its columns."""
    family = family_of(module)
    columns, shown = exposed(names, family.outputs(module), needs_background=family.background, model=name)
    facts = (repr(Settings.of(module)), repr(module.transform), repr(columns), weights)
    info = describe_module(freeze(module), name, "detection", Labels(shown), *facts, operating_score=operating_score)
    return TorchvisionDetector(module, info, family, torch.tensor(columns))


def exposed(names: tuple[str, ...] | None, outputs: int, *, needs_background: bool, model: str) -> tuple[list[int], tuple[str, ...]]:
    """Which output columns are classes, and their names.

    names: one for each column, or for each but the background in column 0; None numbers them.
    """
    if names is None:
        first = 1 if needs_background else 0
        return list(range(first, outputs)), Labels.numbered(outputs - first).names
    if len(names) == outputs - 1:
        names = ("__background__", *names)
    elif needs_background and len(names) == outputs and names[0] not in BACKGROUND:
        raise UserError(f"{model}: its {outputs} outputs include the background, so {outputs - 1} class names are needed, not {outputs}")
    if len(names) != outputs:
        raise UserError(f"{model}: {len(names)} class names for {outputs} outputs; give one for each, background left out")
    columns = [i for i, name in enumerate(names) if name not in BACKGROUND and name != "N/A"]
    return columns, tuple(names[i] for i in columns)


BACKGROUND = ("__background__", "no person")
"""What torchvision calls the column of no object."""


def _resize(module: nn.Module, min_size: int | None, max_size: int | None, name: str) -> None:
    transform: Any = module.transform
    if min_size is None and max_size is None:
        return
    if transform.fixed_size is not None:
        raise UserError(f"{name} always scales images to {transform.fixed_size} px; leave out min_size and max_size")
    transform.min_size = (min_size,) if min_size is not None else transform.min_size
    transform.max_size = max_size if max_size is not None else transform.max_size


def _not_published(request: Request) -> None:
    """Some of torchvision's own weights need a setting that only its builder makes (the epsilon of frozen batch norms)."""
    if request.checkpoint is None:
        return
    from torchvision import models

    for weights in models.get_model_weights(request.name):
        if Path(request.checkpoint).name == weights.url.rsplit("/", 1)[-1]:
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            raise UserError(f"{request.checkpoint} is torchvision's own file: put it in {folder} and write weights={weights.name!r}")
