"""A user's own Python file: executed once for each content, what it raises named as its own."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
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
        public = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise UserError(f"{path} has no function {name!r}; it has {public}")
    factory: Callable[..., Any] = made
    return factory


def require_file(path: Path) -> None:
    """UserError unless a Python file is there."""
    if not is_file(path):
        raise UserError(f"no file {path}; write file.py:factory with a path from {Path.cwd()}")


def load_file(path: Path) -> ModuleType:
    """Execute a Python file as a module of its own, once for each content."""
    require_file(path)
    try:
        digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    name = f"robustbench_cv_file_{path.stem}_{digest}"
    if name not in sys.modules:
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
    return sys.modules[name]
