"""Reports: every registered one builds; what a check stopped is nowhere to be read; the page is one safe file, the same bytes twice."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import msgspec
import pandas
import pytest

from robustbench_cv.adversary.attack_facts import facts_of
from robustbench_cv.catalogue import ATTACKS, REPORTS
from robustbench_cv.check_findings import Finding
from robustbench_cv.errors import UserError
from robustbench_cv.gates import judge
from robustbench_cv.kept_files import read_kept, write_kept
from robustbench_cv.records import AttackTrace
from robustbench_cv.registry import load_file
from robustbench_cv.rendering import curves, prediction_text, reporting
from robustbench_cv.rendering.curves import curve_frame
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.film_strips import Gallery
from robustbench_cv.rendering.page import banner, headline, page
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.terminal_table import to_terminal
from robustbench_cv.rendering.write_report import build_items, publish
from robustbench_cv.results import Results
from robustbench_cv.runner.run_facts import condition_facts
from robustbench_cv.suite import CLEAN, Condition, Gate

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")
EVIL = '<script>alert("x")</script>&_%$x^2$'


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    made: Results = synthetic.make(tmp_path_factory.mktemp("run"), models={"classification": ("resnet-small", "vgg-small")})
    return made


def numbers(items: list[Any]) -> list[Number]:
    """Every number in every table."""
    return [cell for item in items if isinstance(item, Table) for cell in item.frame.to_numpy().ravel() if isinstance(cell, Number)]


NONE_HERE = {
    "background-gap",
    "background-variants",
    "hardening",
    "context-compatibility",
    "context-curves",
    "context-index",
    "context-index-by-class",
    "context-shift",
    "context-violations",
    "corruptions",
    "domain-shift",
    "explanations",
    "fill-fidelity",
    "occlusion-levels",
    "occlusion-recall",
    "removal-matrix",
    "transplant",
    "with-and-without-class",
}
"""Reports of what this run has none of: each has a test file of its own."""


@pytest.mark.parametrize("name", sorted(set(REPORTS.names()) - NONE_HERE))
def test_every_report_builds(name: str, results: Results) -> None:
    items = build_items(results, [name])
    assert items
    labels = [item.label for item in items]
    assert len(set(labels)) == len(labels)
    for item in items:
        assert item.caption.endswith(".")
        assert item.to_html().count("<figure") == 1
        if isinstance(item, Table):
            assert len(item.frame)
            assert item.to_latex().count("\\begin{") == item.to_latex().count("\\end{")


@pytest.mark.parametrize("name", REPORTS.names())
def test_every_report_survives_a_run_without_records(name: str) -> None:
    empty = synthetic.make(n=0, findings=())
    for item in build_items(empty, [name]):
        item.to_html()
    assert all(number.state == "undefined" for number in numbers(build_items(empty, [name])))


@pytest.mark.parametrize("name", REPORTS.names())
def test_a_stop_leaves_no_number(name: str) -> None:
    stop = Finding("S21", "colour order is RGB", "stop", "swapped channels score better", "swap them")
    items = build_items(synthetic.make(findings=(stop,)), [name])
    assert all(number.text.startswith("blocked (S21)") for number in numbers(items))
    for item in items:
        if isinstance(item, Chart):
            assert item.frame[["value", "low", "high"]].isna().all(axis=None)


def test_a_stop_blocks_what_it_touches_and_nothing_else() -> None:
    stopped = synthetic.make(
        findings=(Finding("S14", "saved images", "stop", "3 flips", "", model="resnet-small", dataset="", condition="remove-control"),)
    )
    group, notes = stopped.groups()[0], Footnotes()
    effect, control, difference = reporting.shown_effect(stopped, group, "remove", "top-1", notes)
    assert (effect.state, control.state, difference.state) == ("shown", "blocked", "blocked")
    assert reporting.metric_cell(stopped, group, "clean", "top-1", notes).state == "shown"
    assert {number.state for _, number in reporting.worst_cases(stopped, group, "top-1", notes)} == {"shown"}


def test_a_warning_marks_its_cells_and_explains_itself(results: Results) -> None:
    table = build_items(results, ["main-table"])[0]
    cells = dict(zip(table.frame.iloc[:, 1], table.frame.iloc[:, 2], strict=False))
    marked = {name for name, number in cells.items() if "†" in number.marks}
    only = table.frame[table.frame.iloc[:, 0] == "resnet-small on scenes"]
    assert {n for n, v in zip(only.iloc[:, 1], only.iloc[:, 2], strict=True) if v.marks} == {"pgd-8", "worst case Linf 8/255"}
    assert not marked - {"pgd-8", "worst case Linf 8/255"}
    assert any(note.startswith("† S09") for note in table.notes)


def test_main_table_says_what_attacks_cost_and_what_was_left_out(results: Results) -> None:
    table = build_items(results, ["main-table"])[0]
    rows = {row[1]: row for row in table.frame.itertuples(index=False, name=None) if row[0] == "resnet-small on scenes"}
    assert rows["pgd-8"][-5:-1] == ("8/255", 10, 11.0, 10.0)
    assert rows["clean"][-5:] == (None, None, None, None, None)
    assert (rows["remove"][3], rows["remove"][4]) == (23, 1)
    assert rows["↳ remove-control"]
    for k in (1, 2, 4, 8):
        assert rows[f"worst case Linf {k}/255"][2].estimate.value <= rows[f"pgd-{k}"][2].estimate.value
    assert any("the mask covers more than 30 %" in note for note in table.notes)


def test_average_precision_of_a_removal_never_stands_alone(results: Results) -> None:
    for report in ("main-table", "context-sensitivity"):
        table = next(t for t in build_items(results, [report]) if t.task == "detection")
        assert "hallucination-rate" in table.to_csv()
    beside = build_items(results, ["main-table"])[2].frame
    column = beside[("removed objects", "hallucination-rate")]
    by_condition = dict(zip(beside.iloc[:, 1], column, strict=True))
    assert by_condition["remove"].estimate.value == pytest.approx(5 / 23)
    assert by_condition["clean"] is None


def test_effects_are_those_of_the_results(results: Results) -> None:
    group = next(g for g in results.groups() if g.task == "segmentation")
    table = build_items(results, ["iou-by-class"])[0]
    row = next(r for r in table.frame.itertuples(index=False, name=None) if r[1] == "sidewalk")
    expected = results.effect(group, "remove", "class-iou(of='sidewalk')")
    assert row[4].estimate == expected.effect
    assert row[6].estimate == expected.difference
    assert row[3].estimate.value - row[2].estimate.value == pytest.approx(expected.effect.value)


def test_curves_begin_at_clean_and_follow_severity(results: Results) -> None:
    frame = curve_frame(results, "classification", "attack", Footnotes())
    line = frame[frame["model"] == "resnet-small"]
    assert line["x"].tolist() == pytest.approx([0, 1 / 255, 2 / 255, 4 / 255, 8 / 255])
    group = results.groups()[0]
    assert line["value"].tolist() == [results.estimate(group, c, "top-1").value for c in line["condition"]]
    covered = curve_frame(results, "detection", "intervention", Footnotes())
    assert covered[covered["placebo"]]["x"].tolist() == [0, 0.25, 0.5, 0.75]


def test_many_curves_are_split_by_series(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart names its lines at their ends, beside it: more than a dozen names overlap."""
    whole = curves.curve_frame(results, "classification", "attack", Footnotes())
    other = whole.assign(series="square", value=whole["value"] / 2)
    both = pandas.concat([whole, other], ignore_index=True)
    monkeypatch.setattr(curves, "curve_frame", lambda *arguments: both)
    words = ("classification", "attack", "budget", "Attack budget", "the budget.", "budget")
    assert [chart.title for chart in curves.curve_charts(results, *words)] == ["Attack budget"]  # type: ignore[arg-type]
    monkeypatch.setattr(curves, "MOST_LINES", 1)
    first, second = curves.curve_charts(results, *words)  # type: ignore[arg-type]
    assert [first.title, second.title] == [f"Attack budget: {whole['series'][0]}", "Attack budget: square"]
    assert second.label == "budget-classification-square"
    assert second.frame["value"].tolist() == other["value"].tolist()


def test_gallery_shows_each_condition_once(results: Results) -> None:
    made = build_items(results, ["gallery(samples=1)"])
    assert all(isinstance(item, Gallery) for item in made)
    headings = [frame.heading for frame in made[0].strips[0].frames]
    assert headings == [c.name for c in reporting.ordered_conditions(results, "classification")]
    html = {item.task: item.to_html() for item in made}
    assert "boat 0.57" in html["classification"]
    assert 'class="box"' in html["detection"]
    assert "0.20" not in html["detection"]  # below the operating score
    assert "sidewalk" in html["segmentation"]
    assert "difference × 8" in html["classification"]


def test_published_twice_the_bytes_are_equal(results: Results, tmp_path: Path) -> None:
    once, again = tmp_path / "a", tmp_path / "b"
    first = publish(results, once, synthetic.REPORTS)
    fresh = Results(results.run, results.source, results.findings, results.folder)
    second = publish(fresh, again, synthetic.REPORTS)
    assert [p.relative_to(once) for p in first] == [p.relative_to(again) for p in second]
    assert {p.name for p in first} >= {
        "summary.csv",
        "junit.xml",
        "index.html",
        "report.md",
        "main-detection.tex",
        "overview-detection.pdf",
    }
    differing = [a.name for a, b in zip(first, second, strict=True) if a.read_bytes() != b.read_bytes()]
    assert differing == []
    _check_page(once / "report")
    _check_markdown(once / "report")


def _check_page(folder: Path) -> None:
    """One file: one script, the one that its policy names; every source inside; links to a place on the page or a file beside it."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in page
    assert page.count("<script") == 1
    assert not re.search(r' src="(?!data:)', page)
    links = set(re.findall(r'href="(?!data:|#)([^"]*)"', page))
    assert links
    assert all((folder / link).is_file() for link in links)
    assert not re.search(r"url\(|@import|https?://", re.sub(r'"data:[^"]*"', "", page))
    anchors, ids = set(re.findall(r'href="#([^"]+)"', page)), re.findall(r' id="([^"]+)"', page)
    assert anchors <= set(ids)
    assert len(ids) == len(set(ids))


def _check_markdown(folder: Path) -> None:
    linked = re.findall(r"\]\((figures/[^)]+)\)", (folder / "report.md").read_text(encoding="utf-8"))
    assert linked
    assert all((folder / name).is_file() for name in linked)


def test_names_are_text_everywhere(tmp_path: Path) -> None:
    evil = synthetic.make(
        tmp_path / "run",
        n=4,
        models={"classification": (EVIL,)},
        classes={"detection": (EVIL, "b", "c"), "segmentation": (EVIL, "it's", "c", "d")},
        dataset=f"data {EVIL}",
        findings=(Finding("S09", EVIL, "warn", EVIL, EVIL),),
    )
    paths = publish(evil, tmp_path / "out", synthetic.REPORTS)
    page = (tmp_path / "out/report/index.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "<script" not in (tmp_path / "out/report/report.md").read_text(encoding="utf-8")
    ElementTree.parse(tmp_path / "out/junit.xml")
    assert all(re.fullmatch(r"[a-z0-9.-]+", p.name) for p in paths)


def test_summary_is_tidy_and_blocked_values_are_empty() -> None:
    stop = Finding("S21", "colour order", "stop", "e", "r", model="yolo-small")
    from robustbench_cv.rendering.write_report import summary_csv

    rows = list(csv.DictReader(io.StringIO(summary_csv(synthetic.make(findings=(stop, synthetic.WARN))))))
    assert {r["task"] for r in rows} == {"classification", "segmentation", "detection"}
    assert all(r["value"] == "" and r["flags"] == "S21:stop" for r in rows if r["model"] == "yolo-small")
    worst = next(r for r in rows if r["condition"] == "worst case Linf 8/255" and r["metric"] == "top-1")
    assert worst["flags"] == "S09:warn"
    assert 0 <= float(worst["low"]) <= float(worst["value"]) <= float(worst["high"]) <= 1
    assert len({(r["model"], r["condition"], r["metric"]) for r in rows}) == len(rows)


def test_junit_tells_failures_from_skips(tmp_path: Path) -> None:
    stop = Finding("S21", "colour order", "stop", "e", "r", model="yolo-small")
    absent = Finding("S22", "boxes", "not applicable", "no boxes")
    publish(synthetic.make(findings=(synthetic.PASS, synthetic.WARN, stop, absent)), tmp_path, [])
    checks, gates = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert (checks.get("tests"), checks.get("failures"), checks.get("skipped")) == ("4", "1", "1")
    # clean passes its bound, pgd-8 cannot reach 0.99, and a blocked number decides nothing
    assert [len(case.findall("failure")) - len(case.findall("skipped")) for case in gates] == [0, 1, -1]


@pytest.mark.parametrize(
    ("findings", "tone"),
    [
        ((), "warn"),
        ((synthetic.PASS,), "warn"),
        ((synthetic.PASS, synthetic.WARN), "warn"),
        ((synthetic.PASS, *synthetic.STRONG), "good"),
        ((synthetic.WARN, synthetic.STOP), "bad"),
    ],
)
def test_the_banner_says_the_worst_first(findings: tuple[Finding, ...], tone: str) -> None:
    assert banner(without_gates(synthetic.make(findings=findings, n=4))).tone == tone


def without_gates(results: Results) -> Results:
    return replace(results, run=msgspec.structs.replace(results.run, gates=()))


def test_the_banner_names_the_gate_that_failed_and_those_that_nobody_can_decide() -> None:
    made = synthetic.make(findings=(synthetic.PASS, *synthetic.STRONG), n=24)
    said = banner(made)
    failed = [verdict for verdict in judge(made) if verdict.outcome == "fail"]
    assert (said.tone, said.title) == ("bad", f"{len(failed)} gates failed")
    assert len(failed) > 1
    assert all(f"{v.gate.metric} under {v.gate.condition} of {v.group.model}" in said.text for v in failed)
    undecided = msgspec.structs.replace(made.run, gates=(Gate("top-1", "clean", made.estimate(made.groups()[0], "clean", "top-1").value),))
    said = banner(replace(made, run=undecided))
    assert said.tone == "warn"
    assert "1 gate inconclusive: top-1 under clean of resnet-small" in said.text


def test_an_unfinished_run_says_so(results: Results) -> None:
    part = synthetic.with_records(results, results.records.iloc[:100])
    assert banner(part).title == "Unfinished"


def test_the_headline_takes_the_worst_attack_and_the_strongest_effect(results: Results) -> None:
    group = next(g for g in results.groups() if g.task == "segmentation")
    names = [name for name, _ in headline(results, group).numbers]
    assert names == ["clean", "under pgd-8", "occlude-75, effect − control"]


def test_repeated_labels_are_numbered(results: Results) -> None:
    assert [item.label for item in build_items(results, ["checks", "checks"])] == ["checks", "checks-2"]


def test_an_unknown_report_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'gallery'"):
        build_items(synthetic.make(n=1), ["galery"])


def test_history_orders_models_by_the_year_of_their_architecture() -> None:
    made = synthetic.make(models={"classification": ("vgg-small", "cifar-resnet20", "lenet5")})
    chart, table = (item for item in build_items(made, ["history"]) if item.task == "classification")
    assert isinstance(chart, Chart)
    assert isinstance(table, Table)
    assert table.frame.iloc[:, 1].tolist() == ["lenet5", "cifar-resnet20", "vgg-small"]
    assert table.frame.iloc[:, 0].tolist() == ["1998", "2015", None]
    group = next(g for g in made.groups() if g.model == "lenet5")
    assert table.frame.iloc[0, 2].estimate.value == pytest.approx(made.estimate(group, "clean", "top-1").value)
    assert list(dict.fromkeys(chart.frame["model"])) == table.frame.iloc[:, 1].tolist()


def test_a_terminal_has_room_for_the_numbers_of_models_before_their_families() -> None:
    made = synthetic.make(models={"classification": ("vgg-small", "cifar-resnet20", "lenet5")})
    table = next(item for item in build_items(made, ["history"]) if item.task == "classification" and isinstance(item, Table))
    text = to_terminal(table, words={"top-1": "the share that is right"})
    assert text.startswith("Classification: the share that is right by the year")
    heading = next(line for line in text.splitlines() if line.startswith("year"))
    assert "clean" in heading
    assert "family" not in heading


@pytest.mark.parametrize(("models", "folded"), [(2, False), (10, True)])
def test_the_cards_of_many_models_are_folded(models: int, folded: bool) -> None:
    made = synthetic.make(n=4, models={"classification": tuple(f"model-{i}" for i in range(models))})
    html = page(made, [], "index.html")
    assert html.count('<div class="card">') == len(made.groups())
    assert ("the numbers of 10 models, one by one" in html) == folded


def test_distances_are_what_unbounded_attacks_measured() -> None:
    made = synthetic.make(n=5)
    records = made.records
    here = (records["condition"] == "pgd-8") & (records["task"] == "classification")
    traces = [
        AttackTrace(success=i < 4, size=float(i), radius=float("inf"), forwards=10 * i, backwards=i, zero_grads=0.0, ssim=1 - i / 10)
        for i in range(5)
    ]
    records.loc[here, "attack"] = pandas.Series([asdict(t) for t in traces], index=records.index[here])
    made = synthetic.with_records(made, records)
    items = {item.label: item for item in build_items(made, ["perturbations"])}
    chart = items["distances-classification-pgd-8"]
    assert isinstance(chart, Chart)
    # one is wrong from the start, one was never broken
    assert list(zip(chart.frame["distance"], chart.frame["value"], strict=True)) == [(0.0, 0.8), (1.0, 0.6), (2.0, 0.4), (3.0, 0.2)]
    assert [label for label in items if label.startswith("distances")] == ["distances-classification-pgd-8"], "the others have a bound"
    table = items["perturbations-classification"]
    assert isinstance(table, Table)
    row = next(row for row in table.frame.to_numpy().tolist() if row[1] == "pgd-8")
    assert row[2:5] == ["8/255", 4, 5]
    assert row[6] == "1.5"
    assert row[9] == "0.85"
    assert row[12] == "15"


def test_gallery_adds_a_sample_where_a_condition_is_shown_on_no_other(tmp_path: Path) -> None:
    """A sticker on cars is shown on other images than the rest of a run."""
    made: Results = synthetic.make(tmp_path)
    for path in (tmp_path / "images").glob("*-pgd-8/index.json"):
        entries = read_kept(path, list[dict[str, Any]])
        write_kept(path, [entry | {"sample": entry["sample"].replace("scene/0000", "scene/car")} for entry in entries])
    strips = build_items(made, ["gallery(samples=1)"])[0].strips
    assert [strip.title for strip in strips] == ["scene/00001", "scene/car0"], "the one that broke more often, then the other"
    headings = [[frame.heading for frame in strip.frames] for strip in strips]
    assert headings[0] == headings[1], "columns do not shift between rows"
    assert [frame.heading for frame in strips[0].frames if frame.image is None] == ["pgd-8"]
    assert [frame.heading for frame in strips[1].frames if frame.image is not None] == ["clean", "pgd-8"]


def test_attack_success_sets_sampled_conditions_against_the_same_patch_seen_plain() -> None:
    made: Results = synthetic.make(n=8)
    hidden = (Condition("sticker", attack="sticker-hide(steps=5)"), Condition("plain", attack="sticker-hide(steps=5)", judged="plain"))
    track = next(t for t in made.run.tracks if t.task == "detection")
    facts = {c.name: condition_facts(c) for c in hidden}
    run = msgspec.structs.replace(made.run, tracks=(msgspec.structs.replace(track, conditions=(CLEAN, *hidden), facts=facts),))
    row = (every := made.records)[(every["task"] == "detection") & (every["condition"] == "pgd-8")]
    outcomes = {"sticker": [1, 1, 0, 0, 1, 0, 0, 0], "plain": [1, 1, 1, 0, 0, 0, 0, 0]}
    parts = []
    for name, broken in outcomes.items():
        part = row.copy()
        part["condition"] = name
        part["attack"] = [trace | {"success": bool(b)} for trace, b in zip(row["attack"], broken, strict=True)]
        # The last was not served: there is no car in it.
        part["reason"] = [*[""] * 7, "no car in this image"]
        parts.append(part)
    table = build_items(synthetic.with_records(Results(run, made.source), pandas.concat(parts)), ["attack-success"])[0]
    sampled, plain = table.frame.to_numpy().tolist()
    assert sampled[1:4] == ["sticker", 7, 3]
    assert plain[1:4] == ["plain", 7, 3]
    assert sampled[4].estimate.value == pytest.approx(3 / 7)
    # Of the three that it breaks plain, two are broken under the sampled conditions too.
    assert (sampled[5].estimate.value, sampled[5].estimate.n) == (pytest.approx(2 / 3), 3)
    assert plain[5] is None


@pytest.mark.parametrize(
    ("attack", "text"),
    [
        ("pgd(eps=8/255)", "8/255"),
        ("pgd(norm='Linf', eps=8/255)", "8/255"),
        ("pgd(norm='l2', eps=0.25)", "0.25"),
        ("cw-l2(eps=0.25)", "0.25"),
        ("fab(eps=None)", "none"),
        ("patch(area=0.15)", "0.15"),
        ("torchattacks:PGD(eps=8/255)", "8/255"),
        ("transfer(source='lenet5.scenes', attack='fgsm(eps=8/255)')", "8/255"),
    ],
)
def test_only_budgets_of_pixels_are_in_grey_levels(attack: str, text: str) -> None:
    assert reporting.budget_of(facts_of(ATTACKS.build(attack))) == text


def test_an_overview_of_many_conditions_leaves_placebos_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    results = synthetic.make()
    every = build_items(results, ["overview"])[0]
    placebos = {c.name for c in results.conditions("classification") if c.control_of is not None}
    assert placebos & set(every.frame["condition"])
    monkeypatch.setattr("robustbench_cv.reports.overview.MANY", 3)
    few = build_items(results, ["overview"])[0]
    assert set(few.frame["condition"]) == set(every.frame["condition"]) - placebos
    assert any(note.startswith("Nor are the placebos of edits") for note in few.notes)


def test_a_picture_shows_the_surest_boxes_alone() -> None:
    shown = {"boxes": [[0, 0, 1, 1]] * 30_000, "scores": [k / 30_000 for k in range(30_000)], "labels": [0] * 30_000}
    drawn = prediction_text.drawn_boxes(shown, 0.25)
    assert (len(drawn), drawn[-1][1]) == (prediction_text.MOST_DRAWN, 29_999 / 30_000)
    assert len(prediction_text.reported_boxes(shown, 0.25)) == 22_500
