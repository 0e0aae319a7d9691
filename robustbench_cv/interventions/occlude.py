"""Hide part of an object."""

from __future__ import annotations

from robustbench_cv.arguments import PositiveFraction
from robustbench_cv.catalogue import intervention
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.occlusion import Occlusion, OcclusionPlacebo


@intervention()
def occlude(share: PositiveFraction = 0.5, what: str = "auto", texture: str = "gray", style: str = "block") -> Intervention:
    """Cover a share of each chosen object's visible pixels (project choice: the visible mask's area, not the box's).

    what: "auto" (the labelled object in classification, each object else), or as in `remove`. texture: "gray", "noise" (random pixels),
    "patch" (the image's own background, displaced). style: "block" (a rectangle grown from a random point of the object until it covers the
    share, so to the nearest row) or "blobs" (random patches, to the nearest pixel).

    The realised share is `edit.share`. A larger share covers a superset. Labels and boxes stay: the boxes are those of the unoccluded
    object, as a detector that completes objects should report them. Covered pixels of a label map are ignored.
    """
    return Occlusion(share, what, texture, style)


@intervention()
def occlude_control(share: PositiveFraction = 0.5, what: str = "auto", texture: str = "gray", style: str = "block") -> Intervention:
    """The placebo of `occlude`: an occluder of the same shape and texture at a random place that touches no object (project choice)."""
    return OcclusionPlacebo(Occlusion(share, what, texture, style))
