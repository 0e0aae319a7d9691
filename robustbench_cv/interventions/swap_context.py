"""Show an object in another context: cut out by its mask and pasted on another background."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor, where

from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions import counterfactual
from robustbench_cv.interventions.backgrounds import PLAIN, Background, borrow_background
from robustbench_cv.interventions.donors import MOST_TRIED, Donors, Setting
from robustbench_cv.interventions.fill import known_fill
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import members, needed_regions, select, things
from robustbench_cv.interventions.target_update import (
    cut_regions,
    ignore_pixels,
    keep_objects,
    lost_classes,
    make_edited,
    origin,
    paired_noise,
)
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import IGNORE, BoxTarget, MaskTarget, Sample, Target


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


SETTINGS = ("random", "same")
"""Backgrounds that a donor lends."""

RENDERED = ("exact", "exact-same")
"""Backgrounds that are rendered again from the sample's description."""


@dataclass(frozen=True)
class Swap:
    """Paste `what` on the background `to`. See `swap_context` for the parameters."""

    to: str
    what: str
    fill: str
    kind: str = "swap-context"
    donors: Donors | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        known_fill(self.fill)
        if self.to not in (*SETTINGS, *RENDERED, *PLAIN) and not self.to.startswith("context:"):
            choices = ", ".join((*SETTINGS, *RENDERED, *PLAIN))
            raise UserError(f"no background named {self.to!r}; choose one of {choices}, or context:<name>")

    @property
    def needs(self) -> frozenset[str]:
        return needed_regions(self.what)

    @property
    def control(self) -> str | None:
        if self.to in ("same", "exact-same"):
            return None
        to = "exact-same" if self.to == "exact" else "same"
        return str(Spec("swap-context", {"to": to, "what": self.what, "fill": self.fill}))

    @property
    def removes_objects(self) -> bool:
        return False

    def with_donors(self, donors: Donors) -> Intervention:
        """The same swap, borrowing from these samples, whose targets are in the class indices of the samples to come."""
        return replace(self, donors=donors)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, "swap-context")
        if self.to in RENDERED:
            return counterfactual.render_moved(sample, self.kind, stream, elsewhere=self.to == "exact")
        pasted = select(sample, self.what, stream, erase=False)
        background = Background.of(PLAIN[self.to](sample, stream)) if self.to in PLAIN else self._borrow(sample, stream)
        target, before = _targets(sample, pasted, background)
        regions = cut_regions(sample, ~pasted, [k for k in range(_count(sample)) if k not in members(sample, pasted)])
        for name, mask in background.regions.items():
            behind = mask & ~pasted
            regions[name] = regions[name] | behind if name in regions else behind
        image = where(pasted, sample.image, background.image)
        objects_lost = lost_classes({f"class:{name}": mask for name, mask in things(sample).items()}, regions)
        made = make_edited(sample, self.kind, image, region=~pasted, target=target, before=before, regions=regions, removed=objects_lost)
        facts = {name: fact for name, fact in sample.attributes.items() if name != "context"}
        return replace(made, attributes=facts if background.context is None else facts | {"context": background.context})

    def _borrow(self, sample: Sample, stream: Noise) -> Background:
        if self.donors is None:
            raise UserError(f"swap-context(to={self.to!r}) borrows backgrounds: call with_donors(Donors(samples)) first")
        here = Setting.of(sample)
        for donor in self.donors.lend(sample, stream.seed, lambda there: here.suits(self.to, there)):
            background = borrow_background(donor, sample, self.fill, stream)
            if background is not None:
                return background
        raise NotApplicable(
            f"no donor can lend a background to={self.to!r} (for {sample.id}, context {here.context!r}, main class {here.main!r}): "
            f"up to {MOST_TRIED} were looked at"
        )


def _count(sample: Sample) -> int:
    indices = [int(name[9:]) for name in sample.regions if name.startswith("instance:")]
    return max([*(i + 1 for i in indices), len(sample.target.boxes) if isinstance(sample.target, BoxTarget) else 0])


def _targets(sample: Sample, pasted: Tensor, background: Background) -> tuple[Target, Target]:
    """Target and `before`: the objects pasted; in segmentation the background's labels too, and the same positions in both."""
    target, before = sample.target, origin(sample)
    if isinstance(target, BoxTarget) and isinstance(before, BoxTarget):
        pasted_objects = set(members(sample, pasted))
        return keep_objects(target, before, [k for k in range(len(target.boxes)) if k in pasted_objects])
    if isinstance(target, MaskTarget) and isinstance(before, MaskTarget):
        labels = where(pasted, target.labels, background.labels.to(target.labels.dtype))
        unknown = (labels == IGNORE) | (before.labels == IGNORE)
        return ignore_pixels(MaskTarget(labels), unknown), ignore_pixels(before, unknown)
    return target, before
