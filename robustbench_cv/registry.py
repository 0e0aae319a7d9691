"""Names to factories: a spec string names an entry and its arguments, a registry finds the file, imports it last of all, and calls it.

A catalogue file marks each factory with its kind's decorator (`@attack(paper="...")`). The registry reads the files' syntax trees, so that
listing names, papers and signatures imports nothing. One factory may go under several names, with facts of each
(`@model(members={"vgg11": {"parameters": 132_863_336}, ...})`); it is called with the name first. Third parties add entries through entry
points or `--plugin file.py`.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from robustbench_cv.errors import UserError

Scalar: TypeAlias = str | int | float | bool | None
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


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
        """Literals and fractions only; nothing is evaluated. Raises UserError naming what is wrong."""
        head, args = text.strip(), {}
        if head.endswith(")") and "(" in head:
            opening = _matching_parenthesis(head)
            head, args = head[:opening].strip(), _parse_arguments(text, head[opening:])
        name, colon, target = head.partition(":")
        if not name or (colon and not target):
            raise UserError(f"{text!r} is not a spec; write name, name(key=value) or source:target(key=value)")
        return cls(name.strip(), args, target.strip() if colon else None)

    def __str__(self) -> str:
        head = self.name if self.target is None else f"{self.name}:{self.target}"
        return head + (f"({', '.join(f'{k}={v!r}' for k, v in self.args.items())})" if self.args else "")


def _matching_parenthesis(head: str) -> int:
    depth = 0
    for i in range(len(head) - 1, -1, -1):
        depth += (head[i] == ")") - (head[i] == "(")
        if depth == 0:
            return i
    raise UserError(f"{head!r} has a ')' that no '(' opens")


def _parse_arguments(text: str, arguments: str) -> dict[str, Scalar]:
    try:
        call = ast.parse(f"f{arguments}", mode="eval").body
    except SyntaxError as error:
        raise UserError(f"the arguments of {text!r} cannot be read: write key=value, separated by commas") from error
    assert isinstance(call, ast.Call)
    if call.args:
        raise UserError(f"{text!r} has a positional argument; name it: key=value")
    return {k.arg or "**": _literal(k.value, text) for k in call.keywords}


def _literal(node: ast.expr, text: str) -> Scalar:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        above, below = _literal(node.left, text), _literal(node.right, text)
        if isinstance(above, int | float) and isinstance(below, int | float) and below != 0:
            return above / below
    else:
        try:
            value = ast.literal_eval(node)
        except ValueError:
            value = ()
        if value is None or isinstance(value, str | int | float | bool):
            return value
    raise UserError(f"{ast.unparse(node)!r} in {text!r} is not a number, a fraction such as 8/255, a quoted string, True, False or None")


@dataclass(frozen=True)
class Entry:
    """One registered factory, as far as its file's syntax tree tells. member: the factory's first argument, where it has several names."""

    name: str
    module: str
    function: str
    summary: str
    signature: str = "()"
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    path: Path | None = None
    member: str | None = None


class Lookup(NamedTuple):
    """Code that was chosen by name: the module of an entry, or the path of a user's file; kind "package": an optional library."""

    kind: str
    module: str
    path: Path | None = None


_lookups: ContextVar[list[Lookup] | None] = ContextVar("_lookups", default=None)


@contextlib.contextmanager
def recorded_lookups() -> Iterator[list[Lookup]]:
    """What is looked up inside the block, also by what is built there: all the code that a built thing was chosen from by name."""
    outer, found = _lookups.get(), list[Lookup]()
    token = _lookups.set(found)
    try:
        yield found
    finally:
        _lookups.reset(token)
        if outer is not None:
            outer += found


@contextlib.contextmanager
def unrecorded_lookups() -> Iterator[None]:
    """For a block whose look-ups say nothing of what is built around it, such as the training of its weights."""
    token = _lookups.set(None)
    try:
        yield
    finally:
        _lookups.reset(token)


def record_lookup(lookup: Lookup) -> None:
    """Note what was chosen by name, where somebody records it."""
    found = _lookups.get()
    if found is not None and lookup not in found:
        found.append(lookup)


class Registry(Generic[T]):
    """Factories of one kind, found lazily in packages, entry points and plug-in files."""

    def __init__(self, kind: str, *packages: str) -> None:
        self.kind = kind
        self._packages = packages
        self._plugins: dict[str, Entry] = {}

    def names(self) -> list[str]:
        """Every registered name, sorted. Imports nothing."""
        return sorted(self.entries())

    def entries(self) -> dict[str, Entry]:
        """Every entry by name. Imports nothing but the packages' parents."""
        return self._found | self._plugins

    @functools.cached_property
    def _found(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for package in self._packages:
            spec = importlib.util.find_spec(package)
            for folder in (spec.submodule_search_locations or ()) if spec else ():
                for path in sorted(Path(folder).glob("*.py")):
                    for entry in _scan(path, f"{package}.{path.stem}", self.kind):
                        if entry.name in found:
                            raise ValueError(f"{self.kind} {entry.name!r} is registered by {found[entry.name].module} and {entry.module}")
                        found[entry.name] = entry
        for point in importlib.metadata.entry_points(group=f"robustbench_cv.{self.kind}s"):
            summary = f"from {point.dist.name if point.dist else point.value}"
            found.setdefault(point.name, Entry(point.name, point.module, point.attr, summary))
        return found

    def add_file(self, path: str | Path) -> list[str]:
        """Register what a plug-in file marks for this kind; its names."""
        path = Path(path).resolve()
        entries = {e.name: e for e in _scan(path, "", self.kind)}
        self._plugins.update(entries)
        return sorted(entries)

    def entry(self, name: str) -> Entry:
        """The entry of a name ('_' and '-' are the same); UserError with the closest names where there is none."""
        entries = self.entries()
        found = entries.get(name.replace("_", "-"))
        if found is None:
            close = difflib.get_close_matches(name, entries, n=3)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise UserError(f"no {self.kind} named {name!r}{hint} (robustbench-cv list {self.kind}s)")
        return found

    def factory(self, spec: Spec | str) -> Callable[..., T]:
        """The factory that a spec names, imported."""
        spec = Spec.parse(spec) if isinstance(spec, str) else spec
        if spec.name.endswith(".py"):
            record_lookup(Lookup(self.kind, "", Path(spec.name)))
            return load_factory(Path(spec.name), spec.target or "build")
        entry = self.entry(spec.name)
        record_lookup(Lookup(self.kind, entry.module, entry.path))
        module = load_file(entry.path) if entry.path else importlib.import_module(entry.module)
        made: Callable[..., T] = getattr(module, entry.function)
        return made if entry.member is None else functools.partial(made, entry.member)

    def build(self, spec: Spec | str, **more: Any) -> T:
        """Import the entry's file and call its factory. `more` are arguments for factories that take them. UserError on wrong arguments."""
        spec = Spec.parse(spec) if isinstance(spec, str) else spec
        factory = self.factory(spec)
        signature = inspect.signature(factory)
        takes_all = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        extra = {k: v for k, v in more.items() if takes_all or k in signature.parameters}
        first = () if spec.target is None or spec.name.endswith(".py") else (spec.target,)
        arguments = extra | dict(spec.args)
        try:
            signature.bind(*first, **arguments)
        except TypeError as error:
            raise UserError(f"{self.kind} {str(spec)!r}: {error}; it takes {spec.name}{signature}") from error
        return factory(*first, **arguments)


def marker(kind: str) -> Callable[..., Callable[[F], F]]:
    """The decorator of a kind. It changes nothing: registries read it, with its constant arguments, from the syntax tree."""

    def mark(members: Mapping[str, Mapping[str, Scalar]] | None = None, **facts: Scalar) -> Callable[[F], F]:
        return lambda factory: factory

    mark.__name__ = kind
    return mark


def _scan(path: Path, module: str, kind: str) -> Iterator[Entry]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from error
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).split(".")[-1] == kind:
                yield from _marked(node, decorator, ast.get_docstring(tree) or "", module, None if module else path)


def _marked(node: ast.FunctionDef, decorator: ast.Call, about: str, module: str, path: Path | None) -> Iterator[Entry]:
    """The entries of one marked factory: itself, or its members."""
    summary = (ast.get_docstring(node) or about).split("\n")[0]
    members = next((k.value for k in decorator.keywords if k.arg == "members"), None)
    facts = {k.arg: _literal(k.value, ast.unparse(decorator)) for k in decorator.keywords if k.arg and k.arg != "members"}
    if members is None:
        yield Entry(node.name.replace("_", "-"), module, node.name, summary, f"({ast.unparse(node.args)})", facts, path)
        return
    del node.args.args[0]
    for name, own in ast.literal_eval(members).items():
        yield Entry(name, module, node.name, summary, f"({ast.unparse(node.args)})", facts | own, path, name)


def load_factory(path: Path, name: str) -> Callable[..., Any]:
    """The function `name` of a Python file. UserError where the file or the function is missing."""
    module = load_file(path)
    made = getattr(module, name, None)
    if not callable(made):
        public = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise UserError(f"{path} has no function {name!r}; it has {public}")
    factory: Callable[..., Any] = made
    return factory


def load_file(path: Path) -> ModuleType:
    """Execute a Python file as a module of its own, once for each content of it and of the user's modules that files imported."""
    if not path.is_file():
        raise UserError(f"no file {path}; write file.py:factory with a path from {Path.cwd()}")
    digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:16]
    name = f"robustbench_cv_file_{path.stem}_{digest}"
    _forget_edited_modules()
    if name not in sys.modules:
        before = set(sys.modules)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        _imported_by_files.update({n: seen for n in set(sys.modules) - before - {name} if (seen := _content_of(n)) is not None})
    return sys.modules[name]


_imported_by_files: dict[str, tuple[Path, str]] = {}
"""The user's own modules that files brought with them: path and sha256 of each as it was imported."""


def _content_of(module: str) -> tuple[Path, str] | None:
    """The file of one of the user's own modules, and its hash; None for what is built in, installed, or this package's."""
    file = getattr(sys.modules[module], "__file__", None)
    if not file or not file.endswith(".py") or module.startswith("robustbench_cv") or file.startswith(_installed()):
        return None
    return Path(file), _sha256(Path(file))


@functools.cache
def _installed() -> tuple[str, ...]:
    return tuple(sysconfig.get_path(place) for place in ("stdlib", "platstdlib", "purelib", "platlib"))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _forget_edited_modules() -> None:
    """Once one of them was edited, all files are executed anew: in a long session, too, what runs is what is on the disk."""
    if any(_sha256(path) != known for path, known in _imported_by_files.values()):
        for name in [*_imported_by_files, *(n for n in sys.modules if n.startswith("robustbench_cv_file_"))]:
            sys.modules.pop(name, None)
        _imported_by_files.clear()
        importlib.invalidate_caches()
