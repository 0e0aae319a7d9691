"""Show an object in another context: cut out by its mask and pasted on another background."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

from robustbench_cv.arguments import NonNegativeInt
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions import counterfactual
from robustbench_cv.interventions.backgrounds import PLAIN, Background, borrow_background
from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.interventions.donors import MOST_TRIED, Donors, Setting
from robustbench_cv.interventions.fill import known_fill
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import choice_of, needed_regions, select
from robustbench_cv.interventions.paste import paste
from robustbench_cv.interventions.target_update import paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import Sample


@intervention(paper="arXiv:2006.09994")
def swap_context(to: str = "random", what: str = "auto", fill: str = "telea", draw: NonNegativeInt = 0) -> Intervention:
    """Paste the objects, cut out by their binary masks, at their own place on another background.

    to: "random" (a donor of another context), "same" (of the same context), "next" (of the next class, "Mixed-Next"), "any" (any other
    sample), "context:<name>"; "gray", "black", "blur" (the original without its objects, blurred), "noise"; "exact" and "exact-same" render
    the description again in another or in its own context (Scenes).
    what: the objects to keep: "auto" (the labelled one in classification, all else), or as in `remove`.
    fill: how a donor's own objects are covered, unless it can be rendered without them. draw: which of the donors that suit lends, counted
    from 0 in an order of the sample's own: several draws are several backgrounds, of which the worst is adversarial.

    The control of every swap is the swap to a donor of the same context: it has the same cut-out edges on a natural background, and differs
    in the context alone (the idea of "BG-Gap", Xiao et al., ICLR 2021). An exact swap has no edges; its control must have no effect at all.
    Boxes of pasted objects stay. Label maps take the donor's labels where those are known, and the unedited image is scored at the same
    positions.
    """
    return Swap(to, what, fill, draw=draw)


SETTINGS = ("random", "same", "next", "any")
"""Backgrounds that a donor lends."""

RENDERED = ("exact", "exact-same")
"""Backgrounds that are rendered again from the sample's description."""


@dataclass(frozen=True)
class Swap(Intervention):
    """Paste `what` on the background `to`. See `swap_context` for the parameters."""

    to: str
    what: str
    fill: str
    kind: str = "swap-context"
    draw: int = 0
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
        return str(Spec("swap-context", {"to": to, "what": self.what, "fill": self.fill, "draw": self.draw}))

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        rendered = self.to in RENDERED
        return ContextFacts(
            experiment="swap-context", choice=choice_of(self.what), method=self.to, exact=rendered, natural=self.to not in PLAIN
        )

    def with_donors(self, donors: Donors) -> Intervention:
        """The same swap, borrowing from these samples, whose targets are in the class indices of the samples to come."""
        return replace(self, donors=donors)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, "swap-context")
        if self.to in RENDERED:
            return counterfactual.render_moved(sample, self.kind, stream, elsewhere=self.to == "exact")
        pasted = select(sample, self.what, stream, erase=False)
        background = Background.of(PLAIN[self.to](sample, stream)) if self.to in PLAIN else self._borrow(sample, stream)
        return paste(sample, pasted, background, self.kind)

    def _borrow(self, sample: Sample, stream: Noise) -> Background:
        if self.donors is None:
            raise UserError(f"swap-context(to={self.to!r}) borrows backgrounds: call with_donors(Donors(samples)) first")
        here, order = Setting.of(sample), self.donors.class_order if self.to == "next" else ()
        lent = self.donors.lend(sample, stream.seed, lambda there: here.suits(self.to, there, order))
        backgrounds = (borrow_background(donor, sample, self.fill, stream) for donor in lent)
        usable = itertools.islice((background for background in backgrounds if background is not None), self.draw, None)
        for background in usable:
            return background
        raise NotApplicable(
            f"no donor can lend a background to={self.to!r} (for {sample.id}, context {here.context!r}, main class {here.main!r}): "
            f"up to {MOST_TRIED} were looked at{f', for the one at {self.draw}' if self.draw else ''}"
        )
