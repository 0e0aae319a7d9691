"""Predicting in batches of one image shape, halving the batch where memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from robustbench_cv.errors import UserError
from robustbench_cv.foreign import ran_out_of_memory
from robustbench_cv.types import Candidates, Raw, Sample

T = TypeVar("T")
logger = logging.getLogger(__name__)

_AUTO_PIXELS = 64 * 128 * 128


class BatchSize:
    """How many images go through a model at once: a number, or "auto" (by image area). Halved for good where memory runs out."""

    def __init__(self, asked: int | None = None) -> None:
        self._limit = asked if asked is not None else 64
        self._auto = asked is None

    def at(self, height: int, width: int) -> int:
        """Images of this size per batch."""
        fitting = max(1, _AUTO_PIXELS // (height * width)) if self._auto else self._limit
        return min(self._limit, fitting)

    def shrink(self, tried: int, error: RuntimeError) -> None:
        """Halve after `tried` images did not fit. UserError where even one does not."""
        if tried <= 1:
            raise UserError(
                f"one image does not fit into memory ({error}); use smaller images, a smaller model or another --device"
            ) from error
        self._limit = tried // 2
        logger.warning("out of memory with %d images at once; going on with %d", tried, self._limit)


def in_batches(
    samples: Sequence[Sample], size: BatchSize, work: Callable[[Tensor, list[int]], list[T]], most: int | None = None
) -> list[T]:
    """work(images (N, 3, H, W), positions) for batches of equal shape, of at most `most`; its results in the order of the samples."""
    found: dict[int, T] = {}
    for positions in _by_shape(samples):
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
            found.update(zip(chosen, made, strict=True))
            done += len(chosen)
    return [found[i] for i in range(len(samples))]


def _by_shape(samples: Sequence[Sample]) -> Iterator[list[int]]:
    shapes: dict[tuple[int, ...], list[int]] = {}
    for i, sample in enumerate(samples):
        shapes.setdefault(tuple(sample.image.shape), []).append(i)
    yield from shapes.values()


def finite_rows(raw: Raw) -> list[bool]:
    """Which rows of a raw output hold no NaN and no infinity (a candidate's log score may be minus infinity: it is then impossible)."""
    if isinstance(raw, Candidates):
        scores = raw.log_score.isfinite() | raw.log_score.isneginf()
        good = scores.all(-1) & raw.boxes.isfinite().flatten(2).all(-1)
        return [bool(v) for v in (good | ~raw.valid).all(1)]
    return [bool(v) for v in raw.values.isfinite().flatten(1).all(1)]
