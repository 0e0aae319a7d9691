"""A command's --help in titled groups that ends with examples; the decorators of commands and options; options that have moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

WHAT, HOW, WRITES, OTHER = "What is measured", "How it is computed", "What is written", "Other"
"""Titles of the groups of most commands."""


class Example(NamedTuple):
    """A command line as a user types it, and what it does."""

    command: str
    does: str


class Option(click.Option):
    """An option under a title of --help."""

    def __init__(self, *declarations: Any, title: str = OTHER, **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self.title = title


class Command(click.Command):
    """A command whose --help shows its options by title and ends with examples; --debug is an option of each."""

    def __init__(self, *arguments: Any, examples: Sequence[tuple[str, str]] = (), **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.examples = [Example(*example) for example in examples]
        self.params.append(
            Option(["--debug"], is_flag=True, expose_value=False, is_eager=True, callback=_remember_debug, help="Show tracebacks.")
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        titled: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if row is not None:
                titled.setdefault(getattr(parameter, "title", OTHER), []).append(row)
        titled[OTHER] = titled.pop(OTHER)
        for title, rows in titled.items():
            with formatter.section(title):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  # {example.does}\n  {example.command}\n")


def titled_command(name: str, *, examples: Sequence[tuple[str, str]]) -> Callable[[Callable[..., Any]], Command]:
    """The decorator of a command's function. examples: (command line, what it does)."""
    return click.command(name, cls=Command, examples=examples)


def option(*declarations: str, title: str, **settings: Any) -> Callable[[F], F]:
    """click's option, under a title of --help."""
    return click.option(*declarations, cls=Option, title=title, **settings)


def moved_option(old: str, new: str, *, takes_value: bool) -> Callable[[F], F]:
    """An option that has become a command of its own: refused with the words that say so. new: the command line to use."""

    def refuse(ctx: click.Context, _: click.Parameter, value: object) -> None:
        if value is not None and not ctx.resilient_parsing:
            raise click.UsageError(f"{old} has moved: {new}")

    kind: dict[str, Any] = {} if takes_value else {"is_flag": True, "flag_value": "given", "type": str, "default": None}
    return click.option(old, hidden=True, is_eager=True, expose_value=False, callback=refuse, **kind)


def debug_asked(ctx: click.Context | None) -> bool:
    """Whether the command line holds --debug, of the group's context."""
    return ctx is not None and bool(ctx.meta.get(_DEBUG))


_DEBUG = "robustbench_cv.debug"


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.meta[_DEBUG] = bool(ctx.meta.get(_DEBUG)) or value
