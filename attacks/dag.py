"""Dense adversary generation on detectors. Xie et al., Adversarial Examples for Semantic Segmentation and Object Detection, ICCV 2017, https://arxiv.org/abs/1703.08603"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, ball
from robustbench_cv.adversary.gradient_transforms import chain, scale
from robustbench_cv.adversary.objectives.dag import AdversarialBoxLabels, adversarial_box_labels, boxes_to_other_classes, linf_normalised
from robustbench_cv.adversary.objectives.patch_goals import objects_hidden
from robustbench_cv.arguments import Budget, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="DAG", paper="arXiv:1703.08603", task="detection", reduced="eps=8/255, steps=30, gamma=1/255")
def dag(eps: Budget | None = None, steps: PositiveInt = 150, gamma: Budget = 0.5 / 255) -> Attack[Candidates, AdversarialBoxLabels]:
    """Every proposal on an object to another class, until no object is reported as its own.

    A step moves the largest entry by gamma and the others in proportion (the authors' code, as the number of steps). Aimed at the model's
    own detections, which are the annotated objects that it can lose. Unbounded, as published, apart from [0, 1]; eps: an L-infinity budget
    to keep within.
    """
    region = ball("linf", eps)
    move = chain(linf_normalised(), scale(gamma))
    return Attack(
        name="dag",
        objective=boxes_to_other_classes(),
        success=objects_hidden(),
        constraint=region,
        optimizer=Ascent(move),
        steps=steps,
        restarts=1,
        start="clean",
        keep="first",
        reference=adversarial_box_labels,
    )
