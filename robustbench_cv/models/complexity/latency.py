"""How long a pass takes: median and quartiles of repeated calls, after calls that do not count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Seconds of one call on a batch. runs: how many calls the quartiles are of."""

    batch: int
    device: str
    threads: int
    runs: int
    median_seconds: float
    low_quartile_seconds: float
    high_quartile_seconds: float

    @property
    def interquartile_range_seconds(self) -> float:
        return self.high_quartile_seconds - self.low_quartile_seconds

    @property
    def images_per_second(self) -> float:
        return self.batch / self.median_seconds


def measure(call: Callable[[], object], batch: int, device: torch.device, *, runs: int = 20, at_most_seconds: float = 10.0) -> Latency:
    """Time `runs` calls, or as many (three at least) as fit into the time; one in ten, and one at least, runs before and is not counted."""
    started = time.perf_counter()
    warm = max(1, runs // 10)
    times: list[float] = []
    while len(times) < warm + runs and (len(times) < warm + 3 or time.perf_counter() - started < at_most_seconds):
        times.append(_time(call, device))
    low, median, high = statistics.quantiles(times[warm:], n=4, method="inclusive")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return Latency(
        batch=batch,
        device=name,
        threads=torch.get_num_threads(),
        runs=len(times) - warm,
        median_seconds=median,
        low_quartile_seconds=low,
        high_quartile_seconds=high,
    )


def _time(call: Callable[[], object], device: torch.device) -> float:
    """A GPU works behind the caller's back: wait for it on both sides."""
    _wait(device)
    started = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
