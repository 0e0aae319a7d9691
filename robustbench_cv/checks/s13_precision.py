"""S13: does half precision hide or break what float32 would show?"""

from __future__ import annotations

from typing import Any, cast

import torch

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, OfAttack, Preflight
from robustbench_cv.checks.checked_attack import Attacked
from robustbench_cv.checks.comparison_attacks import Tried
from robustbench_cv.checks.half_precision import Float32, half_precision
from robustbench_cv.checks.outputs import differ, nothing_reported
from robustbench_cv.types import Model

_TITLE = "half precision hides nothing"
_MOST = 32
_REMEDY = "attack a float32 copy of the model (.float(), no autocast), and judge its images on this one"


@check(
    stage="before",
    needs="s32-class-count",
    cost="passes",
    action="warn note",
    gives="the number formats, and how many predictions differ in float32",
)
def s13_precision() -> Before:
    """Of a model that computes in half precision: up to 32 predictions against those of the same model in float32."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    model, images = cast("Model[Any]", subject.model), subject.few_images(_MOST)
    kinds = half_precision(model, images[:1])
    if not kinds:
        return Finding("S13", _TITLE, "pass", "the model computes in float32")
    said = f"the model computes in {' and '.join(kinds)}"
    try:
        with torch.no_grad():
            full = Float32(model)
            pairs = list(zip(model.decode(model.raw(images)), full.decode(full.raw(images)), strict=True))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        return Finding("S13", _TITLE, "warn", f"{said} and cannot be run in float32 ({reason})", _REMEDY)
    if nothing_reported(p for pair in pairs for p in pair):
        return Finding("S13", _TITLE, "not applicable", f"{said}; nothing is reported on {len(pairs)} images, in either format")
    changed = sum(differ(a, b, model.info.operating_score) for a, b in pairs)
    evidence = f"{said}; {changed} of {len(pairs)} predictions differ in float32"
    return Finding("S13", _TITLE, "warn" if changed else "note", evidence, _REMEDY if changed else "")


@check(
    stage="attack",
    cost="attacks",
    action="warn note",
    gives="how many survivors the same attack breaks in float32",
)
def s13_attack_precision() -> OfAttack:
    """Of an attack on a model in half precision: whether the same attack, in float32, breaks samples that it did not."""
    return _of_attack


def _of_attack(subject: Attacked) -> Finding:
    if subject.no_gradient or not subject.survivors or subject.backwards == 0:
        return Finding("S13", _TITLE, "not applicable", "nothing to try")
    model = cast("Model[Any]", subject.model)
    kinds = half_precision(model, subject.images[:1])
    if not kinds:
        return Finding("S13", _TITLE, "pass", "the model computes in float32")
    said = f"the model computes in {' and '.join(kinds)}"
    try:
        broken = subject.breaks(subject.attack, model=cast(Any, Float32(model)))
    except RuntimeError as error:
        return Finding("S13", _TITLE, "note", f"{said} and cannot be run in float32 ({str(error).strip().splitlines()[0]})")
    tried = Tried("the same attack in float32", int(broken.sum()), len(broken))
    return Finding("S13", _TITLE, "warn" if tried.beats else "pass", f"{said}; {tried}", _REMEDY if tried.beats else "")
