"""Other libraries' calling conventions, each turned into `External`: run under our protocol, counted, re-checked, never believed.

========================================================  =============================================
convention                                                wrap it with
========================================================  =============================================
`attack(images, labels) -> images`                        `from_torchattacks` (and anything like it)
`attack(fmodel, images, labels, epsilons=eps) ->
(raw, clipped, success)`                                  `from_foolbox`
`attack.generate(x=array, y=array) -> array`              `from_art`
========================================================  =============================================

Each takes a function that makes the attack for a network giving logits of images in [0, 1], so that a suite names it in one line:
`mine.py:build(eps=8/255)`, where `build` returns what these return. A library's report of success is not even looked at.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.external.external_attack import Crafted, External
from robustbench_cv.errors import UserError


class _FoolboxLike(Protocol):
    """foolbox's Attack: a fixed budget or, with epsilons=None, the smallest change."""

    def __call__(self, model: Any, inputs: Any, criterion: Any, /, *, epsilons: float | None) -> tuple[Any, Any, Any]: ...


class ArtLike(Protocol):
    """ART's EvasionAttack: numpy in, numpy out; y one-hot, (N, classes)."""

    def generate(self, x: Any, y: Any = None) -> Any: ...


def from_torchattacks(
    name: str, make: Callable[[nn.Module], Crafted], within: Constraint, *, by_sample: bool = True, steps: int | None = None
) -> External:
    """make: network -> attack(images, labels) giving images. within: the budget that the images are held to."""
    return External(name, lambda network, classes, seed: make(network), within, by_sample, steps)


def from_foolbox(
    name: str,
    make: Callable[[], _FoolboxLike],
    within: Constraint,
    *,
    model_of: Callable[[nn.Module, torch.device], Any] | None = None,
    by_sample: bool = True,
    steps: int | None = None,
) -> External:
    """make: -> attack(fmodel, images, labels, epsilons=eps), where eps is the radius of `within`, or None where that is infinite.

    Of the three results the clipped images are taken. model_of: what the attack gets for a model; by default foolbox's own PyTorchModel
    over [0, 1].
    """
    epsilons = None if math.isinf(within.radius) else within.radius

    def wrap(network: nn.Module, classes: int, seed: int) -> Crafted:
        def craft(images: Tensor, labels: Tensor) -> Tensor:
            model = (model_of or _foolbox_model)(network, images.device)
            result = make()(model, images, labels, epsilons=epsilons)
            if not (isinstance(result, tuple | list) and len(result) == 3):
                raise UserError(f"{name}: an attack of foolbox's kind returns (raw, clipped, success), this one a {type(result).__name__}")
            return torch.as_tensor(result[1]).to(images)

        return craft

    return External(name, wrap, within, by_sample, steps)


def from_art(
    name: str,
    make: Callable[[Any], ArtLike],
    within: Constraint,
    *,
    estimator_of: Callable[[nn.Module, int, tuple[int, ...]], Any] | None = None,
    by_sample: bool = True,
    steps: int | None = None,
) -> External:
    """make: estimator -> attack with generate(x=, y=). estimator_of: (network, number of classes, shape of an image) -> what the attack
    gets for a model; by default ART's own PyTorchClassifier over [0, 1] with cross-entropy.
    """

    def wrap(network: nn.Module, classes: int, seed: int) -> Crafted:
        def craft(images: Tensor, labels: Tensor) -> Tensor:
            estimator = (estimator_of or _art_classifier)(network, classes, tuple(images.shape[1:]))
            hot = nn.functional.one_hot(labels, classes).float().cpu().numpy()
            made = make(estimator).generate(x=images.float().cpu().numpy(), y=hot)
            return torch.as_tensor(made).to(images)

        return craft

    return External(name, wrap, within, by_sample, steps)


def _foolbox_model(network: nn.Module, device: torch.device) -> Any:
    try:
        foolbox = importlib.import_module("foolbox")
    except ImportError as error:
        raise UserError("foolbox is not installed: pip install foolbox, or pass model_of") from error
    return foolbox.PyTorchModel(network, bounds=(0, 1), device=device)


def _art_classifier(network: nn.Module, classes: int, shape: tuple[int, ...]) -> Any:
    try:
        estimators = importlib.import_module("art.estimators.classification")
    except ImportError as error:
        raise UserError("ART is not installed: pip install adversarial-robustness-toolbox, or pass estimator_of") from error
    return estimators.PyTorchClassifier(network, nn.CrossEntropyLoss(), shape, classes, clip_values=(0.0, 1.0), device_type=_where(network))


def _where(network: nn.Module) -> str:
    return "gpu" if next(network.parameters()).is_cuda else "cpu"
