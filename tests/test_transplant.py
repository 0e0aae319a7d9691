"""Transplanted objects: what is pasted and where, what numbers over places are made of, and toy detectors that come out where they must."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch

from robustbench_cv import context_results
from robustbench_cv.catalogue import DATASETS, INTERVENTIONS, METRICS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.co_occurrence import CoOccurrence
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.transplant import grid
from robustbench_cv.metrics.answer_change import CHANGES, NOTHING, RINGS
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.mean_over_placements import by_place, entropy, label_entropy, over_places, ring_change
from robustbench_cv.noise import Noise
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.results import Results
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.runner.sample_files import read_sample_file, write_sample
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.suite_files import find_suite
from robustbench_cv.tasks import Task
from robustbench_cv.types import IGNORE, BoxTarget, ClassTarget, MaskTarget, Sample
from tests.toy_transplant import SQUARE, SquareDetector, squares

TASKS: tuple[Task, ...] = ("classification", "segmentation", "detection")
each_task = pytest.mark.parametrize("task", TASKS)


def scenes(task: str, samples: int = 30, size: int = 64) -> Donors:
    return Donors(DATASETS.build(f"scenes(task={task!r}, samples={samples}, size={size})"))


def edited(donors: Donors, index: int, arguments: str = "") -> tuple[Sample, Sample]:
    sample = donors.source[index]
    made = INTERVENTIONS.build(f"transplant({arguments})").with_donors(donors)
    return sample, made(sample, Noise(2, (sample.id,), "any"))


def crop(sample: Sample) -> torch.Tensor:
    assert sample.edit is not None
    return sample.image[:, sample.edit.region]


@pytest.mark.parametrize("size", [(20, 30), (47, 101)])
@pytest.mark.parametrize("inner", [(1, 1), (7, 12), (20, 30)])
def test_the_grid_holds_every_tenth_of_the_side_at_which_the_object_fits(size: tuple[int, int], inner: tuple[int, int]) -> None:
    places = grid(size, inner)
    expected = {
        (i, j)
        for i, j in itertools.product(range(10), repeat=2)
        if round(i * size[0] / 10) + inner[0] <= size[0] and round(j * size[1] / 10) + inner[1] <= size[1]
    }
    assert {(p.row, p.column) for p in places} == expected
    assert all((p.top, p.left) == (round(p.row * size[0] / 10), round(p.column * size[1] / 10)) for p in places)


@each_task
def test_the_object_is_the_same_at_every_place_and_no_place_comes_twice(task: str) -> None:
    donors, served = scenes(task), 0
    for index in range(6):
        made = []
        for k in range(12):
            try:
                made.append(edited(donors, index, f"draw={k}")[1])
            except NotApplicable:
                break
        served += len(made)
        assert all(torch.equal(crop(one), crop(made[0])) for one in made)
        assert len({tuple(one.edit.region.flatten().nonzero()[:, 0].tolist()) for one in made}) == len(made)
    assert served > 20


@each_task
def test_a_place_of_the_grid_is_where_it_says(task: str) -> None:
    donors = scenes(task)
    _, made = edited(donors, 0, "row=2, column=1")
    y, x = (int(made.edit.region.any(dim=d).nonzero()[0]) for d in (1, 0))
    assert (y, x) == (round(0.2 * 64), round(0.1 * 64))
    with pytest.raises(NotApplicable, match="row 9, column 9"):
        edited(donors, 0, "row=9, column=9")


@each_task
def test_the_object_is_anothers_and_the_placebo_is_background_of_its_shape_at_its_place(task: str) -> None:
    donors = scenes(task)
    for index in range(5):
        sample, made = edited(donors, index, "draw=1")
        _, placebo = edited(donors, index, "draw=1, pasted='background'")
        assert torch.equal(made.edit.region, placebo.edit.region)
        assert not torch.equal(crop(made), crop(placebo))
        lender = next(other for other in donors.source if other.id != sample.id and _holds(other, made))
        at = _where(lender, placebo)
        assert at is not None
        assert not (at & lender.regions["objects"]).any()
        at = _where(lender, made)
        assert at is not None
        assert (at & lender.regions["objects"]).sum() == at.sum()


def _holds(other: Sample, made: Sample) -> bool:
    return _where(other, made) is not None


def _where(other: Sample, made: Sample) -> torch.Tensor | None:
    """The pixels of another sample that are those pasted; None where it has no such pixels. Every shift is tried."""
    rows, columns = made.edit.region.nonzero().T
    rows, columns = rows - rows.min(), columns - columns.min()
    wanted, first = crop(made), crop(made)[:, 0]
    for y, x in (other.image == first[:, None, None]).all(dim=0).nonzero().tolist():
        y0, x0 = y - int(rows[0]), x - int(columns[0])
        r, c = rows + y0, columns + x0
        inside = min(y0, x0) >= 0 and int(r.max()) < other.image.shape[1] and int(c.max()) < other.image.shape[2]
        if inside and torch.equal(other.image[:, r, c], wanted):
            out = torch.zeros(other.image.shape[1:], dtype=torch.bool)
            out[r, c] = True
            return out
    return None


def test_a_detector_is_asked_for_the_object_and_for_what_it_leaves_in_sight() -> None:
    donors = scenes("detection")
    covered = 0
    for index, k in itertools.product(range(20), range(8)):
        sample, made = edited(donors, index, f"draw={k}")
        _, placebo = edited(donors, index, f"draw={k}, pasted='background'")
        region, target, before = made.edit.region, made.target, made.edit.before
        y, x = region.nonzero().T
        assert target.boxes[-1].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        assert donors.source.labels.names[int(target.labels[-1])] == made.attributes["transplanted"]
        assert torch.equal(made.regions[f"instance:{len(target.boxes) - 1}"], region)
        assert made.edit.adds
        assert torch.equal(made.edit.subject.boxes, target.boxes[-1:])
        # the placebo: the same objects of this image, and no other
        assert torch.equal(placebo.target.boxes, target.boxes[:-1])
        assert torch.equal(placebo.target.crowd, target.crowd[:-1])
        assert len(placebo.edit.before.boxes) == len(sample.target.boxes)
        for i, box in enumerate(sample.target.boxes):
            mask = sample.regions[f"instance:{i}"]
            if not mask.any():
                continue
            hidden = float((mask & region).sum() / mask.sum())
            kept = (target.boxes[:-1] == box).all(dim=1)
            assert bool(kept.any()) == (hidden < 1)
            if hidden < 1:
                assert bool(target.crowd[:-1][kept].all()) == (hidden > 0.25)
            assert bool(before.crowd[(before.boxes == box).all(dim=1)].all()) == (hidden > 0.25)
            covered += hidden > 0.25
    assert covered > 3


def test_a_segmenter_is_asked_for_the_objects_class_on_its_pixels() -> None:
    donors = scenes("segmentation")
    for index in range(8):
        sample, made = edited(donors, index)
        _, placebo = edited(donors, index, "pasted='background'")
        region, label = made.edit.region, donors.source.labels.index(made.attributes["transplanted"])
        inside = made.target.labels[region]
        assert set(inside.tolist()) <= {label, IGNORE}
        assert (inside == label).float().mean() > 0.8
        assert torch.equal(made.edit.subject.labels == label, region)
        outside = ~region & (made.target.labels != IGNORE)
        assert torch.equal(made.target.labels[outside], sample.target.labels[outside])
        # no object of this image's donor in the patch
        names = {donors.source.labels.names[i] for i in placebo.target.labels[region].unique().tolist() if i != IGNORE}
        assert made.attributes["transplanted"] not in names


def test_a_classifier_keeps_its_label_and_sees_most_of_its_object() -> None:
    donors = scenes("classification")
    for index, k in itertools.product(range(6), range(4)):
        try:
            sample, made = edited(donors, index, f"draw={k}")
        except NotApplicable:
            continue
        main = sample.regions["object"]
        assert made.target.label == sample.target.label == made.edit.before.label
        assert isinstance(made.edit.subject, ClassTarget)
        assert donors.source.labels.names[made.edit.subject.label] == made.attributes["transplanted"]
        assert (main & made.edit.region).sum() <= 0.25 * main.sum()


def test_arguments_are_checked() -> None:
    for wrong, said in (
        ("partner='any'", "no partner named 'any'"),
        ("pasted='frame'", "no pasted named"),
        ("row=1", "a row and a column"),
        ("row=10, column=0", "outside the grid"),
    ):
        with pytest.raises(UserError, match=said):
            INTERVENTIONS.build(f"transplant({wrong})")
    with pytest.raises(UserError, match="with_donors"):
        INTERVENTIONS.build("transplant")(scenes("detection").source[0], Noise(0, ("a",), ""))


def test_what_an_edit_puts_in_survives_its_file(tmp_path: Path) -> None:
    _, made = edited(scenes("detection"), 0)
    write_sample(tmp_path / "sample", made)
    again = read_sample_file(tmp_path / "sample")
    assert again is not None
    assert again.edit.adds
    assert torch.equal(again.edit.subject.boxes, made.edit.subject.boxes)


def test_co_occurrence_is_normalised_pointwise_mutual_information() -> None:
    rng = numpy.random.default_rng(0)
    images = [{name for name, p in (("a", 0.5), ("b", 0.4), ("c", 0.2)) if rng.random() < p} for _ in range(200)]
    images = [names | {"d"} if "a" in names and rng.random() < 0.9 else names - {"c"} if "a" in names else names for names in images]
    counts = CoOccurrence.of(images)
    for one, other in itertools.product("abcd", repeat=2):
        both = sum(one in names and other in names for names in images) / 200
        first, second = (sum(name in names for names in images) / 200 for name in (one, other))
        expected = -1.0 if not both else math.log(both / (first * second)) / -math.log(both)
        assert counts.npmi(one, other) == pytest.approx(expected)
    assert counts.together("d", ["a"]) == "often"
    assert counts.together("d", ["b", "a"]) == "often"
    assert counts.npmi("a", "c") < 0
    assert counts.together("c", ["a"]) == "rarely"
    assert counts.npmi("a", "nobody") is None
    assert counts.together("a", ["nobody"]) == counts.together("a", []) == "unknown"
    # two rare classes that never met say nothing
    assert CoOccurrence.of([{"x"}, {"y"}, *[set()] * 50]).together("x", ["y"]) == "unknown"
    assert CoOccurrence.of([{"x", "y"}] * 3).npmi("x", "y") is None


@each_task
def test_partners_are_of_classes_that_the_data_show_together_or_apart(task: str) -> None:
    donors = scenes(task, samples=300, size=48)
    counts, served = donors.co_occurrence, {"congruent": 0, "incongruent": 0}
    assert counts.images == 300
    for index, partner in itertools.product(range(12), served):
        try:
            sample, made = edited(donors, index, f"partner={partner!r}")
        except NotApplicable:
            continue
        served[partner] += 1
        own = {name[6:] for name in sample.regions if name.startswith("class:") and name[6:] in counts.single}
        values = [counts.npmi(made.attributes["transplanted"], name) for name in own]
        assert made.attributes["transplanted"] not in own
        assert any(v is not None and v > 0 for v in values) == (partner == "congruent")
    assert min(served.values()) > 2


def test_what_was_counted_is_part_of_what_a_run_depends_on() -> None:
    donors = scenes("detection", samples=300, size=48)
    ids = list(donors.source.ids[:2])
    few, all_ = donors.fingerprints(ids, 0), donors.fingerprints(ids, 0, surveyed=True)
    assert len(few) < 200
    assert len(all_) == 300
    assert set(few) < set(all_)
    assert INTERVENTIONS.build("transplant(partner='congruent')").surveys
    assert not INTERVENTIONS.build("transplant").surveys


METRIC = METRICS.build("nonlocal-boxes", operating_score=0.5)


def changes(rng: numpy.random.Generator, served: float = 0.8, images: int = 30) -> dict[str, dict[str, object]]:
    """Evidence of one place; some images have none there."""
    return {
        f"{i:03}": {
            "label": int(rng.integers(-1, 4)),
            "distant": int(rng.integers(3, 6)),
            **{name: int(rng.integers(0, 2)) for name in ("relabelled", "moved", "lost", "new")},
            "misnamed": bool(rng.integers(2)),
            "rings": [{"pixels": int(n), "changed": int(rng.integers(0, n + 1))} for n in rng.integers(0, 9, len(RINGS))],
            "x": float(rng.random()),
            "y": float(rng.random()),
        }
        for i in range(images)
        if rng.random() < served
    }


@pytest.fixture(scope="module")
def places() -> tuple[list[dict], list[dict]]:
    rng = numpy.random.default_rng(5)
    return tuple([changes(rng) for _ in range(6)] for _ in range(2))


def test_over_places_is_the_obvious_sum_over_what_both_serve(places: tuple[list[dict], list[dict]]) -> None:
    made = over_places(METRIC, *places)
    sums = numpy.zeros((2, 2))
    images = set()
    for edited_, placebo in zip(*places, strict=True):
        for id_ in edited_.keys() & placebo.keys():
            images.add(id_)
            for k, one in enumerate((edited_[id_], placebo[id_])):
                sums[k] += one["relabelled"] + one["moved"] + one["lost"], one["distant"]
    for k, one in enumerate((made.edited, made.placebo)):
        assert one.value == pytest.approx(sums[k, 0] / sums[k, 1])
        assert one.low < one.value < one.high
        assert one.n == len(images)
    assert made.net.value == pytest.approx(sums[0, 0] / sums[0, 1] - sums[1, 0] / sums[1, 1])


def test_rings_and_places_are_the_obvious_sums(places: tuple[list[dict], list[dict]]) -> None:
    for ring in range(len(RINGS)):
        pixels = [e[i]["rings"][ring] for e, p in zip(*places, strict=True) for i in e.keys() & p.keys()]
        expected = sum(one["changed"] for one in pixels) / sum(one["pixels"] for one in pixels)
        assert over_places(ring_change(ring), *places).edited.value == pytest.approx(expected)
    cells = by_place(METRIC, places[0], places[0], 3)
    for cell in cells:
        here = [e for one in places[0] for e in one.values() if (int(e["y"] * 3), int(e["x"] * 3)) == (cell.row, cell.column)]
        assert cell.places == len(here)
        total = sum(e["relabelled"] + e["moved"] + e["lost"] for e in here)
        assert cell.value == pytest.approx(total / sum(e["distant"] for e in here))
    assert len(cells) == 9


def test_label_entropy_is_of_the_labels_at_places_where_there_is_one(places: tuple[list[dict], list[dict]]) -> None:
    made = label_entropy(*places)
    for side, one in zip(places, (made.edited, made.placebo), strict=True):
        values = []
        for id_ in {i for place in side for i in place}:
            said = [place[id_]["label"] for place in side if id_ in place and place[id_]["label"] != NOTHING]
            if len(said) >= 2:
                shares = [said.count(c) / len(said) for c in set(said)]
                values.append(-sum(p * math.log2(p) for p in shares))
        assert one.n == len(values)
        assert one.value == pytest.approx(numpy.mean(values))
    silent = [{"a": {**next(iter(place.values())), "label": NOTHING}} for place in places[0]]
    assert label_entropy(silent, silent).edited.value is None
    assert entropy([1, 1, 1, 1]) == 2


def test_the_interval_over_places_holds_where_places_of_an_image_agree() -> None:
    """Of 400 made-up data sets of 40 images x 6 places whose images differ, the net rate lies in the interval in about 95 %."""
    rng, hits, metric = numpy.random.default_rng(1), 0, METRICS.build("nonlocal-lost", operating_score=0.5)
    blank = next(iter(changes(rng).values())) | {"lost": 0}
    for _ in range(400):
        own = rng.beta(1.0, 2.0, 40)  # mean 1/3, the placebo's half of it
        sides = []
        for factor in (1.0, 0.5):
            drawn = rng.random((6, 40)) < factor * own
            sides.append([Column.of({f"{i:03}": blank | {"lost": int(x)} for i, x in enumerate(place)}, CHANGES) for place in drawn])
        net = over_places(metric, *sides).net
        hits += net.low <= 1 / 6 <= net.high
    assert 0.92 <= hits / 400 <= 0.98


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Results:
    conditions = (CLEAN, *(Condition(f"place {k}", (f"transplant(draw={k}, partner='incongruent')",)) for k in range(5)))
    metrics = ("ap", "object-recall", "misnamed", "nonlocal-change", "nonlocal-relabelled", "nonlocal-boxes", "new-classes")
    data = f"{Path(__file__).parent / 'toy_transplant.py'}:squares"
    track = Track("detection", (), (data,), conditions, metrics, 40)
    models = (SquareDetector(reads_all=False), SquareDetector(reads_all=True))
    suite = Suite("squares", 1, (track,), reports=("transplant",))
    return run_suite(suite, tmp_path_factory.mktemp("run"), Options(models=models, strength=0)).results  # type: ignore[arg-type]


def test_what_reads_the_object_alone_sees_it_everywhere_and_changes_nothing_else(toys: Results) -> None:
    group = next(g for g in toys.groups() if g.model == "reads-objects")
    names = [f"place {k}" for k in range(5)]
    made = {m: context_results.over_transplants(toys, group, names, m) for m in toys.metrics("detection")[1:]}
    assert (made["object-recall"].edited.value, made["object-recall"].placebo.value) == (1.0, 0.0)
    assert made["object-recall"].edited.n == 40
    assert made["misnamed"].edited.value == 0
    for name in ("nonlocal-change", "nonlocal-relabelled", "nonlocal-boxes", "new-classes"):
        assert made[name].edited.value == made[name].placebo.value == 0
    entropies = context_results.label_entropy_over_transplants(toys, group, names)
    assert entropies.edited.value == 0
    assert entropies.placebo.value is None


def test_what_reads_the_whole_image_changes_elsewhere(toys: Results) -> None:
    group = next(g for g in toys.groups() if g.model == "reads-all")
    names = [f"place {k}" for k in range(5)]
    change, relabelled, boxes, seen, misnamed = (
        context_results.over_transplants(toys, group, names, m)
        for m in ("nonlocal-change", "nonlocal-relabelled", "nonlocal-boxes", "object-recall", "misnamed")
    )
    assert change.edited.low > 0.3
    assert relabelled.edited.value == change.edited.value  # it moves and loses none
    assert boxes.edited.value > 0.3
    assert seen.edited.value < 0.7
    assert seen.edited.value + misnamed.edited.value == pytest.approx(1)
    assert context_results.label_entropy_over_transplants(toys, group, names).edited.value > 0


def test_unedited_images_are_their_own_measure(toys: Results) -> None:
    for group in toys.groups():
        assert toys.estimate(group, "place 0", "nonlocal-change", reference=True).value == 0
        assert toys.estimate(group, "clean", "nonlocal-change").value is None
        assert toys.effect(group, "place 0", "nonlocal-change").effect.value == toys.estimate(group, "place 0", "nonlocal-change").value


def test_the_report_shows_every_finding_beside_its_placebo(toys: Results) -> None:
    table, *charts = build_items(toys, ["transplant"])
    assert isinstance(table, Table)
    assert len(table.frame) == 2 * 7
    assert table.frame["object"][0].text.startswith("100.0")
    assert table.frame["placebo"][0].text.startswith("0.0")
    assert [type(chart) for chart in charts] == [Chart]
    for item in (table, *charts):
        assert item.caption.endswith(".")
        assert item.to_html().count("<figure") == 1
    places = charts[0].frame
    assert (places[places["model"] == "reads-objects"]["value"] == 1).all()
    assert not (places[places["model"] == "reads-all"]["value"] == 1).all()


def test_the_suite_runs_all_tasks(tmp_path: Path) -> None:
    suite = find_suite("transplant(places=2, samples=8)")
    suite = replace_data(suite, "scenes(size=64)")
    results = run_suite(suite, tmp_path, Options(strength=0)).results
    labels = [item.label for item in build_items(results, ["transplant"])]
    assert {f"transplant-{task}-random" for task in TASKS} < set(labels)
    assert "transplant-distance-segmentation-random" in labels
    table = build_items(results, ["transplant"])[0]
    assert all(n == 8 for n in table.frame["images"])
    assert [c.name for c in find_suite("transplant(places=2, partner='compare')").tracks[0].conditions] == [
        *("clean", "place 1, congruent", "place 2, congruent"),
        *("place 1, incongruent", "place 2, incongruent"),
    ]


def replace_data(suite: Suite, data: str) -> Suite:
    import msgspec

    return msgspec.structs.replace(suite, tracks=tuple(msgspec.structs.replace(t, datasets=(data,)) for t in suite.tracks))


def test_a_square_is_whole() -> None:
    """The toy data are as the tests above take them."""
    for sample in (squares()[i] for i in range(8)):
        assert isinstance(sample.target, BoxTarget)
        assert sample.target.area.tolist() == [SQUARE**2]
        assert not isinstance(replace(sample).target, MaskTarget)
