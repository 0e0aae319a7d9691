"""S27: does a segmenter's label map lie on the pixels of its image, at their resolution?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding, Verdict
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.compare_readings import SIGNIFICANT
from robustbench_cv.metrics.paired_tests import sign_flips
from robustbench_cv.model_from_predictions import ClosedModel
from robustbench_cv.types import IGNORE, MaskPrediction, MaskTarget, Model, PixelLogits

_TITLE = "label maps on their pixels"
_REACH = 8
"""Pixels of a shift that is looked for, on each axis; also the rim that is left out on every side."""
_NEAR = 3
"""Pixels from a border between classes within which a shift shows: elsewhere both sides are of one class."""
_GAIN, _NOTABLE, _SEEN = 0.03, 0.01, 0.004
"""Share of the pixels near borders that a shift must mend to stop a run, to be worth a warning, and a note (project choice: a shift by one
pixel costs a coarse segmenter half a percent of them)."""
_NEIGHBOURS = 8
"""Shifts by one pixel, to which half of the error is allotted; all others share the other half."""
_BLOCKS = (16, 8, 4)
_CELLS = (32, 16, 8)
"""Pixels between points from which on interpolated scores are told (project choice: 4 is the stride of most segmenters)."""
_STRAIGHT = 0.98
"""Share of all bends that lie between cells, of straight lines; of scores with detail 2 / side."""
_LOOKED_AT = 2


@check(
    stage="before",
    needs="s32-class-count",
    cost="passes",
    action="stop warn note",
    gives="the shift that fits best, the share of pixels near borders that is right with and without it; the side of blocks and cells",
)
def s27_mask_frame() -> Before:
    """Shifts label maps by up to 8 pixels, and looks for blocks and interpolation: a map elsewhere, or coarse, loses thin objects."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    if subject.task != "segmentation":
        return Finding("S27", _TITLE, "not applicable", "the task has no label maps")
    pairs = [
        (p.labels.cpu(), s.target.labels)
        for p, s in zip(subject.clean_predictions, subject.samples, strict=True)
        if isinstance(p, MaskPrediction) and isinstance(s.target, MaskTarget)
    ]
    odd = next(((tuple(p.shape), tuple(t.shape)) for p, t in pairs if p.shape != t.shape), None)
    if odd is not None:
        evidence = f"a label map is {odd[0][0]} x {odd[0][1]} pixels, and its image {odd[1][0]} x {odd[1][1]}"
        return Finding(
            "S27", _TITLE, "stop", evidence, "resize the logits to the image (bilinear, align_corners=False), then take the best class"
        )
    coarse = _of_blocks([p for p, _ in pairs])
    if coarse is not None:
        return coarse
    usable = [(p, t) for p, t in pairs if min(p.shape) >= 6 * _REACH]
    found = (_of_shift(usable) or _of_lean(subject, usable) if usable else None) or _of_interpolation(subject)
    said = "fit best where they are" if usable else "have the size of their images"
    return found or Finding("S27", _TITLE, "pass", f"{len(pairs)} label maps {said}, and are not made of blocks")


def _of_shift(pairs: Sequence[tuple[Tensor, Tensor]]) -> Finding | None:
    """The shift that fits best, found by walking downhill from none, one pixel at a time after steps of 4 and 2."""
    truths = [_at_borders(t) for _, t in pairs]
    tried: dict[tuple[int, int], numpy.ndarray] = {}

    def fit(by: tuple[int, int]) -> float:
        if by not in tried:
            tried[by] = numpy.array([_agreement(p, t, by) for (p, _), t in zip(pairs, truths, strict=True)])
        return float(tried[by].mean())

    best = (0, 0)
    for step in (4, 2, 1):
        while True:
            around = [(best[0] + i * step, best[1] + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1)]
            ahead = max((by for by in around if max(map(abs, by)) <= _REACH), key=fit)
            if fit(ahead) <= fit(best):
                break
            best = ahead
    gain = fit(best) - fit((0, 0))
    price = 2 * (_NEIGHBOURS if max(map(abs, best)) == 1 else (2 * _REACH + 1) ** 2)
    p = min(1.0, price * sign_flips((tried[best] - tried[0, 0]).tolist()))
    if p >= SIGNIFICANT or gain < _SEEN:
        return None
    down, right = best
    evidence = (
        f"label maps moved by {down:+d} px down and {right:+d} px right fit better: {fit(best):.3f} of the pixels near borders between "
        f"classes are right, against {fit((0, 0)):.3f} as declared (p = {p:.2g})"
    )
    remedy = (
        f"the model's label maps lie {-down:+d} px down and {-right:+d} px right of the image: look for a padding, a crop or an odd stride"
    )
    verdict: Verdict = "stop" if gain >= _GAIN else "warn" if gain >= _NOTABLE else "note"
    return Finding("S27", _TITLE, verdict, evidence, remedy, gain=gain)


def _of_lean(subject: Preflight, pairs: Sequence[tuple[Tensor, Tensor]]) -> Finding | None:
    """Whether maps fit as well one pixel aside as in place, seen from both sides: where coarse maps have no sharp best place.

    What is lost by moving 0 to 3 px one way is held against 1 to 4 px the other way, sample by sample: of a map in its place the latter is
    more, of one that lies more than half a pixel aside it is less. Asks the reserve where the first samples lean without deciding.
    """
    leans = _leans(pairs)
    if not leans or max(float(v.mean()) for v in leans.values()) <= 0:
        return None
    if min(_p_of_lean(v) for v in leans.values()) >= SIGNIFICANT and subject.wider is not subject:
        more = zip(subject.wider.clean_predictions, subject.wider.samples, strict=True)
        pairs = [(p.labels.cpu(), s.target.labels) for p, s in more if isinstance(p, MaskPrediction) and isinstance(s.target, MaskTarget)]
        leans = _leans([(p, t) for p, t in pairs if p.shape == t.shape and min(p.shape) >= 6 * _REACH])
    down, right = min(leans, key=lambda by: _p_of_lean(leans[by]))
    p = _p_of_lean(leans[down, right])
    if p >= SIGNIFICANT:
        return None
    there = f"{down:+d} to {4 * down:+d} px down and {right:+d} to {4 * right:+d} px right"
    evidence = (
        f"label maps lose less when they are moved {there} than 0 to 3 px the other way, by {leans[down, right].mean():.3f} of the pixels "
        f"near borders (p = {p:.2g}; {len(leans[down, right])} samples)"
    )
    where = f"{-down:+d} px down and {-right:+d} px right"
    remedy = f"the model's label maps lie about {where} of the image: look for a padding, a crop or an odd stride"
    return Finding("S27", _TITLE, "warn", evidence, remedy)


def _leans(pairs: Sequence[tuple[Tensor, Tensor]]) -> dict[tuple[int, int], numpy.ndarray]:
    """By direction and sample: by how much maps fit better 1 to 4 px that way than 0 to 3 px the other way, in the mean of the four."""
    truths = [_at_borders(t) for _, t in pairs]

    def fits(axis: int) -> dict[int, numpy.ndarray]:
        moves = [(k, (k, 0) if axis == 0 else (0, k)) for k in range(-4, 5)]
        return {k: numpy.array([_agreement(p, t, by) for (p, _), t in zip(pairs, truths, strict=True)]) for k, by in moves}

    found = {}
    for axis in (0, 1):
        fit = fits(axis)
        for way in (1, -1):
            found[(way, 0) if axis == 0 else (0, way)] = sum(fit[way * (k + 1)] - fit[-way * k] for k in range(4)) / 4
    return found


def _p_of_lean(leans: numpy.ndarray) -> float:
    """Of the four directions and two looks."""
    return min(1.0, 8 * sign_flips(leans.tolist()))


def _at_borders(truth: Tensor) -> Tensor:
    """The labels (H, W) where they are scored and near another class, IGNORE elsewhere and on the rim that shifts bring in."""
    t = truth[None, None].float()
    side = 2 * _NEAR + 1
    near = F.max_pool2d(t, side, 1, _NEAR) != -F.max_pool2d(-t, side, 1, _NEAR)
    rim = torch.zeros_like(near)
    rim[..., _REACH:-_REACH, _REACH:-_REACH] = True
    return torch.where((near & rim)[0, 0], truth, IGNORE)


def _agreement(said: Tensor, truth: Tensor, by: tuple[int, int]) -> float:
    """Share of the pixels near borders that are right once the label map is moved down and right by so many pixels."""
    scored = truth != IGNORE
    moved = said.roll(by, (0, 1))
    return float((moved == truth)[scored].float().mean()) if bool(scored.any()) else 0.0


def _of_blocks(maps: Sequence[Tensor]) -> Finding | None:
    """Whether label maps consist of blocks: the largest side of a block that no border between classes cuts."""
    for side in _BLOCKS:
        uneven = [m for m in maps if bool((m != m[0, 0]).any())]
        if uneven and all(_is_blocky(m, side) for m in uneven):
            evidence = f"all {len(maps)} label maps consist of blocks of {side} x {side} pixels: the answer has 1/{side} of the resolution"
            remedy = (
                "resize the logits, not the labels, to the image (bilinear), then take the best class; if they are coarse by design, go on"
            )
            return Finding("S27", _TITLE, "warn", evidence, remedy)
    return None


def _of_interpolation(subject: Preflight) -> Finding | None:
    """Whether scores are drawn as straight lines between points 8 pixels apart or more: many models are so by design, which is told."""
    if isinstance(subject.model, ClosedModel):
        return None
    with torch.no_grad():
        raw = cast("Model[Any]", subject.model).raw(subject.few_images(_LOOKED_AT))
    if not isinstance(raw, PixelLogits) or not bool(raw.values.isfinite().all()):
        return None
    side = next((s for s in _CELLS if all(_has_straight_cells(v, s) for v in (raw.values, raw.values.transpose(2, 3)))), None)
    if side is None:
        return None
    evidence = f"the scores are interpolated between points {side} pixels apart: 1/{side} of the resolution of the images"
    remedy = "what is thinner than that cannot be told; hand over finer scores if the model has them, and go on if it is so by design"
    return Finding("S27", _TITLE, "note", evidence, remedy)


def _has_straight_cells(scores: Tensor, side: int) -> bool:
    """Whether rows (N, C, H, W) bend between cells of so many pixels alone: at two neighbouring positions of each period."""
    if scores.shape[-1] < 4 * side:
        return False
    values = scores.detach().double()
    bends = (values[..., 2:] - 2 * values[..., 1:-1] + values[..., :-2]).abs().sum((0, 1, 2))
    total = float(bends.sum())
    periods = F.pad(bends, (0, -len(bends) % side)).reshape(-1, side).sum(0)
    return total > 0 and float((periods + periods.roll(1)).max()) >= _STRAIGHT * total


def _is_blocky(labels: Tensor, side: int) -> bool:
    """Whether classes change between blocks of this side alone."""
    height, width = (s // side * side for s in labels.shape)
    if min(height, width) < 2 * side:
        return False
    blocks = labels[:height, :width].reshape(height // side, side, width // side, side)
    return bool((blocks == blocks[:, :1, :, :1]).all())
