"""The command line: exit codes, what it prints where, and errors for people."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy
import PIL.Image
import pytest

from robustbench_cv.catalogue import SUITES
from robustbench_cv.cli import cli, main
from robustbench_cv.cli.exits import exit_code_of
from robustbench_cv.errors import BadSample, ForeignError, NotApplicable


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


def test_models_say_which_bundled_weights_they_have(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("list", "models") == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:6] == ["model", "task", "year", "source", "parameters", "weights"]
    at = heading.index("weights")
    weights = {row.split()[0]: row[at:].partition("  ")[0].strip() for row in rows}
    assert weights["lenet5"] == "scenes"
    assert weights["retinanet-small"] == "scenes, scenes-hardened"
    assert weights["alexnet"] == ""
    assert call("list", "models", "--weights", "scenes-hardened", "--json") == 0
    found = {row["name"]: row["weights"] for row in json.loads(capsys.readouterr().out)}
    assert set(found) == {"cifar-resnet20", "retinanet-small"}
    assert call("list", "models", "--weights", "scnes") == 2
    assert "did you mean 'scenes'?" in capsys.readouterr().err
    assert call("list", "attacks", "--weights", "scenes") == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("alexnet.scenes", "alexnet has no bundled weights 'scenes'; there are alexnet-original.scenes"),
        ("deeplabv3.scenes", "there are deconvnet.scenes, deeplabv3plus.scenes"),  # of its own task
        ("lenet5.scens", "lenet5 has no bundled weights 'scens'; did you mean 'scenes'?"),
    ],
)
def test_weights_that_a_model_lacks_are_answered_with_models_that_have_them(
    model: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("run", "quick", "--model", model, "--dry-run") == 2
    assert message in capsys.readouterr().err


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
        (("run", "quick", "--batch-size", "many"), "'many' is no whole number from 1 to 999999, nor auto"),
        (("run", "quick", "--batch-size", "²"), "'²' is no whole number"),
        (("run", "quick", "--limit", "1" + "0" * 30), "is no whole number from 1 to 2147483647"),
        (("run", "quick", "--limit", "0"), "'0' is no whole number from 1"),
        (("run", "quick", "--seed", str(2**64)), "is no whole number from 0 to 9223372036854775807"),
        (("run", "quick", "--seed", "-1"), "is no whole number from 0"),
        (("run", "quick", "--strength", "1.5"), "is no whole number from 0"),
        (("run", "quick", "--device", "meta"), "holds no numbers"),
        (("run", "quick", "--device", "mps:77"), "not to be had here; this machine has cpu"),
        (("run", "quick", "--device", "../x"), "is no device"),
        (("run", "quick", "--out", __file__), "test_cli.py is a file; name another place"),
        (("run", "quick", "--out", f"{__file__}/sub/run"), "test_cli.py is a file, so"),
        (("run", "quick", "--out", "runs/a\0b"), "NUL character"),
        (("report", __file__), "is a file"),
        (("show", "data", "scenes", "--out", "/"), "/ is a folder; name a file in it"),
        (("run", "quick", "--device", "cuda:77"), "not to be had here"),
        (("run", "quick", "--class-map", "auto"), "auto"),
        (("run", "missing.yaml"), "cannot read the suite"),
        (("report", "nowhere"), "is no run folder"),
        (("doctor", "--model", "lenet5", "--data", "npz:/nowhere.npz"), "/nowhere.npz"),
        (("list", "attack"), "attacks"),
        (("train", "scenes-lenet5", "--out", "weights.pt"), "name the file weights.safetensors"),
        (("train", "--finetune", "unet", "--data", "scenes"), "--finetune has moved: robustbench-cv finetune MODEL --data DATA"),
        (("train", "scenes-lenet5", "--frozen"), "--frozen has moved: robustbench-cv finetune"),
        (("train", "scenes-lenet5", "--rate", "0.1"), "--rate has moved: robustbench-cv finetune"),
        (("profile", "--all"), "--all has moved: robustbench-cv speed"),
        (("profile", "--all", "--task", "detection", "--json"), "has moved: robustbench-cv speed"),
        (("profile", "lenet5", "--reduced"), "--reduced has moved: robustbench-cv speed --reduced"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_the_way_out(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_a_plugin_file_adds_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text('from robustbench_cv.catalogue import suite\n@suite()\ndef my_own_suite():\n    """Mine."""\n')
    assert call("list", "suites", "--plugin", str(plugin)) == 0
    assert "my-own-suite" in capsys.readouterr().out


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help_has_titled_groups_and_ends_with_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(name, "--help") == 0
    text = capsys.readouterr().out
    titles = re.findall(r"^(\S.*):$", text, re.MULTILINE)
    assert titles[-2:] == ["Other", "Examples"]
    assert all(flag in text.split("Other:")[1] for flag in ("--plugin", "--debug", "--help"))
    examples = text.split("Examples:\n")[1].strip("\n").split("\n")
    assert len(examples) >= 2
    assert all(line.startswith("  # ") for line in examples[::2])
    assert all(line.startswith(f"  robustbench-cv {name} ") for line in examples[1::2])


def test_moved_options_are_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    for name, old in (("train", "--finetune"), ("train", "--frozen"), ("profile", "--all"), ("profile", "--markdown")):
        assert call(name, "--help") == 0
        assert old not in capsys.readouterr().out


def test_it_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "robustbench_cv.cli", "list", "suites"], capture_output=True, text=True, check=True)
    assert "quick" in done.stdout


ERRORS = [
    (ForeignError("model 'm', sample 's': boom"), 6, "error: model 'm', sample 's': boom"),
    (BadSample("s.png is cut short"), 2, "error: s.png is cut short"),
    (NotApplicable("no such region"), 2, "error: no such region"),
    (MemoryError(), 5, "memory ran out (MemoryError); use a smaller --batch-size"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GB"), 5, "memory ran out"),
    (KeyboardInterrupt(), 5, "the same command again goes on from here"),
]


@pytest.mark.parametrize(("error", "code", "message"), ERRORS, ids=lambda value: type(value).__name__)
def test_each_end_has_its_own_code(error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(error, None) == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("command", "has"), [("run", True), ("render", False)])
def test_out_of_memory_a_command_advises_its_own_options(command: str, has: bool, capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(cli)
    context.invoked_subcommand = command
    assert exit_code_of(MemoryError(), context) == 5
    said = capsys.readouterr().err
    assert ("--batch-size" in said) == has
    assert "a smaller --limit" in said


def test_a_bug_of_ours_is_called_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("robustbench_cv.cli.listing.REGISTRIES", {"suites": None})
    assert call("list", "suites") == 7
    said = capsys.readouterr().err
    assert "error: a bug in robustbench-cv: AttributeError: 'NoneType'" in said
    assert "Traceback" not in said
    assert "--debug shows the traceback" in said
    assert call("list", "suites", "--debug") == 7
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_what_the_machine_refuses_is_its_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("run", "quick", "--model", "lenet5.scenes", "--limit", "1", "--device", "cpu", "--out", str(tmp_path / ("n" * 300))) == 5
    assert "File name too long" in capsys.readouterr().err


PLACES = {
    "raised": "raise ValueError('boom')",
    "ended with 0": "import sys; sys.exit(0)",
    "ended with 1": "raise SystemExit(1)",
}


@pytest.mark.parametrize("fault", PLACES.values(), ids=PLACES)
def test_code_of_others_never_ends_a_command_with_a_code_of_its_own(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a model's factory and forward, on import, in a suite of a plug-in."""
    monkeypatch.setattr(SUITES, "_plugins", {})
    imported, built, forward, plugin = (tmp_path / f"{name}.py" for name in ("imported", "built", "forward", "plugin"))
    imported.write_text(f"{fault}\ndef build(): ...\n")
    built.write_text(f"def build():\n    {fault}\n")
    forward.write_text(
        "from torch import nn\nfrom robustbench_cv.models.adapt import classifier\nfrom robustbench_cv.types import Labels\n"
        f"class M(nn.Module):\n    def forward(self, x):\n        {fault}\n"
        "def build():\n    return classifier(M(), name='m', classes=Labels(('a', 'b')))\n"
    )
    plugin.write_text(f"from robustbench_cv.catalogue import suite\n@suite()\ndef mine():\n    {fault}\n")
    for arguments, file in (
        (("profile", f"{imported}:build", "--device", "cpu"), imported),
        (("profile", f"{built}:build", "--device", "cpu"), built),
        (("profile", f"{forward}:build", "--device", "cpu"), forward),
        (("run", "mine", "--plugin", str(plugin)), plugin),
    ):
        assert call(*arguments) == 6, arguments
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert file.name in said
        assert "boom" in said or "ended the program" in said
        assert "Traceback" not in said
        assert len(said.strip().splitlines()) == 1
    assert call("run", "mine", "--plugin", str(plugin), "--debug") == 6
    assert f'{plugin.name}", line 4' in capsys.readouterr().err


def test_matching_names_take_one_line(tmp_path: Path, data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("doctor", "--model", "lenet5.scenes", "--data", "scenes(samples=8)", "--device", "cpu") in (0, 4)
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "lenet5.scenes on scenes-test-b80: 10 classes, each matched with the model's class of the same name"


def test_what_is_no_text_is_named_or_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes of the command line and of file names that are not UTF-8."""
    short = ("run", "linf(eps=1/255, steps=1)", "--model", "lenet5.scenes", "--strength", "0", "--device", "cpu", "--limit", "1")
    assert call(*short, "--note", "caf\udce9", "--out", str(tmp_path / "cafe")) in (0, 4)
    assert r"caf\udce9" in (tmp_path / "cafe" / "run.json").read_text().replace("\\\\", "\\")
    assert call(*short, "--out", str(tmp_path / "caf\udce9")) == 2
    for name in ("car", "b\udce9che"):
        (tmp_path / "data" / name).mkdir(parents=True)
        PIL.Image.new("RGB", (32, 32)).save(tmp_path / "data" / name / "0.png")
    data = ("--data", f"folder:{tmp_path / 'data'}", "--class-map", "b\udce9che=dog", "--out", str(tmp_path / "out"))
    capsys.readouterr()
    assert call(*short, *data) == 2
    assert r"class 0 is called 'b\udce9che', which holds characters that are no text" in capsys.readouterr().err


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    arguments = ["run", "linf(eps=1/255, steps=1)", "--model", "lenet5.scenes", "--limit", "2", "--strength", "0", "--device", "cpu"]
    with pytest.raises(SystemExit):
        main([*arguments, "--out", str(folder)])
    return folder


def _part(folder: Path) -> Path:
    return sorted((folder / "records").rglob("*.parquet"))[0]


DAMAGES = {
    "run.json in Latin-1": (lambda f: f / "run.json", b'{"suite": "caf\xe9"}'),
    "run.json cut short": (lambda f: f / "run.json", b'{"suite": "a'),
    "findings.json cut short": (lambda f: f / "findings.json", b'[{"check": "S0'),
    "findings.json of binary": (lambda f: f / "findings.json", b"\xff\xfe\x00"),
    "part cut short": (_part, b"PAR1\x00\x01\x02"),
    "part empty": (_part, b""),
    "part of text": (_part, b"hello, this is no Parquet file at all\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_the_way_out(damage: str, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where, content = DAMAGES[damage]
    path = where(finished)
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        assert call("report", str(finished)) == 2
    finally:
        path.write_bytes(whole)
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) == 1
    assert str(path) in said
    assert "damaged" in said
    assert "delete" in said
