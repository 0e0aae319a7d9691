"""The command line: exit codes, what it prints where, and errors for people."""

import json
from pathlib import Path

import numpy
import pytest

from robustbench_cv.cli import main


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert isinstance(done.value.code, int)
    return done.value.code


@pytest.fixture
def data(tmp_path: Path) -> str:
    rng = numpy.random.default_rng(0)
    numpy.savez(tmp_path / "d.npz", images=rng.integers(0, 255, (12, 32, 32, 3), dtype=numpy.uint8), labels=numpy.arange(12) % 10)
    return f"npz:{tmp_path / 'd.npz'}"


def test_lists_are_readable_by_people_and_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", "attacks") == 0
    assert "pgd" in capsys.readouterr().out
    assert call("list", "models", "--json") == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert {"lenet5", "cifar-resnet20", "unet", "yolov3-small", "timm", "torchvision"} <= names


def test_show_prints_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("show", "attack", "mi-fgsm") == 0
    out = capsys.readouterr().out
    assert "Dong" in out
    assert "eps" in out
    assert call("show", "attack", "mi-fgms") == 2
    assert "did you mean 'mi-fgsm'" in capsys.readouterr().err
    assert call("show", "atack", "pgd") == 2


def test_show_data_draws_a_contact_sheet(tmp_path: Path, data: str) -> None:
    assert call("show", "data", "scenes(samples=4)", "--out", str(tmp_path / "sheet.png")) == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert call("show", "data", data, "--out", str(tmp_path / "arrays.png")) == 0


def test_run_says_what_it_writes_and_ends_with_the_report(tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = (
        "run",
        "linf(eps=1/255, steps=2)",
        "--model",
        "cifar-resnet20",
        "--data",
        data,
        "--out",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    )
    code = call(*command, "--note", "random weights & <arrays>")
    out = capsys.readouterr().out
    assert code in (0, 4), out
    assert out.startswith(f"writes {tmp_path / 'out'}/")
    report = tmp_path / "out" / "report" / "index.html"
    assert str(report) in out
    assert "random weights &amp; &lt;arrays&gt;" in report.read_text()
    assert (tmp_path / "out" / "summary.csv").exists()
    before = report.read_bytes()
    assert call("report", str(tmp_path / "out")) == 0
    assert report.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "qiuck"), "did you mean 'quick'"),
        (("run", "quick", "--model", "lenet"), "no model named 'lenet'; did you mean 'lenet5'"),
        (("run", "quick", "--batch-size", "many"), "neither a positive number nor auto"),
        (("run", "quick", "--device", "cuda:77"), "not to be had here"),
        (("run", "quick", "--class-map", "auto"), "auto"),
        (("run", "missing.yaml"), "cannot read the suite"),
        (("report", "nowhere"), "is no run folder"),
        (("doctor", "--model", "lenet5", "--data", "npz:/nowhere.npz"), "/nowhere.npz"),
        (("list", "attack"), "attacks"),
        (("train", "scenes-lenet5", "--out", "weights.pt"), "safetensors"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_the_way_out(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_plugin_file_adds_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text('from robustbench_cv.catalogue import suite\n@suite()\ndef my_own_suite():\n    """Mine."""\n')
    assert call("list", "suites", "--plugin", str(plugin)) == 0
    assert "my-own-suite" in capsys.readouterr().out
