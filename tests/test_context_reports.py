"""The reports of the suite `context` on a small run, and the numbers in them that nothing else makes."""

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy
import pyarrow
import pytest

from robustbench_cv import context_results
from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.class_matrix import ids_holding, merged, removed_alone
from robustbench_cv.metrics.context_violations import violations
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.fill_fidelity import fill_fidelity
from robustbench_cv.metrics.hallucination import REPORTED
from robustbench_cv.metrics.label_probability import PROBABILITY
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.object_recall import RECALLED
from robustbench_cv.metrics.occlusion_robustness import occ50, occlusion_robustness
from robustbench_cv.rendering import context_sentences, reporting
from robustbench_cv.rendering.context_edits import curves_of, disagreeing_fills
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.page import headline
from robustbench_cv.rendering.table_cells import Number
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.results import Effect, Group, Results
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import Labels

CONDITIONS = (
    CLEAN,
    *(Condition(f"removed, {fill}", (f"remove(fill={fill!r})",)) for fill in ("telea", "blur", "exact")),
    *(Condition(f"swapped, {to}", (f"swap-context(to={to!r})",)) for to in ("random", "exact")),
    *(Condition(f"other class {k}", (f"remove(what='{{}}:{k}')",)) for k in (0, 1)),
    *(Condition(f"occluded {share}", (f"occlude(share={share})",), severity=share, curve="occlusion") for share in (0.3, 0.6)),
    *(Condition(f"context {ratio}", (f"crop-context(ratio={ratio})",), severity=ratio, curve="shown") for ratio in (0, 2)),
)
REPORTS = (
    *(
        "context-index",
        "context-index-by-class",
        "removal-matrix",
        "context-violations",
        "fill-fidelity",
        "occlusion-curve",
        "context-curves",
    ),
    "context-sensitivity",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    tracks = []
    for task, model, metrics in (
        ("classification", "lenet5.scenes", ("top-1", "object-recall", "hallucination-rate", "label-probability")),
        ("segmentation", "unet.scenes", ("miou", "object-recall", "hallucination-rate")),
        ("detection", "yolov3-small.scenes", ("ap", "object-recall", "hallucination-rate", "detection-score")),
    ):
        which = "context-class" if task == "classification" else "any-class"
        conditions = tuple(
            Condition(c.name, tuple(s.format(which) for s in c.interventions), severity=c.severity, curve=c.curve) for c in CONDITIONS
        )
        tracks.append(Track(task, (model,), ("scenes(size=64)",), conditions, metrics, 16))  # type: ignore[arg-type]
    suite = Suite("context-small", 1, tuple(tracks), reports=("main-table",))
    return run_suite(suite, tmp_path_factory.mktemp("run"), Options(strength=0)).results


def test_every_report_has_something_to_show_and_says_it_in_every_format(results: Results) -> None:
    labels = set()
    for name in REPORTS:
        for item in build_items(results, [name]):
            assert item.label not in labels
            labels.add(item.label)
            assert item.caption.endswith(".")
            assert item.to_html().count("<figure") == 1
            if isinstance(item, Table):
                assert item.to_latex().count("\\begin{") == item.to_latex().count("\\end{")
                assert len(item.to_csv().splitlines()) > 1
            if isinstance(item, Chart):
                assert len(item.to_bytes("png")) > 1000
    for task in ("classification", "segmentation", "detection"):
        assert {f"context-index-{task}", f"fill-fidelity-{task}", f"occlusion-area-{task}"} <= labels
        assert f"show-context-{task}" in labels
    assert "context-violations-classification" in labels


def test_a_class_of_a_few_objects_gets_no_row_and_is_named(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    assert build_items(results, ["context-index-by-class"]) == []  # no class here has five
    monkeypatch.setattr("robustbench_cv.reports.context_index_by_class.FEWEST", 3)
    tables = [i for i in build_items(results, ["context-index-by-class"]) if isinstance(i, Table)]
    assert tables
    for table in tables:
        assert min(table.frame["n"]) >= 3
        (left_out,) = [note for note in table.notes if note.startswith("Left out: ")]
        named = re.findall(r"(\w+) \(n = (\d)\)", left_out)
        assert named
        assert all(name not in set(table.frame["class"]) and 0 < int(n) < 3 for name, n in named)


def test_rows_are_of_the_headline_its_fills_and_the_exact_counterfactuals(results: Results) -> None:
    (table,) = [i for i in build_items(results, ["context-index"]) if i.label == "context-index-detection"]
    assert isinstance(table, Table)
    assert table.frame["edits"].tolist() == ["telea fill", "blur fill", "exact counterfactuals"]


def test_curves_are_told_by_what_edits_declare(results: Results) -> None:
    (curve,) = curves_of(results, "segmentation", "occlude-object")
    assert [level for level, _ in curve.steps] == [0.3, 0.6]
    assert curve.method == "gray block"
    assert not curves_of(results, "segmentation", "blur-object")


def test_the_matrix_pools_the_removals_of_each_class(results: Results) -> None:
    (group,) = [g for g in results.groups() if g.task == "segmentation"]
    names = ["other class 0", "other class 1"]
    alone = {c: {i for name in names for i in _removed(results, group, name).get(c, [])} for c in range(22)}
    matrix = context_results.matrix(results, group, names, 2)
    assert matrix
    for one in matrix:
        assert one.removed != one.changed
        index = results.model_row(group).classes.index(one.removed)
        assert 2 <= one.effect.effect.n <= len(alone[index])
        assert one.effect.difference is not None
    assert not context_results.matrix(results, results.groups()[0], names, 2)  # a classifier has no other classes in its answer


def test_the_matrix_of_a_detector_has_the_scores_of_the_objects_that_stay(results: Results) -> None:
    (group,) = [g for g in results.groups() if g.task == "detection"]
    names, classes = ["other class 0", "other class 1"], results.model_row(group).classes
    matrix = context_results.matrix(results, group, names, 2)
    assert any(one.score is not None and one.score.effect.value for one in matrix)
    for one in matrix:
        assert one.score is not None
        removed, changed = classes.index(one.removed), classes.index(one.changed)
        sides: list[dict[str, list[float]]] = [{}, {}, {}, {}]
        for name in names:
            ids = _removed(results, group, name).get(removed, [])
            for k, (condition, reference) in enumerate([(n, r) for n in (name, f"{name} control") for r in (False, True)]):
                kept = results.evidence(group, condition, "detection-score", reference=reference).to_dict()
                for i in ids:
                    scores = [item["score"] for item in kept.get(i, []) if item["class"] == changed]
                    sides[k] |= {i: scores} if i in kept else {}
        shared = set.intersection(*(set(side) for side in sides))
        shared = {i for i in shared if sides[1][i]}
        means = [sum(s for i in shared for s in side[i]) / sum(len(side[i]) for i in shared) for side in sides]
        assert one.score.effect.n == len(shared)
        assert one.score.effect.value == pytest.approx(means[0] - means[1])
        assert one.score.difference is not None
        assert one.score.difference.value == pytest.approx(means[0] - means[1] - means[2] + means[3])


def test_the_matrix_of_a_segmenter_says_how_many_images_change(results: Results) -> None:
    (group,) = [g for g in results.groups() if g.task == "segmentation"]
    for one in context_results.matrix(results, group, ["other class 0", "other class 1"], 2):
        assert one.affected is not None
        assert 0 < one.affected.loss.removal.n <= one.effect.effect.n  # the placebo may hide all of the class
        shares = [shown.removal.value for shown in one.affected.shares]
        assert shares == sorted(shares, reverse=True)  # type: ignore[type-var]


def _removed(results: Results, group: object, name: str) -> dict[int, list[str]]:
    made = removed_alone(results.rows(group, name).evidence("reports@0.25", REPORTED))  # type: ignore[arg-type]
    return {c: ids.to_pylist() for c, ids in made.items()}


def test_classes_removed_alone_are_told_from_those_removed_together() -> None:
    def row(*removed: int) -> dict[str, object]:
        return {"seen": [], "held": [], "removed": list(removed), "enough": 1.0}

    reported = Column.of({"a": row(3), "b": row(3, 4), "c": row(), "d": row(4), "e": row(3)}, REPORTED)
    assert {c: ids.to_pylist() for c, ids in removed_alone(reported).items()} == {3: ["a", "e"], 4: ["d"]}


def test_merged_columns_stand_in_the_order_of_their_ids() -> None:
    one, two = (Column.of(values, pyarrow.float64()) for values in ({"b": 1.0, "d": 2.0}, {"a": 3.0, "c": 4.0}))
    assert merged([one, two]).to_dict() == {"a": 3.0, "b": 1.0, "c": 4.0, "d": 2.0}


def test_images_that_hold_a_class_are_found_in_every_evidence() -> None:
    recalled = Column.of(
        {k: {"share": 1.0, "classes": [{"class": c, "share": 1.0} for c in held]} for k, held in (("a", [1]), ("b", [0, 2]), ("c", []))},
        RECALLED,
    )
    assert ids_holding(recalled, 2).to_pylist() == ["b"]
    pixels = METRICS.build("miou").evidence_type
    confusion = Column.of(
        {
            "a": [{"class": 0, "intersection": 1, "predicted": 1, "truth": 1}, {"class": 1, "intersection": 0, "predicted": 4, "truth": 0}],
            "b": [{"class": 1, "intersection": 0, "predicted": 0, "truth": 2}],
        },
        pixels,
    )
    assert ids_holding(confusion, 1).to_pylist() == ["b"]


def scores(values: dict[str, tuple[int, float]]) -> Column:
    return Column.of({k: {"label": c, "probability": p} for k, (c, p) in values.items()}, PROBABILITY)


def test_violations_by_hand() -> None:
    before = scores({"a": (0, 0.9), "b": (0, 0.8), "c": (1, 0.9), "d": (1, 0.9)})
    removed = scores({"a": (0, 0.3), "b": (0, 0.5), "c": (1, 0.2), "d": (1, 0.1)})
    first = scores({"a": (0, 0.1), "b": (0, 0.7), "c": (1, 0.2)})
    second = scores({"a": (0, 0.8), "b": (0, 0.5)})
    made = violations(removed, before, [first, second])
    assert (made.v_min.n, made.v_min.excluded) == (3, 1)
    assert made.v_min.value == pytest.approx(1 / 3)  # a: .1 < .3; b: .5 ties; c: .2 ties
    assert made.v_mean.value == 0  # a: .45, b: .6
    assert made.v_min_macro is None
    assert made.reliance == pytest.approx(1.0)  # a: .8/.6, b: .3/.3, c: .7/.7
    assert violations(removed, before, []).v_min.value is None


def shares(values: list[float]) -> Column:
    return Column.of({f"{k:03}": {"share": v, "classes": []} for k, v in enumerate(values)}, RECALLED)


METRIC = METRICS.build("object-recall", labels=Labels(("a",)), operating_score=0.25)


def test_fidelity_by_hand() -> None:
    rng = numpy.random.default_rng(0)
    truth = rng.integers(0, 2, 60).astype(float)
    filled = numpy.where(rng.random(60) < 0.2, 1 - truth, truth)
    before = shares([1.0] * 60)
    made = fill_fidelity(METRIC, shares(filled.tolist()), shares(truth.tolist()), before, before)
    assert made.bias.value == pytest.approx(float((filled - truth).mean()))
    assert made.bias.low < float((filled - truth).mean()) < made.bias.high
    assert made.correlation == pytest.approx(numpy.corrcoef(filled, truth)[0, 1])
    assert made.agreement.value == pytest.approx(float((filled == truth).mean()))
    exact = fill_fidelity(METRIC, shares(truth.tolist()), shares(truth.tolist()), before, before)
    assert (exact.bias.value, exact.agreement.value) == (0, 1)
    assert exact.correlation == pytest.approx(1)


def test_area_under_the_occlusion_curve_by_hand() -> None:
    covered = {0.5: shares([0.5] * 30 + [1.0] * 10), 1.0: shares([0.0] * 40)}
    made = occlusion_robustness(METRIC, shares([1.0] * 40), covered)
    assert made.area.value == pytest.approx((1 + 0.625) / 4 + 0.625 / 4)
    assert made.area.low < made.area.value < made.area.high
    assert made.occ50 == pytest.approx(0.5 + 0.5 * (0.625 - 0.5) / 0.625)
    assert occ50([0.0, 1.0], [0.8, 0.4]) is None


@pytest.mark.parametrize(("blurred", "agree"), [(0.2, True), (-0.2, False)])
def test_the_signs_of_fills_decide_whether_they_agree(
    blurred: float, agree: bool, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    (group,) = [g for g in results.groups() if g.task == "segmentation"]
    effect = Results.effect

    def forced(self: Results, group: Group, condition: str, metric: str) -> Effect:
        value = blurred if condition == "removed, blur" else 0.1
        return replace(effect(self, group, condition, metric), difference=Estimate(value, value, value, 16, 0))

    monkeypatch.setattr(Results, "effect", forced)
    said = disagreeing_fills(results, group, "removed, telea", "object-recall")
    if agree:
        assert said == ""
    else:
        assert "do not agree on the sign" in said
        assert "telea +10.0, blur −20.0" in said


def test_fills_that_do_not_agree_are_told(results: Results) -> None:
    (group,) = [g for g in results.groups() if g.task == "segmentation"]
    values = {
        fill: results.effect(group, f"removed, {fill}", "object-recall").difference.value  # type: ignore[union-attr]
        for fill in ("telea", "blur")
    }
    said = disagreeing_fills(results, group, "removed, telea", "object-recall")
    assert bool(said) == (len({v > 0 for v in values.values() if v}) > 1)
    assert disagreeing_fills(results, group, "removed, exact", "object-recall") == ""


def test_a_class_is_told_with_without_and_removed(tmp_path: Path) -> None:
    conditions = (CLEAN, Condition("tents gone", ("remove(what='tent')",)))
    track = Track("segmentation", ("unet.scenes",), ("scenes(size=64)",), conditions, ("miou", "hallucination-rate"), 40)
    results = run_suite(Suite("tents", 1, (track,), reports=("with-and-without-class",)), tmp_path, Options(strength=0)).results
    (group,) = results.groups()
    made = context_results.presence(results, group, "tents gone", "tent", "class-iou(of='tree')")
    assert made.with_class.n + made.without_class.n == 40
    assert made.class_removed.n <= made.with_class.n
    assert made.without_class.n > made.with_class.n > 0
    (table,) = build_items(results, ["with-and-without-class"])
    assert isinstance(table, Table)
    assert "tent" not in table.frame["class"].tolist()
    assert "without tent" in table.frame.columns


def test_the_question_is_answered_first_with_its_interval_and_whether_it_differs_from_the_placebo(results: Results) -> None:
    said = context_sentences.answers(results)
    for group in results.groups():
        lead = context_sentences.lead(results, group.task)
        assert lead is not None
        assert lead.name == "removed, telea"
        metric = context_sentences.leading_metric(results, group, lead.name)
        assert metric is not None
        difference = results.effect(group, lead.name, metric).difference
        assert difference is not None
        shown = Number(difference, reporting.unit_of(results, group.task, metric), signed=True).text
        (answer,) = [a for a in said if a.text.startswith(f"{reporting.title_of(group)}, {lead.name}:")]
        assert shown in answer.text
        assert difference.low is not None
        assert difference.high is not None
        apart = difference.low > 0 or difference.high < 0
        assert answer.verdict == ("differs" if apart else "can't tell")
        assert ("the two differ" in answer.text) == apart
        name, number = headline(results, group).numbers[-1]
        assert name.startswith(f"{lead.name}, effect")
        assert shown.startswith(number.value)


def test_a_run_of_attacks_asks_no_such_question(results: Results) -> None:
    run = results.run
    attacked = tuple(
        msgspec.structs.replace(track, conditions=(*track.conditions, Condition("pgd", attack="pgd()"))) for track in run.tracks
    )
    assert context_sentences.answers(replace(results, run=msgspec.structs.replace(run, tracks=attacked))) == []
