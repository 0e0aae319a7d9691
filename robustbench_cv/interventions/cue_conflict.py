"""One class's shape filled with another class's texture: which of the two does a classifier answer?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robustbench_cv.boxes import from_mask
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.donors import MOST_TRIED, Donors, Setting
from robustbench_cv.interventions.fill import extend_background
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import main_class, named_region, things
from robustbench_cv.interventions.target_update import make_edited, origin, paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample

TEXTURE = "texture"
"""Name of the sample's attribute that says whose texture its object has."""

FEWEST_PX = 64
"""Pixels that an object must have to lend its texture (project choice)."""


@intervention(paper="arXiv:1811.12231")
def cue_conflict() -> Intervention:
    """Fill the labelled object's silhouette with the texture of another class's object, its context as it was.

    After the cue conflict images of Geirhos et al., ICLR 2019, who transfer style to whole images; here the other object's own pixels are
    mirrored and tiled over the silhouette (project choice), which leaves shape and context to the first class. The label stays that of the
    shape; the attribute "texture" names the other class, for the metric shape-bias.
    """
    return CueConflict()


@dataclass(frozen=True)
class CueConflict(Intervention):
    """See `cue_conflict`."""

    donors: Donors | None = field(default=None, repr=False, compare=False)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"object"})

    @property
    def control(self) -> str | None:
        """None: the measure compares two answers to one image."""
        return None

    def with_donors(self, donors: Donors) -> Intervention:
        """The same, with textures of these samples' objects."""
        return replace(self, donors=donors)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        if self.donors is None:
            raise UserError("cue-conflict borrows textures: call with_donors(Donors(samples)) first")
        stream = paired_noise(noise, "cue-conflict")
        shape, own = named_region(sample, "object"), main_class(sample)
        if own is None:
            raise NotApplicable(f"sample {sample.id} does not say what its object is")
        for donor in self.donors.lend(sample, stream.seed, lambda there: _differs(own, there)):
            name, mask = _lent(donor)
            if name is None or int(mask.sum()) < FEWEST_PX:
                continue
            texture = mirrored_tiles(donor.image, mask, *shape.shape)
            image = torch.where(shape, texture.to(sample.image.dtype), sample.image)
            regions = dict(sample.regions)
            made = make_edited(
                sample, "cue-conflict", image, region=shape, target=sample.target, before=origin(sample), regions=regions, chosen=shape
            )
            return replace(made, attributes={**sample.attributes, TEXTURE: name})
        raise NotApplicable(f"no object of another class can lend a texture: up to {MOST_TRIED} were looked at (sample {sample.id})")


def _differs(own: str, there: Setting) -> bool:
    return there.main is not None and there.main != own


def _lent(donor: Sample) -> tuple[str | None, Tensor]:
    """The donor's main class and the pixels of it."""
    name = main_class(donor)
    mask = things(donor).get(name or "", torch.zeros(donor.image.shape[-2:], dtype=torch.bool))
    main = donor.regions.get("object")
    return name, mask if main is None or not bool((mask & main).any()) else mask & main


def mirrored_tiles(image: Tensor, mask: Tensor, height: int, width: int) -> Tensor:
    """The masked object's bounding box, what is not of the object replaced by its nearest pixel, mirrored and repeated: (3, height,
    width)."""
    x1, y1, x2, y2 = (int(v) for v in from_mask(mask))
    patch = extend_background(image, ~mask)[:, y1:y2, x1:x2]
    tile = torch.cat([patch, patch.flip(2)], dim=2)
    tile = torch.cat([tile, tile.flip(1)], dim=1)
    rows, columns = (torch.arange(n) % side for n, side in ((height, tile.shape[1]), (width, tile.shape[2])))
    return tile[:, rows][:, :, columns]
