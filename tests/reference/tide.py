"""Mistakes of detectors as TIDE defines them, and their cost, as one would write it down: mend the boxes and score again. Slow."""

from __future__ import annotations

from dataclasses import replace

import torch

from robustbench_cv.types import BoxPrediction
from tests.reference import coco

KINDS = ("missed", "hallucinated", "confused", "mislocalised", "duplicated", "both")


def lost(kind):
    """AP50 with the mistakes of a kind mended, less AP50."""

    def value(pairs):
        pairs = sorted(pairs, key=lambda p: p[1].id)
        mended = [_mend(prediction, sample, kind) for prediction, sample in pairs]
        gains = []
        for c in sorted({int(c) for _, s in pairs for c, crowd in zip(s.target.labels, s.target.crowd, strict=True) if not crowd}):
            before, after = (_ap50(every, c) for every in (pairs, mended))
            gains.append((1.0 if after is None else after) - before)
        return sum(gains) / len(gains)

    return value


def _ap50(pairs, c):
    # averaged over the class alone
    return coco.average_precision([coco.only(*pair, c) for pair in pairs], thresholds=[0.5])


def per_image(kind, score):
    """Mistakes per image of what is left when all less confident boxes are taken away first."""

    def value(pairs):
        total = 0
        for prediction, sample in pairs:
            made = judge(prediction.select(prediction.scores >= score), sample)
            total += sum(name in (kind, KINDS[1:])[kind == "any"] for name, _ in made.boxes.values())
            total += len(made.missed) * (kind in ("any", "missed"))
        return total / len(pairs)

    return value


class Judged:
    """boxes: position of each wrong detection -> (kind, position of its object or None). missed: positions of objects."""

    def __init__(self):
        self.boxes, self.missed, self.taken = {}, [], {}


def judge(prediction, sample):
    made, target = Judged(), sample.target
    objects = [(k, b, int(c)) for k, (b, c) in enumerate(zip(target.boxes.tolist(), target.labels, strict=True)) if not target.crowd[k]]
    crowds = [(b, int(c)) for k, (b, c) in enumerate(zip(target.boxes.tolist(), target.labels, strict=True)) if target.crowd[k]]
    ranked = sorted(range(len(prediction.boxes)), key=lambda d: -float(prediction.scores[d]))
    wrong = []
    for d in ranked:
        box, label = prediction.boxes[d].tolist(), int(prediction.labels[d])
        best, best_iou = None, 0.5
        for k, other, c in objects:
            if c == label and k not in made.taken and coco.iou(box, other, False) >= best_iou:
                best, best_iou = k, coco.iou(box, other, False)
        if best is not None:
            made.taken[best] = d
        elif not any(c == label and coco.iou(box, other, True) >= 0.5 for other, c in crowds):
            wrong.append(d)
    claimed = set()
    for d in wrong:
        made.boxes[d] = _kind(prediction.boxes[d].tolist(), int(prediction.labels[d]), objects)
        if made.boxes[d][0] in ("confused", "mislocalised"):
            claimed.add(made.boxes[d][1])
    made.missed = [k for k, _, _ in objects if k not in made.taken and k not in claimed]
    return made


def _kind(box, label, objects):
    own = [(coco.iou(box, other, False), -k) for k, other, c in objects if c == label]
    others = [(coco.iou(box, other, False), -k) for k, other, c in objects if c != label]
    nearest, strange = max(own, default=(0, 0)), max(others, default=(0, 0))
    if 0.1 <= nearest[0] < 0.5:
        return "mislocalised", -nearest[1]
    if strange[0] >= 0.5:
        return "confused", -strange[1]
    if nearest[0] >= 0.5:
        return "duplicated", None
    return ("hallucinated" if max(nearest[0], strange[0]) <= 0.1 else "both"), None


def _mend(prediction, sample, kind):
    made, target = judge(prediction, sample), sample.target
    if kind == "missed":
        return prediction, replace(
            sample, target=target.select(torch.tensor([k not in made.missed for k in range(len(target.boxes))]).bool())
        )
    boxes, labels, keep, claimed = prediction.boxes.clone(), prediction.labels.clone(), [True] * len(prediction.boxes), set()
    for d, (name, k) in made.boxes.items():  # the most confident first
        is_first = k is not None and k not in claimed and k not in made.taken
        claimed.add(k)
        if name != kind:
            continue
        if is_first:
            boxes[d], labels[d] = target.boxes[k], target.labels[k]
        else:
            keep[d] = False
    return BoxPrediction(boxes, prediction.scores, labels).select(torch.tensor(keep).bool()), sample
