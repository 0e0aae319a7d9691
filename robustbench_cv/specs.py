"""A spec: a name with arguments, as users write it on a command line or in a suite, read without evaluating anything."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from robustbench_cv.arguments import shorten
from robustbench_cv.errors import UserError

Scalar: TypeAlias = str | int | float | bool | None

LONGEST = 10_000
"""Characters of a spec: twice the longest path that Linux opens."""

_MOST_PARENTHESES = 200
_READING_FAILS = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What Python's parser raises of text that it cannot read: nested too deep is any of the last three."""


@dataclass(frozen=True)
class Spec:
    """A name with arguments, as users write it: `pgd(norm='l2', eps=8/255)`, `timm:resnet50`, `coco:/data/val`, `mine.py:build(size=3)`.

    target: what follows the colon, handed to the factory as its first argument.

    >>> Spec.parse("pgd(eps=1/4, steps=3)")
    Spec(name='pgd', args={'eps': 0.25, 'steps': 3}, target=None)
    >>> Spec.parse("timm:resnet18").target
    'resnet18'
    """

    name: str
    args: Mapping[str, Scalar] = field(default_factory=dict)
    target: str | None = None

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Literals and fractions only; nothing is evaluated. Raises UserError naming what is wrong.

        After a colon, parentheses at the end are arguments where they are empty or hold a `=`, and a part of the target otherwise, so that
        paths need no quotes. Empty ones end a target that would be taken for arguments.

        >>> Spec.parse("folder:photos (1)").target
        'photos (1)'
        >>> Spec.parse("folder:photos (1)(upright=True)")
        Spec(name='folder', args={'upright': True}, target='photos (1)')
        >>> Spec.parse("folder:photos (a=b)()").target
        'photos (a=b)'
        """
        head = text.strip()
        if len(head) > LONGEST:
            raise UserError(f"{shorten(text)!r} is not a spec: it has more than {LONGEST:,} characters")
        if "\0" in head:
            raise UserError(f"{shorten(text)!r} is not a spec: it has a NUL character")
        opening, args = _split(head) if head.endswith(")") else (len(head), {})
        head = head[:opening].strip()
        name, colon, target = (part.strip() for part in head.partition(":"))
        if not name or (colon and not target):
            raise UserError(f"{shorten(text)!r} is not a spec; write name, name(key=value) or source:target(key=value)")
        if name.endswith("."):
            raise UserError(f"{shorten(text)!r} names no weights after the dot; write {name.rstrip('.')} or {name}scenes")
        if "(" in name and not name.endswith(".py"):
            raise UserError(f"the arguments of {shorten(text)!r} cannot be read: write them in one pair of parentheses, as name(key=value)")
        return cls(name, args, target if colon else None)

    def __str__(self) -> str:
        head = self.name if self.target is None else f"{self.name}:{self.target}"
        if self.args:
            return f"{head}({', '.join(f'{k}={written(v)}' for k, v in self.args.items())})"
        return f"{head}()" if self.target is not None and self.target.endswith(")") and _holds_arguments(head) else head


def _split(head: str) -> tuple[int, dict[str, Scalar]]:
    """Where the arguments of a text that ends with ")" begin, and what they are; its length where the parentheses belong to the target."""
    opening, call = _call(head)
    if call is not None and not call.args:
        return opening, _arguments(call, head)
    group = head[_matching(head) :]
    name, colon, _ = head.partition("(")[0].partition(":")
    if colon and "=" not in group and not name.rstrip().endswith(".py"):
        return len(head), {}
    if call is not None:
        raise UserError(f"{shorten(head)!r} has a positional argument; name it: key=value")
    if head.count("(") < head.count(")"):
        raise UserError(f"{shorten(head)!r} has a ')' that no '(' opens")
    raise UserError(f"the arguments of {shorten(head)!r} cannot be read: write key=value, separated by commas")


def _holds_arguments(head: str) -> bool:
    """Whether the end of a target would be read as arguments."""
    try:
        return _split(head)[0] < len(head)
    except UserError:
        return True


def _call(head: str) -> tuple[int, ast.Call | None]:
    """The shortest end of a text that reads as the parentheses of a call, and where it begins."""
    opening = len(head)
    for _ in range(_MOST_PARENTHESES):
        opening = head.rfind("(", 0, opening)
        if opening < 0:
            break
        try:
            call = ast.parse(f"f{head[opening:]}", mode="eval").body
        except _READING_FAILS:
            continue
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            return opening, call
    return len(head), None


def _matching(head: str) -> int:
    """Where the last group of parentheses opens, as far as counting tells."""
    depth = 0
    for i in range(len(head) - 1, -1, -1):
        depth += (head[i] == ")") - (head[i] == "(")
        if depth == 0:
            return i
    return 0


def _arguments(call: ast.Call, text: str) -> dict[str, Scalar]:
    args: dict[str, Scalar] = {}
    for keyword in call.keywords:
        if keyword.arg is None:
            raise UserError(f"{shorten(text)!r} has a '**'; write each argument as key=value")
        if keyword.arg in args:
            raise UserError(f"{shorten(text)!r} gives {keyword.arg} twice; give it once")
        args[keyword.arg] = literal(keyword.value, text)
    return args


def written(value: Scalar) -> str:
    """A value as a spec writes it, which `literal` reads back: infinity as a number beyond all floats."""
    return f"{'-' * (value < 0)}1e999" if isinstance(value, float) and math.isinf(value) else repr(value)


def literal(node: ast.expr, where: str) -> Scalar:
    """The value of a number, a fraction, text, True, False or None; UserError for any other expression."""
    try:
        value = _value(node)
    except (*_READING_FAILS, TypeError, ArithmeticError):  # TypeError: {[]: 1}; ArithmeticError: 1/0, and what no float holds
        value = ()
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise UserError(
        f"{shorten(_unparse(node))!r} in {shorten(where)!r} is not a number, a fraction such as 8/255, a quoted string, True, False or None"
    )


def _value(node: ast.expr) -> object:
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)):
        return ast.literal_eval(node)
    above, below = _value(node.left), _value(node.right)
    if not (isinstance(above, int | float) and isinstance(below, int | float)) or math.isnan(above / below):
        raise ValueError("not a fraction")
    return above / below


def _unparse(node: ast.expr) -> str:
    try:
        return ast.unparse(node)
    except _READING_FAILS:
        return "the value"
