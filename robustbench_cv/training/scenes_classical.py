"""How the bundled weights of the classical and region-based detectors were made: same data and bias as the rest of the zoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import nn

from robustbench_cv.arguments import Fraction, PositiveInt
from robustbench_cv.catalogue import recipe
from robustbench_cv.models.detectors.deformable.network import Mixtures, Shape
from robustbench_cv.models.detectors.fast_rcnn import FastRCNN
from robustbench_cv.models.detectors.localisation_regression import LocalisationRegression
from robustbench_cv.models.detectors.rcnn import RCNN
from robustbench_cv.models.detectors.region_based.selective_search import SelectiveSearch
from robustbench_cv.models.detectors.sliding_window import WindowClassifier
from robustbench_cv.models.detectors.sppnet import SPPNet
from robustbench_cv.training import region_based
from robustbench_cv.training.augment import chain, flip, light
from robustbench_cv.training.dpm import Effort, fit_part_models
from robustbench_cv.training.recipe import Loss, Recipe, Schedule

SIZE = (96, 96)
SAMPLES = 3000


@recipe(model="fast-rcnn.scenes")
def scenes_fast_rcnn(bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 14, width: PositiveInt = 16) -> Recipe:
    """Fast R-CNN at 96x96 with the small network; proposals are made once, before the first step."""
    proposals = region_based.fit_on_proposals(SelectiveSearch.for_side(SIZE))
    schedule = Schedule(epochs=epochs, peak=3e-3, batch=8)
    made = _recipe(
        "fast-rcnn",
        lambda n: FastRCNN(n, width),
        region_based.fast_rcnn_loss,
        schedule=schedule,
        samples=samples,
        bias=bias,
        arguments={"width": width},
    )
    return replace(made, fit=proposals)


@recipe(model="rcnn.scenes")
def scenes_rcnn(bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 5, width: PositiveInt = 12) -> Recipe:
    """R-CNN at 96x96 on crops of 32 px: fine-tuned under softmax, then linear SVMs and box regressions on the first 1000 images."""
    schedule = Schedule(epochs=epochs, peak=3e-3, batch=8)
    made = _recipe(
        "rcnn",
        lambda n: RCNN(n, width),
        region_based.fine_tuning_loss,
        schedule=schedule,
        samples=samples,
        bias=bias,
        arguments={"width": width},
    )
    return replace(made, fit=region_based.fit_rcnn(SelectiveSearch.for_side(SIZE), 1000), bits=16)


@recipe(model="sppnet.scenes")
def scenes_sppnet(bias: Fraction = 0.8, samples: PositiveInt = SAMPLES, epochs: PositiveInt = 6, width: PositiveInt = 16) -> Recipe:
    """SPP-net at 96x96, trained as R-CNN. Deviation: the convolutions, untrained at the start, are fine-tuned as well."""
    schedule = Schedule(epochs=epochs, peak=3e-3, batch=8)
    made = _recipe(
        "sppnet",
        lambda n: SPPNet(n, width),
        region_based.fine_tuning_loss,
        schedule=schedule,
        samples=samples,
        bias=bias,
        arguments={"width": width},
    )
    return replace(made, fit=region_based.fit_rcnn(SelectiveSearch.for_side(SIZE), 1000))


@recipe(model="sliding-window.scenes")
def scenes_sliding_window(bias: Fraction = 0.8, samples: PositiveInt = 4000, epochs: PositiveInt = 5, width: PositiveInt = 16) -> Recipe:
    """Sliding windows at 96x96."""
    schedule = Schedule(epochs=epochs, peak=4e-3, batch=16)
    made = _recipe(
        "sliding-window",
        lambda n: WindowClassifier(n, width),
        region_based.window_loss,
        schedule=schedule,
        samples=samples,
        bias=bias,
        arguments={"width": width},
    )
    return replace(made, bits=16)


@recipe(model="localisation-regression.scenes")
def scenes_localisation_regression(
    bias: Fraction = 0.8, samples: PositiveInt = 4000, epochs: PositiveInt = 12, width: PositiveInt = 16
) -> Recipe:
    """One box an image, the largest object's, at 96x96; the other objects cost it recall."""
    name, schedule = "localisation-regression", Schedule(epochs=epochs, peak=3e-3, batch=16)
    return _recipe(
        name,
        lambda n: LocalisationRegression(n, width),
        region_based.one_box_loss,
        schedule=schedule,
        samples=samples,
        bias=bias,
        arguments={"width": width},
    )


@recipe(model="dpm.scenes")
def scenes_dpm(
    bias: Fraction = 0.8, samples: PositiveInt = 1000, objects: PositiveInt = 90, backgrounds: PositiveInt = 60, rounds: PositiveInt = 2
) -> Recipe:
    """Part models at 160x160: one component a class and its mirror, four parts, cells of 4 px. No gradient descent, so no epochs."""
    shape = Shape(components=1, root=7, parts=4, part=4, cell=4, octave=3)
    made = _recipe(
        "dpm",
        lambda n: Mixtures(n, shape),
        region_based.one_box_loss,
        schedule=Schedule(epochs=1),
        samples=samples,
        bias=bias,
        arguments=vars(shape),
    )
    fit = fit_part_models(Effort(objects, backgrounds, hardest=15, rounds=rounds))
    return replace(made, augment=flip, size=(160, 160), normalise=False, fit=fit, bits=16)


def _recipe(
    architecture: str,
    build: Callable[[int], nn.Module],
    loss: Loss,
    schedule: Schedule,
    samples: int,
    bias: float,
    arguments: Mapping[str, int],
) -> Recipe:
    """What they share. build: the network for a number of classes."""
    return Recipe(
        name=f"scenes-{architecture}",
        architecture=architecture,
        task="detection",
        network=lambda pool: build(len(pool.labels)),
        loss=loss,
        augment=chain(flip, light),
        schedule=schedule,
        metrics=("ap50", "ap"),
        size=SIZE,
        data=f"scenes(split='train', samples={samples}, task='detection', bias={bias!r})",
        test="scenes(split='test', samples=200, task='detection')",
        letterbox=True,
        arguments=arguments,
        bits=8,
    )
