"""Noise or signal? The published ImageNet-9: its eight variants, BG-Gap, and adversarial backgrounds."""

from robustbench_cv.arguments import NonNegativeInt, PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

VARIANTS = ("only-fg", "no-fg", "only-bg-b", "only-bg-t", "mixed-same", "mixed-rand", "mixed-next")


@suite(paper="arXiv:2006.09994")
def imagenet9_published(backgrounds: NonNegativeInt = 32, samples: PositiveInt | None = None) -> Suite:
    """The published folders of ImageNet-9: run imagenet9-published --data imagenet9:PATH --model timm:resnet50(pretrained=True).

    Numbers of these compare with the published ones, and only those of all samples and, of challenge accuracy, of all backgrounds
    (backgrounds=4050). backgrounds: how many an object is shown on at most, until the model is wrong; 0 leaves the challenge out. samples:
    as many of them as a fair draw gives, None: all. `imagenet9` makes the variants from any data with masks instead.
    """
    conditions = [CLEAN, *(Condition(name, (f"published-variant(variant={name!r})",)) for name in VARIANTS)]
    if backgrounds:
        conditions.append(Condition("adversarial background", attack=f"adversarial-background(backgrounds={backgrounds})"))
    track = Track("classification", (), (), tuple(conditions), ("top-1", "object-recall"), samples)
    reports = ("overview", "background-variants", "background-gap", "main-table", "gallery", "checks", "protocol")
    return Suite("imagenet9-published", version=1, tracks=(track,), reports=reports, strength=0)
