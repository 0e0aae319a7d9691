"""On rendered samples the true counterfactual is known: exact edits equal it, and every fill's own error is measured against it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from robustbench_cv.catalogue import DATASETS, INTERVENTIONS
from robustbench_cv.data.scenes.sample import sample as rendered
from robustbench_cv.data.scenes.scene import Object, Scene
from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.fill import FILLS
from robustbench_cv.noise import Noise
from robustbench_cv.types import ABSENT, IGNORE, MaskTarget, Sample


def scenes(task: str, count: int = 12, size: int = 64) -> list[Sample]:
    dataset = DATASETS.build(f"scenes(task={task!r}, samples={count}, size={size})")
    return [dataset[i] for i in range(count)]


def edit(spec: str, sample: Sample) -> Sample:
    return INTERVENTIONS.build(spec)(sample, Noise(0, (sample.id,)))


def test_exact_removal_is_the_scene_without_the_object() -> None:
    grown = 0
    for sample in scenes("classification"):
        assert sample.scene is not None
        (main,) = (k for k in range(9) if _equal(sample.regions.get(f"instance:{k}"), sample.regions["object"]))
        truth = sample.scene.without([main])
        after = edit("remove(what='object', fill='exact')", sample)
        assert torch.equal(after.image, truth.image)
        assert after.target.label == ABSENT
        assert after.edit.before.label == sample.target.label
        assert torch.equal(after.edit.region, (truth.image != sample.image).any(dim=0) | sample.regions["object"])
        grown += int(after.edit.region.sum() > 1.02 * sample.regions["object"].sum())
        assert after.scene is not None
        assert set(after.regions) == set(truth.regions)
    assert grown > 6  # the shadow goes with the object


def _equal(a: torch.Tensor | None, b: torch.Tensor) -> bool:
    return a is not None and torch.equal(a, b)


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_the_placebo_of_an_exact_edit_changes_nothing(task: str) -> None:
    for sample in scenes(task, 4):
        for spec in ("remove(what='random-class', fill='exact')", "swap-context(to='exact')"):
            after, control = edit(spec, sample), edit(INTERVENTIONS.build(spec).control, sample)
            assert torch.equal(control.image, sample.image)
            assert not control.edit.region.any()
            assert not torch.equal(after.image, sample.image)
            if isinstance(after.target, MaskTarget):
                assert torch.equal(control.target.labels == IGNORE, after.target.labels == IGNORE)
                assert torch.equal(control.target.labels, control.edit.before.labels)


def test_exact_detection_keeps_the_other_objects_with_their_new_boxes() -> None:
    uncovered = 0
    for sample in scenes("detection", 30):
        after = edit("remove(what='random-object', fill='exact')", sample)
        count = len(after.target.boxes)
        assert count == len(sample.target.boxes) - 1
        assert torch.equal(after.edit.before.labels[:count], after.target.labels)
        assert after.edit.before.crowd.tolist() == [False] * count + [True]
        old, new = after.edit.before.boxes[:count], after.target.boxes
        assert (new[:, :2] <= old[:, :2]).all()  # an edit only uncovers
        assert (new[:, 2:] >= old[:, 2:]).all()
        uncovered += int((new != old).any())
    assert uncovered > 0


def test_an_object_that_comes_to_light_makes_the_pair_not_applicable() -> None:
    hidden = Object(name="person", x=0.5, y=0.8, size=0.2, colour=(0.2, 0.2, 0.8), seed="a", depth=0.5)
    front = Object(name="car", x=0.5, y=0.85, size=0.7, colour=(0.8, 0.1, 0.1), seed="b", main=True)
    sample = rendered(Scene(context="street", objects=(hidden, front)), "made-up/0", "detection")
    assert len(sample.target.boxes) == 1
    with pytest.raises(NotApplicable, match="brings 1 hidden object"):
        edit("remove(what='car', fill='exact', max_share=0.9)", sample)


def test_exact_swaps_render_another_context_with_its_labels() -> None:
    for sample in scenes("segmentation", 6):
        after = edit("swap-context(to='exact')", sample)
        context = after.attributes["context"]
        assert context != sample.attributes["context"]
        assert sample.scene is not None
        truth = sample.scene.in_context(context)
        assert torch.equal(after.image, truth.image)
        assert torch.equal(after.target.labels, truth.target.labels)
        assert torch.equal(after.edit.before.labels, sample.target.labels)
        assert not after.edit.removed


def test_rendered_donors_lend_their_empty_stage_with_all_labels() -> None:
    dataset = DATASETS.build("scenes(task='segmentation', samples=20, size=64)")
    for i in range(4):
        sample = dataset[i]
        after = INTERVENTIONS.build("swap-context").with_donors(Donors(dataset))(sample, Noise(0, (sample.id,)))
        assert (after.target.labels != IGNORE).all()
        found = sample.regions["objects"]
        assert torch.equal(after.target.labels[found], sample.target.labels[found])
        stages = [d.scene.context_only() for d in (dataset[k] for k in range(20)) if d.scene is not None]
        assert any(torch.equal(s.image[:, ~found], after.image[:, ~found]) for s in stages)


def test_a_scene_that_numbers_classes_otherwise_is_refused() -> None:
    (sample,) = scenes("segmentation", 1)
    renumbered = replace(sample, target=MaskTarget(sample.target.labels + 1))
    with pytest.raises(ValueError, match="whoever renumbers a sample's classes"):
        edit("swap-context(to='exact')", renumbered)


def test_samples_that_were_not_rendered_have_no_exact_edit() -> None:
    (sample,) = scenes("classification", 1)
    for spec in ("remove(fill='exact')", "remove-control(fill='exact')", "swap-context(to='exact')", "swap-context(to='exact-same')"):
        with pytest.raises(NotApplicable, match="was not rendered from a description"):
            edit(spec, replace(sample, scene=None))


def test_in_painters_come_closer_to_the_truth_than_flat_fills() -> None:
    error = dict.fromkeys(FILLS, 0.0)
    samples = scenes("classification", 20)
    for sample in samples:
        truth = edit("remove(fill='exact')", sample)
        for fill in FILLS:
            after = edit(f"remove(fill={fill!r})", sample)
            error[fill] += float((after.image - truth.image).abs()[:, after.edit.region].mean()) / len(samples)
    # Measured on 200 scenes of 96 px: telea .054, navier-stokes .054, blur .060, mean .099, tile .13, noise .15, gray .18.
    for good in ("telea", "navier-stokes", "blur"):
        assert error[good] < 0.8 * error["mean"] < 0.8 * error["noise"]
        assert error[good] < 0.09


def test_the_shadow_is_filled_with_the_object_where_it_is_asked_for() -> None:
    error = {False: 0.0, True: 0.0}
    for sample in scenes("classification", 20):
        truth = edit("remove(fill='exact')", sample)
        for shadow in error:
            after = edit(f"remove(shadow={shadow}, dilate=0)", sample)
            assert bool((sample.regions["object"] & ~after.edit.region).any()) is False
            error[shadow] += float((after.image - truth.image).abs()[:, truth.edit.region].mean())
            if shadow:
                assert not bool((truth.edit.region & ~after.edit.region).any())
    assert error[True] < 0.95 * error[False]
    bare = replace(scenes("classification", 1)[0], scene=None)
    with pytest.raises(NotApplicable, match="was not rendered"):
        edit("remove(shadow=True)", bare)
