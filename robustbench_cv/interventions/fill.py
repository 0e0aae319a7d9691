"""What to put where something was: classical in-painters, deterministic, none of which looks at the pixels it replaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from robustbench_cv.boxes import from_mask
from robustbench_cv.code_lookups import Lookup, record_lookup
from robustbench_cv.errors import ForeignError, UserError, foreign
from robustbench_cv.interventions.shapes import pieces
from robustbench_cv.noise import Noise
from robustbench_cv.python_files import load_factory

GRAY = 0.5
RADIUS_PX = 3.0
"""Neighbourhood of the OpenCV in-painters (the value of OpenCV's own examples)."""

Painter = Callable[[Tensor, Tensor, Noise], Tensor]


def fill_region(image: Tensor, region: Tensor, method: str, noise: Noise) -> Tensor:
    """A copy of the image (3, H, W) with the region (H, W) filled by one of FILLS, or by an in-painter of a user's file; all other pixels
    are bit-identical.

    >>> fill_region(torch.ones(3, 2, 2), torch.tensor([[True, False], [False, False]]), "black", Noise(0, ("a",)))[0]
    tensor([[0., 1.],
            [1., 1.]])
    """
    if not region.any():
        return image.clone()
    if region.all() and method not in ("black", "gray"):
        method = "gray"  # nothing is known to extend
    painter = FILLS[method] if method in FILLS else user_painter(method)
    paint = painter(image, region, noise).clamp(0, 1).to(image.dtype)
    return torch.where(region, paint, image)


def known_fill(name: str, *more: str) -> str:
    """The name itself; UserError with the choices where there is no such fill. file.py:function names an in-painter of the user's."""
    if name in FILLS or name in more:
        return name
    if ".py:" not in name:
        raise UserError(f"no fill named {name!r}; choose one of {sorted((*FILLS, *more))}, or file.py:function")
    user_painter(name)
    return name


def user_painter(name: str) -> Painter:
    """A user's in-painter, file.py:function, which takes an image (3, H, W) in [0, 1] and a region, bool (H, W), and gives the image with
    the region filled; what it gives elsewhere is not looked at. UserError where the file or the function is missing.
    """
    text, _, function = name.rpartition(":")
    path = Path(text).expanduser()
    record_lookup(Lookup("file", function, path))
    paint = load_factory(path, function)

    def painter(image: Tensor, region: Tensor, noise: Noise) -> Tensor:
        with foreign(f"in-painter {name}", path):
            made = paint(image.clone(), region.clone())
        if not isinstance(made, Tensor) or made.shape != image.shape or not bool(made.isfinite().all()):
            what = f"shape {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            raise ForeignError(f"in-painter {name} gave {what}; it gives an image of shape {tuple(image.shape)}, all finite")
        return made.detach().cpu()

    return painter


def mean(image: Tensor, region: Tensor, noise: Noise) -> Tensor:
    """The mean colour of the rest of the image."""
    return image[:, ~region].mean(dim=1)[:, None, None].expand_as(image)


def statistical_noise(image: Tensor, region: Tensor, noise: Noise) -> Tensor:
    """Independent Gaussian pixels with each channel's mean and deviation over the rest of the image."""
    rest = image[:, ~region]
    center, spread = rest.mean(dim=1), rest.std(dim=1, correction=0)
    return center[:, None, None] + spread[:, None, None] * noise.fork("fill").normal(tuple(image.shape))[0]


def blur(image: Tensor, region: Tensor, noise: Noise) -> Tensor:
    """A Gaussian average of the rest of the image, wide enough (a third of the largest piece's shorter side) to reach the middle."""
    return blur_known_pixels(image, ~region, max(1.0, _thickness(region) / 3))


def telea(image: Tensor, region: Tensor, noise: Noise) -> Tensor:
    """Fast marching. Telea, Journal of Graphics Tools 9(1), 2004 (OpenCV's implementation, on 8 bits)."""
    import cv2

    return _opencv(image, region, cv2.INPAINT_TELEA)


def navier_stokes(image: Tensor, region: Tensor, noise: Noise) -> Tensor:
    """Isophotes continued as in fluid flow. Bertalmio, Bertozzi, Sapiro, CVPR 2001 (OpenCV's implementation, on 8 bits)."""
    import cv2

    return _opencv(image, region, cv2.INPAINT_NS)


def tile(image: Tensor, region: Tensor, noise: Noise) -> Tensor:
    """Each piece covered by repeating the larger background strip above, below, left or right of its bounding box.

    The idea of "Only-BG-T", Xiao et al., ICLR 2021, arXiv:2006.09994; which strip is repeated is a project choice. Where another piece
    lies in the strip, its pixels are those of its nearest background.
    """
    out = image = extend_background(image, region)
    height, width = region.shape
    for part in pieces(region):
        x1, y1, x2, y2 = (int(v) for v in from_mask(part))
        rows, columns = torch.arange(height), torch.arange(width)
        strips = {
            y1 * width: (rows % max(y1, 1), columns),
            (height - y2) * width: (y2 + rows % max(height - y2, 1), columns),
            x1 * height: (rows, columns % max(x1, 1)),
            (width - x2) * height: (rows, x2 + columns % max(width - x2, 1)),
        }
        if max(strips):
            ys, xs = strips[max(strips)]
            out = torch.where(part, image[:, ys][:, :, xs], out)
        else:
            out = torch.where(part, mean(image, region, noise), out)
    return out


def patch_match(image: Tensor, region: Tensor, noise: Noise) -> Tensor:
    """Patches of the rest of the image (see `patch_match`): continues textures, which the other fills smear."""
    from robustbench_cv.interventions.patch_match import fill_by_patches

    return fill_by_patches(image, region, noise)


FILLS: dict[str, Painter] = {
    "mean": mean,
    "blur": blur,
    "noise": statistical_noise,
    "telea": telea,
    "navier-stokes": navier_stokes,
    "tile": tile,
    "patch-match": patch_match,
    "black": lambda image, region, noise: torch.zeros_like(image),
    "gray": lambda image, region, noise: torch.full_like(image, GRAY),
}
"""Fills by name. "exact" is not among them: it renders the edited description again."""


FLAT = frozenset({"black", "gray", "mean", "noise"})
"""Fills that continue nothing of what is around them."""


def blur_known_pixels(image: Tensor, known: Tensor, sigma: float) -> Tensor:
    """The image blurred from its known pixels alone (normalised convolution), sigma in pixels; their mean where none is near."""
    weights = known.to(image.dtype)[None]
    soft = _gaussian(torch.cat([image * weights, weights]), sigma)
    average = image[:, known].mean(dim=1)[:, None, None]
    # A trace of the mean keeps the quotient defined far from every known pixel.
    trace = 1e-4
    return (soft[:3] + trace * average) / (soft[3:] + trace)


def extend_background(image: Tensor, region: Tensor) -> Tensor:
    """The image (3, H, W) with each pixel of the region (H, W) replaced by the nearest pixel outside it, of which there is at least one."""
    import cv2

    _, labels = cv2.distanceTransformWithLabels(region.to(torch.uint8).numpy(), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = torch.from_numpy(labels).long()
    known = (~region).flatten().nonzero()[:, 0]
    places = torch.zeros(int(nearest.max()) + 1, dtype=torch.int64)
    places[nearest.flatten()[known]] = known  # with these labels every known pixel has a number of its own
    return image.flatten(1)[:, places[nearest.flatten()]].reshape(image.shape)


def _gaussian(planes: Tensor, sigma: float) -> Tensor:
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=planes.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    soft = conv2d(planes[:, None], kernel[None, None, :, None], padding=(radius, 0))
    return conv2d(soft, kernel[None, None, None, :], padding=(0, radius))[:, 0]


def _thickness(region: Tensor) -> float:
    x1, y1, x2, y2 = (float(v) for v in from_mask(pieces(region)[0]))
    return min(x2 - x1, y2 - y1)


def _opencv(image: Tensor, region: Tensor, method: int) -> Tensor:
    import cv2

    # OpenCV's in-painters take the outermost pixels for known, masked or not: a frame gives them neighbours, and what they find in the
    # frame and under the mask are background colours, not those of what is replaced.
    frame = 2
    source = (extend_background(image, region).permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    source = cv2.copyMakeBorder(source, frame, frame, frame, frame, cv2.BORDER_REPLICATE)
    hole = cv2.copyMakeBorder(region.to(torch.uint8).numpy(), frame, frame, frame, frame, cv2.BORDER_REPLICATE)
    filled = numpy.ascontiguousarray(cv2.inpaint(source, hole, RADIUS_PX, method)[frame:-frame, frame:-frame])
    return torch.from_numpy(filled).permute(2, 0, 1).to(image.dtype) / 255
