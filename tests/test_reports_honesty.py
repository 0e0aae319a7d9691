"""What reports must not say: faults found by trying the product on inputs that nobody here had tried, each with its right value."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy
import pytest

import robustbench_cv as rb
from robustbench_cv import __version__, catalogue, gates
from robustbench_cv.catalogue import REPORTS, add_plugin
from robustbench_cv.check_findings import Finding
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.hallucination_base_rates import base_rates
from robustbench_cv.metrics.score_intervals import wilson
from robustbench_cv.record_store import RecordStore
from robustbench_cv.registry import load_file
from robustbench_cv.rendering import escape, reporting
from robustbench_cv.rendering.page import banner, headline, page
from robustbench_cv.rendering.table_cells import Footnotes
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.rendering.write_report import build_items, summary_csv
from robustbench_cv.results import DatasetRow, Pairing, Results, read_run
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.suite import Condition, Gate


def confusion(*rows: Sequence[int]) -> list[dict[str, int]]:
    """The evidence of one image: class, intersection, predicted and truth of each row."""
    return [dict(zip(("class", "intersection", "predicted", "truth"), row, strict=True)) for row in rows]


synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")


def with_rows(results: Results, condition: str, count: int, **changes: Any) -> Results:
    """The first `count` records of the classifier under one condition, changed."""
    records = results.records.copy()
    here = records.index[(records["task"] == "classification") & (records["condition"] == condition)][:count]
    for name, value in changes.items():
        records.loc[here, name] = [value] * len(here)
    changed: Results = synthetic.with_records(results, records)
    return changed


def failing(count: int, condition: str = "clean", n: int = 24, **gate: Any) -> Results:
    made: Results = synthetic.make(n=n)
    run = msgspec.structs.replace(made.run, gates=(Gate("top-1", condition, **gate),)) if gate else made.run
    return with_rows(replace(made, run=run), condition, count, status="failed", reason="NaN", reason_code="not-finite", evidence={})


def test_a_number_with_failed_samples_is_shown_between_its_bounds() -> None:
    whole, part = synthetic.make(), failing(8)
    group = whole.groups()[0]
    number = part.estimate(group, "clean", "top-1")
    hits = round(number.value * 16)
    assert (number.n, number.excluded, number.failed) == (16, 8, 8)
    assert (number.all_wrong, number.all_right) == (hits / 24, (hits + 8) / 24)
    assert number.all_wrong <= whole.estimate(group, "clean", "top-1").value <= number.all_right
    table = build_items(part, ["main-table"])[0]
    row = dict(zip(table.frame.columns, table.frame.iloc[0], strict=True))
    assert row["", "failed"] == 8
    assert row["if the failed were", "all wrong"].estimate.value == hits / 24
    assert any("inconclusive: 8 samples failed" in note for note in table.notes)
    assert "inconclusive: 8 samples failed" in table.to_csv()
    assert "failed" not in [name[-1] for name in build_items(whole, ["main-table"])[0].frame.columns]
    first = next(csv.DictReader(io.StringIO(summary_csv(part))))
    assert (first["failed"], float(first["all_wrong"])) == ("8", hits / 24)


@pytest.mark.parametrize(
    ("count", "bound", "outcome"),
    [(0, 0.5, "pass"), (1, 0.5, "inconclusive"), (8, 0.0, "inconclusive"), (24, 0.5, "inconclusive"), (2, 0.9999, "inconclusive")],
)
def test_no_gate_passes_with_failed_samples(count: int, bound: float, outcome: str) -> None:
    assert [v.outcome for v in gates.judge(failing(count, at_least=bound))] == [outcome]


def test_a_gate_fails_where_not_even_luck_would_help() -> None:
    """pgd-8 leaves next to nothing: with two failed samples right it still stays far below its bound."""
    results = failing(2, "pgd-8", at_least=0.9)
    (verdict,) = gates.judge(results)
    number = results.estimate(verdict.group, "pgd-8", "top-1")
    assert wilson(round((number.all_right or 0) * 24), 24).high < 0.9
    assert verdict.outcome == "fail"
    assert "2 of 24 samples failed" in verdict.evidence


def test_headlines_effects_and_the_banner_say_what_failed() -> None:
    results = failing(3)
    group, notes = results.groups()[0], Footnotes()
    assert "† " in headline(results, group).numbers[0][1].marks + " "
    assert "inconclusive, 3 failed" in page(results, [], "index.html")
    assert "3 of" in banner(results).text
    without_gates = replace(results, run=msgspec.structs.replace(results.run, gates=()))
    assert banner(replace(without_gates, findings=(synthetic.PASS, *synthetic.STRONG))).tone == "warn"
    effect, *_ = reporting.shown_effect(failing(2, "remove-control"), group, "remove", "top-1", notes)
    assert effect.estimate.failed == 2
    assert effect.marks
    worst = failing(2, "pgd-8")
    assert worst.worst_case(group, "top-1", worst.budgets("classification")[-1]).failed == 2


def test_a_gate_for_a_model_that_is_not_there_is_not_passed_over() -> None:
    made: Results = synthetic.make(n=4)
    results = replace(made, run=msgspec.structs.replace(made.run, gates=(Gate("top-1", "clean", 0.5, "resnet-smal"),)))
    (verdict,) = gates.judge(results)
    assert (verdict.outcome, verdict.group.model) == ("not applicable", "resnet-smal")
    assert "resnet-small" in verdict.evidence
    assert "not applicable" in page(results, [], "index.html")


@pytest.mark.parametrize(("right", "near"), [(0, True), (3, True), (5, False), (24, False)])
def test_a_model_near_chance_is_said_to_be_so_at_the_top(right: int, near: bool) -> None:
    """Six classes, 24 images: three right (12.5 %, at least 4.3 %) is no better than a guess (16.7 %), and neither is ..."""
    made: Results = synthetic.make()
    results = with_rows(with_rows(made, "clean", 24, evidence={"top-1": False}), "clean", right, evidence={"top-1": True})
    group = results.groups()[0]
    low = results.estimate(group, "clean", "top-1").low
    assert low is not None
    assert (results.chance(group) is not None) == (low <= 1 / 6)
    if right in (0, 24):
        assert (low <= 1 / 6) == near
    html, table = page(results, [], "index.html"), build_items(results, ["main-table"])[0]
    assert ("is near chance" in html) == (low <= 1 / 6) == any("is near chance" in note for note in table.notes)


def test_a_detector_that_finds_nothing_has_no_virtue() -> None:
    made: Results = synthetic.make()
    records = made.records.copy()
    here = records["task"] == "detection"
    empty = {"classes": [0], "truths": [[1, 0, 0, 0]], "labels": [], "scores": [], "right": [], "wrong": []}
    records.loc[here, "evidence"] = [{**e, "coco": empty} for e in records.loc[here, "evidence"]]
    results = synthetic.with_records(made, records)
    group = next(g for g in results.groups() if g.task == "detection")
    found = results.chance(group)
    assert found is not None
    assert (found.metric, found.estimate.value, found.chance) == ("ap", 0.0, 0.0)
    rate = reporting.metric_cell(results, group, "remove", "hallucination-rate", notes := Footnotes())
    assert rate.marks
    assert any("what finds nothing makes nothing up" in note for note in notes.notes)


def test_a_constant_segmenter_is_at_chance() -> None:
    miou, accuracy = (catalogue.METRICS.build(name) for name in ("miou", "pixel-accuracy"))
    always_road = [confusion([0, 60, 100, 60], [1, 0, 0, 40]), confusion([0, 80, 100, 80], [2, 0, 0, 20])]
    for metric in (miou, accuracy):
        assert metric.reduce(always_road) == pytest.approx(metric.chance(always_road))


def test_a_row_of_iou_by_class_is_of_one_set_of_samples() -> None:
    made: Results = synthetic.make()
    records = made.records.copy()
    lost = records["condition"].eq("remove-control") & records["task"].eq("segmentation") & records["sample"].str.endswith(("3", "4", "5"))
    for column in ("evidence", "reference"):
        records.loc[lost, column] = [{}] * int(lost.sum())
    results = synthetic.with_records(made, records)
    table = build_items(results, ["iou-by-class"])[0]
    group = next(g for g in results.groups() if g.task == "segmentation")
    for row in table.frame.itertuples(index=False, name=None):
        before, after, effect, control, net, n = row[2:8]
        assert {cell.estimate.n for cell in (before, after, effect, control, net)} == {n} == {24 - 1 - int(lost.sum())}
        assert after.estimate.value - before.estimate.value == pytest.approx(effect.estimate.value)
    assert results.estimate(group, "remove", "miou", paired=True).n == 24 - 1 - int(lost.sum())


def test_the_data_table_lists_the_pairings_that_were_run() -> None:
    made: Results = synthetic.make(n=1)
    tasks = ("classification", "segmentation", "detection")
    rows = tuple(DatasetRow("scenes", f"scenes(task={t!r})", t, 1, "0") for t in tasks)  # type: ignore[arg-type]
    results = replace(made, run=msgspec.structs.replace(made.run, datasets=rows))
    data = next(t for t in build_items(results, ["protocol"]) if isinstance(t, Table) and t.label == "data")
    assert [(row[2], row[5]) for row in data.frame.to_numpy().tolist()] == [(t, synthetic.MODELS[t]) for t in tasks]
    assert {p.task for p in results.run.pairings} == set(tasks)
    assert isinstance(results.run.pairings[0], Pairing)


def test_a_csv_column_says_percent_only_of_percent() -> None:
    results = synthetic.make()
    for item in build_items(results, synthetic.REPORTS):
        if isinstance(item, Table):
            rows = list(csv.reader(io.StringIO(item.to_csv())))
            assert not [name for name in rows[0] if "%" in name], item.label
            assert not [cell for row in rows for cell in row if cell.endswith(", %")], item.label
    html = build_items(results, ["main-table"])[0].to_html()
    assert "top-1, %" in html


def test_samples_that_were_not_attacked_are_not_called_excluded() -> None:
    """They have an outcome, count in n, and the footnote must not say that they were left out."""
    results = with_rows(synthetic.make(), "pgd-8", 10, reason="the model reports no object", reason_code="nothing-to-attack")
    table = build_items(results, ["main-table"])[0]
    row = next(r for r in table.frame.itertuples(index=False, name=None) if r[1] == "pgd-8")
    assert (row[3], row[4]) == (24, 0)
    assert not [note for note in table.notes if note.startswith("Excluded") and "reports no object" in note]
    assert any(note.startswith("Not attacked, and counted as they are, under pgd-8: 10 ×") for note in table.notes)


def test_a_worst_case_belongs_to_one_budget_of_one_norm() -> None:
    made: Results = synthetic.make()
    group = made.groups()[0]
    budgets = made.budgets("classification")
    assert [(b.norm, round(b.radius * 255), b.conditions) for b in budgets] == [("linf", k, (f"pgd-{k}",)) for k in (1, 2, 4, 8)]
    clean = made.evidence(group, "clean", "top-1").to_dict()
    for budget in budgets:
        under = made.evidence(group, budget.conditions[0], "top-1").to_dict()
        expected = sum(clean[s] and under[s] for s in clean) / len(clean)
        assert made.worst_case(group, "top-1", budget).value == pytest.approx(expected)
    values = [made.worst_case(group, "top-1", b).value or 0 for b in budgets]
    assert values[0] > values[-1]
    assert all(a >= b for a, b in itertools.pairwise(values))


def test_every_check_passed_is_not_said_over_attacks_that_nobody_judged() -> None:
    made = synthetic.make(findings=(synthetic.PASS,), n=4)
    said = banner(replace(made, run=msgspec.structs.replace(made.run, gates=())))
    assert (said.tone, said.title) == ("warn", "No check objects, but not everything was judged")
    assert "12 of 12 attacks not judged" in said.text
    every = synthetic.make(findings=(synthetic.PASS, *synthetic.STRONG), n=4)
    judged = banner(replace(every, run=msgspec.structs.replace(every.run, gates=())))
    assert (judged.tone, judged.title) == ("good", "Every check passed")


def question(seen: dict[str, int], held: list[int], removed: list[int] | None = None) -> dict[str, Any]:
    return {"seen": [{"class": int(c), "amount": n} for c, n in seen.items()], "held": held, "removed": removed or [], "enough": 1.0}


def test_base_rates_ask_the_removal_s_own_question_elsewhere() -> None:
    removal = {"a": question({"1": 1}, [2], [1]), "b": question({}, [], [2])}
    placebo = {"a": question({"1": 2}, [1, 2]), "b": question({}, [2])}
    clean = {"a": question({"1": 1}, [1, 2]), "b": question({"1": 1}, [2]), "c": question({}, [0]), "d": question({"2": 1}, [0])}
    made = base_rates(removal, placebo, clean)
    assert (made.placebo.value, made.placebo.n) == (0.5, 2)
    # Of class 1: b, c and d never held it, b reports it. Of class 2: c and d never held it, d reports it.
    assert made.never_held.value == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert made.never_held.low is not None
    assert made.never_held.high is not None
    assert made.never_held.low <= made.never_held.value <= made.never_held.high
    nowhere = base_rates({"a": removal["a"]}, {}, {"a": clean["a"]})
    assert (nowhere.never_held.value, nowhere.placebo.value) == (None, None)


def test_the_interval_of_a_base_rate_covers_the_truth() -> None:
    """Images that never hold a class and report it with a known chance: of 95 % intervals, about 95 % hold it."""
    rng, truth, covered, runs = numpy.random.default_rng(0), 0.3, 0, 60
    for _ in range(runs):
        removal = {f"r{i}": question({}, [], [1]) for i in range(30)}
        clean = {f"c{i}": question({"1": 1} if rng.random() < truth else {}, [0]) for i in range(80)}
        rate = base_rates(removal, {}, clean).never_held
        covered += rate.low is not None and rate.high is not None and rate.low <= truth <= rate.high
    assert covered >= 0.87 * runs


def test_base_rates_stand_beside_the_rate(tmp_path: Path) -> None:
    made: Results = synthetic.make()
    records = made.records.copy()
    here = records["task"] == "classification"
    key = "reports@0.25"
    asked = {"clean": question({"0": 1}, [0]), "remove": question({"1": 1}, [], [1]), "remove-control": question({"1": 1}, [1])}
    asked = {"clean": question({"0": 1}, [0]), "remove": question({"1": 1}, [], [1]), "remove-control": question({"1": 1}, [1])}
    for condition, evidence in asked.items():
        rows = records.index[here & (records["condition"] == condition) & (records["status"] == "ok")]
        records.loc[rows, "evidence"] = [{**e, key: evidence} for e in records.loc[rows, "evidence"]]
    results = synthetic.with_records(made, records)
    table = build_items(results, ["main-table"])[0]
    row = next(r for r in table.frame.to_dict("records") if r["", "condition"] == "remove")
    assert row["removed objects", "hallucination-rate: never held"].estimate.value == 0.0
    assert row["removed objects", "hallucination-rate: placebo"].estimate.value == 1.0
    names = [row[2].name for row in build_items(results, ["context-sensitivity"])[0].frame.to_numpy().tolist()]
    assert "hallucination-rate of images that never held it" in names


FORMULAS = ("=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "＝1", "=cmd()", "-", "--1")
NUMBERS = ("-0.5", "+3", "-1e-05", "1", "-inf", "nan", "-.5", "")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    assert escape.csv_cell(text).startswith("'")
    made = Table(cells_of((text, "n"), [[text, 1]]), "c", "l")
    rows = list(csv.reader(io.StringIO(made.to_csv())))
    assert all(cell.startswith("'") or cell in ("n", "1") for row in rows for cell in row)


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_stay_numbers(text: str) -> None:
    assert escape.csv_cell(text) == text


def test_half_a_character_can_be_written() -> None:
    for target in (escape.csv_cell, escape.html, escape.markdown, escape.xml, escape.plain, escape.latex):
        target("a\ud800b\u202e\x1b[31m").encode("utf-8")


def test_names_of_models_are_no_formulas_in_any_csv_and_obey_nothing(tmp_path: Path) -> None:
    evil = '=HYPERLINK("http://x")\x1b[2J\u202egnp.exe'
    results = synthetic.make(tmp_path / "run", n=4, models={"classification": (evil,)}, dataset=f"@{evil}")
    paths = rb.report(results, tmp_path / "out")
    for path in paths:
        if path.suffix == ".csv":
            for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
                assert not [cell for cell in row if cell[:1] in "=+@\t\r" and cell], path
        if path.suffix in (".csv", ".html", ".md", ".tex", ".xml"):
            text = path.read_text(encoding="utf-8")
            assert not {"\x1b", "\u202e"} & set(text), path


CODE = """
from robustbench_cv.catalogue import report, metric
from pathlib import Path

Path({mark!r}).touch()


@report()
def mine():
    return lambda results: []


def build(*arguments, **more):
    return lambda results: []
"""


def stored(folder: Path, results: Results) -> Path:
    """The run folder of some results, with no records."""
    (folder / "records").mkdir(parents=True)
    (folder / "run.json").write_bytes(msgspec.json.encode(results.run))
    return folder


@pytest.mark.parametrize("what", ["report", "metric"])
def test_reading_results_runs_no_code_that_they_name(what: str, tmp_path: Path) -> None:
    mark, code = tmp_path / "ran", tmp_path / "evil.py"
    code.write_text(CODE.format(mark=str(mark)))
    made: Results = synthetic.make(n=1)
    spec = f"{code}:build"
    if what == "report":
        run = msgspec.structs.replace(made.run, reports=(spec,))
    else:
        track = made.run.tracks[0]
        rows = (msgspec.structs.replace(track.metrics[0], name=spec), *track.metrics[1:])
        run = msgspec.structs.replace(made.run, tracks=(msgspec.structs.replace(track, metrics=rows), *made.run.tracks[1:]))
    folder = stored(tmp_path / "run", replace(made, run=run))
    with pytest.raises(UserError, match="results never do"):
        rb.report(Results.open(folder), tmp_path / "out")
    assert not mark.exists()
    if what == "report":
        # What whoever reads types is their own wish: in the call, or as a plug-in.
        rb.report(Results.open(folder, typed=[spec]), tmp_path / "out")
        assert mark.exists()
        before = dict(REPORTS._plugins)
        try:
            add_plugin(str(code))
            rb.report(Results.open(folder), tmp_path / "out")
        finally:
            REPORTS._plugins.clear()
            REPORTS._plugins.update(before)


def test_a_folder_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    folder = stored(tmp_path / "old", synthetic.make(n=1))
    content = msgspec.json.decode((folder / "run.json").read_bytes())
    content |= {"schema_version": 1, "versions": {"robustbench-cv": "0.0.9"}}
    (folder / "run.json").write_bytes(msgspec.json.encode(content))
    with pytest.raises(UserError, match=r"written by robustbench-cv 0\.0\.9 \(schema 1\).* run the same command again"):
        read_run(folder)
    content["versions"] = {"robustbench-cv": __version__}
    (folder / "run.json").write_bytes(msgspec.json.encode(content))
    with pytest.raises(UserError, match=r"reads schema \d+: run the same command again$"):
        read_run(folder)
    content["schema_version"] = 99
    (folder / "run.json").write_bytes(msgspec.json.encode(content))
    with pytest.raises(UserError, match="upgrade"):
        read_run(folder)


def read_whole(folder: Path) -> int:
    return len(Results.open(folder).records)


@pytest.mark.parametrize("damage", [b"", b"text", b"\xff\xfe{", b'{"suite": 3}'])
def test_damaged_files_of_a_run_are_named(damage: bytes, tmp_path: Path) -> None:
    made: Results = synthetic.make(n=1)
    folder = stored(tmp_path / "run", made)
    store = RecordStore(RunFolder(folder))
    part = store.part(made.run.cells[0])
    store.write(made.run.cells[0], [], {})
    read_whole(folder)
    for path in (part, folder / "findings.json", folder / "run.json"):
        whole = path.read_bytes() if path.exists() else None
        path.write_bytes(damage)
        with pytest.raises(UserError, match=path.name):
            read_whole(folder)
        if whole is None:
            path.unlink()
        else:
            path.write_bytes(whole)


def test_two_models_of_one_name_are_told_apart_by_task() -> None:
    made: Results = synthetic.make(n=2, models={"classification": ("twin",), "segmentation": ("twin",), "detection": ("twin",)})
    for group in made.groups():
        assert made.model_row(group).classes == synthetic.CLASSES[group.task]
    stop = Finding("S21", "colour order", "stop", "e", "r", model="twin", task="detection")
    stopped = replace(made, findings=(stop,))
    assert [stopped.stop_reason(g, "clean") is not None for g in stopped.groups()] == [False, False, True]
    build_items(made, synthetic.REPORTS)


def test_the_package_itself_reads_results_too() -> None:
    made: Results = synthetic.make(n=4)
    assert made.table("main-table").equals(rb.table(made, "main-table"))
    with pytest.raises(UserError, match="has no table"):
        rb.table(made, "gallery")


def test_a_count_is_printed_as_a_count() -> None:
    """A metric declares its unit: no name says how it is printed."""
    made: Results = synthetic.make()
    track = made.run.tracks[0]
    rows = (msgspec.structs.replace(track.metrics[0], unit="count", high=None), *track.metrics[1:])
    tracks = msgspec.structs.replace(track, metrics=rows), *made.run.tracks[1:]
    results = replace(made, run=msgspec.structs.replace(made.run, tracks=tracks))
    cell = build_items(results, ["main-table"])[0].frame.iloc[3, 2]
    assert cell.value == f"{cell.estimate.value:.2f}" != "0.00"
    assert "top-1, %" not in build_items(results, ["main-table"])[0].to_html()
    assert isinstance(results.conditions("classification")[0], Condition)
