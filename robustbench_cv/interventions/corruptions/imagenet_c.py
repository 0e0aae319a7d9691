"""The corruptions of ImageNet-C as interventions: any size from 32 px up, on the whole image, on objects or on all but these.

Constants: Hendrycks, Dietterich, ICLR 2019 (arXiv:1903.12261); elastic transform, motion blur and pixelation as Michaelis et al. 2019
(arXiv:1907.07484) extend them to any size. `group`, `held_out`: the paper's groups, and the four that mCE leaves out. ImageNet-C itself was
stored as JPEG of quality 85; images corrupted in memory give other, mostly lower errors.
"""

from __future__ import annotations

from robustbench_cv.arguments import Severity
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import UserError
from robustbench_cv.interventions.corruption_facts import Where
from robustbench_cv.interventions.corruptions.corruption import CORRUPTIONS, Corruption
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.placebo import Elsewhere


@intervention(paper="arXiv:1903.12261", group="noise")
def gaussian_noise(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Normal noise."""
    return Corruption("gaussian_noise", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="noise")
def shot_noise(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Noise of few photons."""
    return Corruption("shot_noise", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="noise")
def impulse_noise(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Values that became 0 or 1."""
    return Corruption("impulse_noise", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="blur")
def defocus_blur(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Blur of a lens out of focus."""
    return Corruption("defocus_blur", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="blur")
def glass_blur(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """As through frosted glass."""
    return Corruption("glass_blur", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="blur")
def motion_blur(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Blur along a line."""
    return Corruption("motion_blur", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="blur")
def zoom_blur(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Blur of a camera that moves towards what it sees."""
    return Corruption("zoom_blur", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="weather")
def snow(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Falling snow."""
    return Corruption("snow", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="weather")
def frost(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Ice on the lens, grown from noise: ImageNet-C lays photographs of ice over its images, so compare with no published number."""
    return Corruption("frost", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="weather")
def fog(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """A cloud of a plasma fractal."""
    return Corruption("fog", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="weather")
def brightness(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """A brighter image."""
    return Corruption("brightness", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="digital")
def contrast(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Less contrast."""
    return Corruption("contrast", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="digital")
def elastic_transform(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Pixels moved by smooth noise; boxes and masks stay where they are."""
    return Corruption("elastic_transform", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="digital")
def pixelate(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Fewer pixels, enlarged."""
    return Corruption("pixelate", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="digital")
def jpeg_compression(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """JPEG of low quality."""
    return Corruption("jpeg_compression", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="noise", held_out=True)
def speckle_noise(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Noise in proportion to each value."""
    return Corruption("speckle_noise", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="blur", held_out=True)
def gaussian_blur(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """A Gaussian blur."""
    return Corruption("gaussian_blur", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="weather", held_out=True)
def spatter(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Water, from severity 4 on mud, on the lens."""
    return Corruption("spatter", severity, where, what)


@intervention(paper="arXiv:1903.12261", group="digital", held_out=True)
def saturate(severity: Severity = 3, where: Where = "everywhere", what: str = "auto") -> Intervention:
    """Less, from severity 3 on more saturation."""
    return Corruption("saturate", severity, where, what)


@intervention(paper="arXiv:1903.12261")
def corruption_control(corruption: str = "gaussian_noise", severity: Severity = 3, what: str = "auto") -> Intervention:
    """The placebo of a corruption of objects: the same one on a region of their shape where no object is (project choice)."""
    name = corruption.replace("-", "_")
    if name not in CORRUPTIONS:
        raise UserError(f"no corruption named {corruption!r}; choose one of {', '.join(CORRUPTIONS)}")
    return Elsewhere(Corruption(name, severity, "object", what))
