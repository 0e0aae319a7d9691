"""What code a result depends on: the source files that something imports, as far as they run, and the versions of what is installed.

Imports are read from syntax trees, those inside functions included, those under `if TYPE_CHECKING` left out. Files of this package, of the
user and of the plug-ins that are asked for are followed; of every other installed distribution the version counts, and those of the
optional ones that it requires in turn. Comments, docstrings and layout do not count. What is chosen at run time by name is not seen in
a tree: registry look-ups are therefore recorded while something is built (registry.recorded_lookups), and the names of `import_module` and
of a registry's `build` are read where they are literal.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import re
import site
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import robustbench_cv
from robustbench_cv.catalogue import REGISTRIES
from robustbench_cv.code_lookups import Lookup, recorded_lookups
from robustbench_cv.errors import UserError
from robustbench_cv.run_folder import digest

T = TypeVar("T")

_PACKAGE = "robustbench_cv"
_BY_VARIABLE = {registry.kind.upper() + "S": registry for registry in REGISTRIES.values()}
"""The registries by the name of their variable in catalogue.py."""


@dataclass(frozen=True)
class Dependencies:
    """sources: each file's module name and the sha256 of its code. distributions: version by name; empty where it is not installed."""

    sources: frozenset[tuple[str, str]] = frozenset()
    distributions: Mapping[str, str] = field(default_factory=dict)
    _files: frozenset[tuple[Path, str]] = field(default=frozenset(), repr=False, compare=False)

    def __or__(self, other: Dependencies) -> Dependencies:
        return Dependencies(self.sources | other.sources, {**self.distributions, **other.distributions}, self._files | other._files)

    def edited_files(self) -> list[Path]:
        """The files whose code is no longer what it was."""
        return sorted(path for path, sha256 in self._files if not path.is_file() or _source(path).sha256 != sha256)

    @functools.cached_property
    def sha256(self) -> str:
        return digest([self.code_sha256, self.distributions])

    @functools.cached_property
    def code_sha256(self) -> str:
        return digest(sorted(self.sources))


class _Import(NamedTuple):
    """One import: `from module import names` with `level` leading dots; no names for `import module`."""

    module: str
    names: tuple[str, ...] = ()
    level: int = 0


class _Source(NamedTuple):
    """What counts of a file's content. lookups: registry and name of each entry that it builds by a literal name.

    homes: of a package that imports its public names when they are asked for, the module of each, as its _HOMES says.
    """

    sha256: str
    imports: tuple[_Import, ...]
    lookups: tuple[tuple[str, str], ...]
    homes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Module:
    """A file that is followed. name: dotted, as others import it. root: the folder from which that name is found."""

    name: str
    path: Path
    root: Path

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


class DependencyReader:
    """Follows imports; reads each file once, so one reader sees one state of the disk: make a new one for each plan."""

    def __init__(self) -> None:
        self._sources: dict[Path, _Source] = {}
        self._followed: dict[tuple[_Module, bool], tuple[list[_Module], set[str]]] = {}
        self._own: dict[str, tuple[list[_Module], str]] = {}
        self._made: dict[tuple[object, ...], Dependencies] = {}

    def of(self, roots: Iterable[str | Lookup], *, without: Sequence[str] = ()) -> Dependencies:
        """Of modules by name, and of looked-up factories. without: modules and packages that are declared not to run: not followed."""
        key = (tuple(roots), tuple(without))
        for name in (*without, *(r for r in key[0] if isinstance(r, str) and r.startswith(f"{_PACKAGE}."))):
            if not any(module.name == name for module in _locate(name, None, frozenset())[0]):
                raise ValueError(f"there is no module {name}: whoever moved it forgot what names it here")
        if key not in self._made:
            self._made[key] = self._follow(key[0], tuple(without))
        return self._made[key]

    def _follow(self, roots: Iterable[str | Lookup], without: tuple[str, ...]) -> Dependencies:
        waiting: list[_Module] = []
        distributions: set[str] = set()
        plugins: set[str] = set()
        for root in roots:
            if isinstance(root, Lookup) and root.path is not None:
                path = root.path.resolve()
                waiting.append(_Module(path.stem, path, path.parent))
                continue
            name = root if isinstance(root, str) else root.module
            if isinstance(root, Lookup) and root.kind != "package":
                plugins |= {name.partition(".")[0]}
            modules, installed = _locate(name, None, frozenset(plugins))
            waiting += modules
            distributions |= {installed} if installed else set()
        seen: set[_Module] = set()
        while waiting:
            module = waiting.pop()
            if module in seen or any(module.name == name or module.name.startswith(f"{name}.") for name in without):
                continue
            seen.add(module)
            imported, tops = self._imported_modules(module, frozenset(plugins))
            waiting += imported
            distributions |= tops
        sources = {m: self._source(m.path).sha256 for m in seen}
        named = frozenset((m.name, sha256) for m, sha256 in sources.items())
        return Dependencies(named, _versions(distributions), frozenset((m.path, sha256) for m, sha256 in sources.items()))

    def _source(self, path: Path) -> _Source:
        if path not in self._sources:
            self._sources[path] = _source(path)
        return self._sources[path]

    def _imported_modules(self, module: _Module, plugins: frozenset[str]) -> tuple[list[_Module], set[str]]:
        """The modules that one imports and that are followed, and the top-level names of those that are installed."""
        key = (module, module.name.partition(".")[0] in plugins)
        if key not in self._followed:
            source = self._source(module.path)
            followed_modules: list[_Module] = []
            installed: set[str] = set()
            for name in self._names(module, source):
                followed, top = self._locate(name, module, plugins)
                followed_modules += followed
                installed |= {top} if top else set()
            self._followed[key] = followed_modules, installed
        return self._followed[key]

    def _names(self, module: _Module, source: _Source) -> Iterator[str]:
        """Absolute names that a module imports. `from a import b` may mean the module a.b, or something inside a."""
        for imported in source.imports:
            base = _absolute(imported, module)
            homes = self._homes(base)
            if imported.names and all(name in homes for name in imported.names):
                yield from (homes[name] for name in imported.names)
            elif base != _PACKAGE:
                yield base
                yield from (f"{base}.{name}" for name in imported.names if name != "*")
        for variable, name in source.lookups:
            try:
                yield _BY_VARIABLE[variable].entry(name).module
            except UserError:
                continue

    def _locate(self, name: str, importer: _Module | None, plugins: frozenset[str]) -> tuple[list[_Module], str]:
        """As `_locate`; the package's own names, which are the many, are looked for once."""
        if name.partition(".")[0] != _PACKAGE:
            return _locate(name, importer, plugins)
        if name not in self._own:
            self._own[name] = _locate(name, importer, plugins)
        return self._own[name]

    def _homes(self, package: str) -> Mapping[str, str]:
        """Where the names come from that one of our packages only passes on: whoever takes one does not depend on the others."""
        files, _ = self._locate(package, None, frozenset()) if package.partition(".")[0] == _PACKAGE else ([], "")
        if not files or files[0].package != package:
            return {}
        source = self._source(files[0].path)
        imported = {name: _absolute(i, files[0]) for i in source.imports for name in i.names}
        return imported | {name: f"{package}.{home}" for name, home in source.homes}


def built_with_code(reader: DependencyReader, build: Callable[[], T]) -> tuple[T, Dependencies]:
    """What `build` builds, and the code that was looked up by name for it."""
    with recorded_lookups() as lookups:
        built = build()
    return built, reader.of(lookups)


def _absolute(imported: _Import, module: _Module) -> str:
    if not imported.level:
        return imported.module
    parts = module.package.split(".")
    return ".".join([*parts[: len(parts) - imported.level + 1], *([imported.module] if imported.module else [])])


def _locate(name: str, importer: _Module | None, plugins: frozenset[str]) -> tuple[list[_Module], str]:
    """The files behind a dotted name that are followed, its packages' own included; else the top-level name of what is installed.

    The package's own __init__ files only define (STYLE.md): they count where they are imported themselves.
    """
    top, *rest = name.split(".")
    if top == _PACKAGE:
        return list(_files(Path(robustbench_cv.__path__[0]).parent, [top, *rest]))[-1:], ""
    if top in sys.stdlib_module_names:
        return [], ""
    root = _root(top)
    if root is None and importer is not None and _is_module(importer.root, top):
        root = importer.root
    if root is None or (top not in plugins and _is_installed(root) and _distributions(top)):
        return [], top
    return list(_files(root, [top, *rest])), top if _distributions(top) else ""


def _files(root: Path, parts: Sequence[str]) -> Iterator[_Module]:
    """The file of each package on the way to a module, and the module's; parts that are no files (classes, functions) end the way."""
    for i in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:i])
        name = ".".join(parts[:i])
        if (path / "__init__.py").is_file():
            yield _Module(name, path / "__init__.py", root)
        elif path.with_name(f"{path.name}.py").is_file():
            yield _Module(name, path.with_name(f"{path.name}.py"), root)
            return
        elif not path.is_dir():
            yield from (_Module(name, file, root) for file in sorted(path.parent.glob(f"{path.name}.*.so"))[:1])
            return


def _is_module(root: Path, top: str) -> bool:
    return next(_files(root, [top]), None) is not None or (root / top).is_dir()


def _root(top: str) -> Path | None:
    """The folder that a top-level module was, or would be, imported from; None where there is none, or it is no file."""
    loaded = getattr(sys.modules.get(top), "__file__", None)
    try:
        spec = None if loaded else importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if loaded is None and spec is not None:
        if not spec.has_location:
            folder = next(iter(spec.submodule_search_locations or ()), None)
            return None if folder is None else Path(folder).resolve().parent
        loaded = spec.origin
    if loaded is None:
        return None
    file = Path(loaded).resolve()
    return file.parent.parent if file.name == "__init__.py" else file.parent


@functools.cache
def _installed_roots() -> tuple[Path, ...]:
    paths = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages(), site.getusersitepackages()]
    return tuple(Path(p).resolve() for p in paths)


def _is_installed(root: Path) -> bool:
    return any(root.is_relative_to(place) for place in _installed_roots())


@functools.cache
def _packages() -> Mapping[str, Sequence[str]]:
    return importlib.metadata.packages_distributions()


def _distributions(top: str) -> Sequence[str]:
    """The distributions that hold a top-level module."""
    return _packages().get(top, ())


def _versions(tops: Iterable[str]) -> dict[str, str]:
    """Versions of the distributions of some top-level modules, and of what the optional ones among these require.

    A module that nobody has installed counts under its own name, without a version: that changes when somebody installs it.
    """
    imported = {_canonical(name) for top in tops for name in (_distributions(top) or (top,))}
    required = {n for name in imported - _always_there() for n in _requirements(name) if _version(n)}
    return {name: _version(name) for name in sorted(imported | required)}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@functools.cache
def _requirements(distribution: str) -> tuple[str, ...]:
    """What a distribution requires without any extra; nothing where it is not installed."""
    try:
        lines = importlib.metadata.requires(distribution) or ()
    except importlib.metadata.PackageNotFoundError:
        lines = ()
    plain = (line for line in lines if "extra ==" not in line)
    return tuple(_canonical(match[0]) for line in plain if (match := re.match(r"[\w.-]+", line)))


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _always_there() -> frozenset[str]:
    """What this package itself cannot do without: what these require in turn is not asked, or the smallest of tools would count."""
    return frozenset(_requirements("robustbench-cv"))


def _source(path: Path) -> _Source:
    return _read(_content(path), is_code=path.suffix == ".py")


def _content(path: Path) -> bytes:
    return path.read_bytes()


@functools.lru_cache(maxsize=4096)
def _read(content: bytes, *, is_code: bool = True) -> _Source:
    """By content, so that a file is parsed once in a process as long as it stays the same."""
    if not is_code:
        return _Source(hashlib.sha256(content).hexdigest(), (), ())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in texts: whoever runs the file is told
            tree = ast.parse(content)
    except SyntaxError:
        return _read(content, is_code=False)
    reading = _Reading()
    reading.read(tree)
    sha256 = hashlib.sha256("\n".join(reading.code).encode("utf-8", "surrogatepass")).hexdigest()
    return _Source(sha256, tuple(dict.fromkeys(reading.imports)), tuple(dict.fromkeys(reading.lookups)), reading.homes)


class _Reading:
    """What counts of a syntax tree, in one walk. code: its nodes and values, but for what never runs: every statement that is nothing but
    a text, and imports for types alone."""

    def __init__(self) -> None:
        self.code: list[str] = []
        self.imports: list[_Import] = []
        self.lookups: list[tuple[str, str]] = []
        self.homes: tuple[tuple[str, str], ...] = ()

    def read(self, node: ast.AST, *, runs: bool = True) -> None:
        """runs: whether what it imports is imported when the program runs."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return
        for_types = isinstance(node, ast.If) and _is_for_types(node)
        if for_types and not node.orelse:  # type: ignore[attr-defined]
            return
        if runs:
            self._note(node)
        code = self.code
        code.append(node.__class__.__name__)
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                code.append("[")
                for item in value:
                    if isinstance(item, ast.AST):
                        self.read(item, runs=runs and not (for_types and name == "body"))
                    else:
                        code.append(repr(item))
                code.append("]")
            elif isinstance(value, ast.AST):
                if name != "ctx":
                    self.read(value, runs=runs)
            else:
                code.append(repr(value))

    def _note(self, node: ast.AST) -> None:
        """The imports and look-ups of a node itself."""
        if isinstance(node, ast.Import):
            self.imports += [_Import(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            self.imports.append(_Import(node.module or "", tuple(alias.name for alias in node.names), node.level))
        elif isinstance(node, ast.Assign) and _dotted(node.targets[0]) == "_HOMES" and isinstance(node.value, ast.Dict):
            pairs = zip(node.value.keys, node.value.values, strict=True)
            self.homes = tuple(
                (str(k.value), str(v.value)) for k, v in pairs if isinstance(k, ast.Constant) and isinstance(v, ast.Constant)
            )
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
            called, literal = _dotted(node.func), node.args[0].value
            variable, _, method = called.rpartition(".")
            if called in ("importlib.import_module", "import_module", "__import__"):
                self.imports.append(_Import(literal))
            elif variable in _BY_VARIABLE and method in ("build", "factory"):
                self.lookups.append((variable, literal.partition("(")[0].partition(":")[0].partition(".")[0]))


def _dotted(node: ast.AST) -> str:
    """A name, or names with dots between; empty for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    inner = _dotted(node.value) if isinstance(node, ast.Attribute) else ""
    return f"{inner}.{node.attr}" if inner and isinstance(node, ast.Attribute) else ""


def _is_for_types(node: ast.If) -> bool:
    return _dotted(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
