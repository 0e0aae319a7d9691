"""Every attack on classifiers at small cost: white-box, black-box, sparse, in space, from a surrogate, one for all images; beside noise."""

from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

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
LEVELS = (0.5, 1, 2, 4)
"""Of the curves, in grey levels of 255."""


@suite()
def attacks_classification(samples: int = 32, eps: float = 4 / 255, length: float = 1.0) -> Suite:
    """What each attack leaves of the accuracy of the bundled classifiers, within one budget, and three curves over budgets.

    eps: the L-infinity budget. length: the L2 one, in [0, 1] pixel units. Steps and queries are far below the papers': what survives here
    may fall to the same attack at its full cost. A few hundred queries are too few for nes, spsa, hop-skip-jump and one-pixel on LeNet-5,
    whose accuracy they leave as it is: the verdict on each says so.
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
        "square": "queries=200",
        "nes": "queries=300, samples=30",
        "spsa": "queries=320, samples=32",
        "autoattack": "steps=20, queries=200",
        "universal": "limit=64, steps=60, batch=16",
    }
    others = {
        "cw-l2": f"cw-l2(eps={length}, steps=20, searches=4)",
        "deepfool": f"deepfool(eps={length}, steps=20, candidates=4)",
        "hop-skip-jump": f"hop-skip-jump(eps={length}, queries=300)",
        "48 pixels, white box": "pgd-l0(pixels=48, steps=20)",
        "48 pixels, black box": "one-pixel(pixels=48, population=20, generations=15)",
        "local patch": "patch(share=0.08, steps=40)",
        "rotation and translation": "rotation-translation(draws=10)",
        "adversarial patch": "adversarial-patch(limit=64, steps=80, batch=8)",
        "transfer from resnet20": f"transfer(source='cifar-resnet20.scenes', attack='mi-fgsm(eps={4 * eps})')",
    }
    conditions = (
        CLEAN,
        Condition("noise", attack=f"noise(eps={eps})"),
        Condition("noise in L2", attack=f"noise(norm='l2', eps={length})"),
        *_curve("fgsm", "fgsm(eps={eps})"),
        *_curve("pgd", "pgd(eps={eps}, steps=10)"),
        *_curve("square", "square(eps={eps}, queries=100)"),
        *(Condition(name, attack=f"{name}(eps={eps}{', ' * bool(rest)}{rest})") for name, rest in linf.items()),
        *(Condition(name, attack=spec) for name, spec in others.items()),
    )
    track = Track("classification", tuple(f"{name}.scenes" for name in MODELS), ("scenes",), conditions, ("top-1",), samples)
    return Suite("attacks-classification", version=2, tracks=(track,), reports=REPORTS)


REPORTS = ("main-table", "budget-curve", "perturbations", "gallery", "checks", "protocol")


def _curve(name: str, spec: str) -> tuple[Condition, ...]:
    """One condition for each level, on one curve."""
    return tuple(Condition(f"{name} {v:g}/255", attack=spec.format(eps=f"{v:g}/255"), severity=v / 255, curve=name) for v in LEVELS)
