"""Show an object in another context, or in none."""

from __future__ import annotations

from robustbench_cv.catalogue import intervention
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.swap import Swap


@intervention(paper="arXiv:2006.09994")
def swap_context(to: str = "random", what: str = "auto", fill: str = "telea") -> Intervention:
    """Paste the objects, cut out by their binary masks, at their own place on another background.

    to: "random" (a donor of another context), "same" (of the same context), "context:<name>"; "gray", "black", "blur" (the original without
    its objects, blurred), "noise"; "exact" and "exact-same" render the description again in another or in its own context (Scenes).
    what: the objects to keep: "auto" (the labelled one in classification, all else), or as in `remove`.
    fill: how a donor's own objects are covered, unless it can be rendered without them.

    The control of every swap is the swap to a donor of the same context: it has the same cut-out edges on a natural background, and differs
    in the context alone (the idea of "BG-Gap", Xiao et al., ICLR 2021). An exact swap has no edges; its control must have no effect at all.
    Boxes of pasted objects stay. Label maps take the donor's labels where those are known, and the unedited image is scored at the same
    positions.
    """
    return Swap(to, what, fill)


@intervention(paper="arXiv:2006.09994")
def object_only(background: str = "black", what: str = "auto") -> Intervention:
    """The object alone on a plain background: "black" ("Only-FG" of Xiao et al., ICLR 2021), "gray", "blur" or "noise"."""
    return Swap(background, what, "telea", "object-only")
