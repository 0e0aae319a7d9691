"""How the bundled weights of the small classifiers were made: each architecture of the field's history on the same pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import Fraction, NonNegativeInt, NonNegativeNumber, PositiveInt
from robustbench_cv.catalogue import recipe
from robustbench_cv.models.classifiers.alexnet_original import AlexNet
from robustbench_cv.models.classifiers.densenet import mini_densenet
from robustbench_cv.models.classifiers.googlenet import GoogLeNet, Scores
from robustbench_cv.models.classifiers.mobilenet import mini_mobilenet
from robustbench_cv.models.classifiers.network_in_network import for_cifar
from robustbench_cv.models.classifiers.senet import mini_seresnet
from robustbench_cv.models.classifiers.shufflenet import ShuffleNet
from robustbench_cv.models.classifiers.vgg import LAYERS_11, Vgg
from robustbench_cv.models.classifiers.vit import mini_vit
from robustbench_cv.models.weights.description import Bits
from robustbench_cv.training.augment import chain, flip, light, shift
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.types import ABSENT


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What differs between the recipes. network: (classes, (h, w) px, arguments) -> an untrained one."""

    architecture: str
    network: Callable[[int, tuple[int, int], Mapping[str, int]], nn.Module]
    arguments: Mapping[str, int]
    epochs: int
    peak: float = 3e-3
    size: int = 64
    bits: Bits = 16


PLANS = {
    "scenes-alexnet": Plan(
        architecture="alexnet-original",
        network=lambda classes, size, arguments: AlexNet(classes, size, **arguments),
        arguments={"width": 24, "stem": 2, "units": 256},
        epochs=10,
        peak=1e-3,
        bits=8,
    ),
    "scenes-vgg": Plan(
        architecture="vgg-mini",
        network=lambda classes, size, arguments: Vgg(classes, LAYERS_11, size, arguments["width"], 8 * arguments["width"]),
        arguments={"width": 10},
        epochs=14,
    ),
    "scenes-network-in-network": Plan(
        architecture="network-in-network-cifar",
        network=lambda classes, size, arguments: for_cifar(classes, **arguments),
        arguments={"width": 96, "stem": 2},
        epochs=12,
        peak=1e-3,
    ),
    "scenes-googlenet": Plan(
        architecture="googlenet",
        network=lambda classes, size, arguments: GoogLeNet(classes, **arguments),
        arguments={"width": 12, "stem": 2, "auxiliary": 1},
        epochs=10,
        peak=2e-3,
        size=80,
        bits=8,
    ),
    "scenes-densenet": Plan(
        architecture="densenet-mini",
        network=lambda classes, size, arguments: mini_densenet(classes, arguments["growth"]),
        arguments={"growth": 14},
        epochs=10,
    ),
    "scenes-seresnet": Plan(
        architecture="seresnet-mini",
        network=lambda classes, size, arguments: mini_seresnet(classes, arguments["width"]),
        arguments={"width": 16},
        epochs=14,
        size=80,
    ),
    "scenes-mobilenet-v2": Plan(
        architecture="mobilenet-v2-mini",
        network=lambda classes, size, arguments: mini_mobilenet(classes, arguments["width"]),
        arguments={"width": 16},
        epochs=7,
        size=48,
    ),
    "scenes-shufflenet": Plan(
        architecture="shufflenet-v1",
        network=lambda classes, size, arguments: ShuffleNet(classes, **arguments),
        arguments={"groups": 3, "width": 120, "stem": 2},
        epochs=8,
        size=80,
    ),
    "scenes-vit": Plan(
        architecture="vit-mini",
        network=lambda classes, size, arguments: mini_vit(classes, size, arguments["depth"]),
        arguments={"depth": 5},
        epochs=9,
        peak=2e-3,
    ),
}


@recipe(
    members={
        "scenes-alexnet": {"model": "alexnet-original.scenes"},
        "scenes-vgg": {"model": "vgg-mini.scenes"},
        "scenes-network-in-network": {"model": "network-in-network-cifar.scenes"},
        "scenes-googlenet": {"model": "googlenet.scenes"},
        "scenes-densenet": {"model": "densenet-mini.scenes"},
        "scenes-seresnet": {"model": "seresnet-mini.scenes"},
        "scenes-mobilenet-v2": {"model": "mobilenet-v2-mini.scenes"},
        "scenes-shufflenet": {"model": "shufflenet-v1.scenes"},
        "scenes-vit": {"model": "vit-mini.scenes"},
    }
)
def scenes_classifiers(
    name: str, bias: Fraction = 0.8, samples: PositiveInt = 8000, epochs: NonNegativeInt = 0, peak: NonNegativeNumber = 0.0
) -> Recipe:
    """A small classifier of another architecture on Scenes.

    bias: how firmly objects keep to their contexts. epochs, peak (the highest rate): 0 is what the architecture trains best with here.
    """
    plan = PLANS[name]
    size = (plan.size, plan.size)
    return Recipe(
        name=name,
        architecture=plan.architecture,
        task="classification",
        network=lambda pool: plan.network(len(pool.labels), size, plan.arguments),
        loss=classification,
        augment=chain(flip, shift, light),
        schedule=Schedule(epochs=epochs or plan.epochs, peak=peak or plan.peak),
        metrics=("top-1",),
        size=size,
        data=f"scenes(split='train', samples={samples}, task='classification', bias={bias!r})",
        test="scenes(split='test', samples=500, task='classification')",
        arguments=plan.arguments,
        bits=plan.bits,
    )


def classification(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy as for every classifier; auxiliary heads, where a network has any, add 0.3 of theirs each (GoogLeNet, section 5)."""
    output = network(images)
    if isinstance(output, Scores):
        return _entropy(output.main, truths) + 0.3 * (_entropy(output.early, truths) + _entropy(output.late, truths))
    return _entropy(output, truths)


def _entropy(scores: Tensor, truths: Tensor) -> Tensor:
    return F.cross_entropy(scores.float(), truths, ignore_index=ABSENT, label_smoothing=0.05)
