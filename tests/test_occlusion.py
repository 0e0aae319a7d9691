"""Occlusion by other objects and by published levels, and recall of hidden objects: what is special about each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import pyarrow
import pytest
import torch
from torch import Tensor

from robustbench_cv import context_results
from robustbench_cv.catalogue import DATASETS, INTERVENTIONS, METRICS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.cutout_placing import covered_counts, place_over
from robustbench_cv.interventions.cutouts import Cutout, cutouts
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.intervention import NeedsDonors
from robustbench_cv.interventions.occlusion_level import BACKGROUND, FOREGROUND
from robustbench_cv.metrics.detection_rates import reported_boxes
from robustbench_cv.metrics.occlusion_gap import occlusion_gap
from robustbench_cv.metrics.occlusion_recall import JUDGED, OCCLUDED, SEPARATED, WHOLE, state_of, visible_objects
from robustbench_cv.noise import Noise
from robustbench_cv.registry import load_file
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.suite_files import find_suite
from robustbench_cv.types import BoxPrediction, BoxTarget, Dataset, MaskTarget, Sample

synthetic = load_file(Path(__file__).parent / "synthetic_samples.py")


def edited(spec: str, sample: Sample, donors: object) -> Sample:
    made = INTERVENTIONS.build(spec)
    made = made.with_donors(Donors(donors)) if isinstance(made, NeedsDonors) else made  # type: ignore[arg-type]
    return made(sample, Noise(0, (sample.id,)))


def scenes(task: str) -> Dataset:
    return DATASETS.build(f"scenes(task={task!r}, samples=40)")


# --- objects of other samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_an_object_covers_the_share_of_each_object_and_is_of_another_class(share: float) -> None:
    data = scenes("detection")
    for i in range(6):
        sample = data[i]
        made = edited(f"occlude(share={share}, texture='object')", sample, data)
        assert isinstance(made.target, BoxTarget)
        assert isinstance(sample.target, BoxTarget)
        count = len(sample.target.boxes)
        for k in range(count):
            visible = sample.regions[f"instance:{k}"]
            if not made.target.crowd[k]:
                covered = float((visible & made.edit.region).sum() / visible.sum())  # type: ignore[union-attr]
                assert covered == pytest.approx(share, abs=max(0.005, 1 / int(visible.sum())))
        assert torch.equal(made.target.boxes[:count], sample.target.boxes)
        (pasted,) = (made.target.boxes[count:],) if count else ((),)
        assert len(pasted) == int((~made.target.crowd[:count]).sum())
        for j in range(len(pasted)):
            shown = made.regions[f"instance:{count + j}"]
            over = [k for k in range(count) if bool((sample.regions[f"instance:{k}"] & shown).any())]
            assert len(over) == 1  # each object has its own, and none hides another one
            assert made.target.labels[count + j] != sample.target.labels[over[0]]
            assert not torch.equal(made.image[:, shown], sample.image[:, shown])


def test_who_reports_what_was_pasted_is_neither_right_nor_wrong() -> None:
    data = scenes("detection")
    made = edited("occlude(texture='object')", data[0], data)
    target = made.target
    assert isinstance(target, BoxTarget)
    count = len(data[0].target.boxes)  # type: ignore[union-attr]
    report = BoxPrediction(target.boxes[count:], torch.ones(len(target.boxes) - count), target.labels[count:])
    assert reported_boxes(report, target, 0.5)["fabricated"] == 0
    ap = METRICS.build("ap50")
    perfect = BoxPrediction(target.boxes, torch.linspace(0.5, 1, len(target.boxes)).flip(0), target.labels)
    right = BoxPrediction(target.boxes[:count], torch.ones(count), target.labels[:count])
    assert ap.reduce([ap.measure(perfect, made)]) == ap.reduce([ap.measure(right, made)]) == 1.0
    assert made.edit is not None
    assert torch.equal(made.edit.before.crowd, target.crowd)  # type: ignore[union-attr]  # both images are scored on the same things


def test_the_placebo_shows_the_same_occluder_where_no_object_is() -> None:
    data = scenes("classification")
    made, placebo = (edited(f"occlude{name}(share=0.4, texture='object')", data[1], data) for name in ("", "-control"))
    assert made.edit is not None
    assert placebo.edit is not None
    assert placebo.edit.share == 0
    assert not (placebo.edit.region & data[1].regions["objects"]).any()
    before, after = (sorted(map(tuple, one.image[:, one.edit.region].T.tolist())) for one in (made, placebo))  # type: ignore[union-attr]
    assert before == after


def test_pixels_of_the_occluder_are_ignored_in_a_label_map() -> None:
    data = scenes("segmentation")
    made = edited("occlude(share=0.5, texture='object')", data[2], data)
    assert isinstance(made.target, MaskTarget)
    assert made.edit is not None
    assert (made.target.labels[made.edit.region] == 255).all()
    assert torch.equal(made.target.labels != 255, made.edit.before.labels != 255)  # type: ignore[union-attr]


def test_a_silhouette_has_the_outline_of_the_object_in_another_texture() -> None:
    data = scenes("detection")
    shown, outline = (edited(f"occlude(texture={texture!r}, style='silhouette')", data[3], data) for texture in ("object", "gray"))
    assert torch.equal(shown.edit.region, outline.edit.region)  # type: ignore[union-attr]
    assert (outline.image[:, outline.edit.region] == 0.5).all()  # type: ignore[union-attr]
    assert len(outline.target.boxes) == len(data[3].target.boxes)  # type: ignore[union-attr]  # a gray shape is no object


def test_boxes_cut_out_nothing_and_one_class_alone_covers_nothing() -> None:
    sample, others = synthetic.sample("detection"), synthetic.donors("detection")
    boxes = [replace(one, attributes={**one.attributes, "masks": "boxes"}) for one in others]
    with pytest.raises(NotApplicable, match="boxes alone cut out no object"):
        edited("occlude(texture='object')", sample, boxes)
    bare = [replace(one, regions={}) for one in others]
    with pytest.raises(NotApplicable, match="boxes alone cut out no object"):
        edited("occlude(texture='object')", sample, bare)
    cars = [replace(one, target=one.target.select(torch.tensor([0])), regions={"instance:0": one.regions["instance:0"], "class:car": one.regions["class:car"]}) for one in others]  # fmt: skip # noqa: E501
    with pytest.raises(NotApplicable, match="no donor lends an object of another class than car"):
        edited("occlude(texture='object', what='car')", sample, cars)


def test_slips_are_named() -> None:
    with pytest.raises(UserError, match="has its own outline, not style='block'"):
        INTERVENTIONS.build("occlude(texture='object', style='block')")
    with pytest.raises(UserError, match="covers nothing"):
        INTERVENTIONS.build("occlusion-level(foreground=0, background=0)")
    with pytest.raises(UserError, match="call with_donors"):
        INTERVENTIONS.build("occlude(texture='object')")(synthetic.sample("detection"), Noise(0, ("synthetic/0",)))


def test_the_largest_object_with_a_mask_is_lent_first() -> None:
    lent = cutouts(synthetic.sample("detection"))
    assert [one.name for one in lent] == ["car", "boat"]  # the second car has 16 pixels
    assert [one.area for one in lent] == [113, 60]
    assert lent[1].label == synthetic.CLASSES.index("boat")


def test_nothing_around_a_cut_out_object_shows_when_it_is_resized() -> None:
    mask = synthetic.masks()[0][18:33, 5:20]
    image = torch.where(mask, torch.tensor([1.0, 0, 0])[:, None, None], torch.tensor([0.0, 1, 0])[:, None, None])
    for factor in (0.6, 1.7, 2.5):
        made = Cutout(image, mask, "car", 0).scaled(factor)
        assert made.image[1][made.mask].max() < 1e-5
        assert made.area == pytest.approx(factor**2 * int(mask.sum()), rel=0.15)


def test_counts_of_covered_pixels_are_those_of_a_slow_loop() -> None:
    rng = numpy.random.default_rng(0)
    shape, mask = (torch.from_numpy(rng.random(size) < 0.5) for size in ((4, 6), (9, 11)))
    counts, top, left = covered_counts(shape, mask)
    for row in range(counts.shape[0]):
        for column in range(counts.shape[1]):
            expected = 0
            for y in range(4):
                for x in range(6):
                    at = row + top + y, column + left + x
                    expected += bool(shape[y, x]) and 0 <= at[0] < 9 and 0 <= at[1] < 11 and bool(mask[at])
            assert counts[row, column] == expected


def test_an_object_that_would_have_to_grow_too_much_is_not_placed() -> None:
    dot = Cutout(torch.zeros(3, 4, 4), torch.ones(4, 4, dtype=torch.bool), "dot", 0)
    mask = torch.ones(60, 60, dtype=torch.bool)
    assert place_over(dot, mask, 0.9, Noise(0, ("a",))) is None
    placed = place_over(dot, mask[:10, :10], 0.3, Noise(0, ("a",)))
    assert placed is not None
    assert placed.share == pytest.approx(0.3, abs=0.01)


# --- published levels ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("texture", ["object", "gray", "noise", "patch"])
@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_realised_shares_lie_in_the_published_ranges(texture: str, task: str) -> None:
    data, served = scenes(task), 0
    for f, b in ((1, 1), (1, 3), (2, 2), (3, 1), (3, 3)):
        for i in range(3):
            sample = data[i]
            try:
                made = edited(f"occlusion-level(foreground={f}, background={b}, texture={texture!r})", sample, data)
            except NotApplicable:
                continue
            served += 1
            assert made.edit is not None
            context = ~sample.regions["objects"]
            low, high = BACKGROUND[b]
            assert low <= float((made.edit.region & context).sum() / context.sum()) < high
            low, high = FOREGROUND[f]
            for visible in _asked(sample, made):
                assert low <= float((made.edit.region & visible).sum() / visible.sum()) < high
    assert served > 8


def _asked(sample: Sample, made: Sample) -> list[Tensor]:
    """The objects that the level is of."""
    if isinstance(made.target, BoxTarget):
        count = len(sample.target.boxes)  # type: ignore[union-attr]
        return [sample.regions[f"instance:{k}"] for k in range(count) if not made.target.crowd[k]]
    return [sample.regions["object"]] if "object" in sample.regions and not isinstance(made.target, MaskTarget) else []


def test_level_0_of_the_objects_covers_the_context_alone_and_has_no_placebo() -> None:
    data = scenes("classification")
    made = edited("occlusion-level(foreground=0, background=2)", data[0], data)
    assert made.edit is not None
    assert made.edit.share == 0
    assert not (made.edit.region & data[0].regions["objects"]).any()
    assert INTERVENTIONS.build("occlusion-level(foreground=0, background=2)").control is None


def test_the_placebo_of_a_level_leaves_what_covers_the_context_where_it_is() -> None:
    data = scenes("detection")
    made, placebo = (edited(f"occlusion-level{name}(foreground=1, background=2)", data[0], data) for name in ("", "-control"))
    assert made.edit is not None
    assert placebo.edit is not None
    same = (made.image == placebo.image).all(dim=0) & made.edit.region & placebo.edit.region
    assert float(same.sum() / placebo.edit.region.sum()) > 0.5


# --- recall of hidden objects --------------------------------------------------------------------------------------------------------


def test_an_object_that_an_edit_covers_is_occluded_or_separated_and_was_whole() -> None:
    data = scenes("detection")
    before, after = [], []
    for i in range(8):
        made = edited("occlude(share=0.5, texture='object')", data[i], data)
        before += [state_of(one) for one in visible_objects(data[i], data[i].target)]  # type: ignore[arg-type]
        after += [state_of(one) for one in visible_objects(made, made.target)]  # type: ignore[arg-type]
    assert before.count(WHOLE) > len(before) / 2
    assert WHOLE not in after
    assert {OCCLUDED, SEPARATED} <= set(after)


def test_a_bar_across_an_object_separates_it_with_and_without_amodal_masks() -> None:
    whole = torch.zeros(20, 20, dtype=torch.bool)
    whole[4:16, 2:18] = True
    bar = torch.zeros_like(whole)
    bar[:, 9:11] = True
    target = BoxTarget.of(torch.tensor([[2.0, 4, 18, 16], [9, 0, 11, 20]]), torch.tensor([0, 1]))
    regions = {"instance:0": whole & ~bar, "instance:1": bar}
    for more in ({}, {"amodal:0": whole, "amodal:1": bar}):
        sample = Sample("s", torch.zeros(3, 20, 20), target, regions | more)
        assert [state_of(one) for one in visible_objects(sample, target)] == [SEPARATED, WHOLE]
    two = {"instance:0": whole & ~bar, "instance:1": bar, "amodal:0": whole & ~bar, "amodal:1": bar}
    (first, _) = visible_objects(Sample("s", torch.zeros(3, 20, 20), target, two), target)
    assert state_of(first) == WHOLE  # it is in two pieces by itself


def test_boxes_tell_nothing_of_what_is_hidden() -> None:
    sample = synthetic.sample("detection")
    metric = METRICS.build("whole-box-recall", operating_score=0.3)
    nothing = BoxPrediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    for bare in (replace(sample, regions={}), replace(sample, attributes={"masks": "boxes"})):
        with pytest.raises(NotApplicable, match="the data have boxes alone"):
            metric.measure(nothing, bare)
    with pytest.raises(NotApplicable, match="finds boxes, not masks"):
        METRICS.build("whole-recall").measure(nothing, sample)


def test_after_a_removal_the_unedited_image_is_not_judged_by_other_objects_masks() -> None:
    sample = synthetic.sample("detection")
    made = INTERVENTIONS.build("remove(what='boat')")(sample, Noise(0, (sample.id,)))
    assert made.edit is not None
    with pytest.raises(NotApplicable, match="no longer in one order"):
        list(visible_objects(replace(sample, target=made.edit.before), made.edit.before))  # type: ignore[arg-type]


def _world(rng: numpy.random.Generator, n: int) -> list[dict[str, list[object]]]:
    """Images with 1 to 5 objects of each of an image's own ease, of which hidden ones are found less often."""
    out: list[dict[str, list[object]]] = []
    for ease in rng.normal(0.8, 0.7, n):
        states = rng.choice([WHOLE, OCCLUDED, SEPARATED], int(rng.integers(1, 6)), p=[0.5, 0.35, 0.15])
        found = ease + rng.normal(size=len(states)) > numpy.array([0.0, 0.6, 1.2])[states]
        out.append({"states": states.tolist(), "found": found.tolist()})
    return out


def test_gaps_are_differences_and_their_intervals_hold() -> None:
    metrics = [METRICS.build(f"{state}-box-recall", operating_score=0.3) for state in ("whole", "occluded", "separated")]
    rng = numpy.random.default_rng(0)
    truth = [metric.reduce(pyarrow.array(_world(rng, 30_000), JUDGED)) for metric in metrics]
    held = numpy.zeros(2)
    repetitions = 300
    for _ in range(repetitions):
        evidence = {f"{i:03}": one for i, one in enumerate(_world(rng, 100))}
        made = occlusion_gap(metrics, evidence)  # type: ignore[arg-type]
        for k, gap in enumerate(made.gaps):
            assert gap.value == pytest.approx(made.recalls[k + 1].value - made.recalls[0].value)  # type: ignore[operator]
            held[k] += gap.low <= truth[k + 1] - truth[0] <= gap.high  # type: ignore[operator]
        states = [state for one in evidence.values() for state in one["states"]]
        assert made.objects == tuple(states.count(k) for k in range(3))
    # 95 %, to three standard errors of 300 repetitions
    assert (held / repetitions > 0.91).all()
    assert (held / repetitions < 0.99).all()


# --- the suite and its reports -------------------------------------------------------------------------------------------------------


def test_the_suite_has_every_level_and_cell() -> None:
    suite = find_suite("occlusion")
    for track in suite.tracks:
        specs = [c.interventions[0] for c in track.conditions if c.interventions]
        assert len(specs) == 4 * 3 + 6
        assert len(set(specs)) == len(specs)
        assert track.conditions[0] == CLEAN


def test_tables_hold_the_numbers_of_their_conditions(tmp_path: Path) -> None:
    spec = "occlusion-level(foreground={}, background={}, texture='{}')"
    cells = [(f, b) for f in (1, 2, 3) for b in (1, 2, 3)]
    conditions = (
        CLEAN,
        *(Condition(f"gray {f}{b}", (spec.format(f, b, "gray"),), severity=f / 10, curve="gray" if f == b else None) for f, b in cells),
    )
    names = ("ap50", "object-recall", *(f"{state}-box-recall" for state in ("whole", "occluded", "separated")))
    track = Track("detection", ("yolov3-small.scenes",), ("scenes",), conditions, names, 12)
    suite = Suite("levels", 1, (track,), reports=("occlusion-levels", "occlusion-recall", "occlusion-curve"))
    results = run_suite(suite, tmp_path, Options(strength=0)).results
    (group,) = results.groups()
    items = {item.label: item for item in build_items(results, list(suite.reports))}
    table = items["occlusion-levels-detection"]
    assert isinstance(table, Table)
    row = table.frame[table.frame["metric"].map(str).str.contains("object-recall")].iloc[0]
    for column, name in (("L0", "clean"), ("L1", "gray 11"), ("L3", "gray 33")):
        assert row[column].estimate == results.estimate(group, name, "object-recall")
    served = [results.evidence(group, name, "object-recall").to_dict() for name in ("clean", "gray 11", "gray 22", "gray 33")]
    shared = set.intersection(*(set(one) for one in served))
    means = [sum(one[i]["share"] for i in shared) / len(shared) for one in served]
    assert row["n"] == len(shared)
    assert row["mean of L1 to L3"].estimate.value == pytest.approx(sum(means[1:]) / 3)
    effects = items["occlusion-effects-detection"].frame  # type: ignore[union-attr]
    assert effects["L2"].iloc[0].estimate == results.effect(group, "gray 22", "ap50").effect
    grid = items["occlusion-grid-detection-gray-block"].frame  # type: ignore[union-attr]
    assert grid["BGL3"].iloc[0].estimate == results.estimate(group, "gray 13", "ap50")
    recall = items["occlusion-recall-detection"].frame  # type: ignore[union-attr]
    assert recall["images"].tolist() == ["clean", "gray 11", "gray 22", "gray 33"]
    made = context_results.occlusion_recall(results, group, "gray 22", "boxes")
    assert recall["occluded"].iloc[2].estimate == made.recalls[1]
    with pytest.raises(NotApplicable, match="by masks"):
        context_results.occlusion_recall(results, group, "clean", "masks")
    assert "occlusion-area-detection" in items
