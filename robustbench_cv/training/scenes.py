"""How the bundled weights for Scenes were made. `bias` ties objects to contexts in training; the test split is the default one."""

from __future__ import annotations

from torch import Tensor

from robustbench_cv.arguments import Fraction, PositiveInt
from robustbench_cv.catalogue import recipe
from robustbench_cv.models.classifiers.cifar_resnet import CifarResNet
from robustbench_cv.models.classifiers.lenet5 import LeNet5
from robustbench_cv.models.detectors.yolo.anchors import kmeans
from robustbench_cv.models.detectors.yolo.network import Yolo
from robustbench_cv.models.segmenters.unet import UNet
from robustbench_cv.tasks import Task
from robustbench_cv.training import losses
from robustbench_cv.training.augment import chain, flip, light, shift
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.training_set import TrainingSet

SAMPLES = 8000
TEST = 500


def _data(split: str, samples: int, task: Task, **more: float) -> str:
    extra = "".join(f", {k}={v!r}" for k, v in more.items())
    return f"scenes(split={split!r}, samples={samples}, task={task!r}{extra})"


@recipe(model="cifar-resnet20.scenes")
def scenes_classifier(bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 20, size: PositiveInt = 64) -> Recipe:
    """ResNet-20 at 64x64, its first convolution with stride 2: top-1 at least 0.95."""
    return Recipe(
        name="scenes-classifier",
        architecture="cifar-resnet20",
        task="classification",
        network=lambda pool: CifarResNet(3, len(pool.labels), stem=2),
        loss=losses.classification,
        augment=chain(flip, shift, light),
        schedule=Schedule(epochs=epochs, peak=4e-3),
        metrics=("top-1",),
        size=(size, size),
        data=_data("train", samples, "classification", bias=bias),
        test=_data("test", TEST, "classification"),
        arguments={"stem": 2},
    )


@recipe(model="lenet5.scenes")
def scenes_lenet5(bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 20) -> Recipe:
    """LeNet-5 at 32x32: a weak baseline, which shows that Scenes is not trivial."""
    return Recipe(
        name="scenes-lenet5",
        architecture="lenet5",
        task="classification",
        network=lambda pool: LeNet5(len(pool.labels)),
        loss=losses.classification,
        augment=chain(flip, shift, light),
        schedule=Schedule(epochs=epochs, peak=2e-3),
        metrics=("top-1",),
        size=(32, 32),
        data=_data("train", samples, "classification", bias=bias),
        test=_data("test", TEST, "classification"),
    )


@recipe(model="unet.scenes")
def scenes_segmenter(bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 12, width: PositiveInt = 10) -> Recipe:
    """U-Net of width 10 at 96x96: mIoU at least 0.80."""
    return Recipe(
        name="scenes-segmenter",
        architecture="unet",
        task="segmentation",
        network=lambda pool: UNet(len(pool.labels), width),
        loss=losses.segmentation,
        augment=chain(flip, light),
        schedule=Schedule(epochs=epochs, peak=4e-3, batch=16),
        metrics=("miou", "pixel-accuracy"),
        size=(96, 96),
        data=_data("train", samples, "segmentation", bias=bias),
        test=_data("test", TEST, "segmentation"),
        arguments={"width": width},
    )


@recipe(model="yolov3-small.scenes")
def scenes_detector(bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 10, width: PositiveInt = 16) -> Recipe:
    """yolov3-small at 96x96, anchors by k-means of the training boxes: AP50 at least 0.80."""
    return Recipe(
        name="scenes-detector",
        architecture="yolov3-small",
        task="detection",
        network=lambda pool: Yolo(len(pool.labels), anchors(pool), width),
        loss=losses.detection,
        augment=chain(flip, light),
        schedule=Schedule(epochs=epochs, peak=3e-3, batch=16),
        metrics=("ap50", "ap"),
        size=(96, 96),
        data=_data("train", samples, "detection", bias=bias),
        test=_data("test", TEST, "detection"),
        letterbox=True,
        normalise=False,
        arguments={"width": width},
    )


def anchors(pool: TrainingSet) -> Tensor:
    """Nine shapes of the pool's boxes, three a scale: (3, 3, 2)."""
    return kmeans(pool.shapes(), 9).reshape(3, 3, 2)
