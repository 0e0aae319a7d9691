"""What a run hands to other places: the same numbers, typed, short, or in another tool's form."""

from __future__ import annotations

import csv
import importlib.util
import io
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import msgspec
import pyarrow.parquet
import pytest
import yaml

from robustbench_cv.check_findings import Finding
from robustbench_cv.cli import main
from robustbench_cv.errors import UserError
from robustbench_cv.registry import load_file
from robustbench_cv.rendering import comments_and_cards, exports
from robustbench_cv.rendering.leaderboard import leaderboard, leaderboard_html, ranked
from robustbench_cv.rendering.write_report import build_items, summary_csv
from robustbench_cv.results import Results

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")
STOP = Finding("S21", "colour order", "stop", "e", "r", model="yolo-small")


@pytest.fixture(scope="module")
def results() -> Results:
    made: Results = synthetic.make(n=8, findings=(STOP,))
    return made


def test_parquet_holds_what_the_csv_holds(results: Results) -> None:
    text = summary_csv(results)
    table = pyarrow.parquet.read_table(io.BytesIO(comments_and_cards.summary_parquet(text)))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert table.num_rows == len(rows)
    assert [v is None for v in table["value"].to_pylist()] == [row["value"] == "" for row in rows]
    assert [str(v) for v in table["n"].to_pylist()] == [row["n"] for row in rows]
    assert table.schema.field("value").type == "double"


def test_a_model_card_is_metadata_that_a_hub_reads(results: Results) -> None:
    cards = comments_and_cards.model_cards(results)
    _, head, text = cards["resnet-small.md"].split("---\n", 2)
    (entry,) = yaml.safe_load(head)["model-index"]
    (made,) = entry["results"]
    assert (entry["name"], made["task"]["type"], made["dataset"]["name"]) == ("resnet-small", "image-classification", "scenes")
    group = results.groups()[0]
    clean = next(m for m in made["metrics"] if m["name"] == "top-1, clean")
    assert clean["value"] == pytest.approx(results.estimate(group, "clean", "top-1").value)
    assert "## Robustness" in text
    assert yaml.safe_load(cards["yolo-small.md"].split("---\n", 2)[1])["model-index"][0]["results"] == [], (
        "blocked numbers are not handed out"
    )


def test_each_model_has_a_card_of_its_own_whatever_it_is_called(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["\u6a21\u578b\u7532", "\u6a21\u578b\u4e59", "ResNet 50", "resnet-50", "a" * 10_000, "../../escaped"]
    groups = [replace(results.groups()[0], model=name) for name in names]
    monkeypatch.setattr(type(results), "groups", lambda self: groups)
    monkeypatch.setattr(comments_and_cards, "_card", lambda results, model: model)
    cards = comments_and_cards.model_cards(results)
    assert sorted(cards.values()) == sorted(names)
    assert all(len(file) < 200 and "/" not in file for file in cards)


def test_the_comment_for_a_pull_request_is_short_and_names_gates(results: Results) -> None:
    text = comments_and_cards.short_markdown(results, build_items(results, ["robustness", "main-table"]))
    assert "gate **" in text
    assert "resnet-small" in text
    assert "forwards" not in text
    assert len(text) < 6000


def test_trackers_get_every_number_that_may_be_shown(results: Results) -> None:
    found = dict(exports.numbers(results, "resnet-small"))
    assert found["classification/scenes/clean/top-1"] == results.estimate(results.groups()[0], "clean", "top-1").value
    assert dict(exports.numbers(results, "yolo-small")) == {}
    with pytest.raises(UserError, match="mlflow:DIR, wandb:DIR, tensorboard:DIR"):
        exports.export(results, "somewhere")


# `uv run --with tensorboard --with mlflow --with wandb pytest tests/test_comments_and_cards.py` has them all.
@pytest.mark.parametrize(
    ("name", "module", "pattern"),
    [("tensorboard", "tensorboard", "*/events*"), ("mlflow", "mlflow", "mlflow.db"), ("wandb", "wandb", "wandb/offline*")],
)
@pytest.mark.filterwarnings("ignore")  # what trackers use of their own libraries is theirs to renew
def test_an_export_writes_its_folder(name: str, module: str, pattern: str, results: Results, tmp_path: Path) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed")
    assert list(exports.export(results, f"{name}:{tmp_path}").glob(pattern))


def test_the_leaderboard_ranks_and_shares_ranks() -> None:
    runs = [synthetic.make(n=40, models={"classification": (name,)}, findings=()) for name in ("a", "b")]
    results, tables = leaderboard(runs)
    # the same records under two names: nobody is ahead
    assert ranked(tables[0]) == [("1 =", "a"), ("1 =", "b")]
    assert "worst case Linf 8/255" in list(tables[0].frame.columns)
    html = leaderboard_html(results, tables)
    assert "<script" not in html
    assert 'id="leaderboard-classification"' in html


def test_a_leaderboard_of_clean_images_alone_says_clean_once() -> None:
    made = synthetic.make(n=8, findings=())
    tracks = tuple(msgspec.structs.replace(t, conditions=tuple(c for c in t.conditions if c.kind == "clean")) for t in made.run.tracks)
    results, tables = leaderboard([replace(made, run=msgspec.structs.replace(made.run, tracks=tracks))])
    assert list(tables[0].frame.columns) == ["rank", "model", "clean", "n"]
    assert " of 1 model, ranked by clean" in tables[0].caption
    assert "· 1 models" not in leaderboard_html(results, tables)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--export", "mlflo:x"], "did you mean 'mlflow'"),
        (["--export", "mlflow"], "names no tracker and folder"),
        (["--export", "wandb:x"], "the export needs wandb"),
        (["--table", "main-table", "--columns", "clean"], "--columns is for the table robustness, and main-table takes none"),
        (["--table", "main-tabel"], "no report is called 'main-tabel'; did you mean 'main-table'? there are attack-success, "),
        (["--table", "nope"], "no report is called 'nope'; there are attack-success, "),
    ],
)
def test_a_report_is_refused_before_anything_is_read_or_written(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "wandb" else real(name, *more))
    with pytest.raises(SystemExit) as done:
        main(["report", str(tmp_path / "run"), *arguments])
    assert done.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_with_a_report_alone_asks_for_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("")
    with pytest.raises(SystemExit):
        main(["report", str(tmp_path), "--table", "robustness"])
    assert "it holds a report alone; give the run folders" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["leaderboard", "a"], ["report", "a", "--table", "main-table"]])
def test_what_is_printed_is_plain_and_whole_unless_another_form_is_asked_for(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Results, "open", lambda folder: synthetic.make(n=4, models={"classification": ("c_ok",)}, findings=()))
    said = {}
    for form in ("text", "md", "csv"):
        with pytest.raises(SystemExit) as done:
            main([*command, *([] if form == "text" else ["--as", form])])
        assert done.value.code in (None, 0)
        said[form] = capsys.readouterr().out
    assert not set(said["text"]) & set("|<>\\*"), "no marks of Markdown"
    assert "c_ok" in said["text"]
    assert "The report also has" not in said["text"]
    assert r"| c\_ok |" in said["md"] or r"**c\_ok on" in said["md"]
    assert ",c_ok," in said["csv"] or "c_ok on scenes," in said["csv"]


def test_a_leaderboard_of_unequal_protocols_is_refused() -> None:
    one = synthetic.make(n=4)
    other = replace(one, run=msgspec.structs.replace(one.run, version=2))
    with pytest.raises(UserError, match="not of one protocol"):
        leaderboard([one, other])
