"""What a shell offers behind options and arguments: registered names, read without importing what they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from robustbench_cv.bundled_weights import bundled
from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, METRICS, MODELS, REGISTRIES, SUITES
from robustbench_cv.registry import Registry

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names_of(*registries: Registry[Any], files: bool = False) -> Complete:
    """The names of registries that begin as typed; where none does, or with `files` beside them, files."""

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
        names = sorted({name: e.summary for r in registries for name, e in r.entries().items()}.items())
        items = [CompletionItem(name, help=summary) for name, summary in names if name.startswith(typed)]
        if MODELS in registries:
            items += [CompletionItem(name, help="with bundled weights") for name in _with_weights() if name.startswith(typed)]
        return items if items and not files else [*items, CompletionItem(typed, type="file")]

    return complete


def name_of_kind(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Behind `show KIND`: the names of that kind."""
    kind = str(ctx.params.get("kind") or "").removesuffix("s")
    registry = DATASETS if kind == "data" else REGISTRIES.get(f"{kind}s")
    return [] if registry is None else names_of(registry)(ctx, param, typed)


def kinds(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """What `show` takes first."""
    return [CompletionItem(kind) for kind in sorted([*(k.removesuffix("s") for k in REGISTRIES), "data"]) if kind.startswith(typed)]


def _with_weights() -> list[str]:
    return [f"{name}.{tag}" for name, tags in bundled().items() for tag in tags]


models, data, suites = names_of(MODELS), names_of(DATASETS), names_of(SUITES, files=True)
attacks, edits, metrics = names_of(ATTACKS), names_of(INTERVENTIONS), names_of(METRICS)
