"""What training lowers, one function a task."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.models.detectors.yolo.loss import yolo_loss
from robustbench_cv.models.detectors.yolo.network import Yolo
from robustbench_cv.training.pool import NOTHING
from robustbench_cv.types import ABSENT, IGNORE


def classification(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy with 0.05 label smoothing; images without an object do not count."""
    return F.cross_entropy(network(images).float(), truths, ignore_index=ABSENT, label_smoothing=0.05)


def segmentation(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Mean cross-entropy of the scored pixels."""
    scored = (truths != IGNORE).sum().clamp(min=1)
    return F.cross_entropy(network(images).float(), truths.long(), ignore_index=IGNORE, reduction="sum") / scored


def detection(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """YOLOv3's loss."""
    assert isinstance(network, Yolo)
    rows = [r[r[:, 4] != NOTHING] for r in truths]
    maps = [m.float() for m in network(images)]
    return yolo_loss(maps, network.anchors, [r[:, :4] for r in rows], [r[:, 4].long() for r in rows])
