"""RAP: no proposal at any object. Li, Tian, Chang, Bian, Lyu, Robust Adversarial Perturbation on Deep Proposal-based Models, BMVC 2018, https://arxiv.org/abs/1809.05962"""

from __future__ import annotations

from robustbench_cv.adversary import Ascent, Attack, ball
from robustbench_cv.adversary.gradient_transforms import chain, scale
from robustbench_cv.adversary.objectives.patch_goals import objects_hidden
from robustbench_cv.adversary.objectives.rap import ConfidentProposals, break_proposals, confident_proposals, over_channel_lengths
from robustbench_cv.arguments import Budget, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates


@attack(title="RAP", paper="arXiv:1809.05962", task="detection", needs="proposals")
def rap(eps: Budget = 8 / 255, steps: PositiveInt = 200, gamma: Budget = 20 / 255) -> Attack[Candidates, ConfidentProposals]:
    """The region proposal network finds background where objects were, and shifts what it still proposes. Two-stage detectors only.

    A step has the Euclidean length gamma in each colour channel (authors' code). eps: an L-infinity budget (project choice: the authors
    have none and stop at a mean squared change of 1e-4). It ends when no object is reported as its own class.
    """
    region = ball("linf", eps)
    move = chain(over_channel_lengths(), scale(gamma))
    return Attack(
        name="rap",
        objective=break_proposals(),
        success=objects_hidden(),
        constraint=region,
        optimizer=Ascent(move),
        steps=steps,
        restarts=1,
        start="clean",
        keep="first",
        reference=confident_proposals,
    )
