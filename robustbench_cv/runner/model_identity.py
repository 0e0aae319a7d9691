"""What a model says of a few images, as part of its identity: weights and code that nobody can see show in its answers.

The hash of registered parameters and buffers misses quantised layers, layers in a Python list, plain tensors, and whatever a factory reads
from files of its own. Answers are compared, not hashed: those of another number of threads differ by rounding, and count as the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
import torch
from torch import Tensor

from robustbench_cv.errors import RobustBenchError
from robustbench_cv.foreign_errors import read_sample
from robustbench_cv.run_folder import RunFolder, digest, json_file
from robustbench_cv.types import AnyModel, Candidates, Dataset, Model, Raw

SIDE = 64
"""Height and width of the fixed images in px (project choice), for a model that takes them; for any other, those of the data."""

OWN = 2
"""So many samples of the data are asked about too (project choice): a detector may have nothing to say of images that show nothing."""

OWN_TRIED = 8
"""Samples among which those are looked for that can be read (project choice)."""

NUMBERS = 256
"""So many of an image's outputs are compared, spread over all of them (project choice)."""

SAME = 1e-4
"""Two numbers are the same where they differ by no more than this share of their own size and of the size of the smaller ones among an
image's numbers (project choice): rounding is about 1e-6, and one huge number, such as a mask of -1e9, must not hide the others."""

UNSTEADY = "unsteady"
"""In place of answers that are others each time: nothing can be told from them."""

Answer = list[list[float]] | str
"""Of one image: rows of numbers, or in words why there are none."""


class Known(msgspec.Struct):
    """A model that a run has met: its name, and its answers by image."""

    name: str
    answers: dict[str, Answer]


def identify(folder: RunFolder | None, subject: object, model: AnyModel, dataset: Dataset, indices: Sequence[int], device: str) -> str:
    """A name for the model's answers: the same for the same answers up to rounding, another one where they are others.

    subject: whatever else tells models apart, such as spec and hash of the weights. folder: where the answers of earlier runs are kept;
    without one every difference counts. A model that fails on every image, or whose answers change from call to call, is named so.
    """
    fixed = _answers(model, _fixed_images(SIDE, SIDE), device)
    if all(isinstance(answer, str) for answer in fixed.values()):
        # Not every model takes any size; that of the data it must take.
        fixed = _answers(model, _fixed_images(*_size(dataset, indices)), device)
    answers = fixed | _answers(model, dict(_own_images(dataset, indices)), device)
    if UNSTEADY in answers.values():
        return UNSTEADY
    if all(isinstance(answer, str) for answer in answers.values()):
        return str(next(iter(answers.values())))
    if folder is None:
        return digest(answers)
    path = folder.model_answers(digest([subject, device.partition(":")[0]])[:32])
    storage = json_file(list[Known])
    known = storage.read(path) or []
    same = next((earlier for earlier in known if _are_same(earlier.answers, answers)), None)
    if same is None:
        same = Known(digest(answers), answers)
        storage.write(path, [*known, same])
    elif answers.keys() - same.answers.keys():
        same.answers |= answers
        storage.write(path, known)
    return same.name


def _size(dataset: Dataset, indices: Sequence[int]) -> tuple[int, int]:
    """Height and width of the first sample that can be read."""
    height, width = next((image.shape[-2:] for _, image in _own_images(dataset, indices)), (SIDE, SIDE))
    return int(height), int(width)


def _own_images(dataset: Dataset, indices: Sequence[int]) -> Iterator[tuple[str, Tensor]]:
    """The first samples of the data that can be read, by fingerprint."""
    left = OWN
    for i in indices[:OWN_TRIED]:
        try:
            fingerprint, image = dataset.fingerprint(i), read_sample(dataset, i).image
        except RobustBenchError:  # whoever needs the sample says so
            continue
        yield f"sample {fingerprint}", image
        left -= 1
        if not left:
            return


def _fixed_images(height: int, width: int) -> dict[str, Tensor]:
    """Grey, noise, and coarse noise: (3, H, W) in [0, 1] each."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((1, 3, height, width), generator=generator)
    coarse = torch.rand((1, 3, max(1, height // 8), max(1, width // 8)), generator=generator)
    coarse = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    images = {"grey": torch.full_like(noise, 0.5), "noise": noise, "coarse noise": coarse}
    return {f"{name} {height}x{width}": image[0] for name, image in images.items()}


def _answers(model: AnyModel, images: Mapping[str, Tensor], device: str) -> dict[str, Answer]:
    return {name: _answer(model, image, device) for name, image in images.items()}


def _answer(model: AnyModel, image: Tensor, device: str) -> Answer:
    try:
        first, second = (_outputs(model, image, device) for _ in range(2))
    except (Exception, SystemExit) as error:  # a foreign model may do anything on an image that nobody made for it; its own run will say so
        return f"no answer: {type(error).__name__}"
    return first if _are_close(first, second) else UNSTEADY


def _outputs(model: AnyModel, image: Tensor, device: str) -> list[list[float]]:
    known = cast("Model[Any]", model)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _numbers(known.raw(image[None].to(device)))


def _numbers(raw: Raw) -> list[list[float]]:
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


def _are_same(one: Mapping[str, Answer], other: Mapping[str, Answer]) -> bool:
    """Whether two models said the same of every image that both were asked about."""
    shared = one.keys() & other.keys()
    return bool(shared) and all(_are_close(one[name], other[name]) for name in shared)


def _are_close(one: Answer, other: Answer) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return [len(row) for row in one] == [len(row) for row in other] and all(map(_is_close_row, one, other))


def _is_close_row(one: Sequence[float], other: Sequence[float]) -> bool:
    """one, other: numbers, and in the last place how many of them were none (see `_spread`)."""
    small = _size_of_small_ones(one[:-1])
    near = (abs(a - b) <= SAME * (abs(a) + small) for a, b in zip(one[:-1], other[:-1], strict=True))
    return one[-1] == other[-1] and all(near)


def _size_of_small_ones(values: Sequence[float]) -> float:
    """The median size of the numbers that are no masks, or at least a thousandth: what rounding of sums is measured by."""
    # A mask is one number many times over, far above the rest: what is a thousand times the lower quartile does not count.
    sizes = sorted({abs(v) for v in values})
    limit = 1e3 * max(1e-3, sizes[len(sizes) // 4]) if sizes else 0.0
    return max(1e-3, statistics.median([size for size in sizes if size <= limit] or [0.0]))
