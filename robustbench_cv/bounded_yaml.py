"""YAML as data: plain values alone, of a bounded size, no key twice; and nodes, which know their places in the file."""

from __future__ import annotations

import itertools
import re

import yaml

from robustbench_cv.arguments import shorten

_DEEPEST = 200
"""Brackets within brackets (project choice). Before it gives up, the library's time grows with their square."""


def load_yaml(text: str, most: int) -> tuple[yaml.Node | None, object]:
    """The document as nodes and as values; None and None where there is none.

    most: parts of it, aliases written out: a few lines of aliases of aliases make billions, of which a message would print each.
    yaml.YAMLError for what is no YAML, too large, or names a key twice; RecursionError for deep nesting; ValueError for a date or a number
    that is none.
    """
    if _depth(text) > _DEEPEST:
        raise RecursionError("it is nested too deeply")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        _require_small(node, most)
        return node, loader.construct_document(node)
    finally:
        loader.dispose()


def _depth(text: str) -> int:
    """The deepest nesting in brackets, as far as counting tells; brackets in texts count too."""
    return max(itertools.accumulate((1 if found[0] in "[{" else -1 for found in re.finditer(r"[\[\]{}]", text)), initial=0))


def _require_small(root: yaml.Node, most: int) -> None:
    """YAMLError where a document, its aliases written out, is too large or endless, or a mapping names a key twice."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = -1
            sizes[id(node)] = 1 + sum(map(size, _children(node)))
        if sizes[id(node)] < 0:
            raise _problem(node, "an alias stands inside what it stands for")
        if sizes[id(node)] > most:
            raise _problem(node, f"with its aliases written out it has more than {most:,} parts")
        return sizes[id(node)]

    size(root)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return list(node.value) if isinstance(node, yaml.SequenceNode) else []
    first: dict[tuple[str, str], yaml.Node] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and first.setdefault((key.tag, key.value), key) is not key:
            line = first[key.tag, key.value].start_mark.line + 1
            raise _problem(key, f"{shorten(key.value)!r} stands twice in one mapping, first in line {line}; leave one out")
    return [part for pair in node.value for part in pair]


def _problem(node: yaml.Node, text: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=node.start_mark)
