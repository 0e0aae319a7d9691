"""How badly a network knows each class at present, by which hard-negative sampling chooses what it removes.

Shetty, Schiele, Fritz (CVPR 2019, arXiv:1812.06707) prefer classes that the model is weak in. By what that is told is a project choice: of
up to MEASURED unedited training images, spread over all, with norms and dropout as in use, 1 - IoU of a segmenter's classes (of all pixels
together), 1 - recall of a classifier's, and for a detector, whose raw output is its own, the mean loss of the images that show a class,
over the largest such mean.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robustbench_cv.tasks import Task
from robustbench_cv.training.training_set import MOST_OBJECTS, NOTHING, TrainingSet

MEASURED = 1000
"""Images that the difficulty is measured on, at each epoch's start."""

LEAST = 0.05
"""Difficulty of a class that is known perfectly: it is still removed now and then (project choice)."""

Scores = Callable[[Tensor], Tensor]
"""Images (N, 3, h, w) in [0, 1] -> scores, (N, C) of a classifier, (N, C, h, w) of a segmenter."""

Losses = Callable[[Tensor, Tensor], Tensor]
"""(images, truths as a training set holds them) -> a scalar."""


def class_difficulty(task: Task, pool: TrainingSet, chosen: Tensor, scores: Scores, loss: Losses, batch: int) -> Tensor:
    """Of each class, and last of one that the data do not label: (C + 1,) in [LEAST, 1]. chosen: positions of the images to measure on.

    What no image shows counts as the mean of what some do; everything as 1 where nothing is shown.
    """
    some = chosen[torch.linspace(0, len(chosen) - 1, min(len(chosen), MEASURED)).round().long()]
    found = _mean_loss(pool, some, loss) if task == "detection" else _unknown_share(task, pool, some, scores, batch)
    shown = ~found.isnan()
    middle = found[shown].mean() if bool(shown.any()) else torch.tensor(1.0)
    return torch.cat([found.where(shown, middle), middle[None]]).clamp(LEAST, 1)


def _unknown_share(task: Task, pool: TrainingSet, chosen: Tensor, scores: Scores, batch: int) -> Tensor:
    """1 - recall, or 1 - IoU, by class: (C,), NaN of those that no image shows."""
    classes = len(pool.labels)
    right, truth, answered = torch.zeros(3, classes, dtype=torch.float64)
    for part in torch.split(chosen, batch):
        answers = scores(pool.images[part].float() / 255).argmax(dim=1).cpu().flatten()
        labels = pool.truths[part].long().flatten()
        scored = (labels >= 0) & (labels < classes)  # ABSENT and IGNORE are outside
        answers, labels = answers[scored], labels[scored]
        right += torch.bincount(labels[answers == labels], minlength=classes)
        truth += torch.bincount(labels, minlength=classes)
        answered += torch.bincount(answers, minlength=classes)
    below = truth if task == "classification" else truth + answered - right
    return torch.where(truth > 0, 1 - right / below, torch.nan).float()


def _mean_loss(pool: TrainingSet, chosen: Tensor, loss: Losses) -> Tensor:
    """Mean loss of the images that show a class over the largest such mean: (C,), NaN of those that no image shows."""
    total, shown = torch.zeros(2, len(pool.labels), dtype=torch.float64)
    for k in chosen.tolist():
        truths = pool.truths[k : k + 1]
        held = torch.tensor(sorted(set(_labels_of(truths[0]).tolist())), dtype=torch.long)
        total[held] += float(loss(pool.images[k : k + 1].float() / 255, truths))
        shown[held] += 1
    means = torch.where(shown > 0, total / shown, torch.nan)
    return torch.div(means, means.nan_to_num(0).max().clamp(min=1e-12)).float()


def _labels_of(truth: Tensor) -> Tensor:
    """Labels of an image's objects, from its rows (M, 5) or its instance map (h, w)."""
    if truth.is_floating_point():
        return truth[truth[:, 4] != NOTHING][:, 4].long()
    return torch.div(truth[truth != NOTHING].long(), MOST_OBJECTS, rounding_mode="floor")
