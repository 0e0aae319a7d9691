"""docs/checks.md is what the checks themselves say."""

from robustbench_cv.catalogue import CHECKS
from tests import docs_checks


def test_the_page_is_what_its_generator_writes() -> None:
    written = docs_checks.PAGE.read_text(encoding="utf-8")
    assert written == docs_checks.page(), "run python -m tests.docs_checks"
    for name in CHECKS.names():
        assert f"| {name.split('-')[0].upper()} |" in written
