"""A training set in memory: small images as bytes, truths as one tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.boxes import from_mask
from robustbench_cv.errors import UserError
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.models.preprocessing import scale
from robustbench_cv.training.drawn_copies import DrawnCopies
from robustbench_cv.types import BoxTarget, ClassTarget, Labels, MaskTarget, Sample, Target

NOTHING = -1
"""Label of a row in which no object stands; of a pixel of an instance map on which none does."""

MOST_OBJECTS = 64
"""Objects that an instance map tells apart; the smallest are left out where an image has more."""


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """images: uint8 (N, 3, h, w). truths, by task: labels (N,) int64; label maps (N, h, w) uint8, 255 = ignore; (N, M, 5) float rows
    x1, y1, x2, y2 in px of the images and label, NOTHING where a row is padding; or instance maps (N, h, w) int16 (see `each_object`).
    sha256: over ids and content fingerprints. drawn: where an epoch learns from some of the images alone, which; None: from all.
    """

    labels: Labels
    images: Tensor
    truths: Tensor
    sha256: str
    drawn: DrawnCopies | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def per_epoch(self) -> int:
        """Images that an epoch learns from."""
        return len(self) if self.drawn is None else len(self.drawn)

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel in [0, 1], to four decimals, over at most 2,000 images."""
        some = self.images[:: max(1, len(self) // 2000)].float() / 255
        mean, deviation = some.mean((0, 2, 3)), some.std((0, 2, 3)).clamp(min=1e-2)
        return tuple(round(float(v), 4) for v in mean), tuple(round(float(v), 4) for v in deviation)

    def shapes(self) -> Tensor:
        """Width and height of every object, px: (M, 2). Of label rows only."""
        rows = self.truths[self.truths[..., 4] != NOTHING]
        return rows[:, 2:4] - rows[:, 0:2]


def collect(
    labels: Labels, samples: Iterable[tuple[Sample, str]], size: tuple[int, int], letterbox: bool, instances: bool = False
) -> TrainingSet:
    """Samples with their fingerprints, scaled to `size` (h, w); instances: boxes with masks become instance maps. UserError for none."""
    prints: list[tuple[str, str]] = []
    images: list[Tensor] = []
    truths: list[Tensor] = []
    for sample, fingerprint in samples:
        image, truth = fit_to_size(sample, size, letterbox, instances)
        prints.append((sample.id, fingerprint))
        images.append(image)
        truths.append(truth)
    if not images:
        raise UserError("the training data is empty; check --data and --limit")
    return TrainingSet(labels, torch.stack(images), _stack_truths(truths), digest(prints))


def digest(samples: Iterable[tuple[str, str]]) -> str:
    """The hash that names a training set: over each sample's id and fingerprint, in order."""
    return hashlib.sha256("".join(f"{name} {fingerprint}\n" for name, fingerprint in samples).encode()).hexdigest()


def fit_to_size(sample: Sample, size: tuple[int, int], letterbox: bool, instances: bool = False) -> tuple[Tensor, Tensor]:
    """A sample's image (uint8 (3, h, w)) and truth at the training size."""
    height, width = sample.image.shape[-2:]
    if letterbox:
        frame = Letterbox(height, width, size[0])
        truth = instance_map(sample, frame) if instances else _rows(sample.target, frame)
        return _bytes(frame.images(sample.image[None])[0]), truth
    if isinstance(sample.target, BoxTarget):
        return _bytes(scale(sample.image[None], size)[0]), _stretch_boxes(sample.target, size[0] / height, size[1] / width)
    return _bytes(scale(sample.image[None], size)[0]), _truth(sample.target, size)


def _bytes(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def _truth(target: Target, size: tuple[int, int]) -> Tensor:
    match target:
        case ClassTarget(label=label):
            return torch.tensor(label)
        case MaskTarget(labels=labels):
            return F.interpolate(labels[None, None].float(), size, mode="nearest-exact")[0, 0].to(torch.uint8)
        case _:
            raise UserError(f"this recipe trains on labels or label maps, not on {type(target).__name__}s")


def _stretch_boxes(target: BoxTarget, down: float, across: float) -> Tensor:
    target = target.select(~target.crowd)
    return torch.cat([target.boxes * target.boxes.new_tensor([across, down, across, down]), target.labels[:, None].float()], dim=1)


def _rows(target: Target, frame: Letterbox) -> Tensor:
    if not isinstance(target, BoxTarget):
        raise UserError(f"this recipe trains on boxes, the data has {type(target).__name__}s: load it with task='detection'")
    target = target.select(~target.crowd)
    return torch.cat([frame.forth(target.boxes), target.labels[:, None].float()], dim=1)


def instance_map(sample: Sample, frame: Letterbox) -> Tensor:
    """int16 (side, side): MOST_OBJECTS * label + number of the object at each pixel, NOTHING elsewhere; the smaller object where two meet.

    UserError where the objects have no masks.
    """
    target = sample.target
    if not isinstance(target, BoxTarget) or target.masks is None:
        raise UserError(f"this recipe trains on instance masks, which sample {sample.id} does not have; use one that trains on boxes")
    masks = target.masks & ~target.crowd[:, None, None]
    kept = masks.flatten(1).sum(1).argsort(descending=True, stable=True)[:MOST_OBJECTS]
    out = torch.full((frame.side, frame.side), NOTHING, dtype=torch.int16)
    (h, w), (top, left) = frame.scaled, frame.corner
    window = out[top : top + h, left : left + w]
    for k, mask in enumerate(masks[kept]):
        shown = F.interpolate(mask[None, None].float(), (h, w), mode="nearest-exact")[0, 0] > 0
        window[shown] = MOST_OBJECTS * int(target.labels[kept[k]]) + k
    return out


def each_object(instances: Tensor) -> tuple[Tensor, Tensor]:
    """An instance map (h, w) -> rows (M, 5) of the tight boxes and labels, as a pool holds them, and masks uint8 (M, h, w)."""
    numbers = torch.tensor(sorted(set(instances[instances != NOTHING].tolist())), dtype=instances.dtype)
    masks = instances == numbers[:, None, None]
    boxes = torch.stack([from_mask(mask) for mask in masks]) if len(masks) else instances.new_zeros((0, 4), dtype=torch.float32)
    labels = torch.div(numbers, MOST_OBJECTS, rounding_mode="floor")
    return torch.cat([boxes, labels[:, None].float()], dim=1), masks.to(torch.uint8)


def _stack_truths(truths: list[Tensor]) -> Tensor:
    if truths[0].ndim != 2 or not truths[0].is_floating_point():
        return torch.stack(truths)
    rows = max(1, *(len(t) for t in truths))
    return torch.stack([F.pad(t, (0, 0, 0, rows - len(t)), value=NOTHING) for t in truths])
