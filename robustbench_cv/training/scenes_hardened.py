"""How the bundled hardened weights were made: undefended models of the same architecture, size and data, trained on against an adversary.

They begin with the undefended model's weights: adversarial fine-tuning takes a fraction of the epochs (Jeddi, Shafiee, Wong 2020,
https://arxiv.org/abs/2012.13628). On data with other classes they begin with random numbers.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from robustbench_cv.arguments import Budget, Fraction, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import recipe
from robustbench_cv.models.checkpoint import load_into, read_state
from robustbench_cv.models.weights.description import read_description
from robustbench_cv.models.weights.initial_weights import weights_file
from robustbench_cv.training.adversarial import AdversarialTraining
from robustbench_cv.training.recipe import Recipe
from robustbench_cv.training.scenes import SAMPLES, scenes_classifier
from robustbench_cv.training.scenes_two_stage import scenes_retinanet
from robustbench_cv.training.training_set import TrainingSet


@recipe(model="cifar-resnet20.scenes-hardened")
def scenes_classifier_hardened(
    eps: Budget = 4 / 255,
    attack_steps: PositiveInt = 2,
    share: PositiveFraction = 1.0,
    bias: Fraction = 0.8,
    samples: PositiveInt = SAMPLES,
    epochs: PositiveInt = 6,
) -> Recipe:
    """cifar-resnet20.scenes, trained on against PGD of two steps at 4/255.

    eps: budget in [0, 1] pixel units. attack_steps: gradient steps of the adversary. share: of each batch that it changes.
    """
    return _harden_recipe(
        "scenes-classifier-hardened", scenes_classifier(bias, samples, epochs), AdversarialTraining(eps, attack_steps, share=share), 2e-3
    )


@recipe(model="retinanet-small.scenes-hardened")
def scenes_detector_hardened(
    eps: Budget = 4 / 255,
    attack_steps: PositiveInt = 2,
    share: PositiveFraction = 1.0,
    bias: Fraction = 0.8,
    samples: PositiveInt = SAMPLES,
    epochs: PositiveInt = 1,
) -> Recipe:
    """retinanet-small.scenes, trained on against PGD of two steps at 4/255 on the sum of its losses.

    eps: budget in [0, 1] pixel units. attack_steps: gradient steps of the adversary. share: of each batch that it changes.
    """
    return _harden_recipe(
        "scenes-detector-hardened", scenes_retinanet(bias, samples, epochs), AdversarialTraining(eps, attack_steps, share=share), 2e-3
    )


def _harden_recipe(name: str, undefended: Recipe, adversary: AdversarialTraining, peak: float) -> Recipe:
    def network(pool: TrainingSet) -> nn.Module:
        made = undefended.network(pool)
        path = weights_file(undefended.architecture, "scenes", "")
        description = path and read_description(path)
        if path and description and description.classes == pool.labels.names:
            load_into(made, read_state(path).tensors, str(path))
        return made

    schedule = replace(undefended.schedule, peak=peak)
    return replace(undefended, name=name, network=network, adversary=adversary, schedule=schedule, bits=8)
