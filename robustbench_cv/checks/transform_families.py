"""What may have happened to images before a model sees them: families of changes that would mend it, each with its remedy.

A fault f turns x into f(x) somewhere between file and network. Whoever applies the inverse of f to the images first gives the network what
it was trained on; so each member here is the inverse of a usual fault, and a model that is better under it has that fault. The search in
input_search.py tries them; what cannot be undone (colour that is gone, detail that is gone) no member can mend.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from robustbench_cv.checks.check import Change
from robustbench_cv.checks.quality import VISIBLE
from robustbench_cv.types import Prediction

Back: TypeAlias = Callable[[Prediction, int, int], Prediction]
"""What is done to the prediction of a changed image, given the height and width in pixels that its target has."""


class Member(NamedTuple):
    """One fault, and the change that would mend it.

    name: the fault. change: of images (N, 3, H, W). remedy: what to do. same_scale: whether values keep their spread, so that being surer
    of the true class counts as being better (a stretched input makes any classifier surer). back: what is done to predictions.
    least: mean quality that must be gained, where sound models may gain more than what is visible. usual: whether it is one of the few
    mistakes that are made most, to which half of the error is allotted that all families may make.
    """

    name: str
    change: Change
    remedy: str
    same_scale: bool = False
    back: Back | None = None
    least: float = VISIBLE
    usual: bool = False


class Statistics(NamedTuple):
    """(x - mean) / std, per channel of x in [0, 1]."""

    name: str
    mean: Tensor
    std: Tensor

    def normalise(self, x: Tensor) -> Tensor:
        return (x - self.mean.to(x)) / self.std.to(x)

    def undo(self, x: Tensor) -> Tensor:
        return x * self.std.to(x) + self.mean.to(x)


def _of(name: str, mean: Sequence[float], std: Sequence[float]) -> Statistics:
    return Statistics(name, torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None])


IMAGENET = _of("ImageNet's mean and std", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = _of("mean and std of 0.5", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CIFAR10 = _of("CIFAR-10's mean and std", (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
CAFFE = _of("Caffe's mean of 0-255", (123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255,) * 3)
"""Of Caffe's ImageNet models, whose channels are BGR: flip after it."""


def _once_or_never(known: Statistics) -> list[Member]:
    return [
        Member(
            f"never normalised ({known.name})",
            known.normalise,
            f"normalise with {known.name} inside the model, as it was trained",
            usual=True,
        ),
        Member(
            f"normalised twice ({known.name})",
            known.undo,
            f"normalise with {known.name} only once: in the model or in its wrapper",
            usual=True,
        ),
    ]


def _instead(used: Statistics, right: Statistics) -> Member:
    return Member(
        f"normalised with {used.name} instead of {right.name}",
        lambda x: used.undo(right.normalise(x)),
        f"normalise with {right.name}{line(right)}, not with {used.name}",
    )


def line(known: Statistics) -> str:
    """The line of configuration: " (mean=(0.485, ...), std=(...))"."""
    mean, std = (", ".join(f"{v:.4g}" for v in t.flatten().tolist()) for t in (known.mean, known.std))
    return f" (mean=({mean}), std=({std}))"


def values() -> list[Member]:
    """Wrong values of the pixels: normalisation, scale, gamma, sign."""
    mean, std = IMAGENET.mean, IMAGENET.std
    return [
        *(m for known in (IMAGENET, HALF, CIFAR10) for m in _once_or_never(known)),
        Member(
            "divided by 255 twice, or not trained on [0, 1]",
            lambda x: x * 255,
            "drop the division by 255 inside the model, or multiply by 255 there if it was trained on 0-255",
            usual=True,
        ),
        Member("multiplied by 255 inside the model", lambda x: x / 255, "do not multiply by 255 inside the model", usual=True),
        _instead(HALF, IMAGENET),
        _instead(IMAGENET, HALF),
        Member(
            "divided by the std, but not centred",
            lambda x: x - mean.to(x),
            "subtract the mean before dividing by the std, as the model was trained",
        ),
        Member("centred, though trained without", lambda x: x + mean.to(x), "do not subtract the mean: the model was trained without"),
        Member(
            "centred, but not divided by the std",
            lambda x: (x - mean.to(x)) / std.to(x) + mean.to(x),
            "divide by the std after subtracting the mean, as the model was trained",
        ),
        Member(
            "divided by the std, though trained without",
            lambda x: (x - mean.to(x)) * std.to(x) + mean.to(x),
            "do not divide by the std: the model was trained without",
        ),
        Member("multiplied by 2", lambda x: x / 2, "halve the pixels: they are doubled before the network sees them"),
        Member("halved", lambda x: x * 2, "double the pixels: they are halved before the network sees them (8 bits read as 9?)"),
        Member(
            "brightened by a square root (gamma of 1/2.2, linear light)",
            lambda x: x.clamp(min=0) ** 2.1,
            "drop the square root or gamma correction: the model was trained on the pixels as stored",
        ),
        Member(
            "darkened by a square (gamma of 2.2, linear light)",
            lambda x: x.clamp(min=0) ** (1 / 2.1),
            "drop the squaring or linearisation: the model was trained on the pixels as stored",
        ),
        Member("negative", lambda x: 1 - x, "the images are negatives: hand over 1 - x"),
    ]


_ORDERS = {"GRB": (1, 0, 2), "RBG": (0, 2, 1), "GBR": (1, 2, 0), "BRG": (2, 0, 1)}


def colours() -> list[Member]:
    """Wrong order of the channels, or another space of colours."""
    flip = "the model (or the images) are BGR: flip the channels inside the model, x.flip(1), or read images as RGB"
    permuted = [
        Member(
            f"channels in the order {name}",
            lambda x, order=order: x[:, list(order)],  # type: ignore[misc]
            f"channels are in another order: take x[:, {list(order)}] before the network, or read images as RGB",
            same_scale=True,
        )
        for name, order in _ORDERS.items()
    ]
    caffe = "Caffe's BGR of 0-255 less its mean"
    return [
        Member("red and blue swapped", lambda x: x.flip(1), flip, same_scale=True, usual=True),
        *permuted,
        Member("YCbCr read as RGB", ycbcr_to_rgb, "convert YCbCr to RGB before the network"),
        Member("RGB given to a model of YCbCr", rgb_to_ycbcr, "convert RGB to YCbCr inside the model, as it was trained", usual=True),
        Member(f"RGB of [0, 1] given to a model of {caffe}", lambda x: CAFFE.normalise(x).flip(1), f"give the model {caffe}"),
        Member(
            f"ImageNet's mean and std given to a model of {caffe}",
            lambda x: IMAGENET.undo(CAFFE.normalise(x).flip(1)),
            f"preprocess as {caffe}, not with ImageNet's mean and std",
        ),
        Member(f"{caffe} on top of the model's own preprocessing", lambda x: CAFFE.undo(x.flip(1)), f"drop {caffe}: the model wants RGB"),
        Member(
            f"{caffe} given to a model of ImageNet's mean and std",
            lambda x: CAFFE.undo(IMAGENET.normalise(x).flip(1)),
            f"normalise RGB with ImageNet's mean and std, instead of {caffe}",
        ),
        Member(
            "BGR of 0-255 given to the model's own preprocessing",
            lambda x: x.flip(1) / 255,
            "divide by 255 and flip the channels: the model wants RGB in [0, 1]",
        ),
    ]


def ycbcr_to_rgb(x: Tensor) -> Tensor:
    """Full range, as JPEG has it (ITU-T T.871); x (N, 3, H, W) in [0, 1]."""
    y, cb, cr = x[:, 0], x[:, 1] - 0.5, x[:, 2] - 0.5
    return torch.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 1).clamp(0, 1)


def rgb_to_ycbcr(x: Tensor) -> Tensor:
    """The inverse of ycbcr_to_rgb."""
    r, g, b = x.unbind(1)
    y = 0.299 * r + 0.587 * g + 0.114 * b
    return torch.stack([y, (b - y) / 1.772 + 0.5, (r - y) / 1.402 + 0.5], 1)
