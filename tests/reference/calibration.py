"""Calibration errors, Brier score and log-likelihood as one would write them down: a loop over answers, a list for each bin. Slow."""

from __future__ import annotations

import math

from tests.reference import coco

BINS = 15


def answers(prediction, sample, score):
    """(how sure, whether right, probabilities or None, right class or None) of each answer."""
    if hasattr(prediction, "probs"):
        probs = prediction.probs.tolist()
        said = max(range(len(probs)), key=lambda c: (probs[c], -c))
        return [(probs[said], said == sample.target.label, probs, sample.target.label)]
    if hasattr(prediction, "boxes"):
        found = []
        for c in sorted({int(c) for c in prediction.labels}):
            verdicts, _ = coco._judge(prediction, sample, c, 0.5, coco.AREAS["all"], masks=False)
            found += [(s, verdict == "right", None, None) for s, verdict in verdicts if verdict != "ignored" and s >= score]
        return found
    said, truth = prediction.labels.flatten().tolist(), sample.target.labels.flatten().tolist()
    sampled = zip(prediction.sampled.positions.tolist(), prediction.sampled.values.tolist(), strict=True)
    return [(max(probs), said[at] == truth[at], probs, truth[at]) for at, probs in sampled if truth[at] != 255]


def ece(score):
    def value(pairs):
        every = [(s, r) for pair in pairs for s, r, _, _ in answers(*pair, score)]
        bins = [[a for a in every if _bin(a[0]) == k] for k in range(BINS)]
        return sum(abs(sum(s for s, _ in b) - sum(r for _, r in b)) for b in bins) / len(every)

    return value


def debiased(score):
    """Bin by bin the products of different images' gaps, never one image's with itself."""

    def value(pairs):
        images = [answers(*pair, score) for pair in pairs]
        total, every = 0.0, sum(map(len, images))
        for k in range(BINS):
            gaps = [sum(s - r for s, r, _, _ in image if _bin(s) == k) for image in images]
            count = sum(_bin(s) == k for image in images for s, _, _, _ in image)
            if count:
                total += sum(a * b for i, a in enumerate(gaps) for j, b in enumerate(gaps) if i != j) / count
        return math.sqrt(max(0.0, total / every))

    return value


def brier(pairs):
    scores = [sum((p - (c == y)) ** 2 for c, p in enumerate(probs)) for pair in pairs for _, _, probs, y in answers(*pair, 0)]
    return sum(scores) / len(scores)


def nll(pairs):
    scores = [-math.log(probs[y]) for pair in pairs for _, _, probs, y in answers(*pair, 0)]
    return sum(scores) / len(scores)


def _bin(confidence):
    """The k with k / 15 < confidence <= (k + 1) / 15."""
    return next((k for k in range(BINS) if confidence * BINS <= k + 1), BINS - 1)
