"""YAML as data: plain values alone, of a bounded size; and nodes, which know their places in the file."""

from __future__ import annotations

import itertools
import re
from typing import Any, NamedTuple

import yaml

from robustbench_cv.arguments import shorten

_DEEPEST = 200
"""Brackets within brackets (project choice). Before it gives up, the library's time grows with their square."""

_OWN_TAGS = "tag:yaml.org,2002:"
"""What "!!" stands for."""


class Loaded(NamedTuple):
    """A document as nodes and as values; None and None where there is none.

    doubles: of each key that comes twice in one mapping, where and what to do. Only the first is in node and value.
    """

    node: yaml.Node | None
    value: object
    doubles: tuple[yaml.MarkedYAMLError, ...] = ()


def load_yaml(text: str, most: int) -> Loaded:
    """most: parts of the document, aliases written out: a few lines of aliases of aliases make billions, which a message would print.

    yaml.YAMLError for what is no YAML, is too large, has a tag, or is a date or a number that is none; RecursionError for deep nesting.
    """
    if _depth(text) > _DEEPEST:
        raise RecursionError("it is nested too deeply")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Loaded(None, None)
        doubles = _bounded(node, most)
        return Loaded(node, loader.construct_document(node), tuple(doubles))
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The library says nothing of where a 13th month or a number of 5,000 digits stands."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError, KeyError) as error:
            what = "is no date, time or number that can be read; put quotes around it where it is text"
            raise _problem(node, f"{shorten(str(node.value))!r} {what}") from error


def _depth(text: str) -> int:
    """The deepest nesting in brackets, as far as counting tells; brackets in texts count too."""
    return max(itertools.accumulate((1 if found[0] in "[{" else -1 for found in re.finditer(r"[\[\]{}]", text)), initial=0))


def _bounded(root: yaml.Node, most: int) -> list[yaml.MarkedYAMLError]:
    """Keys that come twice, of which all but the first are taken out.

    YAMLError where a document, its aliases written out, is too large or endless, or a part of it has a tag of a program.
    """
    sizes: dict[int, int] = {}
    doubles: list[yaml.MarkedYAMLError] = []

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            _refuse_tag(node)
            sizes[id(node)] = -1
            sizes[id(node)] = 1 + sum(map(size, _children(node, doubles)))
        if sizes[id(node)] < 0:
            raise _problem(node, "an alias stands inside what it stands for")
        if sizes[id(node)] > most:
            raise _problem(node, f"with its aliases written out it has more than {most:,} parts")
        return sizes[id(node)]

    size(root)
    return doubles


def _refuse_tag(node: yaml.Node) -> None:
    if node.tag not in (*yaml.SafeLoader.yaml_constructors, f"{_OWN_TAGS}merge", f"{_OWN_TAGS}value"):
        written = f"!!{node.tag.removeprefix(_OWN_TAGS)}" if node.tag.startswith(_OWN_TAGS) else node.tag
        raise _problem(node, f"the tag {shorten(written)!r} asks for more than plain data, which is all that is read; leave it out")


def _children(node: yaml.Node, doubles: list[yaml.MarkedYAMLError]) -> list[yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return list(node.value) if isinstance(node, yaml.SequenceNode) else []
    first: dict[tuple[str, str], yaml.Node] = {}
    kept = []
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and first.setdefault((key.tag, key.value), key) is not key:
            line = first[key.tag, key.value].start_mark.line + 1
            doubles.append(_problem(key, f"{shorten(key.value)!r} stands twice in one mapping, first in line {line}; leave one out"))
        else:
            kept.append((key, value))
    node.value = kept
    return [part for pair in kept for part in pair]


def _problem(node: yaml.Node, text: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=node.start_mark)


def fault_of(error: yaml.MarkedYAMLError) -> str:
    """What is wrong, in the library's words, which begin in the middle where it found a second document."""
    problem = error.problem or error.context or "it is damaged"
    return f"{error.context}, {problem}" if problem.startswith("but ") and error.context else problem
