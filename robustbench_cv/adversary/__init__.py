"""The adversary: an objective raised by an optimizer inside a constraint, in one loop, for all three tasks.

The parts, and how they recombine into known algorithms (`attacks/` holds these and others, one file each):

===============  ======================  ==========  ===================================================  =======  ======
attack           objective               constraint  optimizer                                            start    keep
===============  ======================  ==========  ===================================================  =======  ======
FGSM             cross_entropy           Linf        Ascent(chain(steepest, scale(eps))), 1 step          clean    last
PGD              cross_entropy, margin   Linf, L2    Ascent(chain(steepest, scale(alpha)))                random   worst
MI-FGSM          cross_entropy           Linf        Ascent(chain(l1_mean, momentum, steepest, scale))    clean    last
APGD             cross_entropy, dlr      Linf, L2    APGD()                                               edge     worst
SegPGD           seg_pgd_loss            Linf        Ascent(chain(steepest, scale(alpha)))                random   worst
CosPGD           cos_pgd_loss            Linf        Ascent(chain(steepest, scale(alpha)))                random   worst
SEA              four, see `sea`         Linf        APGD() in shrinking balls, a `RadiusSchedule`        random   worst
DAG              boxes_to_other_classes  Linf        Ascent(chain(linf_normalised, scale(gamma)))         clean    first
TOG              vanish, fabricate, ...  Linf        Ascent(chain(l1_mean, momentum, steepest, scale))    random   last
local noise      cross_entropy           Patch       Ascent(chain(steepest, scale(alpha)))                random   worst
NI-FGSM          cross_entropy           Linf        Nesterov(chain(l1_mean), ...)                        clean    last
APGD in L1       cross_entropy, dlr      L1          APGDL1()                                             edge     first
APGD-T           targeted_dlr(rank)      any ball    APGD(), once a rank: see `Targeted`                  edge     first
FAB, FAB-T       margin, to one class    any ball    FAB(norm)                                            clean    nearest
Square           margin, vanish, ...     any ball    Square(norm), values only                            clean    first
DeepFool         margin                  L2, Linf    DeepFool(norm)                                       clean    nearest
CW               margin                  L2          CarliniWagner(searches)                              clean    nearest
sparse PGD       cross_entropy, margin   L0          Ascent(chain(l1_mean, scale(alpha)))                 random   first
NES, SPSA        margin, vanish, ...     any         EstimatedAscent(move, gaussian or signs)             clean    first
sparse RS        margin                  L0          SparseRS(swap_fraction), values only                 clean    first
one pixel        cross_entropy           Pixels      DifferentialEvolution()                              clean    first
rotation, shift  cross_entropy           Spatial     RandomDraws() or GridSearch(points)                  clean    first
random noise     indifferent             any         RandomSteps()                                        clean    last
===============  ======================  ==========  ===================================================  =======  ======

Rooms: `constraints`, `objectives`, `optimizers`, `combinators` (attacks made of attacks), `universal` (one theta for all samples) and
`external` (other libraries). At the ground: the one loop (`attack`), what an optimizer sees (`problem`, `victim`), what is aimed at and
when it is done (`references`, `criteria`), gradient `transforms` and random `views`.

A new norm is a `Constraint`, and all attacks have it; a new loss is an `Objective`; a gradient-free search is an `Optimizer` that asks the
`Problem` for values only. `Ensemble` is the worst case by sample, `Decisions` (in `optimizers.decision_based`) a search by verdicts alone,
`Transfer` an attack on a surrogate, `External` another library's attack, `BackgroundSearch` one that chooses what is behind an object.
`run` runs any of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robustbench_cv.adversary.attack import Adversary, Attack, AttackResult, Ensemble, aim_of, run
    from robustbench_cv.adversary.constraint import Constraint
    from robustbench_cv.adversary.constraints.lp import L2, Linf, ball
    from robustbench_cv.adversary.constraints.patch import Patch
    from robustbench_cv.adversary.criteria import Success
    from robustbench_cv.adversary.external.external_attack import External
    from robustbench_cv.adversary.objective import Objective
    from robustbench_cv.adversary.optimizer import Optimizer
    from robustbench_cv.adversary.optimizers.apgd import APGD
    from robustbench_cv.adversary.optimizers.ascent import Ascent

_HOMES = {
    "APGD": "optimizers.apgd",
    "L2": "constraints.lp",
    "Adversary": "attack",
    "Ascent": "optimizers.ascent",
    "Attack": "attack",
    "AttackResult": "attack",
    "Constraint": "constraint",
    "Ensemble": "attack",
    "External": "external.external_attack",
    "Linf": "constraints.lp",
    "Objective": "objective",
    "Optimizer": "optimizer",
    "Patch": "constraints.patch",
    "Success": "criteria",
    "aim_of": "attack",
    "ball": "constraints.lp",
    "run": "attack",
}
"""Where each public name lives; imported when it is first asked for, so that the package's ground imports none of its rooms."""

__all__ = [
    "APGD",
    "L2",
    "Adversary",
    "Ascent",
    "Attack",
    "AttackResult",
    "Constraint",
    "Ensemble",
    "External",
    "Linf",
    "Objective",
    "Optimizer",
    "Patch",
    "Success",
    "aim_of",
    "ball",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
