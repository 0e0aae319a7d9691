"""What may have happened to images before a model sees them: families of changes that would mend it, each with its remedy.

A fault f turns x into f(x) somewhere between file and network. Whoever applies the inverse of f to the images first gives the network what
it was trained on; so each member here is the inverse of a usual fault, and a model that is better under it has that fault. The search in
input_search.py tries them; what cannot be undone (colour that is gone, detail that is gone) no member can mend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from robustbench_cv.checks.check import Change
from robustbench_cv.checks.compare_readings import VISIBLE
from robustbench_cv.checks.pixel_value_maps import (
    CAFFE,
    CIFAR10,
    FLIP,
    HALF,
    IMAGENET,
    PixelChange,
    Statistics,
    rgb_to_ycbcr,
    scaled,
    shifted,
    three,
    ycbcr_to_rgb,
)
from robustbench_cv.types import Prediction

Back: TypeAlias = Callable[[Prediction, int, int], Prediction]
"""What is done to the prediction of a changed image, given the height and width in pixels that its target has."""


class Member(NamedTuple):
    """One fault, and the change that would mend it.

    name: the fault. change: of images (N, 3, H, W). remedy: what to do. same_scale: whether values keep their spread, so that being surer
    of the true class counts as being better (a stretched input makes any classifier surer). back: what is done to predictions.
    least: mean quality that must be gained, where sound models may gain more than what is visible. usual: whether it is one of the few
    mistakes that are made most, to which half of the error is allotted that all families may make. resized: by how much the sides of
    images are, where that is the whole change. code: the change as a line of Python about `images`, where it is no PixelChange and has one.
    """

    name: str
    change: Change
    remedy: str
    same_scale: bool = False
    back: Back | None = None
    least: float = VISIBLE
    usual: bool = False
    resized: float | None = None
    code: str = ""


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
        right.normalise.then(used.undo),
        f"normalise with {right.name}{line(right)}, not with {used.name}",
    )


def line(known: Statistics) -> str:
    """The line of configuration: " (mean=(0.485, ...), std=(...))"."""
    mean, std = (", ".join(f"{v:.4g}" for v in values) for values in (known.mean, known.std))
    return f" (mean=({mean}), std=({std}))"


_GAMMA = 2.1
"""Between the square and the 2.2 of displays, so that it undoes either well enough."""


def values() -> list[Member]:
    """Wrong values of the pixels: normalisation, scale, gamma, sign."""
    to_mean, to_std = shifted(IMAGENET.mean), PixelChange(scale=IMAGENET.std)
    from_mean, from_std = shifted([-m for m in IMAGENET.mean]), PixelChange(scale=three([1 / s for s in IMAGENET.std]))
    return [
        *(m for known in (IMAGENET, HALF, CIFAR10) for m in _once_or_never(known)),
        Member(
            "divided by 255 twice, or not trained on [0, 1]",
            scaled(255),
            "drop the division by 255 inside the model, or multiply by 255 there if it was trained on 0-255",
            usual=True,
        ),
        Member("multiplied by 255 inside the model", scaled(1 / 255), "do not multiply by 255 inside the model", usual=True),
        _instead(HALF, IMAGENET),
        _instead(IMAGENET, HALF),
        Member("divided by the std, but not centred", from_mean, "subtract the mean before dividing by the std, as the model was trained"),
        Member("centred, though trained without", to_mean, "do not subtract the mean: the model was trained without"),
        Member(
            "centred, but not divided by the std",
            from_mean.then(from_std).then(to_mean),
            "divide by the std after subtracting the mean, as the model was trained",
        ),
        Member(
            "divided by the std, though trained without",
            from_mean.then(to_std).then(to_mean),
            "do not divide by the std: the model was trained without",
        ),
        Member("multiplied by 2", scaled(0.5), "halve the pixels: they are doubled before the network sees them"),
        Member("halved", scaled(2), "double the pixels: they are halved before the network sees them (8 bits read as 9?)"),
        Member(
            "brightened by a square root (gamma of 1/2.2, linear light)",
            PixelChange(power=_GAMMA),
            "drop the square root or gamma correction: the model was trained on the pixels as stored",
        ),
        Member(
            "darkened by a square (gamma of 2.2, linear light)",
            PixelChange(power=1 / _GAMMA),
            "drop the squaring or linearisation: the model was trained on the pixels as stored",
        ),
        Member("negative", PixelChange((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)), "the images are negatives: hand over 1 - x"),
    ]


_CODE = "from robustbench_cv.checks.pixel_value_maps import {0}; images = {0}(images)"

_ORDERS = {"GRB": (1, 0, 2), "RBG": (0, 2, 1), "GBR": (1, 2, 0), "BRG": (2, 0, 1)}


def colours() -> list[Member]:
    """Wrong order of the channels, or another space of colours."""
    flip = "the model (or the images) are BGR: flip the channels inside the model, x.flip(1), or read images as RGB"
    permuted = [
        Member(
            f"channels in the order {name}",
            PixelChange(order=order),
            f"channels are in another order: take x[:, {list(order)}] before the network, or read images as RGB",
            same_scale=True,
        )
        for name, order in _ORDERS.items()
    ]
    caffe = "Caffe's BGR of 0-255 less its mean"
    to_caffe, from_caffe = CAFFE.normalise.then(FLIP), FLIP.then(CAFFE.undo)
    return [
        Member("red and blue swapped", FLIP, flip, same_scale=True, usual=True),
        *permuted,
        Member("YCbCr read as RGB", ycbcr_to_rgb, "convert YCbCr to RGB before the network", code=_CODE.format("ycbcr_to_rgb")),
        Member(
            "RGB given to a model of YCbCr",
            rgb_to_ycbcr,
            "convert RGB to YCbCr inside the model, as it was trained",
            usual=True,
            code=_CODE.format("rgb_to_ycbcr"),
        ),
        Member(f"RGB of [0, 1] given to a model of {caffe}", to_caffe, f"give the model {caffe}"),
        Member(
            f"ImageNet's mean and std given to a model of {caffe}",
            to_caffe.then(IMAGENET.undo),
            f"preprocess as {caffe}, not with ImageNet's mean and std",
        ),
        Member(f"{caffe} on top of the model's own preprocessing", from_caffe, f"drop {caffe}: the model wants RGB"),
        Member(
            f"{caffe} given to a model of ImageNet's mean and std",
            IMAGENET.normalise.then(from_caffe),
            f"normalise RGB with ImageNet's mean and std, instead of {caffe}",
        ),
        Member(
            "BGR of 0-255 given to the model's own preprocessing",
            FLIP.then(scaled(1 / 255)),
            "divide by 255 and flip the channels: the model wants RGB in [0, 1]",
        ),
    ]
