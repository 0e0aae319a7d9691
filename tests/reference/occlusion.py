"""Recall over whole, occluded and separated objects, pixel by pixel, without arrays."""

from __future__ import annotations


def recall(state, by, score):
    """Share of the objects in a state that are found: by masks, or by boxes where `by` is "box-"."""

    def value(pairs):
        found = total = 0
        for prediction, sample in pairs:
            for k in range(len(sample.target.boxes)):
                if not sample.target.crowd[k] and state_of(sample, k) == state:
                    total += 1
                    found += _found_by_box(prediction, sample, k, score) if by else _found_by_mask(prediction, sample, k)
        return found / total

    return value


def pixels(mask):
    return {(y, x) for y, row in enumerate(mask.tolist()) for x, value in enumerate(row) if value}


def state_of(sample, k):
    own = pixels(sample.regions[f"instance:{k}"])
    if f"amodal:{k}" in sample.regions:
        everything = pixels(sample.regions[f"amodal:{k}"])
        if len(everything - own) < 0.05 * len(everything | own):
            return "whole"
        return "separated" if len(pieces(own)) > len(pieces(everything)) else "occluded"
    if len(pieces(own)) > 1:
        return "separated"
    others = set()
    for j in range(len(sample.target.boxes)):
        others |= pixels(sample.regions[f"instance:{j}"]) if j != k else set()
    within = hull(own)
    return "occluded" if len(within & (others - own)) >= 0.05 * len(within) else "whole"


def pieces(own):
    """Connected parts (8 neighbours) of at least a twentieth of the pixels, by flooding."""
    left, parts = set(own), []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        parts.append(part)
    return [part for part in parts if len(part) >= 0.05 * len(own)]


def hull(own):
    """The pixels that lie in some triangle, segment or point of the outermost pixels: Caratheodory's theorem, after a chain of turns."""
    corners = _chain(sorted(own)) + _chain(sorted(own, reverse=True))
    ys, xs = [y for y, _ in own], [x for _, x in own]
    inside = set()
    for y in range(min(ys), max(ys) + 1):
        for x in range(min(xs), max(xs) + 1):
            turns = [_turn(a, b, (y, x)) for a, b in zip(corners, corners[1:] + corners[:1], strict=True)]
            if all(t >= 0 for t in turns):
                inside.add((y, x))
    return inside


def _chain(points):
    """Half of Andrew's monotone chain, without its last point."""
    kept = []
    for point in points:
        while len(kept) > 1 and _turn(kept[-2], kept[-1], point) <= 0:
            kept.pop()
        kept.append(point)
    return kept[:-1] if len(kept) > 1 else kept


def _turn(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _found_by_mask(prediction, sample, k):
    own, label = pixels(sample.regions[f"instance:{k}"]), int(sample.target.labels[k])
    for mask, value, said in zip(prediction.masks, prediction.scores.tolist(), prediction.labels.tolist(), strict=True):
        there = pixels(mask)
        if value >= 0.3 - 1e-7 and said == label and there | own and len(there & own) / len(there | own) >= 0.75:
            return True
    return False


def _found_by_box(prediction, sample, k, score):
    x1, y1, x2, y2 = sample.target.boxes[k].tolist()
    for box, value, said in zip(prediction.boxes.tolist(), prediction.scores.tolist(), prediction.labels.tolist(), strict=True):
        wide, high = min(x2, box[2]) - max(x1, box[0]), min(y2, box[3]) - max(y1, box[1])
        shared = max(0, wide) * max(0, high)
        union = (x2 - x1) * (y2 - y1) + (box[2] - box[0]) * (box[3] - box[1]) - shared
        if value >= score - 1e-7 and said == int(sample.target.labels[k]) and shared / union >= 0.5:
            return True
    return False
