"""Show an object in no context: cut out by its mask, on a plain background."""

from __future__ import annotations

from robustbench_cv.catalogue import intervention
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.swap_context import Swap


@intervention(paper="arXiv:2006.09994")
def object_only(background: str = "black", what: str = "auto") -> Intervention:
    """The object alone on a plain background: "black" ("Only-FG" of Xiao et al., ICLR 2021), "gray", "blur" or "noise"."""
    return Swap(background, what, "telea", "object-only")
