"""Noise or signal? ImageNet-9's variants of foreground and background, made from any data set with masks of the labelled objects."""

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

VARIANTS = {
    "only-fg": "object-only(background='black')",
    "no-fg": "context-only(fill='black')",
    "only-bg-b": "context-only(fill='black', shape='box')",
    "only-bg-t": "context-only(fill='tile', shape='box')",
    "mixed-same": "swap-context(to='same')",
    "mixed-rand": "swap-context(to='any')",
    "mixed-next": "swap-context(to='next')",
}
"""The paper's names, and the edit of each."""


@suite(paper="arXiv:2006.09994")
def imagenet9(backgrounds: PositiveInt = 8, samples: PositiveInt = 100) -> Suite:
    """The eight variants of Xiao et al. (original and seven), BG-Gap, and adversarial backgrounds: the worst of several for each image.

    backgrounds: how many an image is pasted on; the paper pastes each object on every background of the validation set, of which a share is
    drawn here, so that challenge accuracies of different numbers do not compare. "Same" is the same context where the data know contexts,
    else the same class, as in the paper.
    """
    conditions = (
        CLEAN,
        *(Condition(name, (spec,)) for name, spec in VARIANTS.items()),
        *(Condition(f"background {k + 1}", (f"swap-context(to='any', draw={k})",)) for k in range(1, backgrounds)),
    )
    track = Track(
        "classification",
        ("cifar-resnet20.scenes", "lenet5.scenes"),
        ("scenes",),
        conditions,
        ("top-1", "object-recall", "hallucination-rate"),
        samples,
    )
    reports = ("overview", "background-variants", "background-gap", "main-table", "context-sensitivity", "gallery", "checks", "protocol")
    return Suite("imagenet9", version=1, tracks=(track,), reports=reports)
