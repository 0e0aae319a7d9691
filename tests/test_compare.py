"""Comparing two runs: what the tests say against independent references, what is refused, what moved, and how often it is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy
import pyarrow
import pytest

from robustbench_cv.catalogue import METRICS
from robustbench_cv.cli import main
from robustbench_cv.compare import compare
from robustbench_cv.errors import UserError
from robustbench_cv.joined_runs import join
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.intervals import paired_difference
from robustbench_cv.metrics.non_inferiority import detectable_loss, needed_samples, regression_of
from robustbench_cv.record_store import InMemory
from robustbench_cv.records import Record
from robustbench_cv.rendering.comparison import table, text, verdict, write
from robustbench_cv.rendering.junit import comparison_xml
from robustbench_cv.results import Results
from robustbench_cv.suite import CLEAN, Condition
from robustbench_cv.types import Labels
from tests import synthetic_results as synthetic
from tests.benchmarks import regression_rates
from tests.benchmarks.interval_coverage import LABELS, segmenter

Outcomes = Mapping[str, Sequence[bool]]

TOP_1 = METRICS.build("top-1", labels=Labels(("a", "b")), operating_score=0.5)


def run(outcomes: Outcomes, model: str = "resnet-small", weights: str = "") -> Results:
    """A run of one classifier: right or wrong, by condition, on samples in order."""
    results = synthetic.make(n=2, models={"classification": (model,)}, findings=())
    n = len(next(iter(outcomes.values())))
    track = msgspec.structs.replace(results.run.track("classification"), conditions=tuple(Condition(name) for name in outcomes))
    rows = tuple(msgspec.structs.replace(m, weights_sha256=weights or model) for m in results.run.models if m.name == model)
    data = tuple(msgspec.structs.replace(d, n=n, ids_sha256=str(n)) for d in results.run.datasets)
    pairings = tuple(p for p in results.run.pairings if p.model == model)
    info = msgspec.structs.replace(results.run, tracks=(track,), models=rows, datasets=data, pairings=pairings, gates=())
    records = [
        Record(
            suite="synthetic",
            suite_version=1,
            task="classification",
            model=model,
            dataset="scenes",
            condition=name,
            sample=f"scene/{i:05d}",
            seed=7,
            evidence={"top-1": bool(right)},
        )
        for name, every in outcomes.items()
        for i, right in enumerate(every)
    ]
    return Results(info, InMemory.of(records, synthetic.evidence_kinds()))


def flags(right: int, wrong: int) -> list[bool]:
    return [True] * right + [False] * wrong


def test_a_drop_beyond_the_margin_is_a_regression_and_says_which_samples_broke() -> None:
    base, new = run({"clean": flags(180, 20)}), run({"clean": [*flags(140, 40), *flags(10, 10)]}, weights="other")
    made = compare(base, new)
    (row,) = made.rows
    assert made.outcome == row.outcome == "regression"
    assert row.broken == tuple(f"scene/{i:05d}" for i in range(140, 180))
    assert row.mended == tuple(f"scene/{i:05d}" for i in range(180, 190))
    assert row.result.change.value == pytest.approx(-0.15)
    assert row.result.mcnemar is not None
    assert row.result.mcnemar.one_sided < 1e-4
    assert "regression: resnet-small on scenes under clean (top-1)" in verdict(made)


def test_a_small_drop_passes_with_enough_samples_and_is_inconclusive_with_few() -> None:
    base, new = flags(1900, 100), flags(1897, 103)
    assert compare(run({"clean": base}), run({"clean": new}, weights="other")).outcome == "pass"
    few = compare(run({"clean": base[-120:]}), run({"clean": new[-120:]}, weights="other"))
    assert few.outcome == "inconclusive"
    assert "no reasonable number" in table(few).to_markdown() or "more" in table(few).to_markdown()


def test_the_samples_that_would_settle_are_those_of_the_normal_law() -> None:
    base, new = run({"clean": flags(90, 10)}), run({"clean": [*flags(90, 0), *flags(0, 10)]}, weights="other")
    needed = compare(base, new).rows[0].result.samples_needed()
    stats = pytest.importorskip("scipy.stats", reason="scipy is in the development group only")
    steps = stats.norm.ppf(0.95) + stats.norm.ppf(0.9)
    assert needed == numpy.ceil((steps * (1 / 100) * 10 / 0.02) ** 2)  # one sample of a hundred could have differed
    assert needed_samples(0.3, 0.05, 0.01, 0.8) == pytest.approx(((stats.norm.ppf(0.99) + stats.norm.ppf(0.8)) * 0.3 / 0.05) ** 2)


@pytest.mark.parametrize("conditions", [1, 12])
def test_a_detectable_loss_needs_the_samples_it_was_found_for(conditions: int) -> None:
    loss = detectable_loss(1500, 0.1, 0.02, conditions)
    assert loss > 0.02
    assert needed_samples(max(0.1, loss) ** 0.5, loss - 0.02, 0.05 / conditions) == pytest.approx(1500, rel=1e-6)


def test_p_values_are_those_that_the_intervals_invert() -> None:
    """An interval of level 1 - 2p ends at the margin."""
    rng = numpy.random.default_rng(3)
    ids = pyarrow.array([f"{i:04}" for i in range(150)])
    base, new = (Column(ids, pyarrow.array(rng.random(150) < p)) for p in (0.8, 0.7))
    found = regression_of(TOP_1, base, new, margin=0.02)
    for p, end in ((found.p_regression, "high"), (found.p_pass, "low")):
        if p < 0.5:
            interval = paired_difference(TOP_1, new, base, level=1 - 2 * p)
            assert getattr(interval, end) == pytest.approx(-0.02, abs=1e-6)


def test_p_values_of_other_metrics_are_those_of_their_intervals() -> None:
    metric = METRICS.build("miou", labels=LABELS, operating_score=0.5)
    ids = pyarrow.array([f"{i:04}" for i in range(60)])
    base, new = (Column(ids, side) for side in segmenter(numpy.random.default_rng(1), 60, shifts=(0.0, -0.25)))
    found = regression_of(metric, base, new, margin=0.02)
    assert found.outcome() == "regression"
    interval = paired_difference(metric, new, base, level=1 - 2 * found.p_regression)
    assert interval.high == pytest.approx(-0.02, abs=1e-4)


def test_many_comparisons_are_corrected_together() -> None:
    quiet = {f"c{k}": flags(80, 20) for k in range(9)}
    base = run({"clean": flags(90, 10), **quiet})
    new = run({"clean": [*flags(82, 8), *flags(0, 10)], **quiet}, weights="other")
    alone = compare(run({"clean": flags(90, 10)}), run({"clean": [*flags(82, 8), *flags(0, 10)]}, weights="other"))
    assert alone.outcome == "regression"
    row = compare(base, new).rows[0]
    assert row.adjusted == pytest.approx(10 * row.result.p_regression)
    assert row.outcome == "inconclusive"


def test_the_same_weights_with_the_same_answers_pass_with_any_number_of_samples() -> None:
    base = run({"clean": flags(9, 1)})
    assert compare(base, base).outcome == "pass"
    assert compare(base, run({"clean": flags(9, 1)}, weights="other")).outcome == "inconclusive"


def test_lower_is_better_counts_the_other_way() -> None:
    metric = METRICS.build("hallucination-rate", labels=Labels(("a",)), operating_score=0.5)
    assert not metric.higher_is_better
    ids = pyarrow.array([f"{i:04}" for i in range(200)])
    few, many = Column(ids, pyarrow.array(flags(10, 190))), Column(ids, pyarrow.array(flags(80, 120)))
    assert regression_of(metric, few, many, margin=0.02).outcome() == "regression"
    assert regression_of(metric, many, few, margin=0.02).outcome() == "pass"


def test_runs_of_other_protocols_are_refused_by_name_and_compared_in_part() -> None:
    base, new = run({"clean": flags(9, 1), "fog": flags(5, 5)}), run({"clean": flags(4, 1)}, weights="other")
    new = replace(new, run=msgspec.structs.replace(new.run, seed=8, version=2))
    with pytest.raises(UserError) as refused:
        compare(base, new)
    said = str(refused.value)
    for part in (
        "version of suite synthetic: 1 in the base, 2",
        "seed: 7 in the base, 8",
        "condition 'fog' is in the base alone",
        "samples of",
    ):
        assert part in said
    assert "--partial compares the rest: resnet-small on scenes under 1 conditions, 5 samples" in said
    made = compare(base, new, partial=True)
    assert [row.condition for row in made.rows] == ["clean"]
    assert made.rows[0].result.change.n == 5
    assert made.differences


def test_a_condition_of_another_budget_is_no_part_of_the_comparison() -> None:
    def with_attack(eps: str) -> Results:
        results = run({"clean": flags(9, 1), "pgd": flags(5, 5)})
        track = results.run.tracks[0]
        conditions = (CLEAN, Condition("pgd", attack=f"pgd(eps={eps})"))
        return replace(results, run=msgspec.structs.replace(results.run, tracks=(msgspec.structs.replace(track, conditions=conditions),)))

    with pytest.raises(UserError, match=r"pgd\(eps=4/255\) in the base, pgd\(eps=8/255\) in the new run"):
        compare(with_attack("4/255"), with_attack("8/255"))
    made = compare(with_attack("4/255"), with_attack("8/255"), partial=True)
    assert [row.condition for row in made.rows] == ["clean"]


def test_models_of_other_names_are_compared_where_they_are_alone_or_named() -> None:
    base, new = run({"clean": flags(90, 10)}, model="old"), run({"clean": flags(90, 10)}, model="new")
    assert [(r.base.model, r.new.model) for r in compare(base, new).rows] == [("old", "new")]
    assert [(r.base.model, r.new.model) for r in compare(base, new, models={"new": "old"}).rows] == [("old", "new")]
    with pytest.raises(UserError, match="in the base alone"):
        compare(base, new, models={"new": "none"})


def test_a_part_of_the_samples_is_compared_where_that_is_wanted_and_no_others_are() -> None:
    base, new = run({"clean": flags(90, 10)}), run({"clean": flags(40, 10)}, weights="other")
    with pytest.raises(UserError, match="not the same ones"):
        compare(base, new)
    assert compare(base, new, fewer=True).rows[0].result.change.n == 50
    with pytest.raises(UserError, match="not the same ones"):
        compare(new, base, fewer=True)


def with_seed(results: Results, seed: int) -> Results:
    return replace(results, run=msgspec.structs.replace(results.run, seed=seed))


def test_the_verdict_names_a_model_once_before_its_conditions() -> None:
    base = run({"clean": flags(190, 10), "fog": flags(180, 20)})
    made = compare(base, run({"clean": flags(100, 100), "fog": flags(90, 110)}, weights="other"))
    assert verdict(made) == "regression: resnet-small on scenes under clean (top-1), fog (top-1) (2 regression)"


def test_models_without_a_partner_are_told_how_to_be_named_and_that_samples_differ() -> None:
    base = join([run({"clean": flags(5, 1)}, model=name) for name in ("lenet", "vgg")])
    with pytest.raises(UserError) as refused:
        compare(base, run({"clean": flags(4, 0)}, model="resnet"))
    said = str(refused.value)
    assert "samples of scenes (classification): 6 in the base, 4 in the new run, and not the same ones" in said
    assert said.endswith(
        "there is nothing that both have; --model NEW=BASE says what a model is called in the base, as in --model resnet=lenet"
    )


def test_what_another_seed_moves_is_shown_beside_the_difference_and_decides_nothing() -> None:
    base, new = run({"clean": flags(180, 20)}), run({"clean": flags(170, 30)}, weights="other")
    repeats = [with_seed(run({"clean": flags(right, 200 - right)}), seed) for seed, right in ((8, 176), (9, 190))]
    alone, made = compare(base, new), compare(base, new, repeats=repeats)
    (row,) = made.rows
    assert row.base_seeds is not None
    assert (row.base_seeds.low, row.base_seeds.high, row.base_seeds.runs) == (176 / 200, 190 / 200, 3)
    assert row.new_seeds is None
    assert row.within_seeds
    assert not alone.rows[0].within_seeds
    assert row.outcome == alone.rows[0].outcome
    shown = table(made).to_markdown()
    assert "88.0 to 95.0 (3 runs)" in shown
    assert "no larger than what another seed alone makes" in shown
    assert "seeds" not in table(alone).to_markdown()


@pytest.mark.parametrize(
    "stranger",
    [
        with_seed(run({"clean": flags(180, 20)}, weights="another"), 8),
        run({"clean": flags(180, 20)}),
        with_seed(run({"clean": flags(90, 10)}), 8),
        with_seed(run({"fog": flags(180, 20)}), 8),
    ],
    ids=["weights", "same seed", "samples", "condition"],
)
def test_a_run_that_repeats_neither_side_is_refused(stranger: Results) -> None:
    base, new = run({"clean": flags(180, 20)}), run({"clean": flags(170, 30)}, weights="other")
    with pytest.raises(UserError, match="repeats neither side"):
        compare(base, new, repeats=[stranger])


def test_junit_counts_outcomes_as_they_are() -> None:
    quiet, few = flags(1800, 200), flags(1784, 216)
    base = run({"clean": flags(1800, 200), "fog": quiet, "snow": quiet})
    new = run({"clean": flags(1500, 500), "fog": quiet, "snow": [*few[200:], *few[:200]]}, weights="other")
    made = compare(base, new)
    document = ElementTree.fromstring(comparison_xml(made).encode())
    (suite,) = document
    kinds = {case.get("name", "").split(" under ")[1].split(" of ")[0]: [child.tag for child in case] for case in suite}
    outcomes = {row.condition: row.outcome for row in made.rows}
    assert outcomes == {"clean": "regression", "fog": "pass", "snow": "inconclusive"}
    assert kinds == {"clean": ["failure"], "fog": ["system-out"], "snow": ["skipped"]}
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "1")
    assert (suite[0][0].text or "").count("scene/") == 300


def test_the_text_for_a_terminal_leads_with_what_did_not_pass() -> None:
    base = run({"clean": flags(1800, 200), "fog": flags(1800, 200)})
    new = run({"clean": flags(1800, 200), "fog": flags(1500, 500)}, weights="other")
    lines = text(compare(base, new)).splitlines()
    assert lines[0] == "resnet-small on scenes"
    assert lines[2].split()[:4] == ["fog", "top-1", "90.0", "75.0"]
    assert "(300 broke, 0 mended)" in lines[2]
    assert lines[3].split()[0] == "clean"
    assert lines[-1].startswith("regression: resnet-small on scenes under fog")
    assert max(map(len, lines)) < 120
    few = text(compare(run({"clean": flags(90, 10)}), run({"clean": flags(90, 10)}, weights="other")))
    assert re.search(r"inconclusive; about [\d,]+ more samples would tell", few)
    near = text(compare(run({"clean": flags(98, 2)}), run({"clean": flags(96, 4)}, weights="other")))
    assert "inconclusive (2 broke, 0 mended); no reasonable number of samples would tell" in near


def test_where_the_first_metric_means_nothing_the_next_one_is_compared() -> None:
    """And a condition under which none does is left out, unless its samples failed."""

    def removed(results: Results, evidence: dict[str, bool]) -> Results:
        frame = results.records
        there = frame["condition"] == "removed"
        frame.loc[there, "evidence"] = [dict(evidence) for _ in range(there.sum())]
        return synthetic.with_records(results, frame)

    key = METRICS.build("hallucination-rate", labels=Labels(("a", "b")), operating_score=0.25).evidence_key
    made = run({"clean": flags(90, 10), "removed": flags(90, 10)})
    rows = compare(removed(made, {key: True}), removed(made, {key: True})).rows
    assert [(row.condition, row.metric, row.outcome) for row in rows] == [
        ("clean", "top-1", "pass"),
        ("removed", "hallucination-rate", "pass"),
    ]
    nothing = removed(made, {})
    assert [row.condition for row in compare(nothing, nothing).rows] == ["clean"]
    frame = nothing.records
    frame.loc[frame["condition"] == "removed", "status"] = "failed"
    failed = synthetic.with_records(nothing, frame)
    assert [(row.condition, row.outcome) for row in compare(failed, failed).rows] == [("clean", "pass"), ("removed", "inconclusive")]


def test_failed_samples_and_checks_that_stop_never_pass() -> None:
    base = run({"clean": flags(1900, 100)})
    new = run({"clean": flags(1900, 100)}, weights="other")
    assert compare(base, new).outcome == "pass"
    frame = new.records
    frame.loc[3, "status"] = "failed"
    frame.at[3, "evidence"] = {}
    assert compare(base, synthetic.with_records(new, frame)).outcome == "inconclusive"
    stop = replace(synthetic.STOP, model="resnet-small")
    assert compare(base, replace(new, findings=(stop,))).outcome == "inconclusive"


@pytest.mark.parametrize("margin", [-0.1, 1.0, float("nan")])
def test_a_margin_is_a_share(margin: float) -> None:
    with pytest.raises(UserError, match="margin="):
        compare(run({"clean": flags(9, 1)}), run({"clean": flags(9, 1)}), margin=margin)


def test_what_is_written_holds_every_number(tmp_path: Path) -> None:
    made = compare(run({"clean": flags(180, 20)}), run({"clean": flags(150, 50)}, weights="other"))
    markdown, csv, samples = write(made, tmp_path)
    assert "regression" in markdown.read_text()
    assert csv.read_text().count("\n") == 2
    (moved,) = json.loads(samples.read_text())
    assert len(moved["broken"]) == 30


def test_without_change_few_runs_are_flagged_and_twice_the_margin_is_found() -> None:
    common = {"conditions": 5, "discordance": 0.06, "rate": 0.85}
    n = round(needed_samples(0.06**0.5, 0.02, 0.05 / 5))
    assert regression_rates.rates(300, margin=0.02, n=n, lossy=0, **common)[0] <= 0.05
    assert regression_rates.rates(300, margin=0.0, n=400, lossy=0, **common)[0] <= 0.08
    assert regression_rates.rates(300, margin=0.02, n=n, lossy=1, **common)[0] >= 0.85


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert isinstance(done.value.code, int)
    return done.value.code


SUITE = """
name: compared
version: 1
tracks:
  - task: classification
    models: [lenet5.scenes]
    datasets: [scenes]
    metrics: [top-1]
    samples: 24
    conditions: [{name: clean}, {name: fog, interventions: ["fog(severity=2)"]}]
"""


def test_the_command_ends_as_its_outcome_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SUITE)
    suite, base, new = (str(tmp_path / name) for name in ("s.yaml", "base", "new"))
    assert call("run", suite, "--out", base, "--strength", "0") == 0
    assert call("run", suite, "--out", new, "--strength", "0", "--model", "cifar-resnet20.scenes") == 0
    assert call("compare", base, base) == 0
    assert call("compare", new, base) == 1
    assert call("compare", new, base, "--out", str(tmp_path / "out")) == 1
    assert (tmp_path / "out" / "comparison.csv").exists()
    assert call("compare", base, new, "--metric", "nothing") == 2
    file, summary = str(tmp_path / "kept" / "new.parquet"), tmp_path / "summary.md"
    summary.write_text("before\n")
    assert call("baseline", new, "--out", file) == 0
    capsys.readouterr()
    assert call("compare", file, base, "--summary", str(summary), "--junit", str(tmp_path / "c.xml")) == 1
    from_file = capsys.readouterr().out
    assert call("compare", new, base) == 1
    assert capsys.readouterr().out == from_file
    assert summary.read_text().startswith("before\n**regression")
    assert ElementTree.parse(tmp_path / "c.xml").find(".//failure") is not None
    capsys.readouterr()
    assert call("compare", base, str(tmp_path)) == 2
    assert "no run folder" in capsys.readouterr().err
    assert call("run", suite, "--out", str(tmp_path / "few"), "--strength", "0", "--limit", "10", "--model", "cifar-resnet20.scenes") == 0
    assert call("compare", base, str(tmp_path / "few"), "--partial", "--margin", "0.0") == 3
    assert call("compare", base, str(tmp_path / "few"), "--partial", "--margin", "0.0", "--fail-on", "regression") == 0
