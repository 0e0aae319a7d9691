"""From a builder's name, weights, checkpoint and classes to a built torchvision module and its class names."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.hub import get_dir

from robustbench_cv.bundled_weights import having
from robustbench_cv.errors import UserError
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.sources.offline import missing_weights, reachable
from robustbench_cv.recorded_reads import record_read
from robustbench_cv.tasks import Task


@dataclass(frozen=True)
class Request:
    """What the user asked for, as in the factory `torchvision`."""

    name: str
    weights: str | None = None
    checkpoint: str | None = None
    classes: str | None = None
    num_classes: int | None = None

    @property
    def title(self) -> str:
        """The model's name in tables, which says when nothing was ever trained."""
        return self.name if self.weights or self.checkpoint else f"{self.name} (random weights)"


class Built(NamedTuple):
    """A module in train or eval mode as torchvision left it, the published weights it stands for, and its class names, if known.

    names: one for each output column; None where only their number is known.
    published: torchvision's entry of the weights (or of the default ones): their transforms and meta data.
    """

    module: nn.Module
    names: tuple[str, ...] | None
    published: Any


def task_of(name: str) -> Task:
    """The task of a builder. UserError, with the closest names, where torchvision has none for our three tasks."""
    from torchvision import models

    tasks: dict[Task, Any] = {"classification": models, "segmentation": models.segmentation, "detection": models.detection}
    names: dict[str, Task] = {builder: task for task, module in tasks.items() for builder in models.list_models(module=module)}
    if name not in names:
        close = difflib.get_close_matches(name, names, n=3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise UserError(f"torchvision has no classifier, segmenter or detector {name!r}{hint}")
    return names[name]


def build_module(request: Request, *, reserved: int = 0, options: Mapping[str, Any] | None = None) -> Built:
    """Build, load and name.

    reserved: columns that name no class of the user's, such as a detector's background: added to the number of `classes`.
    options: further arguments of the builder. UserError where weights or checkpoint cannot be had or do not fit.
    """
    from torchvision import models

    weights = models.get_model_weights(request.name)
    if request.weights and request.checkpoint:
        raise UserError(f"{request.name}: give weights or checkpoint, not both")
    published = _entry(weights, request)
    given = class_names(request.classes) if request.classes else None
    count = request.num_classes or (len(given) + reserved if given else None)
    if count and request.weights and count != len(published.meta["categories"]):
        raise UserError(
            f"{request.name}: the weights {request.weights!r} have {len(published.meta['categories'])} outputs, not {count}; "
            "leave out num_classes and classes, or give your own checkpoint"
        )
    module = _build(request, published if request.weights else None, count, dict(options or {}))
    names = given or (tuple(published.meta["categories"]) if count is None or request.weights else None)
    if request.checkpoint:
        load_checkpoint(module, request.checkpoint, f"torchvision:{request.name}")
    return Built(module, names, published)


def _entry(weights: Any, request: Request) -> Any:
    wanted = (request.weights or "DEFAULT").split(".")[-1]
    if wanted not in weights.__members__:
        others = having(wanted)
        raise UserError(
            f"{request.name} has no weights {request.weights!r}; it has {', '.join(weights.__members__)}{f'; {others}' if others else ''}"
        )
    return weights[wanted]


def _build(request: Request, published: Any, count: int | None, options: dict[str, Any]) -> nn.Module:
    from torchvision import models

    builder = models.get_model_builder(request.name)
    if "weights_backbone" in inspect.signature(builder).parameters:
        options["weights_backbone"] = None
    if count is not None:
        options["num_classes"] = count
    if published is None:
        return _build_seeded(builder, options)
    folder = Path(get_dir()) / "checkpoints"
    file = folder / published.url.rsplit("/", 1)[-1]
    record_read(file)
    if not file.is_file() and not reachable(published.url):
        raise missing_weights(request.name, published.url, str(folder), "no network")
    try:
        with redirect_stdout(sys.stderr):
            return _build_seeded(builder, options | {"weights": published})
    except OSError as error:
        raise missing_weights(request.name, published.url, str(folder), str(error)) from error


def _build_seeded(builder: Callable[..., nn.Module], options: dict[str, Any]) -> nn.Module:
    # A fixed seed, so that random weights are the same in every process and a run on them can be resumed.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return builder(**({"weights": None, "progress": False} | options))
