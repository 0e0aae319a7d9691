"""What each family of torchvision's detectors believes: boxes and log scores of all candidates, at the size the network sees.

`log_score` is the log of exactly that confidence which the family's post-processing thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.models.detection.ssd import SSD
from torchvision.ops import clip_boxes_to_image

from robustbench_cv.errors import UserError
from robustbench_cv.models.sources.torchvision_decode import Choose, best_of_each_class, best_of_each_level, every_one
from robustbench_cv.types import Proposals

PADDING = -1e4
"""log_score of what is never reported: finite, so that no gradient becomes NaN, and 0 after exp."""

SMALLEST_SIDE_PX = 1e-2
"""Two-stage detectors drop boxes with a shorter side (RoIHeads.postprocess_detections), at the size the network sees."""


class Beliefs(NamedTuple):
    """boxes (N, K, B, 4) at the size the network sees, log_score (N, K, columns), valid (N, K); of two stages the first's, too."""

    boxes: Tensor
    log_score: Tensor
    valid: Tensor
    proposals: Proposals | None = None


Believe = Callable[[Any, Any, Any], Beliefs]


@dataclass(frozen=True)
class Family:
    """How one family turns features into candidates and candidates into detections.

    background: whether column 0 of its scores is "no object". outputs: number of score columns of a module. by_class: whether a head writes
    all rows of a class together, as two stages do; else all classes of an anchor.
    """

    believe: Believe
    choose: Choose
    background: bool
    outputs: Callable[[Any], int]
    by_class: bool = False


def family_of(module: nn.Module) -> Family:
    """The family of a detector (Mask and Keypoint R-CNN are Faster R-CNNs). UserError for any other module."""
    for kind, family in FAMILIES:
        if isinstance(module, kind):
            return family
    raise UserError(f"{type(module).__name__} is none of torchvision's detectors; write a model with raw() -> Candidates and decode()")


def retinanet(net: RetinaNet, inner: Any, features: Mapping[str, Tensor]) -> Beliefs:
    """Sigmoid of each class, Lin et al. 2017, arXiv:1708.02002."""
    levels = list(features.values())
    heads = net.head(levels)
    boxes = _boxes(net.box_coder.decode_single, heads, net.anchor_generator(inner, levels), inner)
    return _by_level(boxes, F.logsigmoid(heads["cls_logits"]), levels)


def fcos(net: FCOS, inner: Any, features: Mapping[str, Tensor]) -> Beliefs:
    """Root of class times centre-ness, Tian et al. 2019, arXiv:1904.01355 (torchvision takes the root, the paper the product)."""
    levels = list(features.values())
    heads = net.head(levels)
    boxes = _boxes(net.box_coder.decode, heads, net.anchor_generator(inner, levels), inner)
    log_score = (F.logsigmoid(heads["cls_logits"]) + F.logsigmoid(heads["bbox_ctrness"])) / 2
    return _by_level(boxes, log_score, levels)


def ssd(net: SSD, inner: Any, features: Mapping[str, Tensor]) -> Beliefs:
    """Softmax over classes and background, Liu et al. 2016, arXiv:1512.02325."""
    levels = list(features.values())
    heads = net.head(levels)
    boxes = _boxes(net.box_coder.decode_single, heads, net.anchor_generator(inner, levels), inner)
    return Beliefs(boxes, heads["cls_logits"].log_softmax(dim=-1), _true(boxes.shape[:2], boxes))


def two_stage(net: FasterRCNN, inner: Any, features: Mapping[str, Tensor]) -> Beliefs:
    """Softmax over classes and background of each proposal, boxes per class, Ren et al. 2015, arXiv:1506.01497."""
    heads: Any = net.roi_heads  # torchvision leaves its parts untyped
    first, proposals = _propose(net.rpn, inner, list(features.values()))
    pooled = heads.box_roi_pool(features, proposals, inner.image_sizes)
    logits, offsets = heads.box_predictor(heads.box_head(pooled))
    boxes = heads.box_coder.decode(offsets, proposals).reshape(len(logits), -1, 4)
    boxes = clip_boxes_to_image(boxes, inner.image_sizes[0])
    log_score = torch.where(_sliver(boxes), PADDING, logits.log_softmax(dim=-1))
    ends = torch.tensor([len(p) for p in proposals]).cumsum(dim=0)[:-1]
    return Beliefs(
        pad_sequence(list(boxes.tensor_split(ends)), batch_first=True),
        pad_sequence(list(log_score.tensor_split(ends)), batch_first=True, padding_value=PADDING),
        pad_sequence([_true((len(p),), logits) for p in proposals], batch_first=True),
        first,
    )


def _propose(rpn: Any, inner: Any, levels: Sequence[Tensor]) -> tuple[Proposals, list[Tensor]]:
    """RegionProposalNetwork.forward in eval mode, which keeps what it believes of the anchors to itself."""
    objectness, offsets = rpn.head(levels)
    anchors = rpn.anchor_generator(inner, levels)
    counts = [o.shape[1] * o.shape[2] * o.shape[3] for o in objectness]
    logit, offsets = concat_box_prediction_layers(objectness, offsets)
    boxes = rpn.box_coder.decode(offsets.detach(), anchors).reshape(len(anchors), -1, 4)
    chosen, _ = rpn.filter_proposals(boxes, logit, inner.image_sizes, counts)
    n = len(anchors)
    return Proposals(boxes, logit.reshape(n, -1), offsets.reshape(n, -1, 4)), chosen


def _sliver(boxes: Tensor) -> Tensor:
    """Boxes too thin ever to be reported."""
    return ((boxes[..., 2:] - boxes[..., :2]) < SMALLEST_SIDE_PX).any(dim=-1)


def _boxes(decode: Callable[[Tensor, Tensor], Tensor], heads: Mapping[str, Tensor], anchors: Sequence[Tensor], inner: Any) -> Tensor:
    """Every anchor's box, (N, K, 1, 4), clipped to the image."""
    boxes = torch.stack([decode(offsets, at) for offsets, at in zip(heads["bbox_regression"], anchors, strict=True)])
    clipped: Tensor = clip_boxes_to_image(boxes, inner.image_sizes[0])
    return clipped[:, :, None]


def _by_level(boxes: Tensor, log_score: Tensor, levels: Sequence[Tensor]) -> Beliefs:
    """One candidate of padding after each pyramid level, since top candidates are taken in each level."""
    places = [level.shape[-2] * level.shape[-1] for level in levels]
    sizes = [count * (boxes.shape[1] // sum(places)) for count in places]
    return Beliefs(
        _ending_each(boxes, sizes, 0.0), _ending_each(log_score, sizes, PADDING), _ending_each(_true(boxes.shape[:2], boxes), sizes, 0.0)
    )


def _ending_each(values: Tensor, sizes: Sequence[int], padding: float) -> Tensor:
    end = values.new_full((len(values), 1, *values.shape[2:]), padding)
    return torch.cat([part for level in _levels(values, sizes) for part in (level, end)], dim=1)


def _levels(values: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    return values.tensor_split(torch.tensor(sizes).cumsum(dim=0)[:-1], dim=1)


def _true(shape: Sequence[int], like: Tensor) -> Tensor:
    return torch.ones(tuple(shape), dtype=torch.bool, device=like.device)


FAMILIES: tuple[tuple[Any, Family], ...] = (
    (RetinaNet, Family(retinanet, best_of_each_level, background=False, outputs=lambda net: net.head.classification_head.num_classes)),
    (FCOS, Family(fcos, best_of_each_level, background=False, outputs=lambda net: net.head.classification_head.num_classes)),
    (SSD, Family(ssd, best_of_each_class, background=True, outputs=lambda net: net.head.classification_head.num_columns)),
    (
        FasterRCNN,
        Family(
            two_stage,
            every_one,
            background=True,
            outputs=lambda net: net.roi_heads.box_predictor.cls_score.out_features,
            by_class=True,
        ),
    ),
)
