"""The physical attacks on detectors: what hides an object, renames it or makes one up, under sampled conditions and plain."""

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

REPORTS = ("attack-success", "main-table", "gallery", "checks", "protocol")

PATCHES = {
    "sticker on cars": "sticker-hide",
    "poster of a person": "sticker-create",
    "square on people": "person-patch",
    "texture on cars": "shapeshifter",
}


@suite(paper="arXiv:1807.07769")
def stickers(samples: PositiveInt = 320, limit: PositiveInt = 128, steps: PositiveInt = 200) -> Suite:
    """How much of a patch's success is left from any angle and in any light, on scenes that it was not fitted on.

    A sticker that hides cars, a poster taken for a person, a printable square that hides people, a texture that makes cars people.

    Each is fitted once, on the train split, and judged three times: under the sampled conditions (`patch_application.OUTDOORS`; on people
    those of the square's paper), seen straight on in even light, and with its pixels shuffled, the control. samples: held-out scenes; a
    tenth of them show a car, or a person, that the model finds. limit, steps: of the fit.
    """
    fit = f"limit={limit}, steps={steps}"
    conditions = [CLEAN]
    for name, spec in PATCHES.items():
        spec = f"{spec}({fit}"
        conditions += [
            Condition(name, attack=f"{spec})"),
            Condition(f"{name}, plain", attack=f"{spec})", judged="plain"),
            Condition(f"{name}, shuffled", attack=f"{spec})", judged="shuffled"),
        ]
    models = ("yolov3-small.scenes", "faster-rcnn-fpn-small.scenes")
    track = Track("detection", models, ("scenes",), tuple(conditions), ("ap50", "fabricated-per-image"), samples)
    return Suite("stickers", version=2, tracks=(track,), reports=REPORTS)
