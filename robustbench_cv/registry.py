"""Names to factories: a registry finds the entry that a spec names, checks the spec's arguments, imports the file last of all, calls it.

A catalogue file marks each factory with its kind's decorator (`@attack(paper="...")`), which is read from the syntax tree, so that listing
names, papers and signatures imports nothing (see `entries`). Third parties add entries through entry points or `--plugin file.py`, and
`file.py:factory` is a spec. What is built is checked for what its kind must be, and remembers its spec (`spec_of`).
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from robustbench_cv.arguments import check_argument, check_arguments, shorten
from robustbench_cv.code_lookups import Lookup, record_lookup
from robustbench_cv.errors import ForeignError, UserError, foreign
from robustbench_cv.python_files import load_factory, load_file, require_file
from robustbench_cv.registry_scan import Entry, marker, read_arguments, scan
from robustbench_cv.specs import Scalar, Spec

T = TypeVar("T")


@dataclass(frozen=True)
class Product:
    """What a kind's factories must return, told by structure: a callable, or an object with these attributes.

    spoken: in words. alternative: what will do as well.
    """

    spoken: str
    attributes: tuple[str, ...] = ()
    is_callable: bool = False
    alternative: Product | None = None

    def lacks(self, made: object) -> str:
        """What a factory's result lacks to be one, in words; "" for one that is."""
        if made is None:
            return "nothing (None); is a `return` missing?"
        if isinstance(made, type):
            return f"the class {made.__name__} itself; call it"
        name = type(made).__name__
        if self.is_callable and not callable(made):
            return f"a {name}, which cannot be called"
        absent = [a for a in self.attributes if not hasattr(made, a)]
        if absent and self.alternative and not self.alternative.lacks(made):
            return ""
        return f"a {name}, which has no {', '.join(absent)}" if absent else ""


class Registry(Generic[T]):
    """Factories of one kind, found lazily in packages, entry points and plug-in files.

    product: what they return. tagged: "name.tag" is the entry `name` with the argument weights='tag'.
    lacking: of an entry and a tag that it has not, what to say; "" of one that it has, or may have.
    beside: arguments that whoever builds takes off first, each allowed beside the argument that it belongs to (key= beside checkpoint=).
    path_hint: of a path that stands where a name belongs, what to write; "" of what is none.
    """

    def __init__(
        self,
        kind: str,
        *packages: str,
        product: Product | None = None,
        tagged: bool = False,
        beside: Mapping[str, str] | None = None,
        path_hint: Callable[[str], str] = lambda text: "",
        lacking: Callable[[Entry, str], str] = lambda entry, tag: "",
    ) -> None:
        self.kind = kind
        self.product = product or Product(f"a {kind}")
        self._packages = packages
        self._tagged = tagged
        self._beside = dict(beside or {})
        self._path_hint = path_hint
        self._lacking = lacking
        self._plugins: dict[str, Entry] = {}

    def names(self) -> list[str]:
        """Every registered name, sorted. Imports nothing."""
        return sorted(self.entries())

    def entries(self) -> dict[str, Entry]:
        """Every entry by name. Imports nothing but the packages' parents."""
        return self._installed_entries | self._plugins

    @functools.cached_property
    def _installed_entries(self) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for entry in [*self._of_packages(), *self._of_entry_points()]:
            _add(entries, entry, self.kind)
        return entries

    def _of_packages(self) -> Iterator[Entry]:
        for package in self._packages:
            spec = importlib.util.find_spec(package)
            for folder in (spec.submodule_search_locations or ()) if spec else ():
                for path in sorted(Path(folder).glob("*.py")):
                    yield from scan(path, f"{package}.{path.stem}", self.kind)

    def _of_entry_points(self) -> Iterator[Entry]:
        for point in importlib.metadata.entry_points(group=f"robustbench_cv.{self.kind}s"):
            whose = f"the package {point.dist.name}" if point.dist else point.value
            yield Entry(name=point.name, module=point.module, function=point.attr, summary=f"from {whose}", whose=whose)

    def add_file(self, path: str | Path) -> list[str]:
        """Register what a plug-in file marks for this kind; its names. UserError for a name that is registered already."""
        path = Path(path).resolve()
        plugins = {name: entry for name, entry in self._plugins.items() if entry.path != path}
        entries = self._installed_entries | plugins
        added = list(scan(path, "", self.kind))
        for entry in added:
            _add(entries, entry, self.kind)
        self._plugins = plugins | {entry.name: entry for entry in added}
        return sorted(entry.name for entry in added)

    def plugin_files(self) -> set[Path]:
        """The plug-in files that registered something of this kind, absolute."""
        return {entry.path for entry in self._plugins.values() if entry.path is not None}

    def entry(self, name: str) -> Entry:
        """The entry of a name ('_' and '-' are the same); UserError with the closest names where there is none."""
        entries = self.entries()
        plain = (name.partition(".")[0] if self._tagged else name).replace("_", "-")
        if plain not in entries:
            for entry in entries.values():
                if entry.facts.get("formerly") == plain:
                    raise UserError(f"{self.kind} {plain!r} is called {entry.name!r} now")
            close = difflib.get_close_matches(plain[:100], entries, n=3)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise UserError(f"no {self.kind} named {shorten(name)!r}{hint} (robustbench-cv list {self.kind}s)")
        return entries[plain]

    def is_bundled(self, spec: Spec | str) -> bool:
        """Whether a spec names something of this package, and nothing of a user's file or of another package."""
        spec = self._with_tag(Spec.parse(spec) if isinstance(spec, str) else spec)
        if spec.name.endswith(".py"):
            return False
        entry = self.entry(spec.name)
        return entry.path is None and not entry.whose

    def check(self, spec: Spec | str, given: tuple[str, ...] = ()) -> None:
        """UserError where a spec names no entry, or gives arguments that its signature does not take. Imports nothing, runs nothing.

        given: arguments that the caller adds. Of a user's own file, only that it is there; an argument whose annotation is more than
        Python's own types and the ranges of `arguments` is checked when the factory is called.
        """
        spec = self._with_tag(Spec.parse(spec) if isinstance(spec, str) else spec)
        if spec.name.endswith(".py"):
            require_file(Path(spec.name))
            return
        entry = self.entry(spec.name)
        if entry.whose:  # an entry point's source is not read
            return
        known = read_arguments(entry)
        whose = f"{self.kind} {entry.name!r}"
        tag = spec.args.get("weights") if self._tagged else None
        lacks = self._lacking(entry, tag) if tag and isinstance(tag, str) else ""
        if lacks:
            raise UserError(lacks)
        positional = [] if spec.target is None else [name for name in known if name not in ("*", "**")][:1]
        if spec.target is not None and not positional and "*" not in known:
            raise UserError(f"{whose} takes nothing after a colon, such as {shorten(spec.target)!r}; it takes {entry.call}")
        args: dict[str, Scalar] = {
            name: value
            for name, value in spec.args.items()
            if name in known or self._beside.get(name) not in spec.args.keys() & known.keys()
        }
        _require_current(whose, entry, args)
        unknown = [name for name in args if (name not in known and "**" not in known) or name in positional]
        missing = [name for name, hint in known.items() if hint.required and name not in (*args, *positional, *given)]
        if unknown or missing:
            problem = f"takes no {unknown[0]!r}" if unknown else f"needs {missing[0]!r}"
            close = difflib.get_close_matches(unknown[0][:100], known, n=1, cutoff=0.65) if unknown else []
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UserError(f"{whose} {problem}; it takes {entry.call}{hint}")
        for name, value in {**dict.fromkeys(positional, spec.target), **args}.items():
            argument = known[name] if name in known else known["**"]
            check_argument(whose, name, value, argument.hint, argument.default)

    def factory(self, spec: Spec | str) -> Callable[..., T]:
        """The factory that a spec names, imported. What a factory that is not this package's raises becomes a ForeignError."""
        spec = self._with_tag(Spec.parse(spec) if isinstance(spec, str) else spec)
        if spec.name.endswith(".py"):
            path, name = Path(spec.name), spec.target or "build"
            record_lookup(Lookup(self.kind, "", path))
            return _guard_factory(load_factory(path, name), f"{path}, function {name}", path)
        entry = self.entry(spec.name)
        record_lookup(Lookup(self.kind, entry.module, entry.path))
        if entry.path:
            made: Callable[..., T] = _guard_factory(
                load_factory(entry.path, entry.function), f"{entry.path}, function {entry.function}", entry.path
            )
        elif entry.whose:
            with foreign(f"{entry.whose}, {entry.module}"):
                made = getattr(importlib.import_module(entry.module), entry.function)
            made = _guard_factory(made, f"{entry.whose}, {entry.module}.{entry.function}")
        else:
            made = getattr(importlib.import_module(entry.module), entry.function)
        return made if entry.member is None else functools.partial(made, entry.member)

    def build(self, spec: Spec | str, **more: Any) -> T:
        """Check the spec's arguments, call its factory, check what it returns.

        `more` are arguments for factories that take them. UserError on wrong arguments; ForeignError where a factory that is not this
        package's raises, ends the program, or returns what is no such thing.
        """
        spec = self._with_tag(Spec.parse(spec) if isinstance(spec, str) else spec)
        factory = self.factory(spec)
        parameters = inspect.signature(factory).parameters
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        extra = {k: v for k, v in more.items() if takes_all or k in parameters}
        return self.call(spec, factory, extra | dict(spec.args))

    def call(self, spec: Spec, factory: Callable[..., Any], arguments: Mapping[str, Any], product: Product | None = None) -> T:
        """Call a spec's factory with these arguments, checked; its result, checked too. product: what it must be, if not the kind's own."""
        signature = inspect.signature(factory)
        first = () if spec.target is None or spec.name.endswith(".py") else (spec.target,)
        whose = f"{self.kind} {shorten(str(spec))!r}"
        if not spec.name.endswith(".py"):
            _require_current(f"{self.kind} {spec.name!r}", self.entry(spec.name), arguments)
        try:
            signature.bind(*first, **arguments)
        except TypeError as error:
            own = spec.name.endswith(".py") or self.entry(spec.name).whose
            raise UserError(f"{whose}: {error}; it takes {f'{spec.name}{signature}' if own else self.entry(spec.name).call}") from error
        positional = {k: v for k, v in signature.bind_partial(*first).arguments.items() if isinstance(v, str)}
        check_arguments(f"{self.kind} {spec.name!r}", factory, {**positional, **arguments})
        made = factory(*first, **arguments)
        product = product or self.product
        with foreign(f"what {whose} built"):
            lacks = product.lacks(made)
        if lacks:
            raise ForeignError(f"{_where(factory)} must return {product.spoken}; it returned {lacks}")
        result: T = made
        return remember(result, spec)

    def _with_tag(self, spec: Spec) -> Spec:
        self._require_no_path(spec)
        return expand_tag(spec) if self._tagged else spec

    def _require_no_path(self, spec: Spec) -> None:
        """UserError for a path without the prefix that says what it holds."""
        plain = (spec.name.partition(".")[0] if self._tagged else spec.name).replace("_", "-")
        if spec.target is None and not spec.name.endswith(".py") and plain not in self.entries():
            hint = self._path_hint(spec.name)
            if hint:
                raise UserError(hint)


def expand_tag(spec: Spec) -> Spec:
    """The spec with its tag as an argument: "unet.scenes" is unet(weights='scenes')."""
    name, dot, tag = spec.name.partition(".")
    if not dot or spec.name.endswith(".py"):
        return spec
    if "weights" in spec.args:
        raise UserError(f"{str(spec)!r} names weights twice, {tag!r} and {spec.args['weights']!r}; leave one out")
    return Spec(name, {"weights": tag, **spec.args}, spec.target)


_specs: dict[int, tuple[object, Spec]] = {}
"""By identity, so that equality and hashing of what is built stay as they are: a weak reference, or the object where there can be none."""


def remember(made: T, spec: Spec) -> T:
    """Note the spec that built an object; the object."""
    key = id(made)
    try:
        reference: object = weakref.ref(made, lambda _: _specs.pop(key, None))
    except TypeError:
        reference = made
    _specs[key] = (reference, spec)
    return made


def spec_of(made: object) -> Spec | None:
    """The spec that built an object; None for one that no registry built (a changed copy, or one of another process).

    A factory that hands out one object again and again is known by the last spec that asked for it.
    """
    reference, spec = _specs.get(id(made), (None, None))
    return spec if (reference() if isinstance(reference, weakref.ref) else reference) is made else None


def _require_current(whose: str, entry: Entry, arguments: Mapping[str, Any]) -> None:
    """UserError for an argument that has another name now, or that belongs to the condition, as the entry's facts say.

    renamed="old=new, ...". of_condition="plain, ...": values of a condition's `judged`.
    """
    for old in str(entry.facts.get("of_condition") or "").split(", "):
        if old and old in arguments:
            raise UserError(f"{whose}: {old}= is said of the condition now; beside attack:, write judged: {old}")
    for pair in str(entry.facts.get("renamed") or "").split(", "):
        old, _, new = pair.partition("=")
        if old in arguments and old:
            raise UserError(f"{whose}: {old}= is called {new}= now; write {new}={arguments[old]!r}")


def _add(entries: dict[str, Entry], entry: Entry, kind: str) -> None:
    if entry.name in entries:
        known = entries[entry.name]
        raise UserError(
            f"{kind} {entry.name!r} of {entry.whose or entry.origin} is registered already, by {known.whose or known.origin}; "
            f"give it another name"
        )
    entries[entry.name] = entry


def _guard_factory(factory: Callable[..., T], whose: str, path: Path | None = None) -> Callable[..., T]:
    """A factory that is not this package's: what it raises becomes a ForeignError."""

    def call_guarded(*args: Any, **arguments: Any) -> T:
        with foreign(whose, path):
            return factory(*args, **arguments)

    functools.update_wrapper(call_guarded, factory, updated=())
    call_guarded.whose = whose  # type: ignore[attr-defined]
    return call_guarded


def _where(factory: Callable[..., Any]) -> str:
    """Whose code a factory is: file and function."""
    whole = factory.func if isinstance(factory, functools.partial) else factory
    return getattr(whole, "whose", None) or f"{whole.__module__}.{whole.__qualname__}"


__all__ = ["Entry", "Product", "Registry", "Scalar", "Spec", "expand_tag", "load_factory", "load_file", "marker", "remember", "spec_of"]
