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


def _reported(prediction, score):
    rows = zip(prediction.boxes.tolist(), prediction.scores.tolist(), prediction.labels.tolist(), strict=True)
    return sorted([(s, b, c) for b, s, c in rows if s >= score], key=lambda row: -row[0])


def _extent(region):
    places = [(y, x) for y, row in enumerate(region.tolist()) for x, here in enumerate(row) if here]
    rows, columns = zip(*places, strict=True)
    return min(columns), min(rows), max(columns) + 1, max(rows) + 1


def box_changes(prediction, sample, score):
    """What became of each distant box: a list of "kept", "relabelled", "moved" and "lost"."""
    place, after, fates = _extent(sample.edit.region), _reported(prediction, score), []
    for _, box, label in _reported(sample.edit.original, score):
        if iou(box, place) >= 0.05:
            continue
        near = [(iou(box, other), c == label) for _, other, c in after]
        if any(same and v >= 0.5 for v, same in near):
            fates.append("kept")
        elif any(v >= 0.5 for v, _ in near):
            fates.append("relabelled")
        else:
            fates.append("moved" if any(same and v >= 0.1 for v, same in near) else "lost")
    return fates


def nonlocal_change(score):
    def value(pairs):
        changed = total = 0
        for prediction, sample in pairs:
            original = sample.edit.original
            if hasattr(prediction, "boxes"):
                changed, total = changed + any(fate != "kept" for fate in box_changes(prediction, sample, score)), total + 1
            elif hasattr(prediction, "probs"):
                first = [max(range(len(p.probs)), key=lambda c, p=p: (float(p.probs[c]), -c)) for p in (prediction, original)]
                changed, total = changed + (first[0] != first[1]), total + 1
            else:
                for far, differs in pixel_changes(prediction, sample):
                    changed, total = changed + (far > 0.1 and differs), total + (far > 0.1)
        return changed / total

    return value


def pixel_changes(prediction, sample):
    """(distance from the region's box in shares of the shorter side, whether the label changed) of each pixel."""
    x1, y1, x2, y2 = _extent(sample.edit.region)
    before, after = sample.edit.original.labels.tolist(), prediction.labels.tolist()
    side = min(len(after), len(after[0]))
    for i, row in enumerate(after):
        for j, label in enumerate(row):
            down, right = max(y1 - i - 0.5, i + 0.5 - y2, 0), max(x1 - j - 0.5, j + 0.5 - x2, 0)
            yield (down**2 + right**2) ** 0.5 / side, label != before[i][j]


def fate(name, score, *, by_box=False):
    def value(pairs):
        fates = [box_changes(prediction, sample, score) for prediction, sample in pairs]
        if by_box:
            every = [fate for one in fates for fate in one]
            return sum(fate != "kept" for fate in every) / len(every)
        return sum(name in one for one in fates) / len(fates)

    return value


def _put_in(sample):
    return [c for c in sample.edit.subject.labels.tolist() if c >= 0] if sample.edit.adds else []


def new_classes(score):
    def value(pairs):
        count = 0
        for prediction, sample in pairs:
            before, after = ({c for _, _, c in _reported(one, score)} for one in (sample.edit.original, prediction))
            count += len([c for c in after if c not in before and c not in _put_in(sample)])
        return count / len(pairs)

    return value


def misnamed(score):
    def value(pairs):
        hits = 0
        for prediction, sample in pairs:
            place, own = _extent(sample.edit.region), _put_in(sample)
            said = [c for _, box, c in _reported(prediction, score) if iou(box, place) >= 0.5]
            hits += bool(own) and bool(said) and own[0] not in said
        return hits / len(pairs)

    return value
