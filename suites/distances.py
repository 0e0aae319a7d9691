"""How far the boundary is: for each sample the smallest change that these attacks find, in L2 and in L-infinity, without any bound."""

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track


@suite(paper="arXiv:1907.02044")
def distances(samples: PositiveInt = 64, steps: PositiveInt = 50, searches: PositiveInt = 5, queries: PositiveInt = 500) -> Suite:
    """The distribution of each classifier's distances to its boundary: upper bounds, the lower the better the attack.

    Any image can be broken without a bound, so that accuracy says nothing here: look at the sizes. steps: of fab, and of each of the
    `searches` of cw-l2. queries: of hop-skip-jump, which sees decisions alone.
    """
    conditions = (
        CLEAN,
        Condition("deepfool, L2", attack=f"deepfool(steps={steps})"),
        Condition("cw-l2", attack=f"cw-l2(steps={steps}, searches={searches}, rate=0.05)"),
        Condition("fab-t, L2", attack=f"fab-t(norm='l2', eps=None, steps={steps}, targets=3)"),
        Condition("fab-t, Linf", attack=f"fab-t(eps=None, steps={steps}, targets=3)"),
        Condition("hop-skip-jump, L2", attack=f"hop-skip-jump(queries={queries})"),
    )
    track = Track("classification", ("cifar-resnet20.scenes", "lenet5.scenes"), ("scenes",), conditions, ("top-1",), samples)
    return Suite(
        "distances", version=1, tracks=(track,), reports=("perturbations", "main-table", "gallery", "checks", "protocol"), strength=0
    )
