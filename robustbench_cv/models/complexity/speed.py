"""Images a second of many models on the device at hand: one row a model, said where there is none and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.complexity.latency import Latency, measure
from robustbench_cv.registry import Entry
from robustbench_cv.types import AnyModel


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast `raw` of one model is. spec: what was built. latency: None where it could not be, for the reason in `note`."""

    name: str
    task: str
    spec: str
    parameters: int | None
    latency: Latency | None
    note: str = ""


def specs(entries: Iterable[Entry], task: str = "", *, reduced: bool = False) -> list[tuple[str, str]]:
    """Name and spec of every architecture with a size of its own; those of a task. reduced: at the small arguments that the tests use."""
    named = [e for e in entries if "parameters" in e.facts and task in ("", e.facts["task"])]
    return [(e.name, f"{e.name}({e.facts.get('reduced', '')})" if reduced else e.name) for e in named]


def speeds(
    wanted: Sequence[tuple[str, str]],
    image: tuple[int, int],
    *,
    device: str = "cpu",
    batch: int = 1,
    runs: int = 20,
    seconds: float = 10.0,
) -> Iterator[Speed]:
    """Build each spec with random weights and time its `raw` on seeded noise of `image` (h, w); as many of `runs` as `seconds` allow.

    A model is dropped before the next is built. What cannot be built or run gives a row with the reason.
    """
    x = torch.rand((batch, 3, *image), generator=torch.Generator().manual_seed(0)).to(device)
    for name, spec in wanted:
        try:
            model = build(spec, device=device)
            yield Speed(
                name=name, task=model.info.task, spec=spec, parameters=model.info.parameters, latency=_latency(model, x, runs, seconds)
            )
        except (UserError, RuntimeError, NotImplementedError) as error:
            yield Speed(name=name, task="", spec=spec, parameters=None, latency=None, note=str(error).splitlines()[0])


def _latency(model: AnyModel, x: Tensor, runs: int, seconds: float) -> Latency:
    with torch.no_grad():
        return measure(lambda: model.raw(x), len(x), x.device, runs=runs, at_most_seconds=seconds)


def rows(found: Iterable[Speed]) -> list[list[str]]:
    """Headings, then one row a model, in the order given."""
    table = [["model", "task", "parameters", "median, ms", "interquartile range, ms", "calls", "images/s"]]
    for speed in found:
        parameters = "" if speed.parameters is None else f"{speed.parameters / 1e6:,.2f} M"
        timed = speed.latency
        if timed is None:
            table.append([speed.name, speed.task, parameters, speed.note, "", "", ""])
            continue
        times = [f"{1e3 * t:.4g}" for t in (timed.median_seconds, timed.interquartile_range_seconds)]
        table.append([speed.name, speed.task, parameters, *times, str(timed.runs), f"{timed.images_per_second:.4g}"])
    return table


def markdown(table: Sequence[Sequence[str]]) -> str:
    """As Markdown writes tables; numbers flush right."""
    heading, *body = table
    rule = ["---" if i < 2 else "---:" for i in range(len(heading))]
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (heading, rule, *body)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)
