"""The other metrics written down the obvious way, over lists of (prediction, sample). None where undefined."""

from __future__ import annotations

from collections import Counter

from tests.reference.coco import iou


def top(k):
    def value(pairs):
        hits = []
        for prediction, sample in pairs:
            ranked = sorted(range(len(prediction.probs)), key=lambda c: (-float(prediction.probs[c]), c))
            hits.append(sample.target.label in ranked[:k])
        return sum(hits) / len(hits)

    return value


def class_ious(pairs):
    shared, predicted, truth = Counter(), Counter(), Counter()
    for prediction, sample in pairs:
        for p, t in zip(prediction.labels.flatten().tolist(), sample.target.labels.flatten().tolist(), strict=True):
            if t == 255:
                continue
            truth[t] += 1
            if p >= 0:
                predicted[p] += 1
            shared[t] += p == t
    return {c: shared[c] / (predicted[c] + truth[c] - shared[c]) for c in {*predicted, *truth}}


def miou(pairs, without=None):
    values = [v for c, v in class_ious(pairs).items() if c != without]
    return sum(values) / len(values) if values else None


def pixel_accuracy(pairs):
    hits = [
        p == t
        for prediction, sample in pairs
        for p, t in zip(prediction.labels.flatten().tolist(), sample.target.labels.flatten().tolist(), strict=True)
        if t != 255
    ]
    return sum(hits) / len(hits)


def object_states(pairs, score):
    """Of every object: "found", "vanished", "mislabelled" or "claimed"; and the number of boxes that overlap nothing."""
    states, fabricated = [], 0
    for prediction, sample in pairs:
        target = sample.target
        objects = [(b.tolist(), int(c), bool(crowd)) for b, c, crowd in zip(target.boxes, target.labels, target.crowd, strict=True)]
        boxes = [
            (float(s), b.tolist(), int(c))
            for b, s, c in zip(prediction.boxes, prediction.scores, prediction.labels, strict=True)
            if float(s) >= score
        ]
        boxes.sort(key=lambda box: -box[0])
        owner = {}
        for d, (_, box, label) in enumerate(boxes):
            free = [(iou(box, o), k) for k, (o, c, crowd) in enumerate(objects) if c == label and not crowd and k not in owner]
            if free and max(free)[0] >= 0.5:
                owner[max(free)[1]] = d
        for k, (o, c, crowd) in enumerate(objects):
            if crowd:
                continue
            over = {label for _, box, label in boxes if iou(box, o) >= 0.5}
            states.append("found" if k in owner else "vanished" if not over else "claimed" if c in over else "mislabelled")
        fabricated += sum(all(iou(box, o, crowd) < 0.5 for o, _, crowd in objects) for _, box, _ in boxes)
    return states, fabricated


def share(state, score):
    def value(pairs):
        states, _ = object_states(pairs, score)
        return states.count(state) / len(states) if states else None

    return value


def fabricated_per_image(score):
    return lambda pairs: object_states(pairs, score)[1] / len(pairs)


def hallucination(where, names, score):
    """where: "any", "inside" or "outside"."""

    def value(pairs):
        return sum(_hallucinates(where, names, score, p, s) for p, s in pairs) / len(pairs)

    return value


def _hallucinates(where, names, score, prediction, sample):
    gone = {names.index(n) for n in sample.edit.removed}
    region = sample.edit.region
    height, width = region.shape
    if hasattr(prediction, "probs"):
        return int(prediction.probs.argmax()) in gone
    inside = outside = False
    if hasattr(prediction, "scores"):
        for box, s, label in zip(prediction.boxes.tolist(), prediction.scores.tolist(), prediction.labels.tolist(), strict=True):
            if label not in gone or s < score:
                continue
            pixels = [
                bool(region[y, x])
                for y in range(height)
                for x in range(width)
                if x + 1 > box[0] and x < box[2] and y + 1 > box[1] and y < box[3]
            ]
            x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
            centred = 0 <= x < width and 0 <= y < height and bool(region[int(y), int(x)])
            if centred or (pixels and sum(pixels) / len(pixels) >= 0.5):
                inside = True
            else:
                outside = True
    else:
        within = without = 0
        for y in range(height):
            for x in range(width):
                if int(prediction.labels[y, x]) in gone:
                    within += bool(region[y, x])
                    without += not region[y, x] and int(sample.target.labels[y, x]) != 255
        enough = max(1, int(region.sum()) / 10)
        inside, outside = within >= enough, without >= enough
    return {"inside": inside, "outside": outside, "any": inside or outside}[where]


def hallucinated_area(names):
    def value(pairs):
        wrong = area = 0
        for prediction, sample in pairs:
            gone = {names.index(n) for n in sample.edit.removed}
            inside = prediction.labels[sample.edit.region].tolist()
            wrong += sum(p in gone for p in inside)
            area += len(inside)
        return wrong / area if area else None

    return value


def label_probability(pairs):
    return sum(float(prediction.probs[sample.target.label]) for prediction, sample in pairs) / len(pairs)


def object_recall(score, of=None):
    """Mean over the images of the share of objects (of one class) that are reported; of: None, or a class."""

    def value(pairs):
        shares = [_recalled(prediction, sample, score, of) for prediction, sample in pairs]
        shares = [share for share in shares if share is not None]
        return sum(shares) / len(shares)

    return value


def _recalled(prediction, sample, score, of):
    target = sample.target
    if hasattr(prediction, "probs"):
        answer = max(range(len(prediction.probs)), key=lambda c: (float(prediction.probs[c]), -c))
        return float(answer == target.label) if of in (None, target.label) else None
    if hasattr(prediction, "scores"):
        found = []
        for box, label, crowd in zip(target.boxes.tolist(), target.labels.tolist(), target.crowd.tolist(), strict=True):
            if crowd or of not in (None, label):
                continue
            boxes = zip(prediction.boxes.tolist(), prediction.scores.tolist(), prediction.labels.tolist(), strict=True)
            found.append(any(s >= score and c == label and iou(b, box) >= 0.5 for b, s, c in boxes))
    else:
        found = []
        for y, row in enumerate(target.labels.tolist()):
            for x, label in enumerate(row):
                if 0 < label < 255 and of in (None, label):
                    found.append(int(prediction.labels[y, x]) == label)
    return sum(found) / len(found) if found else None


def detection_score(of=None):
    """Mean over the objects (of one class) of the highest score of a box of their class at IoU 0.5, 0 without one."""

    def value(pairs):
        best = []
        for prediction, sample in pairs:
            boxes = list(zip(prediction.boxes.tolist(), prediction.scores.tolist(), prediction.labels.tolist(), strict=True))
            target = sample.target
            for box, label, crowd in zip(target.boxes.tolist(), target.labels.tolist(), target.crowd.tolist(), strict=True):
                if not crowd and of in (None, label):
                    best.append(max([s for b, s, c in boxes if c == label and iou(b, box) >= 0.5], default=0.0))
        return sum(best) / len(best)

    return value


def shape_bias(pairs, names):
    shape = texture = 0
    for prediction, sample in pairs:
        answer = max(range(len(prediction.probs)), key=lambda c: (float(prediction.probs[c]), -c))
        shape += answer == sample.target.label
        texture += names[answer] == sample.attributes["texture"]
    return shape / (shape + texture)
