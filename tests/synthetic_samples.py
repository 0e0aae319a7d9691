"""Small made-up samples of the three tasks: two cars and a boat on road under sky, 40 x 56 pixels, everything annotated."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from robustbench_cv.boxes import from_mask
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxTarget, ClassTarget, MaskTarget, Sample, Target

CLASSES = ("car", "boat", "road", "sky")
HEIGHT, WIDTH = 40, 56
NAMES = ("car", "boat", "car")
COLOURS = ((0.9, 0.1, 0.1), (0.1, 0.2, 0.9), (0.9, 0.8, 0.1))


def masks() -> list[Tensor]:
    """A disk, a bar and a small square that touches the bar."""
    y, x = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH)[None, :]
    disk = (y - 25) ** 2 + (x - 12) ** 2 <= 36
    bar = (y >= 10) & (y < 15) & (x >= 24) & (x < 36)
    square = (y >= 9) & (y < 13) & (x >= 36) & (x < 40)
    return [disk, bar, square]


def sample(task: str, id_: str = "synthetic/0", context: str | None = "street", seed: int = 0) -> Sample:
    """One sample. Its background is textured, so that no fill can be right by chance."""
    objects = masks()
    top = torch.arange(HEIGHT)[:, None].expand(HEIGHT, WIDTH) < 20
    labels = torch.where(top, 3, 2)
    texture = 0.15 * Noise(seed, (id_,), "texture").uniform((3, HEIGHT, WIDTH))[0]
    image = torch.where(top, torch.tensor([0.5, 0.7, 0.8])[:, None, None], torch.tensor([0.4, 0.35, 0.3])[:, None, None]) + texture
    for mask, name, colour in zip(objects, NAMES, COLOURS, strict=True):
        image = torch.where(mask, torch.tensor(colour)[:, None, None], image)
        labels = torch.where(mask, CLASSES.index(name), labels)
    regions = {"object": objects[0], "objects": objects[0] | objects[1] | objects[2]}
    regions |= {f"class:{name}": labels == i for i, name in enumerate(CLASSES)}
    regions |= {f"instance:{k}": mask for k, mask in enumerate(objects)}
    boxes = torch.stack([from_mask(mask) for mask in objects])
    targets: dict[str, Target] = {
        "classification": ClassTarget(0),
        "segmentation": MaskTarget(labels),
        "detection": BoxTarget.of(boxes, torch.tensor([CLASSES.index(n) for n in NAMES])),
    }
    return Sample(id_, image, targets[task], regions, {} if context is None else {"context": context})


def donors(task: str) -> list[Sample]:
    """Nine other samples, three of each of three contexts."""
    return [sample(task, f"donor/{i}", ("street", "sea", "snow")[i % 3], seed=i + 1) for i in range(9)]


def digest(value: Sample) -> str:
    """Hash of everything in a sample."""
    parts = [value.id, repr(sorted(value.attributes.items())), *_target(value.target), _bytes(value.image)]
    parts += [name + _bytes(value.regions[name]) for name in sorted(value.regions)]
    if value.edit is not None:
        parts += [value.edit.kind, _bytes(value.edit.region), *_target(value.edit.before), repr(sorted(value.edit.removed))]
        parts += [repr(value.edit.share), repr(value.edit.moved), *([] if value.edit.subject is None else _target(value.edit.subject))]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


def _target(target: Target) -> list[str]:
    return [type(target).__name__, *(_bytes(v) if isinstance(v, Tensor) else repr(v) for v in vars(target).values())]


def _bytes(tensor: Tensor) -> str:
    return repr(tuple(tensor.shape)) + hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
