"""What is left of an object when its own context is blurred, cut in pieces, turned to texture, or shown in part.

The experiments of Zhang, Tseng, Kreiman, "Putting Visual Object Recognition in Context", CVPR 2020 (arXiv:1911.07349). The object's pixels
stay as they are. Objects that are not chosen go with the context that they are part of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from robustbench_cv.arguments import NonNegativeNumber, PositiveNumber, Range
from robustbench_cv.boxes import from_mask
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.backgrounds import Background
from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.interventions.fill import GRAY, blur_known_pixels, extend_background
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import choice_of, instances, members, needed_regions, select
from robustbench_cv.interventions.paste import paste
from robustbench_cv.interventions.shapes import pieces
from robustbench_cv.interventions.target_update import paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import Sample

AT = 224
"""Shorter side in pixels at which lengths are given; they are scaled with the image."""


@intervention(paper="arXiv:1911.07349")
def blur_context(sigma: PositiveNumber = 8.0, what: str = "auto") -> Intervention:
    """Blur all but the object by a Gaussian of `sigma` px at a shorter side of 224 px (the paper's levels: 2, 4, 8, 16, 32).

    Background pixels are blurred from background pixels alone, so that no object leaks into its context.
    """

    def paint(sample: Sample, chosen: Tensor, stream: Noise) -> Tensor:
        return blur_known_pixels(sample.image, ~chosen, sigma * min(chosen.shape) / AT)

    return DegradedContext("blur-context", sigma, what, paint)


@intervention(paper="arXiv:1911.07349")
def jigsaw_context(grid: Annotated[int, Range(2, 64)] = 4, what: str = "auto") -> Intervention:
    """Cut the context into grid x grid tiles and put each at another's place, the object at its own (the paper's grids: 2, 4, 8).

    Under the object the tiles hold the background nearest to it, so that no piece of the object travels (project choice).
    """

    def paint(sample: Sample, chosen: Tensor, stream: Noise) -> Tensor:
        return shuffle_tiles(extend_background(sample.image, chosen), grid, stream)

    return DegradedContext("jigsaw-context", float(grid), what, paint)


@intervention(paper="arXiv:1911.07349")
def texture_context(what: str = "auto") -> Intervention:
    """Turn the context into a texture: its spectrum and colours are kept, its phases drawn at random.

    Random phase textures of Galerne, Gousseau, Morel (IEEE TIP 2011), where the paper has Portilla & Simoncelli's (project choice).
    """

    def paint(sample: Sample, chosen: Tensor, stream: Noise) -> Tensor:
        return random_phases(extend_background(sample.image, chosen), stream)

    return DegradedContext("texture-context", None, what, paint)


@intervention(paper="arXiv:1911.07349")
def crop_context(ratio: NonNegativeNumber = 2.0, what: str = "auto") -> Intervention:
    """Show `ratio` times the area of the object's bounding box of context around it, grey beyond (the paper's ratios: 2, 4, 8, 16, 128).

    The box shown has sqrt(ratio + 1) times the object's sides around its centre; 0 is the box alone. Not applicable where it exceeds the
    image, as in the paper's code. Each chosen object has a box of its own. Without a control: nothing is pasted, so that there is no edge
    to hold it against but that of the crop, which is what is varied.
    """
    return CroppedContext(ratio, what)


Paint = Callable[[Sample, Tensor, Noise], Tensor]


@dataclass(frozen=True)
class DegradedContext(Intervention):
    """All but the chosen objects painted anew from the sample itself. level: the spec's argument, for reports."""

    kind: Literal["blur-context", "jigsaw-context", "texture-context"]
    level: float | None
    what: str
    paint: Paint

    @property
    def needs(self) -> frozenset[str]:
        return needed_regions(self.what)

    @property
    def control(self) -> str | None:
        return str(Spec("swap-context", {"to": "same", "what": self.what}))

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        return ContextFacts(experiment=self.kind, choice=choice_of(self.what), level=self.level)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.kind)
        chosen = select(sample, self.what, stream, erase=False)
        if chosen.all():
            raise NotApplicable(f"{self.what!r} of sample {sample.id} leaves no context: it covers the whole image")
        painted = self.paint(sample, chosen, stream).clamp(0, 1).to(sample.image.dtype)
        return paste(sample, chosen, Background.of(painted), self.kind)


@dataclass(frozen=True)
class CroppedContext(Intervention):
    """The chosen objects with so much of the context around them, on grey."""

    ratio: float
    what: str

    @property
    def needs(self) -> frozenset[str]:
        return needed_regions(self.what)

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        return ContextFacts(experiment="show-context", choice=choice_of(self.what), level=self.ratio)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        chosen = select(sample, self.what, paired_noise(noise, "crop-context"), erase=False)
        shown = torch.zeros_like(chosen)
        masks = instances(sample)
        for mask in [masks[k] for k in members(sample, chosen) if masks[k].any()] or pieces(chosen):
            shown |= self._window(from_mask(mask).double(), sample)
        if shown.all():
            raise NotApplicable(f"the context shown is the whole image: nothing would change (sample {sample.id})")
        return paste(sample, shown, Background.of(torch.full_like(sample.image, GRAY)), "crop-context", chosen)

    def _window(self, box: Tensor, sample: Sample) -> Tensor:
        """The pixels shown around one object: bool (H, W)."""
        height, width = sample.image.shape[-2:]
        grown = (self.ratio + 1) ** 0.5
        (x1, y1, x2, y2), (w, h) = box.tolist(), ((box[2:] - box[:2]) * (grown - 1) / 2).tolist()
        left, top, right, bottom = round(x1 - w), round(y1 - h), round(x2 + w), round(y2 + h)
        if left < 0 or top < 0 or right > width or bottom > height:
            raise NotApplicable(f"{self.ratio:g} times the object's box of context exceeds the image (sample {sample.id})")
        window = torch.zeros(height, width, dtype=torch.bool)
        window[top:bottom, left:right] = True
        return window


def shuffle_tiles(image: Tensor, grid: int, noise: Noise) -> Tensor:
    """The tiles of a grid, none at its own place: (C, H, W). What does not divide by the grid stays at the right and bottom.

    The order is that of the noise, whatever is cut: an image and its label map go to the same places.

    NotApplicable where a tile would have no pixel.
    """
    height, width = (n // grid for n in image.shape[-2:])
    if not height or not width:
        raise NotApplicable(f"an image of {image.shape[-1]} x {image.shape[-2]} px has no {grid} x {grid} tiles")
    rows, columns = height * grid, width * grid
    tiles = image[:, :rows, :columns].reshape(-1, grid, height, grid, width).permute(1, 3, 0, 2, 4).flatten(0, 1)
    order = noise.fork("tiles").rng().permutation(grid * grid)
    moved = torch.empty_like(tiles)
    moved[torch.from_numpy(order)] = tiles[torch.from_numpy(order).roll(1)]  # a single cycle leaves no tile where it was
    out = image.clone()
    out[:, :rows, :columns] = moved.reshape(grid, grid, -1, height, width).permute(2, 0, 3, 1, 4).reshape(-1, rows, columns)
    return out


def random_phases(image: Tensor, noise: Noise) -> Tensor:
    """An image (3, H, W) with the amplitudes of every frequency and phases drawn at random, the same shift in all channels."""
    size = tuple(image.shape[-2:])
    phases = torch.fft.rfft2(noise.fork("phases").normal(size)[0].double())
    turns = phases / phases.abs().clamp(min=1e-12)
    turns[0, 0] = 1  # the mean colour
    turned: Tensor = torch.fft.irfft2(torch.fft.rfft2(image.double()) * turns, s=size)
    return turned.to(image.dtype)
