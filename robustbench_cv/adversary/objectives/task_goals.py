"""What an attack that serves any task raises on each, and when it counts as done: for searches that need nothing but values."""

from __future__ import annotations

from typing import Any, NamedTuple

from robustbench_cv.adversary.attack_references import Reference, annotated_targets, own_detections
from robustbench_cv.adversary.criteria import Success, misclassified, objects_vanished, pixels_wrong
from robustbench_cv.adversary.objective import Objective
from robustbench_cv.adversary.objectives.classification import classifier_objective
from robustbench_cv.adversary.objectives.detection import vanish_objects
from robustbench_cv.adversary.objectives.segmentation import pixel_cross_entropy
from robustbench_cv.adversary.problem import Keep


class Goal(NamedTuple):
    """The parts of an Attack that its task decides."""

    objective: Objective[Any]
    success: Success
    keep: Keep
    reference: Reference


def misclassify(loss: str = "margin") -> Goal:
    """Classifiers. loss: 'margin' by default, which stays informative where float32 cross-entropy is flat; 'ce' or 'dlr'."""
    return Goal(classifier_objective(loss), misclassified(), "first", annotated_targets)


def misclassify_pixels(share: float = 0.5) -> Goal:
    """Segmenters: the mean pixel cross-entropy; `share` of the scored pixels wrong, the iterate with most of them kept."""
    return Goal(pixel_cross_entropy(), pixels_wrong(share), "worst", annotated_targets)


def vanish_detections() -> Goal:
    """Detectors: TOG's vanishing loss and the log odds of what is to be hidden, until none of the model's own clean detections is left."""
    return Goal(vanish_objects(), objects_vanished(), "first", own_detections)
