"""Random small worlds for the metrics: pairs of a prediction and the sample it was made on, and predictions without a fault."""

from __future__ import annotations

from dataclasses import replace

import numpy
import torch

from robustbench_cv.boxes import from_mask
from robustbench_cv.types import (
    ABSENT,
    BoxPrediction,
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    Edit,
    MaskPrediction,
    MaskTarget,
    PixelProbabilities,
    Sample,
)

NAMES = ("background", "car", "boat", "cow", "plane", "chair", "person")
SIDE = 24


def pairs(task: str, n: int = 12, *, seed: int = 0, edited: bool = False):
    """n pairs; every one edited (a class removed, a region marked) on demand."""
    rng = numpy.random.default_rng([seed, len(task)])
    return [_MAKERS[task](rng, f"sample/{k:03}", edited) for k in range(n)]


def compared(pairs, seed=0):
    """The pairs with what the model said of the unedited image: nearly the same. Of every other one the edit put an object in."""
    return [_compared(numpy.random.default_rng([seed, k]), prediction, sample, k) for k, (prediction, sample) in enumerate(pairs)]


def _compared(rng, prediction, sample, k):
    edit = sample.edit
    if isinstance(prediction, ClassPrediction):
        original = prediction if rng.random() < 0.5 else ClassPrediction(prediction.probs.flip(0))
    elif isinstance(prediction, MaskPrediction):
        noise = torch.from_numpy(rng.random((SIDE, SIDE)) < 0.2)
        original = MaskPrediction(torch.where(noise, torch.from_numpy(rng.integers(0, 6, (SIDE, SIDE))), prediction.labels))
    else:
        count = len(prediction.boxes)
        boxes = prediction.boxes + torch.from_numpy(rng.choice([0, 0, 0, 1, 3, 12], (count, 1))).float()
        labels = torch.where(torch.from_numpy(rng.random(count) < 0.2), 1 + prediction.labels % 4, prediction.labels)
        original = BoxPrediction(boxes, prediction.scores, labels)
        if k % 3 == 0:  # something lies on the edited place
            y, x = edit.region.nonzero()[0].tolist()
            there = torch.tensor([[x, y, x + 8.0, y + 8.0]])
            more = torch.cat([there, prediction.boxes]), torch.cat([torch.tensor([0.8]), prediction.scores])
            prediction = _with_masks(BoxPrediction(*more, torch.cat([torch.tensor([1 + k % 4]), prediction.labels])))
        if k % 2:
            y, x = edit.region.nonzero()[0].tolist()
            subject = BoxTarget.of(torch.tensor([[x, y, x + 8.0, y + 8.0]]), torch.tensor([2 if k % 4 == 1 else -1]))
            edit = replace(edit, subject=subject, adds=True)
    return prediction, replace(sample, edit=replace(edit, original=original))


def unchanged(pair):
    """The same sample with the answer to the unedited image, and an object that the edit put in found."""
    edit = pair[1].edit
    if not edit.adds or not isinstance(edit.subject, BoxTarget) or int(edit.subject.labels[0]) < 0:
        return edit.original, pair[1]
    boxes, labels = (torch.cat([getattr(one, name) for one in (edit.subject, edit.original)]) for name in ("boxes", "labels"))
    return BoxPrediction(boxes, torch.cat([torch.ones(1), edit.original.scores]), labels), pair[1]


def perfect(pair):
    """The same sample with the prediction that is right in everything."""
    target = pair[1].target
    if isinstance(target, ClassTarget):
        gone = {NAMES.index(n) for n in pair[1].edit.removed} if pair[1].edit else set()
        right = target.label if target.label != ABSENT else next(c for c in range(len(NAMES)) if c not in gone)
        return ClassPrediction(torch.eye(len(NAMES))[right]), pair[1]
    if isinstance(target, MaskTarget):
        labels, sampled = target.labels.where(target.labels != 255, 0), pair[0].sampled
        if sampled is not None:
            sampled = replace(sampled, values=torch.eye(len(NAMES))[labels.flatten()[sampled.positions]])
        return MaskPrediction(labels, sampled), pair[1]
    keep = ~target.crowd
    masks = None if target.masks is None else target.masks[keep]
    return BoxPrediction(target.boxes[keep], torch.ones(int(keep.sum())), target.labels[keep], masks), pair[1]


def _classified(rng, name, edited):
    label = int(rng.integers(0, len(NAMES)))
    # Few distinct values, so that probabilities tie.
    probs = torch.tensor(rng.integers(1, 5, len(NAMES)).astype("float32"))
    texture = NAMES[int(rng.integers(0, len(NAMES)))]
    sample = Sample(name, _image(), ClassTarget(label), attributes={"texture": texture if texture != NAMES[label] else NAMES[label - 1]})
    if edited:
        sample = replace(sample, target=ClassTarget(ABSENT), edit=_edit(rng, sample.target, NAMES[label]))
    return ClassPrediction(probs / probs.sum()), sample


def _segmented(rng, name, edited):
    truth = rng.integers(0, 5, (SIDE, SIDE))
    predicted = numpy.where(rng.random((SIDE, SIDE)) < 0.6, truth, rng.integers(-1, 6, (SIDE, SIDE)))
    truth[rng.random((SIDE, SIDE)) < 0.1] = 255
    target = MaskTarget(torch.from_numpy(truth))
    sample = Sample(name, _image(), target, {"objects": (target.labels > 0) & (target.labels != 255)})
    if edited:
        edit = _edit(rng, target, NAMES[int(rng.integers(1, 6))])
        gone = NAMES.index(next(iter(edit.removed)))
        labels = torch.where(edit.region | (target.labels == gone), 255, target.labels)
        sample = replace(sample, target=MaskTarget(labels), edit=edit)
        if rng.random() < 0.5:
            predicted[predicted == gone] = 0
    return MaskPrediction(torch.from_numpy(predicted)), sample


def _unsure(rng, name, edited):
    """A segmentation that tells how sure it is of some pixels, mostly of what it says there."""
    prediction, sample = _segmented(rng, name, edited)
    positions = torch.from_numpy(numpy.sort(rng.permutation(SIDE * SIDE)[:40]))
    said = prediction.labels.flatten()[positions].clamp(min=0)
    probs = torch.from_numpy(rng.integers(1, 5, (40, len(NAMES)))).float() + 12 * torch.eye(len(NAMES))[said]
    return replace(prediction, sampled=PixelProbabilities(positions, probs / probs.sum(dim=1, keepdim=True))), sample


def _detected(rng, name, edited):
    count = int(rng.integers(0, 5))
    boxes = torch.from_numpy(_boxes(rng, count))
    labels = torch.from_numpy(rng.integers(1, 5, count))
    crowd = torch.from_numpy(rng.random(count) < 0.15)
    target = BoxTarget.of(boxes, labels, crowd)
    found, classes = [_boxes(rng, 3)], [rng.integers(1, 6, 3)]
    for box, label in zip(boxes.numpy(), labels.numpy(), strict=True):
        moved = box + rng.choice([0, 0.25, -0.5, 1, 8], (2, 4))
        found.append(moved)
        classes.append(numpy.where(rng.random(2) < 0.8, label, rng.integers(1, 6, 2)))
    found, classes = numpy.concatenate(found), numpy.concatenate(classes)
    found[:, 2:] = numpy.maximum(found[:, 2:], found[:, :2] + 1)
    # Scores on a coarse grid, so that they tie within images and across them.
    scores = torch.from_numpy(rng.integers(0, 8, len(found)).astype("float32") / 10)
    order = scores.argsort(descending=True, stable=True)
    prediction = BoxPrediction(torch.from_numpy(found).float()[order], scores[order], torch.from_numpy(classes)[order])
    prediction, target = _with_masks(prediction), _with_masks(target)
    sample = Sample(name, _image(), target)
    if edited:
        edit = _edit(rng, target, NAMES[int(rng.integers(1, 6))])
        gone = NAMES.index(next(iter(edit.removed)))
        sample = replace(sample, target=target.select(labels != gone), edit=edit)
        if rng.random() < 0.4:
            prediction = _with_ghost(rng, prediction, edit, gone)
    return prediction, sample


def _with_masks(objects):
    """Each with the half of its box's pixels in which the image's diagonals lie, so that masks overlap otherwise than boxes."""
    at = torch.arange(SIDE) + 0.5
    x1, y1, x2, y2 = objects.boxes[..., None, None].unbind(1)
    inside = (at > x1) & (at < x2) & (at[:, None] > y1) & (at[:, None] < y2)
    return replace(objects, masks=inside & ((at + at[:, None]) % 3 < 1.5))


def _with_ghost(rng, prediction, edit, gone):
    """One more box, somewhere about the edited region."""
    y, x = edit.region.nonzero()[0].tolist()
    box = torch.tensor([[x, y, x + 8, y + 8]]) + float(rng.integers(-6, 7))
    more = BoxPrediction(
        torch.cat([box.clamp(min=0), prediction.boxes]),
        torch.cat([torch.tensor([0.9]), prediction.scores]),
        torch.cat([torch.tensor([gone]), prediction.labels]),
    )
    return _with_masks(more)


def _boxes(rng, count):
    """float32-exact coordinates with sides from 8 to 128 pixels."""
    corner = rng.integers(0, 64, (count, 2)) / 4
    return numpy.concatenate([corner, corner + rng.choice([8, 16, 32, 40, 96, 128], (count, 2))], axis=1).astype("float32")


def _edit(rng, before, name):
    region = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    x, y = rng.integers(0, SIDE - 8, 2)
    region[y : y + 8, x : x + 8] = True
    return Edit("removal", region, before, frozenset({name}))


def _image():
    return torch.zeros(3, SIDE, SIDE)


def _stacked(rng, name, edited):
    """Rectangles and frames on top of each other, whose whole shapes every other sample knows; detections are the masks, moved or cut."""
    count, known = int(rng.integers(2, 6)), rng.random() < 0.5
    whole = [_shape(rng) for _ in range(count)]
    visible = [mask & ~torch.stack([*whole[k + 1 :], torch.zeros_like(mask)]).any(dim=0) for k, mask in enumerate(whole)]
    kept = [k for k in range(count) if visible[k].sum() >= 4]
    masks = torch.stack([visible[k] for k in kept])
    boxes = torch.stack([from_mask(mask) for mask in masks])
    target = BoxTarget.of(
        boxes, torch.from_numpy(rng.integers(1, 4, len(kept))), torch.from_numpy(rng.random(len(kept)) < 0.1), masks=masks
    )
    regions = {f"instance:{i}": mask for i, mask in enumerate(masks)}
    if known:
        regions |= {f"amodal:{i}": whole[k] for i, k in enumerate(kept)}
    found = torch.cat([masks.roll(int(shift), dims=2) for shift in rng.integers(-2, 3, 2)] + [masks])
    labels = torch.where(torch.from_numpy(rng.random(len(found)) < 0.8), target.labels.repeat(3), 1)
    scores = torch.from_numpy(rng.integers(0, 8, len(found)).astype("float32") / 10)
    order = scores.argsort(descending=True, stable=True)
    prediction = BoxPrediction(torch.stack([from_mask(mask) for mask in found])[order], scores[order], labels[order], found[order])
    return prediction, Sample(name, _image(), target, regions)


def _shape(rng):
    """A rectangle, or the frame of one."""
    out = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    (top, left), (high, wide) = rng.integers(0, SIDE - 6, 2), rng.integers(3, 20, 2)
    out[top : top + high, left : left + wide] = True
    if rng.random() < 0.3:
        out[top + 2 : top + high - 2, left + 2 : left + wide - 2] = False
    return out


_MAKERS = {
    "classification": _classified,
    "segmentation": _segmented,
    "detection": _detected,
    "occlusion": _stacked,
    "unsure pixels": _unsure,
}
