"""Attacks on classifiers at small cost: white-box, black-box, sparse, in space, from a surrogate, one for all images; beside noise."""

from robustbench_cv.arguments import Budget, Length, PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track, budgets

MODELS = (
    "lenet5",
    "alexnet-original",
    "network-in-network-cifar",
    "vgg-mini",
    "googlenet",
    "cifar-resnet20",
    "densenet-mini",
    "seresnet-mini",
    "mobilenet-v2-mini",
    "shufflenet-v1",
    "vit-mini",
)
LEVELS = (1, 2, 4, 8)
"""Of the curves of gradient attacks, in grey levels of 255."""


@suite()
def attacks_classification(samples: PositiveInt = 32, eps: Budget = 8 / 255, length: Length = 1.5) -> Suite:
    """What each attack leaves of the accuracy of the bundled classifiers, within one budget, and three curves over budgets.

    eps: the L-infinity budget. length: the L2 one, in [0, 1] pixel units. Steps and queries are far below the papers': what survives here
    may fall to the same attack at its full cost. Decisions alone are given four times the length, a surrogate and one perturbation for all
    images twice eps: less does not show on every model. The noise beside them is of their size. one-pixel is left out: of
    9,216 pixels it would take far more than one, and sparse-rs finds a hundred better.
    """
    linf = {
        "fgsm": "",
        "bim": "",
        "mi-fgsm": "steps=10",
        "ni-fgsm": "steps=10",
        "di-fgsm": "steps=10",
        "ti-fgsm": "steps=10, kernel=5",
        "apgd-ce": "steps=20",
        "apgd-dlr": "steps=20",
        "apgd-t": "steps=20, targets=3",
        "fab-t": "steps=20, targets=3",
        "nes": "queries=300, probes=30, tile=8",
        "spsa": "queries=320, probes=32, tile=8",
        "autoattack": "steps=20, queries=200",
    }
    others = {
        "cw-l2": f"cw-l2(eps={length}, steps=20, searches=7)",
        "deepfool": f"deepfool(eps={length}, steps=20, candidates=4)",
        "hop-skip-jump": f"hop-skip-jump(eps={4 * length}, queries=600, first=30, tile=8)",
        "100 pixels, white box": "pgd-l0(pixels=100, steps=20)",
        "100 pixels, black box": "sparse-rs(pixels=100, queries=400)",
        "local patch": "patch(area=0.08, steps=40)",
        "rotation and translation": "rotation-translation(draws=10)",
        "adversarial patch": "adversarial-patch(limit=64, steps=80, batch=8)",
        "universal": f"universal(eps={2 * eps}, limit=128, steps=120, batch=16)",
        "transfer": f"transfer(source='network-in-network-cifar.scenes', attack='ti-fgsm(eps={2 * eps}, steps=10, kernel=15)')",
    }
    conditions = (
        CLEAN,
        Condition("noise", attack=f"noise(eps={eps})"),
        Condition("noise, twofold", attack=f"noise(eps={2 * eps})"),
        Condition("noise in L2", attack=f"noise(norm='l2', eps={length})"),
        Condition("noise in L2, fourfold", attack=f"noise(norm='l2', eps={4 * length})"),
        *budgets("fgsm", "fgsm(eps={eps})", LEVELS),
        *budgets("pgd", "pgd(eps={eps}, steps=10)", LEVELS),
        *budgets("square", "square(eps={eps}, queries=200)", (4, 8, 16)),
        *(Condition(name, attack=f"{name}(eps={eps}{', ' * bool(rest)}{rest})") for name, rest in linf.items()),
        *(Condition(name, attack=spec) for name, spec in others.items()),
    )
    track = Track("classification", tuple(f"{name}.scenes" for name in MODELS), ("scenes",), conditions, ("top-1",), samples)
    return Suite("attacks-classification", version=3, tracks=(track,), reports=REPORTS)


REPORTS = ("main-table", "budget-curve", "perturbations", "query-cost", "gallery", "checks", "protocol")
