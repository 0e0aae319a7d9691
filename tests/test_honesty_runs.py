"""The verdict on an attack in whole runs: kept and not repeated, in findings, tables and exit codes; and bundled models accuse nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from robustbench_cv.adversary.attack import run as run_attack
from robustbench_cv.adversary.objectives.classification import dlr
from robustbench_cv.catalogue import ATTACKS, DATASETS, REPORTS
from robustbench_cv.check_findings import STRENGTH, Finding
from robustbench_cv.checks.attack_strength import judge
from robustbench_cv.checks.checked_attack import Attacked
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.models.build import build
from robustbench_cv.noise import Noise
from robustbench_cv.records import AttackTrace
from robustbench_cv.results import Results
from robustbench_cv.runner import attack_verdicts
from robustbench_cv.runner.plan import Options
from robustbench_cv.runner.run import EXIT_CHECK, EXIT_PASS, Outcome, run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import ClassTarget, Logits

MODEL = '''
import torch
from torch import nn
from robustbench_cv.models.adapt import classifier
from robustbench_cv.types import Labels


class Tiny(nn.Module):
    """dark, bright or red, from the mean colour."""

    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(float(gain)))

    def forward(self, x):
        x = {change}
        red, rest = x[:, 0].mean((1, 2)), x[:, 1:].mean((1, 2, 3))
        return torch.stack([0.4 - rest - red, rest - 0.4, red - rest], dim=1) * self.gain


def build(gain=20.0):
    return classifier(Tiny(gain), name="{name}", classes=Labels(("dark", "bright", "red")))
'''

PGD = Condition("pgd", attack="pgd(eps=0.15, steps=20)", severity=0.15, curve="pgd")
FGSM = Condition("fgsm", attack="fgsm(eps=0.15)")


@pytest.fixture
def data(tmp_path: Path) -> str:
    rng = numpy.random.default_rng(0)
    labels = rng.integers(0, 3, 32)
    colours = numpy.array([[40, 40, 40], [180, 180, 180], [200, 40, 40]])[labels]
    images = numpy.clip(colours[:, None, None] + rng.normal(0, 45, (32, 12, 12, 3)), 0, 255).astype(numpy.uint8)
    numpy.savez(tmp_path / "data.npz", images=images, labels=labels, classes=numpy.array(["dark", "bright", "red"]))
    return f"npz:{tmp_path / 'data.npz'}"


def model(folder: Path, change: str = "x", name: str = "tiny") -> str:
    path = folder / f"{name}.py"
    path.write_text(MODEL.format(change=change, name=name))
    return f"{path}:build"


def run(out: Path, data: str, *models: str, conditions: tuple[Condition, ...] = (PGD, FGSM), **options: Any) -> Outcome:
    track = Track("classification", models, (data,), (CLEAN, *conditions), ("top-1",))
    return run_suite(Suite("small", 1, (track,), reports=("main-table", "checks")), out, Options(**options))


def verdicts(results: Results) -> dict[tuple[str, str], Finding]:
    return {(f.model, f.condition): f for f in results.findings if f.title == STRENGTH}


def test_every_attack_on_every_model_gets_one_verdict_once(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = model(tmp_path), model(tmp_path, "0.9 * x + 0.05", "twin")
    first = run(tmp_path / "out", data, *specs)
    found = verdicts(first.results)
    assert set(found) == {(m, c) for m in ("tiny", "twin") for c in ("pgd", "fgsm")}
    assert first.exit_code == EXIT_PASS, "a weak attack marks its number and blocks nothing"
    assert (found["tiny", "pgd"].check, found["tiny", "pgd"].verdict) == ("S10", "pass")
    assert "the same attack on twin, transferred" in found["tiny", "pgd"].evidence
    assert (found["tiny", "fgsm"].check, found["tiny", "fgsm"].verdict) == ("S11", "warn")

    monkeypatch.setattr(attack_verdicts, "judge", lambda subject: pytest.fail("judged again"))
    again = run(tmp_path / "out", data, *specs)
    assert again.computed == 0
    assert again.results.findings == first.results.findings


def test_the_verdict_stands_in_the_tables(data: str, tmp_path: Path) -> None:
    results = run(tmp_path / "out", data, model(tmp_path)).results
    table = REPORTS.build("main-table")(results)[0]
    text = table.to_markdown()
    strengths = dict(zip(table.frame.iloc[:, 1], table.frame.iloc[:, -1], strict=True))
    assert strengths == {"clean": None, "pgd": "strong", "fgsm": "weak", "worst case Linf 38.25/255": None}
    marked = {row.split("|")[1].strip(): "†" in row for row in text.splitlines() if row.startswith("|")}
    assert (marked["pgd"], marked["fgsm"]) == (False, True)
    assert not marked["worst case Linf 38.25/255"], "the worst case rests on the strong attack"
    assert "† S11 attack strength: attack looks weak because a single step" in text
    checks = REPORTS.build("checks")(results).to_markdown()
    assert "attack looks strong (" in checks
    assert "try: use pgd with 40 steps" in checks


def test_an_attack_on_a_model_that_is_never_right_is_not_called_strong(data: str, tmp_path: Path) -> None:
    results = run(tmp_path / "out", data, f"{model(tmp_path)}(gain=-20)", conditions=(PGD,), limit=6).results
    group = results.groups()[0]
    assert results.estimate(group, "clean", "top-1").value == 0
    assert results.estimate(group, "pgd", "top-1").value == 0
    (verdict,) = verdicts(results).values()
    assert verdict.verdict == "not applicable"
    assert "nothing to break" in verdict.evidence
    assert results.strength(group, "pgd") == verdict
    assert verdict.code == "nothing-to-break"
    assert REPORTS.build("main-table")(results)[0].frame.iloc[1, -1] == "nothing to break"


def test_nothing_is_tried_where_nothing_is_asked(data: str, tmp_path: Path) -> None:
    results = run(tmp_path / "out", data, model(tmp_path), strength=0).results
    assert {f.verdict for f in verdicts(results).values()} == {"note"}
    assert REPORTS.build("main-table")(results)[0].frame.iloc[1, -1] == "not judged"


def test_a_model_without_gradient_ends_no_run(data: str, tmp_path: Path) -> None:
    outcome = run(tmp_path / "out", data, model(tmp_path, "x.detach()"), conditions=(PGD,))
    assert outcome.exit_code == EXIT_CHECK
    group = outcome.results.groups()[0]
    assert outcome.results.counts(group, "pgd") == {"not-applicable": 32}
    found = verdicts(outcome.results)["tiny", "pgd"]
    assert (found.check, found.verdict) == ("S09", "stop")
    assert "blocked: S09" in outcome.results.estimate(group, "pgd", "top-1").reason
    assert outcome.results.estimate(group, "clean", "top-1").value is not None


@pytest.mark.parametrize(
    ("name", "spec", "n"),
    [
        ("cifar-resnet20.scenes", "pgd(eps=1/510, steps=40)", 12),
        pytest.param("unet.scenes", "seg-pgd(eps=1/255, steps=20)", 4, marks=pytest.mark.slow),
        pytest.param("yolov3-small.scenes", "tog-vanish(eps=1/255, steps=10, alpha=1/1020)", 4, marks=pytest.mark.slow),
    ],
)
def test_bundled_models_under_sound_attacks_accuse_nobody(name: str, spec: str, n: int) -> None:
    """At budgets that leave survivors: with none, an attack is strong without a test."""
    victim = build(name)
    data = DATASETS.build("scenes(samples=32)", task=victim.info.task)
    mapping = ClassMap.match(data.labels, victim.info.classes)
    samples = [mapping.sample(data[i]) for i in range(n)]
    images, noise = torch.stack([s.image for s in samples]), Noise(0, tuple(s.id for s in samples), "run")
    made = run_attack(ATTACKS.build(spec), victim, images, [s.target for s in samples], noise)
    survivors = [s for s, broken in zip(samples, made.success.tolist(), strict=True) if not broken]
    assert survivors
    found = judge(
        Attacked(
            model=victim, task=victim.info.task, spec=spec, survivors=survivors[:4], attacked=n, survived=len(survivors), backwards=20.0
        )
    )
    assert found.verdict == "pass", found.evidence
    assert "tried" in found.evidence


def test_gradients_that_are_zero_count_on_samples_that_were_not_broken() -> None:
    """DLR is flat where the label comes third: on an image that is wrong as it is that says nothing."""
    raw = Logits(torch.tensor([[3.0, 2.0, 1.0, 0.0]], requires_grad=True))
    (gradient,) = torch.autograd.grad(dlr()(raw, [ClassTarget(2)]).sum(), raw.values)
    assert not gradient.any()
    broken, whole, partly = (
        AttackTrace(success=s, size=0.1, radius=0.1, forwards=1, backwards=1, zero_grads=z)
        for z, s in ((1.0, True), (1.0, False), (0.5, False))
    )
    assert attack_verdicts.zero_share([broken, partly]) == 0
    assert attack_verdicts.zero_share([broken, whole, partly, partly]) == 0.25
    assert attack_verdicts.zero_share([]) == 0
