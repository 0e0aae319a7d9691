"""A user's own Python file: executed once for each content, what it raises named as its own."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from robustbench_cv.errors import UserError, foreign
from robustbench_cv.files import is_file


def load_factory(path: Path, name: str) -> Callable[..., Any]:
    """The function `name` of a Python file. UserError where the file or the function is missing, ForeignError where the file fails."""
    module = load_file(path)
    made = getattr(module, name, None)
    if not callable(made):
        own = (n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", "") == module.__name__)
        public = [n for n in own if not n.startswith("_")]
        raise UserError(f"{path} has no function {name!r}; it has {public}")
    factory: Callable[..., Any] = made
    return factory


def require_file(path: Path) -> None:
    """UserError unless a Python file is there."""
    if not is_file(path):
        raise UserError(f"no file {path}; write file.py:factory with a path from {Path.cwd()}")


def load_file(path: Path) -> ModuleType:
    """Execute a Python file as a module of its own, once for each content of it and of the user's modules that files imported."""
    require_file(path)
    try:
        digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    name = f"robustbench_cv_file_{path.stem}_{digest}"
    _forget_edited_modules()
    if name not in sys.modules:
        before = set(sys.modules)
        spec = importlib.util.spec_from_file_location(name, path, loader=SourceFileLoader(name, str(path)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            with foreign(str(path), path):
                spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(name, None)
            raise
        _imported_by_files.update({n: seen for n in set(sys.modules) - before - {name} if (seen := _content_of(n)) is not None})
    return sys.modules[name]


_imported_by_files: dict[str, tuple[Path, str]] = {}
"""The user's own modules that files brought with them: path and sha256 of each as it was imported."""


def _content_of(module: str) -> tuple[Path, str] | None:
    """The file of one of the user's own modules, and its hash; None for what is built in, installed, or this package's."""
    file = getattr(sys.modules[module], "__file__", None)
    if not file or not file.endswith(".py") or module.startswith("robustbench_cv") or file.startswith(_library_folders()):
        return None
    return Path(file), _sha256(Path(file))


@functools.cache
def _library_folders() -> tuple[str, ...]:
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
