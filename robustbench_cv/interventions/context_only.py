"""The context without its object: an object's outline or box filled, as "No-FG" and "Only-BG" of Xiao et al., ICLR 2021."""

from __future__ import annotations

from robustbench_cv.catalogue import intervention
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.remove import Placebo, Removal


@intervention(paper="arXiv:2006.09994")
def context_only(what: str = "auto", fill: str = "black", shape: str = "mask") -> Intervention:
    """The context without the object, whose outline or box stays visible: "No-FG", "Only-BG-B", "Only-BG-T" of Xiao et al., ICLR 2021.

    fill="black", shape="mask" is No-FG; fill="black", shape="box" Only-BG-B; fill="tile", shape="box" Only-BG-T; any fill serves.
    """
    return Removal(what=what, fill=fill, dilate=0, max_share=1.0, shape=shape, kind="context-only")


@intervention(paper="arXiv:2006.09994")
def context_only_control(what: str = "auto", fill: str = "black", shape: str = "mask") -> Intervention:
    """The placebo of `context_only`: the same outline or box, filled in the same way, where no object is (project choice)."""
    return Placebo(Removal(what=what, fill=fill, dilate=0, max_share=1.0, shape=shape, kind="context-only"))
