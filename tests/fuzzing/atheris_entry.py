"""The readers under atheris, which follows the branches of Python code: a long test, run by hand where atheris can be installed.

    uv run --with atheris python -m tests.fuzzing.atheris_entry "coco" -max_total_time=600

The first argument is the name of a reader (`tests/fuzzing/parsers.py`), the rest are libFuzzer's. It ends with the first file on which
a reader raises anything beside this package's own errors, and leaves that file as crash-*.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import warnings
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["robustbench_cv", "yaml", "msgspec", "PIL"]):
        from tests.fuzzing.parsers import PARSERS
    from robustbench_cv.errors import RobustBenchError

    name, *rest = arguments
    parser = next(one for one in PARSERS if one.name == name)
    folder = Path(tempfile.mkdtemp(prefix="atheris-"))
    parser.make(folder)
    seeds = Path(tempfile.mkdtemp(prefix="atheris-seeds-"))
    (seeds / "whole").write_bytes((folder / parser.file).read_bytes())
    warnings.simplefilter("ignore")

    def read(data: bytes) -> None:
        (folder / parser.file).write_bytes(data)
        try:
            parser.read(folder)
        except RobustBenchError:
            return

    atheris.Setup([sys.argv[0], str(seeds), *rest], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
