"""Paste an object of another image at a place of a grid, and the placebo: a patch of that image's background, of the same shape, there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from robustbench_cv.arguments import NonNegativeInt, PositiveFraction
from robustbench_cv.boxes import from_mask
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.context_facts import Choice, ContextFacts
from robustbench_cv.interventions.donors import MOST_TRIED, Donors
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import classes, instances, named_region, objects, things
from robustbench_cv.interventions.shapes import free_offset, pieces
from robustbench_cv.interventions.target_update import (
    DAMAGED,
    cut_regions,
    erase_objects,
    ignore_pixels,
    lost_classes,
    make_edited,
    paired_noise,
)
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import IGNORE, BoxTarget, ClassTarget, MaskTarget, Sample, Target

STEPS = 10
"""Places along each side: the grid's stride is a tenth of the side (project choice)."""

LEAST_SHARE = 0.005
"""Share of the image below which an object is too small to ask for (project choice)."""

FEWEST_PX = 16
"""Pixels that an object must have at least, however small the image (project choice)."""

PARTNERS = ("random", "congruent", "incongruent")

PASTED = ("object", "background")


@intervention(paper="arXiv:1808.03305")
def transplant(
    draw: NonNegativeInt = 0,
    row: NonNegativeInt | None = None,
    column: NonNegativeInt | None = None,
    partner: str = "random",
    pasted: str = "object",
    max_share: PositiveFraction = 0.2,
) -> Intervention:
    """Cut one random object T by its mask out of another sample of the data and paste it, at its own size, wholly inside this image.

    The grid of places has a stride of 1/10 of each side, from the top left corner, as far as T fits. draw: which of them, in a random order
    of the sample's own, counted from 0; row, column: the place itself instead, of which an image without it is not applicable. T is the
    same at every place. Rosenfeld, Zemel, Tsotsos 2018; what the paper leaves open is a project choice.

    partner: the class of T: "random" (any), "congruent" (a class that this image lacks and that stands more often than by chance with one
    of its own classes), "incongruent" (one that it lacks and that stands more rarely than by chance with all of its own). Counted by
    normalised pointwise mutual information over up to 1000 samples of the data. max_share: the largest share of the image that T may
    cover; the least is 0.5 %. Objects that touch their image's edge are not whole and never taken. Where data know boxes alone, T is its
    box. In classification T is the other sample's labelled object.

    pasted: "background" is the placebo: a patch of T's image of T's shape, where no object is, at the place where T would be.

    The region is T's pixels. Detection: T is one more object of its class, with the box of its pixels; objects that it hides are gone, and
    those that it covers by over 25 % are ignored in both images. Segmentation: T's pixels have T's class, the patch's the labels of its own
    image; what is unknown in either image is ignored in both. Classification: the label stays, and means the object that was there before;
    draws pass over places at which T would cover over 25 % of it, and images are not applicable at such a row and column.
    """
    return Transplant(draw, row, column, partner, pasted, max_share)


class Cutting(NamedTuple):
    """What is pasted, cropped to T's box: image (3, h, w), the pixels that are T's, bool (h, w), their labels int64 (h, w) with 255 where
    unknown, the regions "class:<name>" (h, w). name, label: T's class, also of its placebo, which is no object."""

    image: Tensor
    shape: Tensor
    labels: Tensor
    regions: dict[str, Tensor]
    name: str
    label: int
    is_object: bool


class _Choice(NamedTuple):
    """T and its placebo: the donor's id, T there, and where (top, left) a patch of background begins."""

    donor: str
    one: _Object
    at: tuple[int, int]


class Place(NamedTuple):
    """Row and column of the grid, and the pixel where T's box begins."""

    row: int
    column: int
    top: int
    left: int


def grid(size: tuple[int, int], inner: tuple[int, int]) -> list[Place]:
    """Every place at which a box of `inner` (h, w) lies inside an image of `size` (H, W), row by row.

    >>> [(p.top, p.left) for p in grid((10, 20), (9, 17))]
    [(0, 0), (0, 2), (1, 0), (1, 2)]
    """
    tops, lefts = ([round(k * side / STEPS) for k in range(STEPS)] for side in size)
    return [
        Place(i, j, top, left)
        for i, top in enumerate(tops)
        for j, left in enumerate(lefts)
        if top + inner[0] <= size[0] and left + inner[1] <= size[1]
    ]


@dataclass(frozen=True)
class Transplant(Intervention):
    """See `transplant` for the parameters."""

    draw: int
    row: int | None
    column: int | None
    partner: str
    pasted: str
    max_share: float
    donors: Donors | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value, choices in (("partner", self.partner, PARTNERS), ("pasted", self.pasted, PASTED)):
            if value not in choices:
                raise UserError(f"no {name} named {value!r}; choose one of {', '.join(choices)}")
        if (self.row is None) != (self.column is None):
            raise UserError("a place of the grid is a row and a column: give both, or neither and draw=<k>")
        for name, at in (("row", self.row), ("column", self.column)):
            if at is not None and at >= STEPS:
                raise UserError(f"{name}={at} is outside the grid, which has {STEPS}, counted from 0")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"objects"})

    @property
    def control(self) -> str | None:
        if self.pasted == "background":
            return None
        args = {name: getattr(self, name) for name in ("draw", "row", "column", "partner", "max_share")}
        return str(Spec("transplant", args | {"pasted": "background"}))

    @property
    def surveys(self) -> bool:
        """Whether T depends on what classes stand together in the data."""
        return self.partner != "random"

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        return ContextFacts(experiment="transplant", choice=Choice("random-object", "objects"), method=self.partner, natural=True)

    def with_donors(self, donors: Donors) -> Intervention:
        """The same, with objects of these samples, whose targets are in the class indices of the samples to come."""
        return replace(self, donors=donors)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, "transplant")
        objects(sample)  # of what marks no objects nobody knows what is covered
        if self.donors is None:
            raise UserError("transplant borrows objects: call with_donors(Donors(samples)) first")
        choice = self._choose(sample, stream)
        place = self._place(sample, choice.one.shape, stream)
        return _paste(sample, _cutting(self.donors.sample(choice.donor), choice, self.pasted), place)

    def _place(self, sample: Sample, shape: Tensor, stream: Noise) -> Place:
        places = grid((sample.image.shape[-2], sample.image.shape[-1]), (shape.shape[0], shape.shape[1]))
        if self.row is None:
            places = [place for place in places if not _hides_labelled(sample, shape, place)]
            order = stream.fork("place").rng().permutation(len(places))
            if self.draw >= len(order):
                raise NotApplicable(f"the object has no place {self.draw} on its grid (of {len(order)} in sample {sample.id})")
            return places[int(order[self.draw])]
        found = next((place for place in places if place[:2] == (self.row, self.column)), None)
        if found is None:
            raise NotApplicable(f"the object does not fit inside at row {self.row}, column {self.column} (sample {sample.id})")
        return found

    def _choose(self, sample: Sample, stream: Noise) -> _Choice:
        """The same for every place, and found once for all of them."""
        assert self.donors is not None
        key = ("transplant", self.partner, self.max_share, stream.seed, sample.id, tuple(sample.image.shape))
        if key not in self.donors.choices:
            self.donors.choices[key] = self._search(sample, stream)
        found: _Choice | None = self.donors.choices[key]
        if found is None:
            of = "" if self.partner == "random" else f"{self.partner} "
            raise NotApplicable(f"no donor has a whole {of}object that fits (for {sample.id}): up to {MOST_TRIED} were looked at")
        return found

    def _search(self, sample: Sample, stream: Noise) -> _Choice | None:
        """T of the first donor that has one and a patch of background of its shape."""
        assert self.donors is not None
        for donor in self.donors.lend(sample, stream.seed, lambda there: True):
            rng = stream.fork(donor.id).rng()
            found = [one for one in _whole_objects(donor) if self._suits(one, sample)]
            for k in rng.permutation(len(found)).tolist():
                one = found[k]
                at = free_offset(one.shape, objects(donor), rng)
                if at is not None:
                    return _Choice(donor.id, one, at)
        return None

    def _suits(self, one: _Object, sample: Sample) -> bool:
        (height, width), pixels = sample.image.shape[-2:], int(one.shape.sum())
        fits = one.shape.shape[0] <= height and one.shape.shape[1] <= width
        if not fits or not max(LEAST_SHARE * height * width, FEWEST_PX) <= pixels <= self.max_share * height * width:
            return False
        if self.partner == "random":
            return True
        assert self.donors is not None
        own = [name for name, mask in things(sample).items() if bool(mask.any())]
        wanted = "often" if self.partner == "congruent" else "rarely"
        return one.name not in own and self.donors.co_occurrence.together(one.name, own) == wanted


class _Object(NamedTuple):
    """An object of a donor: its class, its pixels cropped to their box, where that box begins."""

    name: str
    label: int
    shape: Tensor
    top: int
    left: int


def _whole_objects(donor: Sample) -> Iterator[_Object]:
    """Those of a known class, no crowds, that do not touch the edge of their image."""
    named = things(donor)
    for k, mask in _candidates(donor).items():
        x1, y1, x2, y2 = (int(v) for v in from_mask(mask))
        if x1 == 0 or y1 == 0 or x2 == mask.shape[1] or y2 == mask.shape[0]:
            continue
        name = max(named, key=lambda one: int((named[one] & mask).sum()), default=None)
        label = _label(donor, k, mask)
        if name is not None and bool((named[name] & mask).any()) and label is not None:
            yield _Object(name, label, mask[y1:y2, x1:x2], y1, x1)


def _candidates(donor: Sample) -> dict[int, Tensor]:
    """Visible masks of objects: of a classification sample the labelled one; where no object is told from another, connected pieces."""
    if isinstance(donor.target, ClassTarget):
        main = donor.regions.get("object")
        return {} if main is None else {0: main}
    return instances(donor) or dict(enumerate(part for mask in things(donor).values() for part in pieces(mask)))


def _label(donor: Sample, k: int, mask: Tensor) -> int | None:
    """The class index; None where it is unknown, and of crowds."""
    target = donor.target
    if isinstance(target, ClassTarget):
        return target.label if target.label >= 0 else None
    if isinstance(target, BoxTarget):
        return None if k >= len(target.labels) or bool(target.crowd[k]) else int(target.labels[k])
    known = target.labels[mask & (target.labels != IGNORE)]
    return int(known.mode().values) if len(known) else None


def _hides_labelled(sample: Sample, shape: Tensor, place: Place) -> bool:
    """Whether T would cover too much of a classification sample's object for its label to stay."""
    if not isinstance(sample.target, ClassTarget):
        return False
    main = named_region(sample, "object")
    inside = main[place.top : place.top + shape.shape[0], place.left : place.left + shape.shape[1]] & shape
    return int(inside.sum()) > DAMAGED * int(main.sum())


def _cutting(donor: Sample, choice: _Choice, pasted: str) -> Cutting:
    one, is_object = choice.one, pasted == "object"
    top, left = (one.top, one.left) if is_object else choice.at
    rows, columns = slice(top, top + one.shape.shape[0]), slice(left, left + one.shape.shape[1])
    labels = torch.full(one.shape.shape, IGNORE)
    if isinstance(donor.target, MaskTarget):
        labels = donor.target.labels[rows, columns].masked_fill(~one.shape, IGNORE)
        labels = torch.where(labels == one.label, labels, IGNORE) if is_object else labels
    regions = {f"class:{one.name}": one.shape}
    if not is_object:
        here = {f"class:{name}": mask[rows, columns] & one.shape for name, mask in classes(donor).items()}
        regions = {name: mask for name, mask in here.items() if bool(mask.any())}
    return Cutting(donor.image[:, rows, columns], one.shape, labels, regions, one.name, one.label, is_object)


def _paste(sample: Sample, cutting: Cutting, place: Place) -> Sample:
    put = torch.zeros(sample.image.shape[-2:], dtype=torch.bool)
    rows, columns = (slice(at, at + side) for at, side in zip(place[2:], cutting.shape.shape, strict=True))
    put[rows, columns] = cutting.shape
    image = sample.image.clone()
    image[:, put] = cutting.image[:, cutting.shape].to(image.dtype)
    target, before, gone = erase_objects(sample, torch.zeros_like(put), put)
    regions = cut_regions(sample, put, gone)
    for name, mask in cutting.regions.items():
        whole = torch.zeros_like(put)
        whole[rows, columns] = mask
        regions[name] = regions[name] | whole if name in regions else whole
    if cutting.is_object:
        regions |= _regions_of_object(target, regions, put)
    subject: Target
    if isinstance(target, BoxTarget):
        assert isinstance(before, BoxTarget)
        subject = _box_of(put, cutting.label)
        if cutting.is_object:
            target, before = _with_object(target, before, subject, put)
    elif isinstance(target, MaskTarget):
        subject = MaskTarget(torch.where(put, cutting.label, IGNORE))
        target, before = _pasted_labels(sample, cutting, put)
    else:
        subject = ClassTarget(cutting.label)
    made = make_edited(
        sample,
        "transplant",
        image,
        region=put,
        target=target,
        before=before,
        regions=regions,
        removed=lost_classes({f"class:{name}": mask for name, mask in things(sample).items()}, regions),
    )
    assert made.edit is not None
    return replace(
        made, edit=replace(made.edit, subject=subject, adds=True), attributes={**sample.attributes, "transplanted": cutting.name}
    )


def _regions_of_object(target: Target, regions: dict[str, Tensor], put: Tensor) -> dict[str, Tensor]:
    """What names objects without their class, with T among them; nothing that the data do not have."""
    out = {"objects": regions["objects"] | put} if "objects" in regions else {}
    numbers = [name for name in regions if name.startswith("instance:")]
    if numbers or isinstance(target, BoxTarget):
        out[f"instance:{len(target.boxes) if isinstance(target, BoxTarget) else len(numbers)}"] = put
    return out


def _box_of(put: Tensor, label: int) -> BoxTarget:
    return BoxTarget.of(from_mask(put)[None], torch.tensor([label]), area=put.sum()[None].float())


def _with_object(target: BoxTarget, before: BoxTarget, one: BoxTarget, put: Tensor) -> tuple[BoxTarget, BoxTarget]:
    """T behind the target's objects; in `before`, at the same place of the list, as a region to ignore."""
    count = len(target.boxes)
    shared, gone = before.select(torch.arange(count)), before.select(torch.arange(count, len(before.boxes)))
    masked = replace(one, masks=None if target.masks is None else put[None])
    ignored = replace(masked, crowd=torch.ones(1, dtype=torch.bool), masks=None if before.masks is None else put[None])
    return _joined(target, masked), _joined(shared, ignored, gone)


def _joined(*parts: BoxTarget) -> BoxTarget:
    masks = [part.masks for part in parts if part.masks is not None]
    boxes, labels, crowd, area = (torch.cat([getattr(p, name) for p in parts]) for name in ("boxes", "labels", "crowd", "area"))
    return BoxTarget(boxes, labels, crowd, area, torch.cat(masks) if len(masks) == len(parts) else None)


def _pasted_labels(sample: Sample, cutting: Cutting, put: Tensor) -> tuple[Target, Target]:
    """The label map with what was pasted, and that of the unedited image: what is unknown in either is ignored in both."""
    before = sample.target if sample.edit is None else sample.edit.before
    assert isinstance(sample.target, MaskTarget)
    assert isinstance(before, MaskTarget)
    labels = sample.target.labels.clone()
    labels[put] = cutting.labels[cutting.shape].to(labels.dtype)
    unknown = (labels == IGNORE) | (before.labels == IGNORE)
    return ignore_pixels(MaskTarget(labels), unknown), ignore_pixels(before, unknown)
