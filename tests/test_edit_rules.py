"""Edits that somebody planted wrongly are stopped by name before they become numbers."""

from pathlib import Path

import pytest

from robustbench_cv.errors import ForeignError
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

PLANTED = """
from dataclasses import replace
import torch
from robustbench_cv.types import Edit


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


def honest(): return Planted("corner", "corner")
def leaks(): return Planted("corner", "object")
def silent(): return Planted("corner", "nothing")
def bright(): return Planted("corner", "corner", 1.5)
def on_the_object(): return Planted("object", "object")
"""


def run(tmp_path: Path, edit: str, control: str) -> None:
    file = tmp_path / "planted.py"
    file.write_text(PLANTED)
    conditions = (
        CLEAN,
        Condition("edit", (f"{file}:{edit}",)),
        Condition("placebo", (f"{file}:{control}",), control_of="edit"),
    )
    track = Track("classification", ("lenet5.scenes",), ("scenes(size=48)",), conditions, ("top-1",), 4)
    run_suite(Suite("planted", 1, (track,), reports=("main-table",)), tmp_path / "run", Options(strength=0))


def test_an_honest_edit_passes(tmp_path: Path) -> None:
    run(tmp_path, "on_the_object", "honest")


@pytest.mark.parametrize(
    ("edit", "control", "message"),
    [
        ("leaks", "honest", "changes 4 pixels outside its region, the first at row 0, column 0"),
        ("silent", "honest", "returned a sample without `edit`"),
        ("bright", "honest", r"from .* to 1\.5; it is \(3, H, W\) in \[0, 1\]"),
        ("on_the_object", "on_the_object", "is a placebo and changes [0-9]+ pixels of the objects themselves"),
    ],
)
def test_a_wrong_edit_is_named(edit: str, control: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=message):
        run(tmp_path, edit, control)
