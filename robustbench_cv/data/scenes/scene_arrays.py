"""Many scenes as uint8 arrays, for training: a quarter of the memory of tensors in [0, 1], on several processes if asked."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from robustbench_cv.data.scenes.classes import OBJECTS
from robustbench_cv.data.scenes.generate import generate
from robustbench_cv.data.scenes.noise_fields import Array
from robustbench_cv.tasks import Task
from robustbench_cv.types import BoxTarget

CHUNK = 250


@dataclass(frozen=True, eq=False)
class SceneArrays:
    """images uint8 (N, H, W, 3). What the task needs of: labels int64 (N,), maps uint8 (N, H, W), boxes: one BoxTarget a scene."""

    images: Array
    labels: Array
    maps: Array | None = None
    boxes: tuple[BoxTarget, ...] | None = None


def arrays(
    split: str = "train",
    samples: int = 20000,
    size: int = 96,
    bias: float = 0.8,
    seed: int = 0,
    task: Task = "classification",
    workers: int = 1,
    start: int = 0,
) -> SceneArrays:
    """Scenes `start` to `start + samples`, the same pictures and targets as `scenes(...)` gives one by one.

    labels (class of the main object) are always there; maps for segmentation, boxes for detection. workers: processes; the result does
    not depend on it.
    """
    firsts = range(start, start + samples, CHUNK)
    part = partial(_chunk, split=split, stop=start + samples, size=size, bias=bias, seed=seed, task=task)
    images = np.empty((samples, size, size, 3), np.uint8)
    labels = np.empty(samples, np.int64)
    maps = np.empty((samples, size, size), np.uint8) if task == "segmentation" else None
    boxes_of_samples: list[tuple[Array, Array]] = []
    pool = multiprocessing.get_context("forkserver").Pool(workers) if workers > 1 else None
    try:
        for first, (pixels, classes, semantic, boxes) in zip(firsts, (pool.imap if pool else map)(part, firsts), strict=True):
            rows = slice(first - start, first - start + len(classes))
            images[rows], labels[rows] = pixels, classes
            if maps is not None:
                maps[rows] = semantic
            boxes_of_samples += boxes
    finally:
        if pool:
            pool.terminate()
            pool.join()
    targets = tuple(_box_target(*b) for b in boxes_of_samples) if task == "detection" else None
    return SceneArrays(images, labels, maps, targets)


Chunk = tuple[Array, Array, Array, list[tuple[Array, Array]]]


def _chunk(first: int, *, split: str, stop: int, size: int, bias: float, seed: int, task: Task) -> Chunk:
    """Images, classes, semantic maps, and (boxes with area in the fifth column, labels) of up to CHUNK scenes."""
    indices = range(first, min(first + CHUNK, stop))
    images = np.empty((len(indices), size, size, 3), np.uint8)
    labels = np.empty(len(indices), np.int64)
    maps = np.empty((len(indices) if task == "segmentation" else 0, size, size), np.uint8)
    boxes: list[tuple[Array, Array]] = []
    for row, index in enumerate(indices):
        scene = generate(split, index, bias, seed, size)
        drawn = scene.render()
        images[row] = drawn.image
        labels[row] = OBJECTS.index(scene.objects[0].name)
        if task == "segmentation":
            maps[row] = drawn.labels
        if task == "detection":
            area = drawn.visible.sum(axis=(1, 2)).astype(np.float32)
            names = np.array([OBJECTS.index(scene.objects[i].name) for i in drawn.annotated], np.int64)
            boxes.append((np.concatenate([drawn.boxes, area[:, None]], axis=1), names))
    return images, labels, maps, boxes


def _box_target(boxes: Array, labels: Array) -> BoxTarget:
    return BoxTarget.of(torch.from_numpy(boxes[:, :4].copy()), torch.from_numpy(labels), area=torch.from_numpy(boxes[:, 4].copy()))
