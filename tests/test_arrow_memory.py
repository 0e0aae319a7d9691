"""What Arrow's threads hold needs no Python to be let go, so that nothing they do can abort a process that is ending."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from robustbench_cv.arrow_memory import readable

PACKAGE = Path(__file__).parents[1] / "robustbench_cv"


def test_a_reader_holds_no_python_object() -> None:
    data = bytes(range(256)) * 100
    references = sys.getrefcount(data)
    file = readable(data)
    assert sys.getrefcount(data) == references
    assert file.read() == data


def test_nothing_hands_arrow_bytes_of_python() -> None:
    makers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("BufferReader", "py_buffer", "PythonFile")
    }
    assert makers == {"arrow_memory.py"}
