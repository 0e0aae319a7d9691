"""Deformable part models. Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 32(9), 2010, https://doi.org/10.1109/TPAMI.2009.167

HOG features, mixtures of a root filter and parts on springs, trained as latent support vector machines. Written as a network, so that a
gradient reaches the pixels wherever HOG has one.
"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.detectors.deformable.network import Mixtures, PartModels, Shape
from robustbench_cv.models.detectors.region_based.detector import BoxDetector, box_detector
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="detection",
    family="DPM",
    paper="doi:10.1109/TPAMI.2009.167",
    year=2010,
    source="own",
    parameters=746_940,
    reduced="components=1, root=4, parts=2, part=3, cell=4, octave=2, input_size=64, num_classes=3",
    jumps="the choice of orientation bins",
)
def dpm(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    components: NonNegativeInt = 0,
    root: NonNegativeInt = 0,
    parts: NonNegativeInt = 0,
    part: NonNegativeInt = 0,
    cell: NonNegativeInt = 0,
    octave: NonNegativeInt = 0,
    threshold: Fraction = 0.25,
    operating_score: Fraction = 0.5,
    nms_iou: Fraction = 0.3,
) -> BoxDetector:
    """Three components a class and their mirrors, eight parts of 6x6 cells each, cells of 8 px, ten levels an octave.

    Deviations from the released detector: boxes are the root's, not regressed from the parts' places; suppression goes by IoU, not by the
    share of the worse box that is covered; no level finer than the image's own size for the roots.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 20). input_size: side of the square into which images are fitted with grey borders
    (default: what the weights were trained at, else 512). components: of a class, without mirrors (default 3). root: side of the window of
    cells in which each root filter takes its rectangle (default 10; the paper lets the data choose, so the number of parameters is ours).
    parts: of a component (default 8). part: side, cells (default 6). cell: px, even (default 8). octave: levels to half the size
    (default 10). threshold: the least score decode keeps, where 0.5 is a margin of 0; operating_score: from where a box counts as reported.
    """
    paper = Shape()
    default = Description(architecture="dpm", classes=Labels.numbered(20).names, input_size=(512, 512), arguments=vars(paper))
    given = {"components": components, "root": root, "parts": parts, "part": part, "cell": cell, "octave": octave}
    begin = initial_weights("dpm", weights, checkpoint, classes, num_classes, input_size, default=default, **given)
    mixtures = begin.make(lambda: Mixtures(len(begin.classes), Shape(**begin.arguments)))
    return box_detector(PartModels(mixtures), begin, threshold, nms_iou, operating_score, repr(mixtures.shape))
