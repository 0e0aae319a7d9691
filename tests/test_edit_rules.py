"""Edits that somebody planted wrongly are stopped by name before they become numbers."""

from pathlib import Path

import pytest

from robustbench_cv.errors import ForeignError
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import Outcome, run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

PLANTED = """
from dataclasses import replace
import numpy
import torch
from robustbench_cv.types import BoxTarget, ClassTarget, Edit


class Planted:
    needs, control, removes_objects = frozenset({"object"}), None, False

    def __init__(self, where, declared, value=0.5):
        self.where, self.declared, self.value = where, declared, value

    def __call__(self, sample, noise):
        masks = {"object": sample.regions["object"], "corner": torch.zeros_like(sample.regions["object"])}
        masks["corner"][:2, :2] = True
        image = torch.where(masks[self.where], self.value, sample.image)
        if self.declared == "nothing":
            return replace(sample, image=image)
        return replace(sample, image=image, edit=Edit("planted", masks[self.declared], sample.target))


class Returns:
    needs, control, removes_objects = frozenset({"object"}), None, False

    def __init__(self, make):
        self.make = make

    def __call__(self, sample, noise):
        return self.make(sample)


def edited(sample, image, region=None, **more):
    region = torch.ones(image.shape[-2:], dtype=torch.bool) if region is None else region
    return replace(sample, image=image, edit=Edit("planted", region, sample.target, **more))


def nothing(): return Returns(lambda s: None)
def pair(): return Returns(lambda s: (s.image, s.target))
def in_place(): return Returns(lambda s: replace(s, image=s.image.mul_(0.5)))
def wide(): return Returns(lambda s: edited(s, s.image.repeat(1, 1, 2)))
def wide_and_said(): return Returns(lambda s: edited(s, s.image.repeat(1, 1, 2), moved=True))
def numbers(): return Returns(lambda s: edited(s, s.image * 0.5, torch.ones(s.image.shape[-2:], dtype=torch.uint8)))
def small_region(): return Returns(lambda s: edited(s, s.image * 0.5, torch.ones(3, 3, dtype=torch.bool)))
def bytes_(): return Returns(lambda s: edited(s, s.image * 255))
def doubles(): return Returns(lambda s: edited(s, s.image.double()))
def honest(): return Planted("corner", "corner")
def leaks(): return Planted("corner", "object")
def silent(): return Planted("corner", "nothing")
def bright(): return Planted("corner", "corner", 1.5)
def on_the_object(): return Planted("object", "object")


def retargeted(s, target=None, **more):
    made = edited(s, s.image * 0.5, **more)
    return made if target is None else replace(made, target=target)


def no_such_class(): return Returns(lambda s: retargeted(s, ClassTarget(99)))
def boxes_for_a_label(): return Returns(lambda s: retargeted(s, BoxTarget.of(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))))
def no_target(): return Returns(lambda s: replace(edited(s, s.image * 0.5), target=None))
def renamed(): return Returns(lambda s: replace(edited(s, s.image * 0.5), id="another"))
def unicorn(): return Returns(lambda s: edited(s, s.image * 0.5, removed=frozenset({"unicorn"})))
def removed_in_words(): return Returns(lambda s: edited(s, s.image.clone(), removed=frozenset({"cow"})))
def half_again(): return Returns(lambda s: edited(s, s.image * 0.5, share=1.5))
def by_luck(): return Returns(lambda s: edited(s, s.image * float(numpy.random.rand())))
def odd_call(counter=[0]): return Returns(lambda s: (counter.append(1), edited(s, s.image / len(counter)))[1])


def far_boxes(): return Returns(lambda s: retargeted(s, replace(s.target, boxes=s.target.boxes + 1000)))
def nan_boxes(): return Returns(lambda s: retargeted(s, replace(s.target, boxes=s.target.boxes * float("nan"))))


def vandal():
    # writes into all that it is given
    def write(s):
        made = edited(s, s.image.clone())
        s.target.boxes.add_(30)
        for name in s.regions:
            s.regions[name].zero_()
        s.image.zero_()
        there = replace(s.target, boxes=s.target.boxes - 30)
        return replace(made, target=there, edit=replace(made.edit, before=there))
    return Returns(write)
"""


def run(tmp_path: Path, edit: str, control: str) -> Outcome:
    file = tmp_path / "planted.py"
    file.write_text(PLANTED)
    conditions = (
        CLEAN,
        Condition("edit", (f"{file}:{edit}",)),
        Condition("placebo", (f"{file}:{control}",), control_of="edit"),
    )
    track = Track("classification", ("lenet5.scenes",), ("scenes(size=48)",), conditions, ("top-1",), 4)
    return run_suite(Suite("planted", 1, (track,), reports=("main-table", "gallery")), tmp_path / "run", Options(strength=0))


@pytest.mark.parametrize("edit", ["on_the_object", "wide_and_said"])
def test_an_honest_edit_passes(edit: str, tmp_path: Path) -> None:
    run(tmp_path, edit, "honest")
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    differences = page.count('<p class="gain">difference')
    assert differences > 0
    assert (differences > 4) == (edit == "on_the_object")  # images of two sizes have none, and there are four samples
    assert "placebo" in page


@pytest.mark.parametrize(
    ("edit", "control", "message"),
    [
        ("leaks", "honest", "changes 4 pixels outside its region, the first at row 0, column 0"),
        ("silent", "honest", "returned a sample without `edit`"),
        ("bright", "honest", r"from .* to 1\.5; it is \(3, H, W\) in \[0, 1\]"),
        ("nothing", "honest", "returned a NoneType; an intervention returns a Sample"),
        ("pair", "honest", "returned a tuple; an intervention returns a Sample"),
        ("in_place", "honest", "returned a sample without `edit`"),
        ("wide", "honest", r"of \(48, 96\) for one of \(48, 48\) .*say edit\.moved"),
        ("on_the_object", "wide_and_said", "a placebo keeps the size"),
        ("numbers", "honest", r"edit\.region of torch\.uint8 \(48, 48\); it is torch\.bool"),
        ("small_region", "honest", r"edit\.region of torch\.bool \(3, 3\); it is torch\.bool \(48, 48\)"),
        ("bytes_", "honest", "divide by 255"),
        ("doubles", "honest", r"an image of torch\.float64 for one of torch\.float32"),
        ("no_such_class", "honest", r"has a target with the label 99; classes are 0 to 9: "),
        ("boxes_for_a_label", "honest", "a target that is a BoxTarget; of these data it is a ClassTarget"),
        ("no_target", "honest", "a target that is a NoneType"),
        ("renamed", "honest", "a sample of another id, 'another'"),
        ("unicorn", "honest", "says that it removed 'unicorn'; the data's classes are"),
        ("removed_in_words", "honest", "says that it removed cow, and changed no pixel"),
        ("half_again", "honest", r"edit\.share of 1\.5"),
        ("by_luck", "honest", r"gave another picture when it was asked again .*from the `noise`"),
        ("odd_call", "honest", "gave another picture when it was asked again"),
        ("on_the_object", "on_the_object", "is a placebo and changes [0-9]+ pixels of the objects themselves"),
    ],
)
def test_a_wrong_edit_is_named(edit: str, control: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=message):
        run(tmp_path, edit, control)


def _detected(tmp_path: Path, *conditions: tuple[str, ...]) -> Outcome:
    """A run of a detector under chains of edits, each a name in the planted file or a spec."""
    tmp_path.mkdir(exist_ok=True)
    file = tmp_path / "planted.py"
    file.write_text(PLANTED)
    chains = [Condition(f"c{k}", tuple(s if "(" in s else f"{file}:{s}" for s in chain)) for k, chain in enumerate(conditions)]
    track = Track("detection", ("yolov3-small.scenes",), ("scenes(size=48)",), (CLEAN, *chains), ("object-recall",), 4)
    return run_suite(Suite("planted", 1, (track,), reports=("main-table",)), tmp_path / "run", Options(strength=0))


@pytest.mark.parametrize(
    ("edit", "message"),
    [("far_boxes", "has a target with a box outside its image of 48 x 48"), ("nan_boxes", "has a target with a box that is not finite")],
)
def test_a_wrong_target_of_boxes_is_named(edit: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=message):
        _detected(tmp_path, (edit,))


def test_the_first_edit_of_a_chain_is_held_to_the_rules_too(tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=r"planted\.py:bright.* to 1\.5"):
        _detected(tmp_path, ("bright", "occlude(share=0.3)"))


def test_an_edit_that_writes_into_its_sample_changes_no_other_condition(tmp_path: Path) -> None:
    alone = _detected(tmp_path / "alone", ("occlude(share=0.2)",)).results
    beside = _detected(tmp_path / "beside", ("vandal",), ("occlude(share=0.2)",)).results
    group = alone.groups()[0]
    assert beside.estimate(group, "c1", "object-recall") == alone.estimate(group, "c0", "object-recall")
    assert beside.estimate(group, "clean", "object-recall") == alone.estimate(group, "clean", "object-recall")
