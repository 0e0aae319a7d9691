"""How the one-stage detectors for Scenes were made: YOLO's first two versions and SSD, each with its own paper's loss."""

from __future__ import annotations

from torch import Tensor, nn

from robustbench_cv.arguments import Fraction, PositiveInt
from robustbench_cv.catalogue import recipe
from robustbench_cv.models.detectors.darknet import published_cfgs
from robustbench_cv.models.detectors.darknet.heads import AnchorHead, GridHead
from robustbench_cv.models.detectors.darknet.losses import grid_loss, region_loss
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.models.detectors.ssd_network import SSD300, Ssd, default_boxes, ssd_loss
from robustbench_cv.models.detectors.yolo.anchors import kmeans
from robustbench_cv.training.augment import chain, flip, light, move
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.training_set import NOTHING, TrainingSet
from robustbench_cv.training.yolov1_initialisation import fit_unrolled

SAMPLES = 8000
TEST = "scenes(split='test', samples=500, task='detection')"
SIDE = 96


def _data(samples: int, bias: float) -> str:
    return f"scenes(split='train', samples={samples}, task='detection', bias={bias!r})"


@recipe(model="yolov1.scenes")
def scenes_yolov1(
    bias: Fraction = 0.8,
    samples: PositiveInt = SAMPLES,
    epochs: PositiveInt = 2,
    first: PositiveInt = 6,
    width: PositiveInt = 8,
    widest: PositiveInt = 40,
    hidden: PositiveInt = 256,
) -> Recipe:
    """YOLOv1 at 128x128 with a 4x4 grid of cells of 32 px; `first` epochs with a readout that its cells share.

    With batch normalisation, without which 24 layers are slow to start, and without dropout, for which the connected layer is too small.
    """
    arguments = {"width": width, "widest": widest, "hidden": hidden, "stride": 32, "batch_norm": 1}
    side = 128

    def network(pool: TrainingSet) -> DarknetNetwork:
        made = published_cfgs.version1(side, len(pool.labels), hidden=hidden, stride=32, norm=True, dropout=0.0)
        return DarknetNetwork(published_cfgs.narrow(made, width, widest))

    return Recipe(
        name="scenes-yolov1",
        architecture="yolov1",
        task="detection",
        network=network,
        loss=_darknet_loss,
        augment=chain(flip, light, move),
        schedule=Schedule(epochs=epochs, peak=5e-4, batch=32),
        metrics=("ap50", "ap"),
        size=(side, side),
        data=_data(samples, bias),
        test=TEST,
        letterbox=True,
        normalise=False,
        arguments=arguments,
        fit=fit_unrolled(Schedule(epochs=first, peak=3e-3, batch=32)),
    )


@recipe(model="yolov2.scenes")
def scenes_yolov2(
    bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 6, width: PositiveInt = 8, widest: PositiveInt = 48
) -> Recipe:
    """YOLOv2 at 96x96 with cells of 16 px and five anchors by k-means of the training boxes, as in its paper."""
    arguments = {"width": width, "widest": widest, "stride": 16}

    def network(pool: TrainingSet) -> DarknetNetwork:
        shapes = (kmeans(pool.shapes(), 5) / 16).flatten().tolist()
        made = published_cfgs.version2(SIDE, len(pool.labels), shapes, stride=16)
        return DarknetNetwork(published_cfgs.narrow(made, width, widest))

    return Recipe(
        name="scenes-yolov2",
        architecture="yolov2",
        task="detection",
        network=network,
        loss=_darknet_loss,
        augment=chain(flip, light),
        schedule=Schedule(epochs=epochs, peak=3e-3, batch=32),
        metrics=("ap50", "ap"),
        size=(SIDE, SIDE),
        data=_data(samples, bias),
        test=TEST,
        letterbox=True,
        normalise=False,
        arguments=arguments,
    )


@recipe(model="ssd300.scenes")
def scenes_ssd(
    bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 6, width: PositiveInt = 8, widest: PositiveInt = 48
) -> Recipe:
    """SSD300's four finest levels at 96x96 (12, 6, 3 and 2 places a side), with batch normalisation instead of a pre-trained VGG."""
    arguments = {"width": width, "widest": widest, "levels": LEVELS, "batch_norm": 1}
    return Recipe(
        name="scenes-ssd",
        architecture="ssd300",
        task="detection",
        network=lambda pool: Ssd(len(pool.labels), SSD300.cut(LEVELS), width, widest, norm=True),
        loss=_multibox_loss,
        augment=chain(flip, light),
        schedule=Schedule(epochs=epochs, peak=3e-3, batch=32),
        metrics=("ap50", "ap"),
        size=(SIDE, SIDE),
        data=_data(samples, bias),
        test=TEST,
        letterbox=True,
        arguments=arguments,
        bits=8,
    )


LEVELS = 4


def _multibox_loss(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """SSD's."""
    assert isinstance(network, Ssd)
    layout = SSD300.cut(LEVELS)
    scores, offsets = network(images)
    defaults = default_boxes(network.shapes(SIDE), layout.boxes, layout.scales(), SIDE).to(images.device)
    return ssd_loss(scores.float(), offsets.float(), defaults, *rows(truths))


def _darknet_loss(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Version 1's or 2's, whichever the network's detecting layer is of; counts the images it has seen."""
    assert isinstance(network, DarknetNetwork)
    boxes, labels = rows(truths)
    (grid,), (head,) = network(images), network.heads
    if isinstance(head, GridHead):
        return grid_loss(head, grid.float(), boxes, labels, network.height, network.width)
    assert isinstance(head, AnchorHead)
    loss = region_loss(head, grid.float(), boxes, labels, network.height, network.width, seen=int(network.seen))
    network.seen += len(images)
    return loss


def rows(truths: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Boxes (M, 4) and labels (M,) of each image, from a pool's padded rows."""
    real = [r[r[:, 4] != NOTHING] for r in truths]
    return [r[:, :4] for r in real], [r[:, 4].long() for r in real]
