"""What a model says of a few fixed images, as part of its identity: weights and code that nobody can see show in its answers.

The hash of registered parameters and buffers misses quantised layers, layers in a Python list, plain tensors, and whatever a factory reads
from files of its own. Answers are compared, not hashed: those of another number of threads differ by rounding, and count as the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from robustbench_cv.errors import RobustBenchError
from robustbench_cv.foreign_code import read_sample
from robustbench_cv.run_folder import RunFolder, digest, json_file
from robustbench_cv.types import AnyModel, Candidates, Dataset, Model, Raw

SIDE = 64
"""Height and width of the images in px (project choice), for a model that takes them; for any other, those of the data."""

NUMBERS = 256
"""So many of an image's outputs are compared, spread over all of them (project choice)."""

SAME = 1e-4
"""Answers to an image are the same where they differ by no more than this share of the largest (project choice): rounding is about 1e-6."""

UNSTEADY = "unsteady"
"""In place of an answer that is another one each time: nothing can be told from it."""

Answers = list[list[float]]


def identify(folder: RunFolder | None, subject: object, model: AnyModel, dataset: Dataset, indices: Sequence[int], device: str) -> str:
    """A name for the model's answers: the same for the same answers up to rounding, another one where they are others.

    subject: whatever else tells models apart, such as spec and hash of the weights. folder: where the answers of earlier runs are kept;
    without one every difference counts. A model that fails on the images, or whose answers change from call to call, is named so.
    """
    answers = _answers(model, _images(SIDE, SIDE), device)
    if isinstance(answers, str) and answers != UNSTEADY:
        # Not every model takes any size; that of the data it must take.
        answers = _answers(model, _images(*_size(dataset, indices)), device)
    if isinstance(answers, str):
        return answers
    if folder is None:
        return digest(answers)
    path = folder.model_answers(digest([subject, device.partition(":")[0]])[:32])
    storage = json_file(list[Answers])
    known = storage.read(path) or []
    same = next((earlier for earlier in known if _are_same(earlier, answers)), None)
    if same is None:
        storage.write(path, [*known, answers])
    return digest(same or answers)


def _size(dataset: Dataset, indices: Sequence[int]) -> tuple[int, int]:
    """Height and width of the first sample that can be read."""
    for i in indices[:8]:
        try:
            height, width = read_sample(dataset, i).image.shape[-2:]
        except RobustBenchError:  # whoever needs the sample says so
            continue
        return int(height), int(width)
    return SIDE, SIDE


def _images(height: int, width: int) -> Tensor:
    """Grey, noise, and coarse noise: (3, 3, H, W) in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((1, 3, height, width), generator=generator)
    coarse = torch.rand((1, 3, max(1, height // 8), max(1, width // 8)), generator=generator)
    coarse = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return torch.cat([torch.full_like(noise, 0.5), noise, coarse])


def _answers(model: AnyModel, images: Tensor, device: str) -> Answers | str:
    """A row for each image; or in words why there is none."""
    try:
        first, second = _outputs(model, images, device), _outputs(model, images, device)
    except (Exception, SystemExit) as error:  # a foreign model may do anything on an image that nobody made for it; its own run will say so
        return f"no answer: {type(error).__name__}"
    return first if _are_same(first, second) else UNSTEADY


def _outputs(model: AnyModel, images: Tensor, device: str) -> Answers:
    known = cast("Model[Any]", model)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [row for image in images for row in _numbers(known.raw(image[None].to(device)))]


def _numbers(raw: Raw) -> Answers:
    """Up to NUMBERS numbers of each row. Of candidates, whose order may turn on rounding: the best scores, and the mean box they mean."""
    if not isinstance(raw, Candidates):
        return [_spread(row) for row in raw.values.detach().flatten(1).float().cpu()]
    scores = raw.log_score.detach().float().exp().amax(-1).masked_fill(~raw.valid, 0).nan_to_num().cpu()
    boxes = raw.boxes.detach().float().mean(2).nan_to_num().cpu()
    means = (boxes * scores[:, :, None]).sum(1) / scores.sum(1, keepdim=True).clamp(min=1e-12)
    best = scores.sort(dim=1, descending=True).values[:, :NUMBERS]
    return [_spread(row) for table in (best, means) for row in table]


def _spread(values: Tensor) -> list[float]:
    """Evenly spread numbers of a row, and how many of them are none."""
    places = torch.linspace(0, max(len(values) - 1, 0), min(len(values), NUMBERS)).round().long()
    chosen = values[places].double()
    finite = chosen.where(chosen.isfinite(), 0).tolist()
    return [*(float(f"{v:.7g}") for v in finite), float((~chosen.isfinite()).sum())]


def _are_same(one: Answers, other: Answers) -> bool:
    if [len(row) for row in one] != [len(row) for row in other]:
        return False
    return all(_are_close(a, b) for a, b in zip(one, other, strict=True))


def _are_close(one: Sequence[float], other: Sequence[float]) -> bool:
    allowed = SAME * max(1e-3, *(abs(v) for v in one))
    return one[-1] == other[-1] and all(abs(a - b) <= allowed for a, b in zip(one[:-1], other[:-1], strict=True))
