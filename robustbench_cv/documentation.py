"""What a registered thing is, from its factory's own words: how it is called, its arguments, its paper and its facts."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from robustbench_cv.arguments import hint_in_words, is_checkable
from robustbench_cv.registry import Registry
from robustbench_cv.registry_scan import Entry, read_arguments
from robustbench_cv.specs import Scalar


@dataclass(frozen=True)
class ArgumentText:
    """An argument: its default as its file writes it, and what it may be, in words; either is "" where there is none."""

    name: str
    default: str
    allowed: str


@dataclass(frozen=True)
class Documentation:
    """call: how it is written with its defaults. texts: docstrings of the factory and of its file. paper: a web address, or ""."""

    kind: str
    name: str
    call: str
    arguments: tuple[ArgumentText, ...]
    texts: tuple[str, ...]
    facts: Mapping[str, Scalar]
    paper: str


def document(registry: Registry[Any], name: str) -> Documentation:
    """Of an entry of a registry, whose file is imported for its docstrings. Raises UserError for a name that it does not hold."""
    entry = registry.entry(name)
    arguments = _arguments(entry)
    given = ", ".join(a.name + (f"={a.default}" if a.default else "") for a in arguments)
    paper = entry.facts.get("paper")
    return Documentation(
        registry.kind,
        entry.name,
        f"{entry.name}({given})",
        arguments,
        _texts(registry.factory(name)),
        entry.facts,
        _address(paper) if isinstance(paper, str) else "",
    )


def _arguments(entry: Entry) -> tuple[ArgumentText, ...]:
    function = ast.parse(f"def f{entry.signature}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    named = [*function.args.posonlyargs, *function.args.args]
    written = dict(zip([a.arg for a in reversed(named)], reversed(function.args.defaults), strict=False))
    written |= {
        a.arg: default for a, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if default is not None
    }
    found = read_arguments(entry)
    return tuple(
        ArgumentText(
            name if name not in ("*", "**") else f"{name}arguments",
            _unspaced(ast.unparse(written[name])) if name in written else "",
            hint_in_words(argument.hint) if is_checkable(argument.hint) else "",
        )
        for name, argument in found.items()
    )


def _unspaced(expression: str) -> str:
    """A fraction as specs write it: 8/255."""
    return re.sub(r"(?<=\d) / (?=\d)", "/", expression)


def _texts(factory: Callable[..., Any]) -> tuple[str, ...]:
    while isinstance(factory, functools.partial):
        factory = factory.func
    module = inspect.getmodule(inspect.unwrap(factory))
    found = [inspect.getdoc(factory), inspect.getdoc(module) if module else None]
    return tuple(dict.fromkeys(text for text in found if text))


def _address(paper: str) -> str:
    kind, _, number = paper.partition(":")
    return {"arXiv": f"https://arxiv.org/abs/{number}", "doi": f"https://doi.org/{number}", "https": paper}.get(kind, "")


def as_text(documentation: Documentation) -> str:
    """For a terminal.

    >>> from robustbench_cv.catalogue import ATTACKS
    >>> print(as_text(document(ATTACKS, "mi-fgsm")).splitlines()[0])
    mi-fgsm(eps=16/255, steps=10, decay=1.0, alpha=None)
    """
    width = max((len(a.name) for a in documentation.arguments), default=0)
    lines = [documentation.call, ""]
    lines += [f"  {a.name:<{width}}  {a.allowed}".rstrip() for a in documentation.arguments if a.allowed]
    lines += ["", *(f"{text}\n" for text in documentation.texts)] if lines[2:] else [f"{text}\n" for text in documentation.texts]
    lines += [f"{fact}: {value}" for fact, value in documentation.facts.items()]
    return "\n".join(lines)


def as_markdown(documentation: Documentation, heading: int = 1) -> str:
    """For a page. heading: the level of its title."""
    lines = [f"{'#' * heading} {documentation.name}", "", f"```\n{documentation.call}\n```", ""]
    for text in documentation.texts:
        lines += [_escaped(text), ""]
    if documentation.arguments:
        lines += ["| argument | default | what it may be |", "| --- | --- | --- |"]
        lines += [f"| `{a.name}` | {_code(a.default)} | {_escaped(a.allowed)} |" for a in documentation.arguments]
        lines += [""]
    if documentation.facts:
        lines += ["| fact | value |", "| --- | --- |"]
        lines += [f"| {_escaped(fact)} | {_fact(documentation, fact, value)} |" for fact, value in documentation.facts.items()]
        lines += [""]
    return "\n".join(lines)


def _fact(documentation: Documentation, fact: str, value: Scalar) -> str:
    shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and fact != "year" else _escaped(str(value))
    return f"[{shown}]({documentation.paper})" if fact == "paper" and documentation.paper else shown


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _escaped(text: str) -> str:
    r"""What a docstring says, said by Markdown; code in backticks stays code.

    >>> print(_escaped("max_{j != y} z_j * `a_b` <c>"))
    max\_{j != y} z\_j \* `a_b` \<c>
    """
    parts = text.split("`")
    return "`".join(part if i % 2 else re.sub(r"([\\*_<\[\]|#])", r"\\\1", part) for i, part in enumerate(parts))
