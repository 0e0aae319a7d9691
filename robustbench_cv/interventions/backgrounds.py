"""What is put behind an object: a colour, the blurred original, noise, or another sample's background with its own objects filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.counterfactual import same_classes
from robustbench_cv.interventions.fill import GRAY, blur_known_pixels, fill_region, statistical_noise
from robustbench_cv.interventions.object_selection import classes, objects, things
from robustbench_cv.interventions.shapes import dilate_mask, scale_length
from robustbench_cv.noise import Noise
from robustbench_cv.types import IGNORE, MaskTarget, Sample

SIGMA = 16.0, 224
"""Blur of a blurred background: 16 px at a shorter side of 224 px, of the levels 2 to 32 px of Zhang, Tseng, Kreiman, CVPR 2020
(arXiv:1911.07349), scaled with the image (project choice)."""

MOST_FILLED = 0.3
"""A donor whose own objects cover more than this share has too little background of its own (project choice)."""


@dataclass(frozen=True, eq=False)
class Background:
    """Pixels (3, H, W), their labels int64 (H, W) with 255 where unknown, class regions and context where known.

    shown: the classes of the objects that stood there, by which a background is told whose data name no context.
    """

    image: Tensor
    labels: Tensor
    regions: dict[str, Tensor]
    context: str | None = None
    shown: frozenset[str] = frozenset()

    @classmethod
    def of(cls, image: Tensor) -> Background:
        """A background that no class describes."""
        return cls(image, torch.full(image.shape[-2:], IGNORE), {})


def gray(sample: Sample, noise: Noise) -> Tensor:
    return torch.full_like(sample.image, GRAY)


def black(sample: Sample, noise: Noise) -> Tensor:
    return torch.zeros_like(sample.image)


def blur(sample: Sample, noise: Noise) -> Tensor:
    """The original blurred from its background pixels alone: nothing of an object leaks into it."""
    known = ~objects(sample)
    if not known.any():
        raise NotApplicable(f"sample {sample.id} has no background pixel to blur")
    return blur_known_pixels(sample.image, known, float(scale_length(*SIGMA, *known.shape))).clamp(0, 1)


def noise(sample: Sample, noise: Noise) -> Tensor:
    """Independent Gaussian pixels with the mean and deviation of the original background."""
    known = ~objects(sample)
    if not known.any():
        raise NotApplicable(f"sample {sample.id} has no background pixel to take the noise's colours from")
    return statistical_noise(sample.image, ~known, noise).clamp(0, 1)


PLAIN: dict[str, Callable[[Sample, Noise], Tensor]] = {"gray": gray, "black": black, "blur": blur, "noise": noise}
"""Backgrounds that are made from the sample itself, by name."""


def borrow_background(donor: Sample, like: Sample, fill: str, noise: Noise) -> Background | None:
    """A donor's background at the size of `like`; None where the donor's objects are unknown or leave too little of it.

    A rendered donor is drawn again without objects. Any other has its objects, grown by the default dilation of a removal, filled in; those
    pixels have no label.
    """
    if donor.scene is not None:
        clean = donor.scene.context_only()
        if isinstance(donor.target, MaskTarget):
            same_classes(donor, clean)
        return _resize_background(clean.image, _labels(clean), classes(clean), donor, like)
    try:
        own = objects(donor)
    except NotApplicable:
        return None
    if float(own.float().mean()) > MOST_FILLED:
        return None
    region = dilate_mask(own, scale_length(5, 480, *own.shape)) if own.any() else own
    surfaces = {name: mask & ~region for name, mask in classes(donor).items() if name not in things(donor)}
    return _resize_background(
        fill_region(donor.image, region, fill, noise), _labels(donor).masked_fill(region, IGNORE), surfaces, donor, like
    )


def _labels(sample: Sample) -> Tensor:
    if isinstance(sample.target, MaskTarget):
        return sample.target.labels
    return torch.full(sample.image.shape[-2:], IGNORE)


def _resize_background(image: Tensor, labels: Tensor, surfaces: dict[str, Tensor], donor: Sample, like: Sample) -> Background:
    size = like.image.shape[-2:]
    regions = {f"class:{name}": mask for name, mask in surfaces.items()}
    if image.shape[-2:] != size:
        image = interpolate(image[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0].clamp(0, 1)
        labels, regions = _nearest(labels, size), {name: _nearest(mask, size) for name, mask in regions.items()}
    return Background(image, labels, regions, donor.attributes.get("context"), frozenset(things(donor)))


def _nearest(values: Tensor, size: torch.Size) -> Tensor:
    return interpolate(values[None, None].double(), size=size, mode="nearest-exact")[0, 0].to(values.dtype)
