"""The VOC devkit's evaluation (VOCevaldet.m, VOCap.m) as its loops have it: whole pixels from 1, both ends of a box inside."""

from __future__ import annotations


def average_precision(pairs, eleven_points=False):
    """The mean over classes with an object that is not difficult; None without one. Crowds are the difficult ones."""
    pairs = sorted(pairs, key=lambda pair: pair[1].id)
    classes = {int(c) for _, s in pairs for c, crowd in zip(s.target.labels, s.target.crowd, strict=True) if not crowd}
    values = [_class(pairs, c, eleven_points) for c in sorted(classes) if c >= 0]
    return sum(values) / len(values) if values else None


def _class(pairs, c, eleven_points):
    found = []
    objects = {}
    npos = 0
    for number, (prediction, sample) in enumerate(pairs):
        objects[number] = [
            {"box": _whole(box), "difficult": bool(crowd), "taken": False}
            for box, label, crowd in zip(sample.target.boxes.tolist(), sample.target.labels, sample.target.crowd, strict=True)
            if int(label) == c
        ]
        npos += sum(not o["difficult"] for o in objects[number])
        found += [
            (float(score), number, _whole(box))
            for box, score, label in zip(prediction.boxes.tolist(), prediction.scores, prediction.labels, strict=True)
            if int(label) == c
        ]
    found.sort(key=lambda detection: -detection[0])
    tp, fp = [], []
    for _, number, bb in found:
        ovmax, best = -float("inf"), None
        for o in objects[number]:
            bbgt = o["box"]
            iw = min(bb[2], bbgt[2]) - max(bb[0], bbgt[0]) + 1
            ih = min(bb[3], bbgt[3]) - max(bb[1], bbgt[1]) + 1
            if iw > 0 and ih > 0:
                ua = (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1) + (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1) - iw * ih
                if iw * ih / ua > ovmax:
                    ovmax, best = iw * ih / ua, o
        tp.append(0)
        fp.append(0)
        if ovmax >= 0.5:
            if not best["difficult"]:
                if not best["taken"]:
                    tp[-1], best["taken"] = 1, True
                else:
                    fp[-1] = 1
        else:
            fp[-1] = 1
    right = wrong = 0
    recall, precision = [], []
    for t, f in zip(tp, fp, strict=True):
        right, wrong = right + t, wrong + f
        if right + wrong:
            recall.append(right / npos)
            precision.append(right / (right + wrong))
    return _eleven(recall, precision) if eleven_points else _area(recall, precision)


def _eleven(recall, precision):
    total = 0.0
    for k in range(11):
        total += max([p for r, p in zip(recall, precision, strict=True) if r >= k / 10 - 1e-12], default=0.0)
    return total / 11


def _area(recall, precision):
    mrec, mpre = [0, *recall, 1], [0, *precision, 0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    return sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1])


def _whole(box):
    """Edges to whole pixels from 1, both ends inside."""
    return box[0] + 1, box[1] + 1, box[2], box[3]
