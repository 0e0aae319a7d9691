"""Batches of one image shape, halved where memory runs out; and which rows of a model's output are numbers at all."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from robustbench_cv.errors import UserError
from robustbench_cv.foreign_errors import ran_out_of_memory
from robustbench_cv.types import Candidates, Raw, Sample

T = TypeVar("T")
logger = logging.getLogger(__name__)

_LARGEST = 64
_AUTO_PIXELS = _LARGEST * 128 * 128


class BatchSize:
    """How many images go through a model at once: a number, or None for as many as the image area allows. Halved for good where memory
    runs out.

    limit, pixels: what None means: at most `limit` images, and at most `pixels` pixels in all (but one image always).
    """

    def __init__(self, asked: int | None = None, *, limit: int = _LARGEST, pixels: int = _AUTO_PIXELS) -> None:
        self._limit = limit if asked is None else asked
        self._pixels = pixels if asked is None else None

    def at(self, height: int, width: int) -> int:
        """Images of this size per batch."""
        return self._limit if self._pixels is None else min(self._limit, max(1, self._pixels // (height * width)))

    def shrink(self, tried: int, error: RuntimeError) -> None:
        """Halve after `tried` images did not fit. UserError where even one does not."""
        if tried <= 1:
            raise UserError(
                f"one image does not fit into memory ({error}); use smaller images, a smaller model or another --device"
            ) from error
        self._limit = tried // 2
        logger.warning("out of memory with %d images at once; going on with %d", tried, self._limit)


def in_batches(
    samples: Sequence[Sample], size: BatchSize, work: Callable[[Tensor, list[int]], Sequence[T]], most: int | None = None
) -> list[T]:
    """work(images (N, 3, H, W), positions) for batches of equal shape, of at most `most`; its results in the order of the samples."""
    results: dict[int, T] = {}
    for positions in positions_by_shape(s.image for s in samples):
        done = 0
        while done < len(positions):
            height, width = samples[positions[done]].image.shape[1:]
            fitting = size.at(height, width)
            chosen = positions[done : done + (fitting if most is None else min(fitting, most))]
            try:
                made = work(torch.stack([samples[i].image for i in chosen]), chosen)
            except RuntimeError as error:
                if not ran_out_of_memory(error):
                    raise
                size.shrink(len(chosen), error)
                continue
            results.update(zip(chosen, made, strict=True))
            done += len(chosen)
    return [results[i] for i in range(len(samples))]


def positions_by_shape(images: Iterable[Tensor]) -> list[list[int]]:
    """The positions of the images of each shape, shapes in the order in which they first appear.

    >>> positions_by_shape([torch.zeros(3, 2, 2), torch.zeros(3, 4, 4), torch.zeros(3, 2, 2)])
    [[0, 2], [1]]
    """
    shapes: dict[Hashable, list[int]] = {}
    for i, image in enumerate(images):
        shapes.setdefault(tuple(image.shape), []).append(i)
    return list(shapes.values())


def finite_rows(raw: Raw) -> Tensor:
    """Which samples' raw output holds neither NaN nor infinity: bool (N,). A candidate's log score may be minus infinity: impossible."""
    if isinstance(raw, Candidates):
        scores = (raw.log_score < torch.inf).flatten(2).all(dim=2)
        boxes = raw.boxes.isfinite().flatten(2).all(dim=2)
        return ((scores & boxes) | ~raw.valid).all(dim=1)
    return raw.values.flatten(1).isfinite().all(dim=1)
