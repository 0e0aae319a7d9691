"""Suites as data: YAML, validation, and the kinds of conditions."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, METRICS, REPORTS, SUITES
from robustbench_cv.errors import ForeignError, UserError
from robustbench_cv.registry import Spec
from robustbench_cv.runner.plan import with_controls
from robustbench_cv.suite import CLEAN, Condition, Gate, Suite, Track, check_gates, validate
from robustbench_cv.suite_files import LARGEST_BYTES, check_specs, find_suite, read_suite

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
        (
            ("version: 1", "versoin: 1"),
            r"line 3, column \d+: versoin: there is no such field; did you mean 'version'\? there are name, version, tracks, seed",
        ),
        (
            ("severity: 1/255", "severty: 1"),
            r"line 10, column \d+: tracks\[0\]\.conditions\[1\]\.severty: there is no such field; did you mean 'severity'\? there are n",
        ),
        (("task: classification", "task: classify"), r"line 5, column \d+: tracks\[0\]\.task: .*classify"),
        (("version: 1", "version: one"), r"line 3, column \d+: version: it is text, and must be a whole number: one$"),
        (("version: 1", "version: 0"), r"line 3, column \d+: version: 0 is out of range; write a whole number from 1"),
        (("version: 1", "version: 1\nseed: 18446744073709551616"), r"line 4, column \d+: seed: 18446744073709551616 is out of range"),
        (("version: 1", "version: 1\nseed: 9223372036854775808"), r"line 4, column \d+: seed: .* is out of range"),
        (
            ("version: 1", f"version: 1\nseed: {'9' * 5000}"),
            r"line 4, column 7 is not YAML: '9+.* \(5,000 characters\)' is no date, time or number",
        ),
        (("version: 1", "version: 1\nstrength: -1"), r"line 4, column \d+: strength: -1 is out of range; write a whole number from 0"),
        (
            ("version: 1", "version: 1\nversion: 2"),
            r"line 4, column \d+: 'version' stands twice in one mapping, first in line 3",
        ),
        (("severity: 1/255", '"severity": 1, severity: 2'), r"line 10, column \d+: 'severity' stands twice"),
        (("name: mine", "name: [mine"), r"is not YAML"),
        (
            ("name: mine", "name: no"),
            r"line 2, column \d+: name: it is yes or no \(true or false\), and must be text: false; put quotes around text",
        ),
        (("name: mine", "name: ../mine"), r"line 2, column \d+: name: '../mine' is also the name of the run's folder"),
        (("name: mine", "name: '..'"), r"line 2, column \d+: name: '..' is also the name"),
        (
            ("name: mine", "name: 2024-13-45"),
            r"line 2, column 7 is not YAML: '2024-13-45' is no date, time or number that can be read; put quotes",
        ),
        (("name: mine", 'name: "a\\u202Eb"'), r"is no name: it takes up to 100 characters that can be printed"),
        (("metrics: [top-1]", "metrics: []"), r"line 11, column \d+: tracks\[0\]\.metrics: the classification track names no metric"),
        (("metrics: [top-1]", "metrics: [top-1, top-1]"), r"metrics\[1\]: 'top-1' comes twice"),
        (
            ("metrics: [top-1]", "metrics: [top-1]\n    samples: 0"),
            r"line 12, column \d+: tracks\[0\]\.samples: 0 is out of range; write a whole number",
        ),
        (("metrics: [top-1]", "metrics: [top-1]\n    samples: -3"), r"samples: -3 is out of range"),
        (("metrics: [top-1]", "metrics: [top-1]\n    samples: 1000000000000"), r"samples: 1000000000000 is out of range"),
        (("models: [lenet5]", "models: [lenet5, lenet5]"), r"line 6, column \d+: tracks\[0\]\.models\[1\]: 'lenet5' comes twice"),
        (("datasets: [scenes]", "datasets: [scenes, scenes]"), r"datasets\[1\]: 'scenes' comes twice"),
        (
            ("name: weak", "name: clean"),
            r"line 10, column \d+: tracks\[0\]\.conditions\[1\]: two classification conditions are called 'clean'",
        ),
        (("name: weak", "name: ' '"), r"line 10, column \d+: .*conditions\[1\]\.name: a name must not be empty"),
        (("name: weak", "name: weak, control_of: weak"), r"control_of: 'weak' is the control of itself"),
        (("name: weak", "name: weak, control_of: gone"), r"'weak' is the control of 'gone', which is not there"),
        (("name: clean", "{name: clean, control_of: weak}\n      - {name: x, control_of: clean}"), r"which is a control itself"),
        (
            ("severity: 1/255", "severity: 1.2.3/4"),
            r"line 10, column \d+: .*severity: it is text, and must be a number .* a number such as 0.5 or a fraction such as 8/255",
        ),
        (("severity: 1/255", "severity: 1/0"), r"line 10, column \d+: .*severity: it is text, .*fraction"),
        (("severity: 1/255", "severity: ./1"), r"severity: it is text, and must be a number"),
        (("severity: 1/255", "severity: .nan"), r"line 10, column \d+: .*severity: nan is no place on a curve"),
        (("severity: 1/255", "severity: -.inf"), r"severity: -inf is no place on a curve"),
        (
            ("metrics: [top-1]", "metrics: [top-1]\ngates: [{metric: top-1, condition: gone, at_least: 0.5}]"),
            r"line 12, column \d+: gates\[0\]: .*no track meas",
        ),
        (
            ("metrics: [top-1]", "metrics: [top-1]\ngates: [{metric: top-1, condition: clean, at_least: .nan}]"),
            r"at_least: nan is no bound",
        ),
    ],
)
def test_a_wrong_suite_names_file_line_and_field(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(UserError, match=rf"mine\.yaml,? .*{message}"):
        read_suite(_write(tmp_path / "mine.yaml", YAML.replace(*change)))


@pytest.mark.parametrize(
    ("written", "value"), [("8/255", 8 / 255), ("1e-3", 1e-3), (".5", 0.5), ("'0.25'", 0.25), ("-1/4", -0.25), ("3", 3.0)]
)
def test_severities_are_numbers_and_fractions(tmp_path: Path, written: str, value: float) -> None:
    suite = read_suite(_write(tmp_path / "mine.yaml", YAML.replace("severity: 1/255", f"severity: {written}")))
    assert suite.tracks[0].conditions[1].severity == value


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"is not YAML: with its aliases written out it has more than 50,000 parts"),
        ("name: &a [*a]", r"line 1, column \d+ is not YAML: an alias stands inside what it stands for"),
        ("&a {name: *a}", r"line 1, column \d+ is not YAML: an alias stands inside"),
        ("[" * 5000 + "]" * 5000, r"cannot be read: it is nested too deeply"),
        ("", r"mine\.yaml is empty"),
        ("# nothing", r"mine\.yaml is empty"),
        ("null", r"mine\.yaml is empty"),
        ("[1, 2]", r"line 1, column \d+: it is a list, and must be names with values"),
        ("name: a\n---\nname: b", r"is not YAML: expected a single document in the stream, but found another document"),
        (
            "name: !!python/name:os.system",
            r"line 1, column \d+ is not YAML: the tag '!!python/name:os.system' asks for more than plain data",
        ),
        ("{[a]: b}", r"line 1, column \d+ is not YAML: found unhashable key"),
        ("name: \x00", r"is not YAML: .*special characters"),
    ],
    ids=range(12),
)
def test_what_is_no_suite_is_refused_in_no_time(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_suite(_write(tmp_path / "mine.yaml", text))


def test_aliases_and_merge_keys_are_read(tmp_path: Path) -> None:
    text = YAML.replace("- name: clean", "- &c {name: clean, curve: a}\n      - {<<: *c, name: b, curve: d}")
    assert [(c.name, c.curve) for c in read_suite(_write(tmp_path / "mine.yaml", text)).tracks[0].conditions[:2]] == [
        ("clean", "a"),
        ("b", "d"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_suites_in_any_unicode_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "mine.yaml").write_bytes((("\ufeff" if encoding == "utf-16-le" else "") + YAML.replace("mine", "mïne")).encode(encoding))
    assert read_suite(tmp_path / "mine.yaml").name == "mïne"


def test_other_text_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(YAML.replace("mine", "mïne").encode("latin-1"))
    with pytest.raises(UserError, match=r"mine\.yaml, line 2: byte 0xef is not UTF-8; save the file as UTF-8"):
        read_suite(tmp_path / "mine.yaml")


def test_what_is_no_file_of_a_suites_size_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, message in (
        (tmp_path / "pipe.yaml", "it is no file"),
        (tmp_path, "it is no file"),
        ("a" * 300, "File name too long"),
        ("\0", "null"),
    ):
        with pytest.raises(UserError, match=f"cannot read the suite .*{message}"):
            read_suite(Path(name))
    with pytest.raises(UserError, match=r"bytes; a suite takes up to 524,288"):
        read_suite(_write(tmp_path / "large.yaml", "#" * (LARGEST_BYTES + 1)))


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


def _suite(**changes: object) -> Suite:
    track = Track("classification", ("lenet5.scenes",), ("scenes",), (CLEAN,), ("top-1",))
    return Suite(**{"name": "mine", "version": 1, "tracks": (track,), **changes})  # type: ignore[arg-type]


def test_a_suite_made_in_python_is_held_to_the_same() -> None:
    with pytest.raises(UserError, match=r"suite 'mine': tracks: a suite needs a track"):
        validate(_suite(tracks=()))
    with pytest.raises(UserError, match=r"tracks\[1\]: two tracks are for 'classification'"):
        validate(_suite(tracks=_suite().tracks * 2))
    with pytest.raises(UserError, match=r"reports\[1\]: 'checks' comes twice"):
        validate(_suite(reports=("checks", "checks")))


def test_a_track_without_models_needs_some_of_the_run() -> None:
    suite = _suite(tracks=(Track("classification", (), (), (CLEAN,), ("top-1",)),))
    assert validate(suite) is suite
    check_specs(suite, ["lenet5.scenes"], ["scenes"])
    with pytest.raises(UserError, match=r"tracks\[0\]\.models: the classification track has none; name some there, or with --model"):
        check_specs(suite, data=["scenes"])
    with pytest.raises(UserError, match=r"tracks\[0\]\.datasets: .* with --data"):
        check_specs(suite, ["lenet5"])
    empty = _suite(tracks=(Track("classification", ("lenet5",), ("scenes",), (), ("top-1",)),))
    with pytest.raises(UserError, match=r"tracks\[0\]\.conditions: the classification track names no condition"):
        validate(empty)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (
            Gate("top-1", "clean", 0.5, "lenet5"),
            r"is for 'lenet5', which is not in this run: it has 'lenet5\.scenes'; did you mean 'lenet5.scenes'",
        ),
        (Gate("top-1", "clean", 75), r"has the bound 75, but top-1 goes from 0 to 1; for 75 % write 0\.75"),
        (Gate("top-1", "clean", -0.1), r"has the bound -0.1, but top-1 goes from 0 to 1$"),
        (Gate("count", "clean", 6), r"has the bound 6, but count goes from -1 to 5$"),
    ],
)
def test_a_gate_that_decides_nothing_is_refused(gate: Gate, message: str) -> None:
    metrics = {"top-1": SimpleNamespace(is_rate=True), "count": SimpleNamespace(is_rate=False, range=(-1, 5))}
    with pytest.raises(UserError, match=message):
        check_gates(_suite(gates=(gate,)), ["lenet5.scenes"], metrics)
    for good in (Gate("top-1", "clean", 0.75), Gate("count", "clean", 5, "lenet5.scenes"), Gate("unranged", "clean", 1e6)):
        check_gates(_suite(gates=(good,)), ["lenet5.scenes"], metrics)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ["lenet6"]}, "no model named 'lenet6'; did you mean 'lenet5'"),
        ({"data": ["scens"]}, "no dataset named 'scens'; did you mean 'scenes'"),
        ({"data": ["scenes(bias='x')"]}, "bias='x' must be a number from 0 to 1"),
        ({"attack": "pgd(steps=0)"}, "steps=0 must be a whole number from 1"),
        ({"interventions": ("occlude(what=3)",)}, "what=3 must be text"),
        ({"interventions": ("occlud()",)}, "did you mean 'occlude'"),
        ({"metrics": ("top-2",)}, "did you mean 'top-"),
        ({"reports": ("main-tabel",)}, "did you mean 'main-table'"),
    ],
)
def test_names_and_arguments_are_checked_before_anything_is_built(changes: dict[str, Any], message: str) -> None:
    condition = Condition("edited", changes.get("interventions", ()), changes.get("attack"))
    track = Track("classification", ("lenet5.scenes",), ("scenes",), (CLEAN, condition), changes.get("metrics", ("top-1",)))
    suite = _suite(tracks=(track,), reports=changes.get("reports", ("checks",)))
    with pytest.raises(UserError, match=message):
        check_specs(suite, changes.get("models", ()), changes.get("data", ()))


def test_finding_and_checking_a_suite_imports_nothing_heavy() -> None:
    code = (
        "import sys; from robustbench_cv.suite_files import check_specs, find_suite\n"
        "check_specs(find_suite('attacks-classification'), ['unet.scenes'], ['folder:photos (1)'])\n"
        "assert not {'torch', 'numpy', 'pandas', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_suite_of_a_users_file_is_validated_and_its_faults_are_its_own(tmp_path: Path) -> None:
    head = "from robustbench_cv.suite import CLEAN, Suite, Track\n"
    path = _write(tmp_path / "mine.py", head + "def build(): return Suite('mine', 1, ())\ndef broken(): return 1 / 0\ndef no(): pass\n")
    with pytest.raises(UserError, match="a suite needs a track"):
        find_suite(f"{path}")
    with pytest.raises(ForeignError, match=r"mine\.py, function broken, line 3: ZeroDivisionError"):
        find_suite(f"{path}:broken")
    with pytest.raises(ForeignError, match=r"mine\.py, function no must return a suite; it returned nothing"):
        find_suite(f"{path}:no")
    with pytest.raises(ForeignError, match=r"mine\.py, line 1: RuntimeError: ran"):
        find_suite(str(_write(tmp_path / "mine.py", "raise RuntimeError('ran')")))


@pytest.mark.parametrize(
    ("track", "message"),
    [
        (
            {"metrics": ("miou",)},
            "metric 'miou' is for segmentation, and the track is for classification; there are label-probability, shape-bias, top-1",
        ),
        ({"conditions": (CLEAN, Condition("tog", attack="tog-vanish()"))}, "attack 'tog-vanish' is for detection, and the track is for"),
    ],
)
def test_what_is_for_another_task_is_refused_before_anything_runs(track: dict[str, Any], message: str) -> None:
    own: dict[str, Any] = {"conditions": (CLEAN,), "metrics": ("top-1",)}
    tracks = (Track("classification", ("lenet5.scenes",), ("scenes",), **(own | track)),)
    with pytest.raises(UserError, match=re.escape(message)):
        check_specs(Suite("mixed", 1, tracks))
