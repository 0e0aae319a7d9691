"""ImageNet's 1000 classes as the nine of ImageNet-9 (Xiao et al., ICLR 2021, https://arxiv.org/abs/2006.09994).

The rule: the most probable of all 1000 classes comes first, and is one of the nine, or none of them and so wrong (630 classes are none).
Nothing is renormalised over the 370 that are. A maximum over the classes of each of ten groups says the same, and can be differentiated.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Sequence
from importlib import resources

import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.types import AnyModel, Labels

NINE = ("dog", "bird", "vehicle", "reptile", "carnivore", "insect", "instrument", "primate", "fish")
"""The classes, in the order of their folders."""

NONE = "none of the nine"
"""The tenth: what the 630 other classes of ImageNet are."""

FINE = 1000


@functools.cache
def nine_of_fine() -> tuple[int, ...]:
    """For each of ImageNet's 1000 classes, in the usual order, its index in NINE, or 9 for none.

    The published assignment: what lies below the nine's synsets in WordNet, dogs before carnivores, without 7 birds (grouse, quail,
    peacock), 5 carnivores, 2 vehicles and 2 dogs (Italian greyhound, whippet), which are none there.
    """
    groups = [len(NINE)] * FINE
    for row in _rows():
        groups[int(row["index"])] = NINE.index(row["class"])
    return tuple(groups)


def _rows() -> list[dict[str, str]]:
    """index, synset, class of the 370."""
    text = resources.files("robustbench_cv.models").joinpath("imagenet9_classes.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


class Nine(nn.Module):
    """Logits of 1000 classes (N, 1000) -> the largest of each of the nine and of the others (N, 10)."""

    group: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("group", torch.tensor(nine_of_fine(), device="cpu"), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Differentiable where the largest is one alone."""
        start = logits.new_zeros(len(logits), len(NINE) + 1)
        return start.scatter_reduce(1, self.group.expand(len(logits), -1), logits, "amax", include_self=False)


def as_imagenet9(model: AnyModel) -> Classifier:
    """The same network with ten classes: the nine and NONE. The probabilities are those of a softmax over the ten maxima.

    It sees whole images: of the network's own size as they are (ImageNet-9's files have 224 px and are neither scaled nor cropped), others
    scaled to it; with the mean and deviation that the model has. UserError for what does not count ImageNet's classes.
    """
    name = model.info.name
    if not isinstance(model, Classifier):
        raise UserError(
            f"{name} prepares its images where nobody sees it, and ImageNet-9's are to be neither scaled nor cropped; give the network "
            "itself: my.py:build(classes=..., mean=..., std=...), or timm:, torchvision:"
        )
    require_imagenet_classes(name, model.info.classes.names)
    prepare = model.module.prepare
    mean, std = (None if values is None else values.flatten().tolist() for values in (prepare.mean, prepare.std))
    return classifier(
        nn.Sequential(model.module.net, Nine().to(_device(model.module))),
        name=name,
        classes=Labels((*NINE, NONE)),
        mean=mean,
        std=std,
        input_size=prepare.size,
        interpolation=prepare.interpolation,
        weights=model.info.weights_sha256,
    )


def _device(module: nn.Module) -> torch.device:
    return next((tensor.device for tensor in module.parameters()), torch.device("cpu"))


def counts_imagenet_classes(names: Sequence[str]) -> bool:
    """Whether these are ImageNet's 1000 classes in the usual order: by name as torchvision has them, by synset, or numbered."""
    return len(names) == FINE and _stranger(names) is None


def require_imagenet_classes(whose: str, names: Sequence[str]) -> None:
    """UserError, naming the first class that is another one, where `counts_imagenet_classes` is not so."""
    if len(names) != FINE:
        raise UserError(f"{whose} has {len(names)} classes; ImageNet-9's nine are found among ImageNet's {FINE} alone")
    if (k := _stranger(names)) is not None:
        raise UserError(
            f"{whose} calls class {k} {names[k]!r}, and ImageNet's is {_imagenet_names()[k]!r}: are its classes ImageNet's in the usual "
            "order? Then leave their names out, so that they are matched by position"
        )


def _stranger(names: Sequence[str]) -> int | None:
    """The first of 1000 classes that is not ImageNet's; None where all are."""
    if Labels(tuple(names)).are_numbered or all(names[int(row["index"])] == row["synset"] for row in _rows()):
        return None
    return next((k for k, (one, other) in enumerate(zip(names, _imagenet_names(), strict=True)) if _first(one) != _first(other)), None)


def _first(name: str) -> str:
    """The first of several words for a class, without what writers differ in."""
    return name.partition(",")[0].casefold().replace("_", " ").strip()


@functools.cache
def _imagenet_names() -> tuple[str, ...]:
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.DEFAULT.meta["categories"])
