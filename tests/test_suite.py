"""Suites as data: YAML, validation, and the kinds of conditions."""

from pathlib import Path

import pytest

from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, METRICS, REPORTS, SUITES
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Spec
from robustbench_cv.runner.plan import with_controls
from robustbench_cv.suite import CLEAN, Condition, read_suite, validate

YAML = """
name: mine
version: 1
tracks:
  - task: classification
    models: [lenet5]
    datasets: [scenes]
    conditions:
      - name: clean
      - {name: weak, attack: "pgd(eps=1/255)", severity: 1/255, curve: pgd}
    metrics: [top-1]
"""


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_yaml_suite_reads_fractions(tmp_path: Path) -> None:
    suite = read_suite(_write(tmp_path / "mine.yaml", YAML))
    assert suite.tracks[0].conditions[0] == CLEAN
    assert suite.tracks[0].conditions[1].severity == pytest.approx(1 / 255)
    assert [c.kind for c in suite.tracks[0].conditions] == ["clean", "attack"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("version: 1", "versoin: 1"), "versoin"),
        (("task: classification", "task: classify"), "classify"),
        (("metrics: [top-1]", "metrics: []"), "no metric"),
        (("name: weak", "name: clean"), "two classification conditions"),
        (("metrics: [top-1]", "metrics: [top-1]\ngates: [{metric: top-1, condition: gone, at_least: 0.5}]"), "which no track measures"),
        (("name: mine", "name: [mine"), "is not YAML"),
    ],
)
def test_a_wrong_suite_names_the_field(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_suite(_write(tmp_path / "mine.yaml", YAML.replace(*change)))


def test_a_missing_suite_file_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the suite"):
        read_suite(tmp_path / "gone.yaml")


@pytest.mark.parametrize("name", SUITES.names())
def test_every_registered_suite_names_only_what_exists(name: str) -> None:
    suite = validate(SUITES.build(name))
    assert suite.name == name
    for track in suite.tracks:
        for spec in track.datasets:
            DATASETS.factory(spec)
        for metric in track.metrics:
            METRICS.entry(metric)
        for condition in with_controls(track.conditions):
            for spec in condition.interventions:
                INTERVENTIONS.build(spec)
            if condition.attack:
                ATTACKS.build(condition.attack)
    for report in suite.reports:
        REPORTS.entry(Spec.parse(report).name)


def test_every_intervention_of_a_suite_gets_its_control() -> None:
    conditions = with_controls([CLEAN, Condition("occluded", ("occlude(share=0.5)",), severity=0.5, curve="occlusion")])
    control = conditions[2]
    assert (control.kind, control.control_of, control.severity, control.curve) == ("control", "occluded", 0.5, "occlusion control")
    assert with_controls(conditions) == conditions
