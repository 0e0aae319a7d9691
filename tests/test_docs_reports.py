"""docs/reports.md is what the catalogue says, with a picture of every report that a small run can draw."""

from __future__ import annotations

import re

from PIL import Image

from robustbench_cv.catalogue import REPORTS
from robustbench_cv.suite_files import check_specs, read_suite
from tests import docs_reports


def test_the_page_is_what_its_generator_writes() -> None:
    written = docs_reports.PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", written, re.MULTILINE) == list(REPORTS.names())
    assert written == docs_reports.page(), "run python -m tests.docs_reports"


def test_the_pictures_are_of_reports_and_small() -> None:
    paths = sorted(docs_reports.PICTURES.glob("*.png"))
    assert {path.stem for path in paths} <= set(REPORTS.names())
    assert len(paths) > 0.7 * len(REPORTS.names())
    assert sum(path.stat().st_size for path in paths) < 1_500_000
    for path in paths:
        with Image.open(path) as image:
            assert image.width <= docs_reports.WIDTH
            assert len(image.getcolors(256) or ()) > 1, f"{path.name} shows nothing"


def test_the_run_behind_the_pictures_is_a_suite() -> None:
    suite = read_suite(docs_reports.ROOT / "tests" / "docs_reports.yaml")
    check_specs(suite)
    assert set(suite.reports) <= set(REPORTS.names())
