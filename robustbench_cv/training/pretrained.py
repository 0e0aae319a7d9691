"""What YOLO's first version learns before it detects. Redmon, Divvala, Girshick, Farhadi, CVPR 2016, section 2.2.

The first 20 convolutions, with average pooling and one connected layer, learn to classify at half the resolution; then the whole network
learns to detect. Deviation: the paper's pictures are ImageNet's, ours are cut out around the training images' own objects.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from robustbench_cv.models.detectors.darknet.layers import Convolutional
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.training import loop
from robustbench_cv.training.augment import chain, flip, light
from robustbench_cv.training.loop import Run, Watch
from robustbench_cv.training.pool import NOTHING, Pool
from robustbench_cv.training.recipe import Fit, Schedule

CONVOLUTIONS = 20
"""How many learn to classify; the other four begin at random, as the connected layers do."""
ROOM = 1.5
"""Side of a cut square by the longer side of its object."""


def fit_pretrained(schedule: Schedule) -> Fit:
    """A fitting procedure: `schedule` of classification for the first convolutions, then the recipe's own for all layers."""

    def fit(network: nn.Module, pool: Pool, run: Run, watch: Watch) -> None:
        assert isinstance(network, DarknetNetwork)
        cut = objects_cut_out(pool, pool.images.shape[-1] // 2)
        with torch.random.fork_rng():
            torch.manual_seed(run.seed)
            classifier = Classifying(network, len(pool.labels))
        before = schedule.epochs * max(1, len(cut) // schedule.batch)
        total = before + run.epochs * max(1, len(pool) // run.recipe.schedule.batch)
        recipe = replace(run.recipe, loss=cross_entropy, augment=chain(flip, light), schedule=schedule)
        first = replace(run, recipe=recipe, epochs=schedule.epochs, state=None, judge=None)
        loop.fit(classifier, cut, first, lambda done, _, loss: watch(done, total, loss))
        loop.fit(network, pool, run, lambda done, _, loss: watch(before + done, total, loss))

    return fit


class Classifying(nn.Module):
    """The first convolutions of a network, shared with it, as a classifier: (N, 3, h, w) -> scores (N, classes) before softmax."""

    def __init__(self, network: DarknetNetwork, classes: int) -> None:
        super().__init__()
        layers = list(network.layers)
        ends = [k + 1 for k, layer in enumerate(layers) if isinstance(layer, Convolutional)]
        self.trunk = nn.Sequential(*layers[: ends[CONVOLUTIONS - 1]])
        last = layers[ends[CONVOLUTIONS - 1] - 1]
        assert isinstance(last, Convolutional)
        self.kinds = nn.Linear(last.conv.out_channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Any size that survives the halvings."""
        scores: Tensor = self.kinds(self.trunk(x).mean((2, 3)))
        return scores


def cross_entropy(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Of the labels."""
    return F.cross_entropy(network(images).float(), truths)


def objects_cut_out(pool: Pool, side: int) -> Pool:
    """A picture of side x side px of every object, in the middle of a square of ROOM times its longer side, and its label.

    A square is at least as large as half the picture, so that small objects stay small.
    """
    pictures, labels = [], []
    for image, rows in zip(pool.images, pool.truths, strict=True):
        own = rows[rows[:, 4] != NOTHING]
        middle = (own[:, :2] + own[:, 2:4]) / 2
        half = ((own[:, 2:4] - own[:, :2]).amax(1, keepdim=True) * ROOM).clamp(min=side / 2) / 2
        cut = roi_align(image[None].float(), [torch.cat([middle - half, middle + half], dim=1)], side, sampling_ratio=1, aligned=True)
        pictures.append(cut.round().clamp(0, 255).to(torch.uint8))
        labels.append(own[:, 4].long())
    return Pool(pool.labels, torch.cat(pictures), torch.cat(labels), pool.sha256)
