"""What a model says of an image beside its truth: in words, and how much of it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy

from robustbench_cv.data.images import read_labels
from robustbench_cv.metrics.coco_matching import Objects, overlaps
from robustbench_cv.types import IGNORE

Shown: TypeAlias = Mapping[str, Any]
"""A prediction as it is stored: {"label", "score"} or {"labels": path of an index PNG} or {"boxes", "scores", "labels"}. A truth: the
same without scores. Empty: none is known."""

OVERLAP = 0.5
"""IoU from which on a box is where the object is (project choice)."""

MOST_DRAWN = 100
"""Boxes of one image in a picture: as many as COCO's evaluation looks at."""


class Answer(NamedTuple):
    """text: in words. right: 0 to 1: right or wrong, the share of right pixels, F1 of the boxes; None where no truth says so."""

    text: str
    right: float | None


def answer(prediction: Shown, truth: Shown, classes: Sequence[str], folder: Path, threshold: float = 0.0) -> Answer:
    """folder: where pictures of label maps lie. threshold: boxes below it do not count."""
    if "label" in prediction:
        label = int(prediction["label"])
        text = f"{class_name(classes, label)} {float(prediction['score']):.2f}"
        known = int(truth.get("label", -1))
        return Answer(text, None if known < 0 else float(label == known))
    if "boxes" in prediction:
        return _boxes(reported_boxes(prediction, threshold), truth)
    labels, right = label_map(prediction, folder), label_map(truth, folder)
    if labels is None or right is None or labels.shape != right.shape:
        return Answer("", None)
    scored = right != IGNORE
    if not scored.any():
        return Answer("", None)
    share = float((labels == right)[scored].mean())
    return Answer(f"{share:.0%} of pixels right", share)


def truth_text(truth: Shown, classes: Sequence[str]) -> str:
    """What is in the image, in words; empty where that is not known, or takes a picture."""
    if "label" in truth:
        return class_name(classes, int(truth["label"])) if int(truth["label"]) >= 0 else "no object is left"
    if "boxes" in truth:
        names = [class_name(classes, int(label)) for label in truth["labels"]]
        counted = [f"{names.count(name)} × {name}" if names.count(name) > 1 else name for name in dict.fromkeys(names)]
        return ", ".join(counted) or "no object"
    return ""


def reported_boxes(shown: Shown, threshold: float = 0.0) -> list[tuple[list[float], float | None, int]]:
    """Boxes with score (None in a truth) and label, the surest last, so that they lie on top."""
    if "boxes" not in shown:
        return []
    scores = shown.get("scores")
    every = zip(shown["boxes"], [None] * len(shown["boxes"]) if scores is None else map(float, scores), shown["labels"], strict=True)
    return sorted([(b, s, int(c)) for b, s, c in every if s is None or s >= threshold], key=lambda box: box[1] or 0.0)


def drawn_boxes(shown: Shown, threshold: float = 0.0) -> list[tuple[list[float], float | None, int]]:
    """Those of `reported_boxes` that a picture shows: the surest ones."""
    return reported_boxes(shown, threshold)[-MOST_DRAWN:]


def label_map(shown: Shown, folder: Path) -> numpy.ndarray | None:
    """The label of every pixel, from an index PNG in the folder (or an absolute path)."""
    stored = shown.get("labels")
    if not isinstance(stored, str | Path):
        return None
    return read_labels(folder / stored)


def class_name(classes: Sequence[str], label: int) -> str:
    return classes[label] if 0 <= label < len(classes) else f"class {label}"


def _boxes(reported: Sequence[tuple[list[float], float | None, int]], truth: Shown) -> Answer:
    if "boxes" not in truth:
        return Answer(f"{len(reported)} box{'' if len(reported) == 1 else 'es'}", None)
    objects = reported_boxes(truth)
    found = _matches(reported, objects)
    made_up, missed = len(reported) - found, len(objects) - found
    said = [f"{found} of {len(objects)} found"] if objects else []
    said += [f"{made_up} made up"] if made_up else []
    total = 2 * found + made_up + missed
    return Answer(", ".join(said) or "nothing there, nothing found", 2 * found / total if total else 1.0)


def _matches(reported: Sequence[tuple[list[float], float | None, int]], objects: Sequence[tuple[list[float], float | None, int]]) -> int:
    """How many objects have a box of their class on them, each box serving one: the surest chooses first."""
    if not reported or not objects:
        return 0
    own, truths = (numpy.array([box for box, _, _ in boxes], float) for boxes in (reported, objects))
    nobody = numpy.zeros(len(truths), bool)
    overlap = overlaps(own, Objects(truths, (truths[:, 2:] - truths[:, :2]).prod(axis=1), crowd=nobody))
    free, found = set(range(len(objects))), 0
    for i in reversed(range(len(reported))):
        able = [j for j in free if objects[j][2] == reported[i][2] and overlap[i, j] >= OVERLAP]
        if able:
            free.remove(max(able, key=lambda j: overlap[i, j]))
            found += 1
    return found
