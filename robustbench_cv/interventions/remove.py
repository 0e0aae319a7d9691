"""Remove an object, or all of a class, from the picture (the idea of Shetty, Schiele, Fritz, CVPR 2019, arXiv:1812.06707)."""

from __future__ import annotations

from robustbench_cv.arguments import NonNegativeInt, PositiveFraction
from robustbench_cv.catalogue import intervention
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.removal import Placebo, Removal


@intervention(paper="arXiv:1812.06707")
def remove(
    what: str = "auto", fill: str = "telea", dilate: NonNegativeInt | None = None, max_share: PositiveFraction = 0.3
) -> Intervention:
    """Fill an object's mask, slightly grown, so that it is gone; the target follows.

    what: "auto" (the labelled object in classification, all objects else), "object", "all", "random-object", "random-class",
    "context-class" (a random class other than the labelled object's), or a class's name.
    fill: "telea", "navier-stokes", "blur", "mean", "noise", "tile", "gray", "black"; "exact" renders the description again (Scenes).
    dilate: growth of the mask in pixels; None is 5 px at a shorter side of 480 px, scaled, at least 1 (project choice).
    max_share: a mask larger than this share of the image is not applicable (project choice, 30 %).

    Classification: without its labelled object an image has the label ABSENT. Segmentation: filled pixels are ignored, in the unedited
    image too. Detection: removed boxes leave the target; other objects that lose over a quarter of their visible pixels become crowd.
    """
    return Removal(what, fill, dilate, max_share)


@intervention(paper="arXiv:1812.06707")
def remove_control(
    what: str = "auto", fill: str = "telea", dilate: NonNegativeInt | None = None, max_share: PositiveFraction = 0.3
) -> Intervention:
    """The placebo of `remove`: the same shape, filled in the same way, at a random place that touches no object (project choice)."""
    return Placebo(Removal(what, fill, dilate, max_share))


@intervention(paper="arXiv:2006.09994")
def context_only(what: str = "auto", fill: str = "black", shape: str = "mask") -> Intervention:
    """The context without the object, whose outline or box stays visible: "No-FG", "Only-BG-B", "Only-BG-T" of Xiao et al., ICLR 2021.

    fill="black", shape="mask" is No-FG; fill="black", shape="box" Only-BG-B; fill="tile", shape="box" Only-BG-T; any fill serves.
    """
    return Removal(what, fill, 0, 1.0, shape, "context-only")


@intervention(paper="arXiv:2006.09994")
def context_only_control(what: str = "auto", fill: str = "black", shape: str = "mask") -> Intervention:
    """The placebo of `context_only`: the same outline or box, filled in the same way, where no object is (project choice)."""
    return Placebo(Removal(what, fill, 0, 1.0, shape, "context-only"))
