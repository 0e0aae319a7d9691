"""What holds for every registered intervention, on made-up samples of the three tasks."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robustbench_cv.catalogue import DATASETS, INTERVENTIONS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.fill import FILLS
from robustbench_cv.interventions.intervention import Intervention, NeedsDonors
from robustbench_cv.noise import Noise
from robustbench_cv.registry import load_file
from robustbench_cv.types import ABSENT, IGNORE, BoxTarget, ClassTarget, Edit, MaskTarget, Sample

synthetic = load_file(Path(__file__).parents[1] / "synthetic_samples.py")

VARIANTS = [
    *(f"remove(what='car', fill={fill!r})" for fill in FILLS),
    "remove(what='random-class')",
    "remove(what='random-object', dilate=0)",
    "remove(what='context-class')",
    "context-only(fill='tile', shape='box')",
    *(f"swap-context(to={to!r})" for to in ("same", "context:sea", "gray", "black", "blur", "noise")),
    "swap-context(to='random', fill='mean', what='car')",
    "object-only(background='gray', what='boat')",
    "occlude(share=0.2)",
    "occlude(share=0.8, texture='noise', style='blobs')",
    "occlude(share=0.4, texture='patch', what='car')",
    "occlude(share=0.6, texture='object')",
    "occlude(share=0.3, texture='object', what='car')",
    "occlude(share=0.4, texture='noise', style='silhouette')",
    *(f"occlusion-level(foreground={k}, background={3 - k})" for k in (1, 3)),
    "occlusion-level(foreground=2, background=2, texture='gray')",
    "occlusion-level(foreground=0, background=1, texture='noise', style='blobs')",
    "slide-patch(index=7, side=6, stride=6)",
    "random-erasing(cover='gray', least=0.3)",
    "hide-and-seek(cell=56, probability=0.75, cover='noise')",
    *(f"blur-context(sigma={sigma})" for sigma in (2, 32)),
    *(f"jigsaw-context(grid={grid})" for grid in (2, 8)),
    "texture-context(what='boat')",
    *(f"rotate(degrees={degrees})" for degrees in (-90, 7.5)),
    *("translate(right=0.2, down=0.1)", "translate(fill='edge')", "mirror(direction='both')", "rescale(factor=1.3)"),
    "transplant(pasted='background')",
    *("transplant(draw=5)", "transplant(row=1, column=2)", "transplant(row=5, column=5, max_share=0.06)"),
    *("hue(degrees=-60)", "hue(keep='hsv')", "patch-shuffle(grid=2)"),
    "crop-context(ratio=0, what='boat')",
    "blur-object(sigma=32, what='car')",
    *(f"{name}(severity={k}, where={where!r})" for name in ("fog", "zoom_blur") for k in (1, 5) for where in ("object", "context")),
    "jpeg_compression(where='object', what='car')",
    "corruption-control(corruption='glass_blur', severity=5)",
]
MOVED = ("rotate", "translate", "rescale", "mirror", "patch-shuffle", "viewpoint")
"""Kinds of edits that move pixels: what is the same in both images has another place."""

UNCOVERED = ("corruption", "blur-object", "grayscale", "hue")
"""How kinds of edits begin that change the look of what stays where it is."""

PICTURES = Path(__file__).parents[2] / "docs" / "images"
ELSEWHERE = {"swap-background", "published-corruption", "published-variant", "cue-conflict", "viewpoint"}
"""Registered names that need files (the first is built on the pictures of the documentation, the others in test_data_published.py and
test_imagenet9.py), one that needs donors of another class, which Scenes lend below, and one that needs descriptions, as Scenes have."""

SPECS = sorted({*(set(INTERVENTIONS.names()) - ELSEWHERE), *VARIANTS, f"swap-background(folder={str(PICTURES)!r})"})
TASKS = ("classification", "segmentation", "detection")
NOISE = Noise(3, ("synthetic/0",), "any")

each = pytest.mark.parametrize("spec", SPECS)
each_task = pytest.mark.parametrize("task", TASKS)


def build(spec: str, task: str, *, backwards: bool = False) -> Intervention:
    made = INTERVENTIONS.build(spec)
    if isinstance(made, NeedsDonors):
        lent = synthetic.donors(task)
        return made.with_donors(Donors(lent[::-1] if backwards else lent))
    return made


@functools.cache
def pair(spec: str, task: str) -> tuple[Sample, Sample]:
    """A sample and what the intervention makes of it."""
    before = synthetic.sample(task)
    try:
        return before, build(spec, task)(before, NOISE)
    except NotApplicable as reason:
        if "have places" not in str(reason):
            raise
        pytest.skip(str(reason))


@each
@each_task
def test_deterministic_by_id_and_unmoved_by_the_order_of_donors_or_the_purpose_of_the_noise(spec: str, task: str) -> None:
    before, first = pair(spec, task)
    again = build(spec, task, backwards=True)(before, replace(NOISE, purpose="another condition"))
    assert synthetic.digest(first) == synthetic.digest(again)


@each
@each_task
def test_the_input_stays_as_it_was(spec: str, task: str) -> None:
    pair(spec, task)
    before = synthetic.sample(task)
    digest = synthetic.digest(before)
    after = build(spec, task)(before, NOISE)
    assert synthetic.digest(before) == digest
    assert after.id == before.id
    assert after.image.data_ptr() != before.image.data_ptr()


@each
@each_task
def test_only_the_region_changes_and_the_image_stays_an_image(spec: str, task: str) -> None:
    before, after = pair(spec, task)
    assert after.edit is not None
    different = (after.image != before.image).any(dim=0)
    assert not (different & ~after.edit.region).any()
    assert different[after.edit.region].float().mean() > 0.5  # it does something, nearly everywhere it says so
    assert after.image.dtype == before.image.dtype
    assert after.image.shape == before.image.shape
    assert float(after.image.min()) >= 0
    assert float(after.image.max()) <= 1


@each
@each_task
def test_pair_is_scored_on_the_same_things(spec: str, task: str) -> None:
    sample, after = pair(spec, task)
    assert after.edit is not None
    target, before = after.target, after.edit.before
    if isinstance(target, ClassTarget):
        assert before.label == sample.target.label
        assert target.label in (ABSENT, before.label)
    elif after.edit.kind in MOVED and isinstance(target, MaskTarget):
        assert set(target.labels[target.labels != IGNORE].tolist()) == set(before.labels[before.labels != IGNORE].tolist())
    elif isinstance(target, MaskTarget):
        scored = target.labels != IGNORE
        assert torch.equal(scored, before.labels != IGNORE)
        assert torch.equal(before.labels[scored], sample.target.labels[scored])
        assert torch.equal(target.labels[scored & ~after.edit.region], sample.target.labels[scored & ~after.edit.region])
    else:
        target, before = _shared_objects(after.edit, target, before)
        count = len(target.boxes)
        pasted = max(0, count - len(sample.target.boxes))
        assert len(before.boxes) == len(sample.target.boxes) + pasted
        assert target.crowd[count - pasted :].all()  # nobody is asked to find what was pasted
        if after.edit.kind not in MOVED:
            assert torch.equal(before.boxes[:count], target.boxes)
        assert torch.equal(before.labels[:count], target.labels)
        assert torch.equal(before.crowd[:count], target.crowd)
        assert before.crowd[count:].all()


def _shared_objects(edit: Edit, target: BoxTarget, before: BoxTarget) -> tuple[BoxTarget, BoxTarget]:
    """Both without an object that the edit put in, which stands last in the target, and is to be ignored in the unedited image."""
    if not edit.adds or len(target.boxes) == 0 or not torch.equal(target.boxes[-1], edit.subject.boxes[0]):  # type: ignore[union-attr]
        return target, before
    added = len(target.boxes) - 1
    assert torch.equal(target.labels[added:], edit.subject.labels)  # type: ignore[union-attr]
    assert not target.crowd[added]
    assert before.crowd[added]
    return target.select(torch.arange(added)), before.select(torch.arange(len(before.boxes)) != added)


@each
@each_task
def test_regions_follow(spec: str, task: str) -> None:
    sample, after = pair(spec, task)
    assert after.edit is not None
    instances = [name for name in after.regions if name.startswith("instance:")]
    if isinstance(after.target, BoxTarget):
        assert instances == [f"instance:{k}" for k in range(len(after.target.boxes))]
    for name in instances:
        where = after.regions[name]
        if after.edit.kind in MOVED:
            continue
        if name not in sample.regions:
            assert not (where & ~after.edit.region).any()  # what was pasted lies where pixels changed
            continue
        if after.edit.adds and torch.equal(where, after.edit.region):  # the object that was put in
            continue
        if after.edit.kind.startswith(UNCOVERED):  # what is behind fog is still there
            assert torch.equal(where, sample.regions[name])
        else:
            assert torch.equal(after.image[:, where], sample.image[:, where])  # what is called visible was not painted over
    for name in after.edit.removed:
        assert f"class:{name}" not in after.regions
        assert f"class:{name}" in sample.regions


@each
@each_task
def test_control_is_the_same_edit_where_no_object_is(spec: str, task: str) -> None:
    intervention, (sample, after) = build(spec, task), pair(spec, task)
    if intervention.control is None:
        pytest.skip("is itself a control, or has no elsewhere")
    control = build(intervention.control, task)
    assert control.control is None
    edit, placebo = after.edit, control(sample, replace(NOISE, purpose="control")).edit
    assert edit is not None
    assert placebo is not None
    assert not placebo.removed & {"car", "boat"} or placebo.kind == "swap-context"
    if placebo.kind.endswith("-control"):
        # Where there is no room beside what already covers the context, a part of it is covered twice.
        assert placebo.region.sum() == edit.region.sum() or placebo.kind == "occlusion-level-control"
        assert placebo.region.sum() <= edit.region.sum()
        assert not (placebo.region & sample.regions["objects"]).any()
    else:
        assert torch.equal(placebo.region, edit.region)


@each
@each_task
def test_a_removal_says_so_and_its_placebo_does_not(spec: str, task: str) -> None:
    intervention, (sample, after) = build(spec, task), pair(spec, task)
    if intervention.removes_objects:
        assert after.edit is not None
        assert after.edit.removed or (after.regions.keys() < sample.regions.keys())
        assert intervention.control is not None
    if intervention.control is not None:
        assert not build(intervention.control, task).removes_objects


@each
@each_task
def test_without_regions_a_sample_is_not_applicable_or_truly_edited(spec: str, task: str) -> None:
    pair(spec, task)
    bare = replace(synthetic.sample(task), regions={})
    if not build(spec, task).needs:
        assert (build(spec, task)(bare, NOISE).image != bare.image).any()  # it needs no region
    elif task != "detection":
        with pytest.raises(NotApplicable, match=r"has no region|synthetic/0"):
            build(spec, task)(bare, NOISE)


@each
def test_boxes_stand_for_masks_unless_a_region_is_named(spec: str) -> None:
    sample = synthetic.sample("detection")
    bare = replace(sample, regions={})
    try:
        after = build(spec, "detection")(bare, NOISE)
    except NotApplicable:
        by_class = any(name.startswith("class:") for name in build(spec, "detection").needs)
        assert by_class or "class" in spec or "same" in spec or "shuffle" in spec
        return
    assert after.edit is not None
    assert torch.equal(after.image[:, ~after.edit.region], sample.image[:, ~after.edit.region])


@each
@each_task
def test_tiny_images_are_served_or_refused(spec: str, task: str) -> None:
    for size in ((1, 1), (3, 5), (9, 2)):
        tiny = _tiny(task, size)
        try:
            after = build(spec, task)(tiny, NOISE)
        except NotApplicable:
            continue
        assert after.edit is not None
        assert after.image.shape == (3, *size)
        assert torch.equal(after.image[:, ~after.edit.region], tiny.image[:, ~after.edit.region])
        assert after.image.isfinite().all()


def _tiny(task: str, size: tuple[int, int]) -> Sample:
    corner = torch.zeros(size, dtype=torch.bool)
    corner[0, 0] = True
    targets = {
        "classification": ClassTarget(0),
        "segmentation": MaskTarget(torch.where(corner, 0, 3)),
        "detection": BoxTarget.of(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([0])),
    }
    regions = dict.fromkeys(("object", "objects", "class:car", "instance:0"), corner)
    return Sample("synthetic/0", NOISE.uniform((3, *size))[0], targets[task], regions, {"context": "street"})


EXACT = (
    "remove(fill='exact')",
    "remove(what='random-class', fill='exact')",
    "swap-context(to='exact')",
    "viewpoint",
    "viewpoint(azimuth=-90)",
)


@pytest.mark.parametrize("spec", [*SPECS, *EXACT, "cue-conflict"])
@each_task
def test_laws_on_rendered_scenes(spec: str, task: str) -> None:
    dataset = DATASETS.build(f"scenes(task={task!r}, samples=12, size=48)")
    served = 0
    for i in range(4):
        sample = dataset[i]
        made = INTERVENTIONS.build(spec)
        made = made.with_donors(Donors(dataset)) if isinstance(made, NeedsDonors) else made
        digest = synthetic.digest(sample)
        noise = Noise(5, (sample.id,))
        try:
            first, again = made(sample, noise), made(sample, noise)
        except NotApplicable:
            continue
        served += 1
        assert synthetic.digest(sample) == digest
        assert synthetic.digest(first) == synthetic.digest(again)
        assert first.edit is not None
        assert torch.equal(first.image[:, ~first.edit.region], sample.image[:, ~first.edit.region])
        if isinstance(first.target, BoxTarget):
            masks = [name for name in first.regions if name.startswith("instance:")]
            assert len(masks) == len(first.target.boxes) == len(first.target.labels)
            shared, before = _shared_objects(first.edit, first.target, first.edit.before)  # type: ignore[arg-type]
            assert len(before.boxes) == max(len(sample.target.boxes), len(shared.boxes))
        if isinstance(first.target, MaskTarget) and first.edit.kind not in MOVED:
            assert torch.equal(first.target.labels == IGNORE, first.edit.before.labels == IGNORE)
    assert served or "shuffle" in spec or "cue" in spec or "car" in spec or "boat" in spec or "sea" in spec or "context-class" in spec
