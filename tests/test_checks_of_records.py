"""The checks of a finished run's records and pictures (S03, S15, S17) and of class counts and modes: where each fires, where none does."""

from __future__ import annotations

import functools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pyarrow
import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import AfterRun, Preflight
from robustbench_cv.checks.check_declarations import held
from robustbench_cv.models.build import build
from robustbench_cv.record_store import InMemory
from robustbench_cv.results import Results
from robustbench_cv.runner.plan import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import Labels, Logits, ModelInfo
from tests.checked_models import CLASSES, GROUND, Colours, Tiny, samples
from tests.test_checks_in_runs import write_model

ATTACKS = (
    Condition("pgd", attack="pgd(eps=0.05, steps=2)"),
    Condition("huge", attack="pgd(eps=0.5, steps=2)"),
    Condition("tiny", attack="pgd(eps=0.001, steps=2)"),
    Condition("far", attack="pgd(eps=0.6, steps=2)", curve="budget", severity=0.6),
    Condition("l2", attack="pgd(norm='l2', eps=0.5, steps=2)"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, str]:
    """A run of a sound model under attacks within usual and unusual budgets, and the model's spec."""
    folder = tmp_path_factory.mktemp("run")
    rng = numpy.random.default_rng(0)
    labels = rng.integers(0, 3, 24)
    colours = numpy.array([[40, 40, 40], [180, 180, 180], [200, 40, 40]])[labels]
    images = numpy.clip(colours[:, None, None] + rng.normal(0, 45, (24, 12, 12, 3)), 0, 255).astype(numpy.uint8)
    numpy.savez(folder / "data.npz", images=images, labels=labels, classes=numpy.array(("dark", "bright", "red")))
    spec = write_model(folder)
    track = Track("classification", (spec,), (f"npz:{folder / 'data.npz'}",), (CLEAN, *ATTACKS), ("top-1",))
    outcome = run_suite(Suite("small", 1, (track,), reports=("checks",)), folder / "out", Options(strength=0))
    return outcome.results, spec


def found(results: Results, check: str) -> dict[str, Finding]:
    """By condition."""
    return {f.condition: f for f in results.findings if f.check == check}


def test_budgets_in_other_units_are_marked_and_usual_ones_pass(finished: tuple[Results, str]) -> None:
    said = found(finished[0], "S03")
    assert {name: f.verdict for name, f in said.items()} == {"pgd": "pass", "huge": "warn", "tiny": "warn", "far": "note", "l2": "pass"}
    assert "0.05 of [0, 1] = 12.8/255 = 5.0% of the range" in said["pgd"].evidence
    assert "eps=8/255" in said["huge"].remedy
    assert "twice" in said["tiny"].remedy


def changed(results: Results, condition: str, **columns: Any) -> AfterRun:
    """The run with other values in some columns of a condition's records: name to a function of the old values."""

    def at(place: Any) -> Any:
        rows = results.source.at(place)
        if place.condition != condition:
            return rows

        def read(names: Any) -> pyarrow.Table:
            table = rows.read(names)
            for name, change in columns.items():
                column = name.replace("__", ".")
                if column in table.column_names:
                    values = pyarrow.array(change(table.column(column).to_pylist()), table.schema.field(column).type)
                    table = table.set_column(table.column_names.index(column), column, values)
            return table

        return replace(rows, read=read)

    class Changed(InMemory):
        def at(self, place: Any, /) -> Any:
            return at(place)

    return AfterRun(replace(results, source=Changed({})), {})


def test_a_change_beyond_its_budget_is_stopped(finished: tuple[Results, str]) -> None:
    after = changed(finished[0], "pgd", attack__size=lambda sizes: [0.2, *sizes[1:]])
    said = {f.condition: f for f in CHECKS.build("s03-budget")(after)}
    assert said["pgd"].verdict == "stop"
    assert "0.2, beyond the budget of 0.05" in said["pgd"].evidence
    assert said["huge"].verdict == "warn"


def test_counts_that_add_up_pass_and_say_what_they_are(finished: tuple[Results, str]) -> None:
    said = found(finished[0], "S17")
    assert {f.verdict for f in said.values()} == {"pass"}
    assert set(said) == {c.name for c in ATTACKS}
    assert said["pgd"].evidence.startswith("24 samples, ")
    assert "24 with an outcome under it" in said["pgd"].evidence


def test_a_flag_that_contradicts_the_outcome_is_stopped(finished: tuple[Results, str]) -> None:
    after = changed(finished[0], "pgd", attack__success=lambda flags: [not flags[0], *flags[1:]])
    said = {f.condition: f for f in CHECKS.build("s17-denominators")(after)}
    assert {name: f.verdict for name, f in said.items() if name != "pgd"} == dict.fromkeys(set(said) - {"pgd"}, "pass")
    assert said["pgd"].verdict == "stop"
    assert "1 of 24 attacked samples are broken and right, or neither" in said["pgd"].evidence


def test_other_samples_than_without_the_attack_are_stopped(finished: tuple[Results, str]) -> None:
    after = changed(finished[0], "l2", sample=lambda ids: [*ids[:-1], "stranger"])
    said = {f.condition: f for f in CHECKS.build("s17-denominators")(after)}
    assert said["l2"].verdict == "stop"
    assert "2 are in one alone" in said["l2"].evidence


def test_an_attack_that_8_bits_round_away_is_noted(finished: tuple[Results, str]) -> None:
    results, spec = finished
    sound = found(results, "S15")
    assert {f.verdict for f in sound.values()} <= {"pass", "note"}
    model = build(spec)

    class Fine:
        """Answers by what 8 bits cannot hold: another class where any value lies off their grid."""

        info = model.info

        def raw(self, images: Tensor, /) -> Logits:
            off = ((images * 255).round() / 255 - images).abs().amax((1, 2, 3)) > 1e-4
            return Logits(torch.stack([off.float(), 1 - off.float(), torch.zeros(len(images))], 1))

        def decode(self, raw: Logits, /) -> Any:
            return model.decode(raw)

    check, name = CHECKS.build("s15-eight-bits"), results.groups()[0].model
    notes = check(AfterRun(results, {("classification", name): Fine()}))  # type: ignore[dict-item]
    assert {f.verdict for f in notes} == {"note"}
    assert "pgd" in {f.condition for f in notes}
    assert "8 of 8 pictures get another answer" in notes[0].evidence
    plain = check(AfterRun(results, {("classification", name): model}))
    assert all("of 8 pictures" in f.evidence if f.verdict == "note" else f.verdict == "pass" for f in plain)
    assert [f.verdict for f in check(AfterRun(results, {}))] == ["not applicable"]


def test_pictures_that_cannot_be_read_are_nobodys_proof(finished: tuple[Results, str], tmp_path: Path) -> None:
    results, spec = finished
    assert results.folder is not None
    whole = {
        f.condition: f
        for f in CHECKS.build("s15-eight-bits")(AfterRun(results, {("classification", results.groups()[0].model): build(spec)}))
    }
    copy = tmp_path / "run"
    shutil.copytree(results.folder, copy)
    for picture in (copy / "images").rglob("*-after.png"):
        picture.write_bytes(picture.read_bytes()[:40])
    damaged = Results.open(copy)
    after = AfterRun(damaged, {("classification", damaged.groups()[0].model): build(spec)})
    assert {f.verdict for f in whole.values()} <= {"pass", "note"}
    assert [f.verdict for f in CHECKS.build("s15-eight-bits")(after)] == ["not applicable"]
    assert {f.verdict for f in CHECKS.build("s14-saved-images")(after)} == {"stop"}


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_scores_without_a_name_and_names_without_a_score_are_stopped(task: Any) -> None:
    class More(Tiny):
        names = 0

        @property
        def info(self) -> ModelInfo:
            own = super().info
            kept = CLASSES.names[: len(own.classes) + self.names]
            more = tuple(f"more {k}" for k in range(len(own.classes) + self.names - len(kept)))
            return replace(own, classes=Labels(kept + more))

    check, data = CHECKS.build("s32-class-count"), samples(task, 8)
    assert check(Preflight(Tiny(task), task, data)).verdict == "pass"
    for names, words in ((2, "names without a score"), (-1, "drop the scores")):
        model = More(task)
        model.names = names
        finding = check(Preflight(model, task, data))
        assert finding.verdict == "stop"
        assert words in finding.remedy
        count = GROUND if task == "detection" else len(CLASSES)
        assert f"{count} scores and has {count + names} class names" in finding.evidence


def test_a_prediction_that_switches_modes_is_named() -> None:
    class Switching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.colours = Colours()

        def forward(self, x: Tensor) -> Tensor:
            self.train()
            scores: Tensor = self.colours(x)
            return scores

    check = CHECKS.build("s05-mode")
    data = samples("classification", 8)
    assert check(Preflight(Tiny("classification"), "classification", data)).verdict == "pass"
    finding = check(Preflight(Tiny("classification", module=Switching().eval()), "classification", data))
    assert finding.verdict == "stop"
    assert "after a prediction, which switched them" in finding.evidence


def test_a_check_says_no_more_than_it_declares() -> None:
    said = functools.partial(Finding, "S38", "labels that a sure model denies")
    assert held("s38-denied-labels", [said("note", "")])
    with pytest.raises(ValueError, match="says 'stop' and declares note"):
        held("s38-denied-labels", [said("pass", ""), said("stop", "")])


def test_a_finished_run_is_read_back_with_its_findings(finished: tuple[Results, str]) -> None:
    folder = finished[0].folder
    assert isinstance(folder, Path)
    assert Results.open(folder).findings == finished[0].findings
