"""S21: do model and data agree on the order of the colour channels, and on the space of colours?"""

from __future__ import annotations

from typing import Any, cast

import torch

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.input_search import report
from robustbench_cv.checks.outputs import comparable, gap, has_output
from robustbench_cv.checks.transform_families import colours
from robustbench_cv.model_from_predictions import ClosedModel
from robustbench_cv.types import Model

_TITLE = "channel order"
_COLOUR = 0.05
"""Difference of a channel from the mean of the three from which an image has colour (project choice)."""
_WEIGHTS = ((1 / 3, 1 / 3, 1 / 3), (0.299, 0.587, 0.114), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
"""Of the channels in a grey image: their mean, their luminance, and one of them alone."""


@check(
    stage="before",
    needs="s32-class-count",
    cost="search",
    action="stop warn note",
    gives="the quality as declared and under the best change, its p-value, and how many samples decided",
)
def s21_channels() -> Before:
    """Tries the five other orders of the channels, YCbCr and Caffe's BGR of 0-255; where one is better, one side reads otherwise."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    finding = report("S21", _TITLE, subject, colours())
    if finding.verdict == "pass" and not isinstance(subject.model, ClosedModel) and _sees_grey(subject):
        evidence = "the outputs stay the same where images lose their colour: the model looks at grey images"
        remedy = "if it was trained on colour, hand colour to the network; if on grey, go on"
        return Finding("S21", _TITLE, "note", evidence, remedy)
    return finding


def _sees_grey(subject: Preflight) -> bool:
    """Whether a mean of the channels, plain or of their luminance, or one of them gives what the image itself gives, which is coloured."""
    images, alone = subject.few_images(), [a.raw for a in subject.alone]
    if float((images - images.mean(1, keepdim=True)).abs().max()) < _COLOUR:
        return False
    model = cast("Model[Any]", subject.model)
    with torch.no_grad():
        size = max((float(row.abs().max()) for row in map(comparable, alone) if row.numel()), default=0.0)
        if not any(map(has_output, alone)) or not size:
            return False
        greys = [(images * images.new_tensor(w)[:, None, None]).sum(1, keepdim=True).expand_as(images) for w in _WEIGHTS]
        return any(
            all(gap(comparable(raw), comparable(model.raw(x[None]))) <= 1e-3 * size for raw, x in zip(alone, grey, strict=True))
            for grey in greys
        )
