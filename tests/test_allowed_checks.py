"""--allow: what a check stops is shown, marked, and says wherever it is shown that it was allowed."""

from pathlib import Path

import numpy
import pytest

from robustbench_cv.checks.allowed import check_allowed
from robustbench_cv.cli import main
from robustbench_cv.errors import UserError
from robustbench_cv.results import Results
from tests.test_runner import write_model


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A run that S07 stops: an answer depends on the other images of its batch."""
    rng = numpy.random.default_rng(0)
    images = rng.integers(0, 256, (40, 12, 12, 3), dtype=numpy.uint8)
    numpy.savez(tmp_path / "d.npz", images=images, labels=rng.integers(0, 3, 40), classes=numpy.array(["dark", "bright", "red"]))
    model = write_model(tmp_path, after="scores = scores - scores.mean(0, keepdim=True) * 5")
    typed = ["run", "--condition", "grayscale()", "--model", model, "--data", f"npz:{tmp_path / 'd.npz'}", "--strength", "0"]
    return [*typed, "--device", "cpu", "--out", str(tmp_path / "out")]


def call(*typed: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(typed))
    return int(ended.value.code or 0)


def test_what_is_allowed_is_marked_and_says_so(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*arguments) == 4
    assert "STOP S07" in capsys.readouterr().out
    assert call(*arguments, "--allow", "s07") == 0
    said = capsys.readouterr().out
    assert "WARN S07" in said
    results = Results.open(tmp_path / "out")
    (finding,) = [f for f in results.findings if f.check == "S07"]
    assert finding.verdict == "warn"
    assert finding.evidence.endswith("(stop, allowed by --allow S07)")
    assert results.estimate(results.groups()[0], "clean", "top-1").value is not None
    assert "allowed by --allow S07" in (tmp_path / "out" / "report" / "index.html").read_text()
    assert call(*arguments) == 4, "without it the numbers are blocked again"
    assert Results.open(tmp_path / "out").estimate(results.groups()[0], "clean", "top-1").value is None


def test_an_id_that_no_check_has_is_named() -> None:
    assert check_allowed(["s07", "S07", "D01"]) == ("S07", "D01")
    with pytest.raises(UserError, match=r"no check has the id 'S7'; did you mean S\d7"):
        check_allowed(["S7"])
