"""What an attack that serves any task raises on each, and when it counts as done: for searches that need nothing but values."""

from __future__ import annotations

from typing import Any, NamedTuple

from robustbench_cv.adversary.detection import vanish_objects
from robustbench_cv.adversary.objectives import Objective, classifier_objective, pixel_cross_entropy
from robustbench_cv.adversary.problem import Keep
from robustbench_cv.adversary.references import Reference, annotated, own_detections
from robustbench_cv.adversary.success import Success, misclassified, pixels_wrong, vanished


class Goal(NamedTuple):
    """The parts of an Attack that its task decides."""

    objective: Objective[Any]
    success: Success
    keep: Keep
    reference: Reference


def leave_the_class(loss: str = "margin") -> Goal:
    """Classifiers. loss: 'margin' by default, which stays informative where float32 cross-entropy is flat; 'ce' or 'dlr'."""
    return Goal(classifier_objective(loss), misclassified(), "first", annotated)


def turn_pixels(share: float = 0.5) -> Goal:
    """Segmenters: the mean pixel cross-entropy; `share` of the scored pixels wrong, the iterate with most of them kept."""
    return Goal(pixel_cross_entropy(), pixels_wrong(share), "worst", annotated)


def lose_objects() -> Goal:
    """Detectors: TOG's vanishing loss and the log odds of what is to be hidden, until none of the model's own clean detections is left."""
    return Goal(vanish_objects(), vanished(), "first", own_detections)
