"""No damaged file makes a reader fail in another way than with one of this package's own errors, take long, or write anywhere.

`uv run pytest tests/fuzzing -m slow -n 0` tries thousands a reader. What a case was made of, hypothesis prints.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from robustbench_cv.errors import RobustBenchError
from tests.fuzzing.damage import damaged
from tests.fuzzing.guard import guarded
from tests.fuzzing.parsers import PARSERS, Parser

FEW, MANY = 12, int(os.environ.get("FUZZ_EXAMPLES", "2000"))
"""Damaged files a reader, in the fast and in the long test."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def _prepared(parser: Parser, base: Path) -> Path:
    """The folder with the valid files, made once for all readers that share them."""
    folder = base / f"{parser.make.__module__}-{id(parser.make)}"
    if not folder.exists():
        folder.mkdir()
        parser.make(folder)
    return folder


def read_damaged(parser: Parser, folder: Path, data: bytes) -> bool:
    """Whether the reader took a file of these bytes. Whatever it raises beside our own errors comes out."""
    (folder / parser.file).write_bytes(data)
    try:
        with guarded(folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser.read(folder)
    except RobustBenchError as error:
        text = str(error)
        assert text.strip(), "an error without words"
        assert len(text) < 10_000, f"an error of {len(text)} characters: {text[:300]}"
        return False
    return True


def _fuzz(parser: Parser, base: Path, examples: int) -> None:
    folder = _prepared(parser, base)
    data = (folder / parser.file).read_bytes()
    parser.read(folder)  # the valid file is read
    outcomes: list[bool] = []

    @settings(
        max_examples=max(3, int(examples * parser.weight)),
        derandomize=examples == FEW,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if examples == FEW else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def each(source: st.DataObject) -> None:
        outcomes.append(read_damaged(parser, folder, source.draw(damaged(data))))

    try:
        each()
    finally:
        (folder / parser.file).write_bytes(data)
    assert not all(outcomes), "the damages do no damage"


@pytest.mark.parametrize("parser", [p for p in PARSERS if p.quick], ids=lambda p: p.name)
def test_a_damaged_file_is_an_error_of_ours_or_is_read(parser: Parser, whole: Path) -> None:
    _fuzz(parser, whole, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("parser", PARSERS, ids=lambda p: p.name)
def test_thousands_of_damaged_files_are_errors_of_ours_or_are_read(parser: Parser, whole: Path) -> None:
    _fuzz(parser, whole, MANY)
