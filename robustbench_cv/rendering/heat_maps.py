"""A picture of one explained sample: the image with the object's outline, and the map laid over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy
from torch import Tensor

from robustbench_cv.explain.survey import Case
from robustbench_cv.palette import MUTED, PALETTE, PAPER
from robustbench_cv.rendering import escape
from robustbench_cv.rendering.figures import render, style, wrap_label
from robustbench_cv.types import Labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = "magma"
"""Rising evenly in lightness, so that colour-blind readers and grey prints see the same order."""

OPACITY = 0.65
OUTLINE = PALETTE[4]


def draw(case: Case, classes: Labels) -> bytes:
    """A PNG of both panels, or of the image alone where there is no map. Negative relevance is drawn as none."""
    from matplotlib.figure import Figure

    height, width = case.main.mask.shape
    panels = 1 if case.relevance is None else 2
    with style():
        figure = Figure(figsize=(2.6 * panels, 2.6 * height / width + 0.55), layout="constrained")
        first, *second = figure.subplots(1, panels, squeeze=False)[0]
        _panel(first, case, f"{'✓' if case.answer.is_right else '✗'} {case.answer.says}")
        for axes in second:
            _panel(axes, case, f"object: {classes.names[case.main.label]}", case.relevance)
        return render(figure, "png")


def _panel(axes: Axes, case: Case, title: str, relevance: Tensor | None = None) -> None:
    pixels = case.sample.image.clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    height, width = pixels.shape[:2]
    extent = (0, width, height, 0)
    axes.imshow(pixels if relevance is None else numpy.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2), extent=extent)
    if relevance is not None:
        heat = relevance.clamp(min=0).numpy()
        axes.imshow(heat / (float(heat.max()) or 1.0), cmap=COLOURS, alpha=OPACITY, vmin=0, vmax=1, extent=extent)
    _outline(axes, case.main.mask.cpu().numpy(), width, height)
    for x1, y1, x2, y2 in case.answer.boxes.tolist():
        axes.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color=PAPER, linewidth=1.2, linestyle="--")
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_title(escape.plain(wrap_label(title)), fontsize=8, color=MUTED, loc="left")
    axes.set_axis_off()


def _outline(axes: Axes, mask: numpy.ndarray, width: int, height: int) -> None:
    """Dark under light, to be seen on any ground. The mask is framed by empty pixels, so that the line closes at the image's edge."""
    framed = numpy.pad(mask.astype(float), 1)
    x, y = numpy.arange(-1, width + 1) + 0.5, numpy.arange(-1, height + 1) + 0.5
    for colour, wide in (("black", 2.2), (OUTLINE, 1.2)):
        axes.contour(x, y, framed, levels=[0.5], colors=[colour], linewidths=wide)
