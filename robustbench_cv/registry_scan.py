"""Registered factories as far as their files' syntax trees tell: names, facts and signatures are read and nothing is imported.

A factory is marked by its kind's decorator (`@attack(paper="...")`). One factory may go under several names, with facts of each
(`@model(members={"vgg11": {"parameters": 132_863_336}, ...})`); it is called with the name first.
"""

from __future__ import annotations

import ast
import inspect
import io
import tokenize
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from robustbench_cv import arguments
from robustbench_cv.errors import UserError
from robustbench_cv.specs import Scalar, literal

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered factory. member: the factory's first argument, where it has several names. path: of a plug-in file; None in a package.

    whose: the package of an entry point, whose signature is not known before it is imported.
    """

    name: str
    module: str
    function: str
    summary: str
    signature: str = "()"
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    path: Path | None = None
    member: str | None = None
    whose: str = ""

    @property
    def call(self) -> str:
        """The entry as a spec with its defaults: "pgd(eps=8/255, steps=40)"; an argument without one is `...`.

        >>> Entry(name="pgd", module="", function="", summary="", signature="(norm: str='linf', eps: Budget=8 / 255, *, k: int)").call
        "pgd(norm='linf', eps=8/255, k=...)"
        """
        function = ast.parse(f"def f{self.signature}: ...").body[0]
        assert isinstance(function, ast.FunctionDef)
        named, given = [*function.args.posonlyargs, *function.args.args], function.args.defaults
        pairs = [*zip(named, [*[None] * (len(named) - len(given)), *given], strict=True)]
        pairs += [*zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)]
        written = [f"{a.arg}={'...' if default is None else ast.unparse(default).replace(' / ', '/')}" for a, default in pairs]
        return f"{self.name}({', '.join([*written, *(['...'] if function.args.kwarg else [])])})"

    @property
    def origin(self) -> str:
        """Where it is defined: a module or a file."""
        return str(self.path or self.module)


def marker(kind: str) -> Callable[..., Callable[[F], F]]:
    """The decorator of a kind. It changes nothing: registries read it, with its constant arguments, from the syntax tree."""

    def mark(members: Mapping[str, Mapping[str, Scalar]] | None = None, **facts: Scalar) -> Callable[[F], F]:
        return lambda factory: factory

    mark.__name__ = kind
    return mark


def scan(path: Path, module: str, kind: str) -> Iterator[Entry]:
    """The entries of a kind that a file marks. module: its name, "" for a plug-in file. UserError names the line at fault."""
    tree = _tree(path)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            if ast.unparse(call.func if call else decorator).split(".")[-1] != kind:
                continue
            where = f"{path}, line {decorator.lineno}"
            if call is None:
                raise UserError(f"{where}: write @{kind}() with parentheses")
            if isinstance(node, ast.ClassDef | ast.AsyncFunctionDef):
                raise UserError(f"{where}: @{kind} marks a plain function that returns the {kind}, not {node.name!r}")
            yield from _entries_of_factory(node, call, where, ast.get_docstring(tree) or "", module, None if module else path)


class Argument(NamedTuple):
    """An argument as its file says. hint: Any where it is more than Python's own types and those of `arguments`.

    default: where there is none, or it is no literal, inspect.Parameter.empty.
    """

    hint: object
    required: bool
    default: object = inspect.Parameter.empty


def read_arguments(entry: Entry) -> dict[str, Argument]:
    """Each argument of an entry by name; "*" and "**" stand for those that take any number."""
    function = ast.parse(f"def f{entry.signature}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    named, given = [*function.args.posonlyargs, *function.args.args], function.args.defaults
    pairs = [*zip(named, [None] * (len(named) - len(given)) + list(given), strict=True)]
    pairs += [*zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)]
    many = {"*": function.args.vararg, "**": function.args.kwarg}
    return {a.arg: Argument(_hint(a.annotation), default is None, _default(default)) for a, default in pairs} | {
        stars: Argument(_hint(a.annotation), required=False) for stars, a in many.items() if a is not None
    }


def _default(node: ast.expr | None) -> object:
    try:
        return inspect.Parameter.empty if node is None else literal(node, "")
    except UserError:
        return inspect.Parameter.empty


_WORDS = {"int": int, "float": float, "str": str, "bool": bool, "Literal": typing.Literal, "__builtins__": {}} | {
    name: value for name, value in vars(arguments).items() if typing.get_origin(value) is typing.Annotated
}


def _hint(annotation: ast.expr | None) -> object:
    """An annotation of plain names, their unions and Literal, evaluated; Any for every other."""
    plain = ast.Name | ast.Load | ast.BinOp | ast.BitOr | ast.Constant | ast.Subscript | ast.Tuple
    if annotation is None or not all(isinstance(node, plain) for node in ast.walk(annotation)):
        return Any
    try:
        return eval(ast.unparse(annotation), dict(_WORDS))  # noqa: S307 # nosec B307 - names of _WORDS alone: no attribute, no call
    except (NameError, TypeError):
        return Any


def _tree(path: Path) -> ast.Module:
    try:
        content = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        return ast.parse(content.decode(encoding))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except SyntaxError as error:
        raise UserError(f"{path}{f', line {error.lineno}' if error.lineno else ''}: {error.msg}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line} is not {encoding.upper()} text; save it as UTF-8") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} cannot be read as Python: {error or type(error).__name__}") from error


def _entries_of_factory(node: ast.FunctionDef, mark: ast.Call, where: str, about: str, module: str, path: Path | None) -> Iterator[Entry]:
    """The entries of one marked factory: itself, or its members."""
    summary = (ast.get_docstring(node) or about).split("\n")[0]
    if mark.args or any(k.arg is None for k in mark.keywords):
        raise UserError(f"{where}: a mark is read without running the file, so it takes key=value with values written out")
    members = next((k.value for k in mark.keywords if k.arg == "members"), None)
    facts = {k.arg: _fact(k.value, where) for k in mark.keywords if k.arg and k.arg != "members"}
    if members is None:
        signature = f"({ast.unparse(node.args)})"
        yield Entry(
            name=node.name.replace("_", "-"),
            module=module,
            function=node.name,
            summary=summary,
            signature=signature,
            facts=facts,
            path=path,
        )
        return
    first = node.args.posonlyargs or node.args.args
    if not first:
        raise UserError(f"{where}: {node.name}() has several names, so its first argument must be the name it is asked by")
    del first[0], node.args.defaults[: max(0, len(node.args.defaults) - len(node.args.posonlyargs) - len(node.args.args))]
    signature = f"({ast.unparse(node.args)})"
    for name, own in _members(members, where).items():
        yield Entry(
            name=name, module=module, function=node.name, summary=summary, signature=signature, facts=facts | own, path=path, member=name
        )


def _fact(node: ast.expr, where: str) -> Scalar:
    try:
        return literal(node, ast.unparse(node))
    except UserError as error:
        raise UserError(f"{where}: {error}; a mark is read without running the file, so its values must be written out") from error


def _members(node: ast.expr, where: str) -> dict[str, dict[str, Scalar]]:
    """The members of a mark, a written-out {name: {fact: value}}."""
    try:
        members = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        members = None
    rows = members.values() if isinstance(members, dict) else [None]
    if not members or not all(isinstance(row, dict) for row in rows) or not all(isinstance(name, str) and name for name in members):
        raise UserError(f"{where}: members must be written out, as {{'small': {{'year': 2015}}, 'large': {{}}}}, not {ast.unparse(node)!r}")
    known: dict[str, dict[str, Scalar]] = members
    return known
