"""How the bundled weights of the classical and region-based detectors were made: same data and bias as the rest of the zoo."""

from __future__ import annotations

from robustbench_cv.catalogue import recipe
from robustbench_cv.models.detectors.deformable.network import Mixtures, Shape
from robustbench_cv.models.detectors.fast_rcnn import FastRCNN
from robustbench_cv.models.detectors.localisation_regression import LocalisationRegression
from robustbench_cv.models.detectors.rcnn import RCNN
from robustbench_cv.models.detectors.sliding_window import WindowClassifier
from robustbench_cv.models.detectors.sppnet import SPPNet
from robustbench_cv.models.regions.selective_search import SelectiveSearch
from robustbench_cv.training import regions
from robustbench_cv.training.augment import chain, flip, light
from robustbench_cv.training.latent import Effort, fit_part_models
from robustbench_cv.training.recipe import Recipe, Schedule

SIZE = (96, 96)
SAMPLES = 3000
TEST = "scenes(split='test', samples=200, task='detection')"
METRICS = ("ap50", "ap")


def _data(samples: int, bias: float) -> str:
    return f"scenes(split='train', samples={samples}, task='detection', bias={bias!r})"


@recipe(model="fast-rcnn.scenes")
def scenes_fast_rcnn(bias: float = 0.8, samples: int = SAMPLES, epochs: int = 14, width: int = 16) -> Recipe:
    """Fast R-CNN at 96x96 with the small network; proposals are made once, before the first step."""
    return Recipe(
        name="scenes-fast-rcnn",
        architecture="fast-rcnn",
        task="detection",
        network=lambda pool: FastRCNN(len(pool.labels), width),
        loss=regions.fast_rcnn_loss,
        augment=chain(flip, light),
        schedule=Schedule(epochs, peak=3e-3, batch=8),
        metrics=METRICS,
        size=SIZE,
        data=_data(samples, bias),
        test=TEST,
        letterbox=True,
        arguments={"width": width},
        fit=regions.fit_on_proposals(SelectiveSearch.for_side(SIZE)),
    )


@recipe(model="rcnn.scenes")
def scenes_rcnn(bias: float = 0.8, samples: int = SAMPLES, epochs: int = 5, width: int = 12) -> Recipe:
    """R-CNN at 96x96 on crops of 32 px: fine-tuned under softmax, then machines and box regressions on the first 1000 images."""
    return Recipe(
        name="scenes-rcnn",
        architecture="rcnn",
        task="detection",
        network=lambda pool: RCNN(len(pool.labels), width),
        loss=regions.fine_tuning_loss,
        augment=chain(flip, light),
        schedule=Schedule(epochs, peak=3e-3, batch=8),
        metrics=METRICS,
        size=SIZE,
        data=_data(samples, bias),
        test=TEST,
        letterbox=True,
        arguments={"width": width},
        fit=regions.fit_rcnn(SelectiveSearch.for_side(SIZE), 1000),
    )


@recipe(model="sppnet.scenes")
def scenes_sppnet(bias: float = 0.8, samples: int = SAMPLES, epochs: int = 6, width: int = 13) -> Recipe:
    """SPP-net at 96x96, trained as R-CNN. Deviation: the convolutions, untrained at the start, are fine-tuned as well."""
    return Recipe(
        name="scenes-sppnet",
        architecture="sppnet",
        task="detection",
        network=lambda pool: SPPNet(len(pool.labels), width),
        loss=regions.fine_tuning_loss,
        augment=chain(flip, light),
        schedule=Schedule(epochs, peak=3e-3, batch=8),
        metrics=METRICS,
        size=SIZE,
        data=_data(samples, bias),
        test=TEST,
        letterbox=True,
        arguments={"width": width},
        fit=regions.fit_rcnn(SelectiveSearch.for_side(SIZE), 1000),
    )


@recipe(model="sliding-window.scenes")
def scenes_sliding_window(bias: float = 0.8, samples: int = 4000, epochs: int = 5, width: int = 16) -> Recipe:
    """Sliding windows at 96x96."""
    return Recipe(
        name="scenes-sliding-window",
        architecture="sliding-window",
        task="detection",
        network=lambda pool: WindowClassifier(len(pool.labels), width),
        loss=regions.window_loss,
        augment=chain(flip, light),
        schedule=Schedule(epochs, peak=4e-3, batch=16),
        metrics=METRICS,
        size=SIZE,
        data=_data(samples, bias),
        test=TEST,
        letterbox=True,
        arguments={"width": width},
    )


@recipe(model="localisation-regression.scenes")
def scenes_localisation_regression(bias: float = 0.8, samples: int = 4000, epochs: int = 14, width: int = 12) -> Recipe:
    """One box an image, the largest object's, at 96x96; the other objects cost it recall."""
    return Recipe(
        name="scenes-localisation-regression",
        architecture="localisation-regression",
        task="detection",
        network=lambda pool: LocalisationRegression(len(pool.labels), width),
        loss=regions.one_box_loss,
        augment=chain(flip, light),
        schedule=Schedule(epochs, peak=3e-3, batch=16),
        metrics=METRICS,
        size=SIZE,
        data=_data(samples, bias),
        test=TEST,
        letterbox=True,
        arguments={"width": width},
    )


@recipe(model="dpm.scenes")
def scenes_dpm(bias: float = 0.8, samples: int = 1000, objects: int = 90, backgrounds: int = 60, rounds: int = 2) -> Recipe:
    """Part models at 160x160: one component a class and its mirror, four parts, cells of 4 px. No gradient descent, so no epochs."""
    shape = Shape(components=1, root=7, parts=4, part=4, cell=4, octave=3)
    return Recipe(
        name="scenes-dpm",
        architecture="dpm",
        task="detection",
        network=lambda pool: Mixtures(len(pool.labels), shape),
        loss=regions.one_box_loss,
        augment=flip,
        schedule=Schedule(1),
        metrics=METRICS,
        size=(160, 160),
        data=_data(samples, bias),
        test=TEST,
        letterbox=True,
        normalise=False,
        arguments=vars(shape),
        fit=fit_part_models(Effort(objects, backgrounds, hardest=15, rounds=rounds)),
    )
