"""Suites as people write them: short conditions, overrides, the schema for editors, and all mistakes of a file with their places."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from robustbench_cv.catalogue import SUITES
from robustbench_cv.cli import main
from robustbench_cv.errors import UserError
from robustbench_cv.suite import CLEAN, Condition, Suite, budgets
from robustbench_cv.suite_files import problems, read_suite
from robustbench_cv.suite_overrides import override, split_override
from robustbench_cv.suite_schema import suite_schema

HEAD = "name: mine\nversion: 1\ntracks:\n- task: classification\n  models: [lenet5]\n  datasets: [scenes]\n  metrics: [top-1]\n"
SHORT = f"""{HEAD}  conditions:
  - clean
  - pgd(eps=2/255)
  - {{attack: "pgd(steps=10)", budgets: [0.5/255, 8/255], name: pgd}}
  - occlude(share=0.5)
  - {{name: removed, interventions: remove()}}
  - {{interventions: [remove()], attack: fgsm}}
"""
DOCUMENT = re.findall(r"```yaml\n(.*?)```", (Path(__file__).parents[1] / "docs" / "suites.md").read_text(), re.DOTALL)[0]


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_short_conditions_mean_what_the_long_ones_do(tmp_path: Path) -> None:
    (track,) = read_suite(write(tmp_path, SHORT)).tracks
    in_python = budgets("pgd", "pgd(eps={eps}, steps=10)", (0.5, 8))
    assert track.conditions[0] == CLEAN
    assert [(c.name, c.severity, c.curve) for c in track.conditions[2:4]] == [(c.name, c.severity, c.curve) for c in in_python]
    assert [c.name for c in track.conditions] == [
        "clean",
        "pgd 2/255",
        "pgd 0.5/255",
        "pgd 8/255",
        "occlude(share=0.5)",
        "removed",
        "remove(), fgsm",
    ]
    assert track.conditions[5] == Condition("removed", ("remove()",))
    assert (track.conditions[6].interventions, track.conditions[6].attack) == (("remove()",), "fgsm")


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("pdg(eps=1/255)", "line 9, column 5", "'pdg(eps=1/255)' is no attack and no intervention; did you mean 'pgd'"),
        ("{attack: dpatch, budgets: [1/255]}", "line 9, column 5", "attack 'dpatch' takes no eps"),
        ("{attack: pgd, budgets: []}", "line 9, column 5", "budgets is empty"),
        ("{attack: pgd, budgets: [8]}", "line 9, column 5", "write eps=8/255"),
        ("{budgets: [1/255]}", "line 9, column 5", "write attack: and budgets:"),
        ("{attack: pgd, budgets: [1/255], severity: 1}", "line 9, column 5", "severity"),
        ("{attak: pgd}", "line 9, column 6", "attak: there is no such field; did you mean 'attack'"),
    ],
)
def test_a_wrong_short_condition_names_its_place(line: str, place: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        read_suite(write(tmp_path, f"{HEAD}  conditions:\n  - {line}\n"))
    assert f"mine.yaml, {place}: " in str(refused.value)
    assert message in str(refused.value)


def test_places_are_those_of_the_file_also_behind_budgets(tmp_path: Path) -> None:
    """Two budgets make one line two conditions; the line after it keeps its own number."""
    text = (
        f"{HEAD}  conditions:\n  - {{attack: pgd, budgets: [1/255, 2/255, 4/255]}}\n  - {{name: x, attack: pdg}}\nreports: [main-tabel]\n"
    )
    found = problems(write(tmp_path, text))
    assert [re.findall(r"line (\d+), column (\d+): ", problem) for problem in found] == [[("10", "15")], [("11", "11")]]
    assert "conditions[1].attack: no attack named 'pdg'; did you mean 'pgd'" in found[0]
    assert "did you mean 'main-table'" in found[1]


WRONG = """name: a
version: 1
tracks:
- task: clasification
  models: [lenet5]
  datasets: [scene]
  metrics: [top-1, top-11]
  sample: many
  conditons:
  - clean
  - {attack: "pgd(step=10)"}
  - {attack: pdg, budgets: [1/255, 2/255]}
  - ocluded(share=0.5)
gates:
- {metric: top-1, condition: clen, at_leas: half}
- {metric: top-1, condition: pgd 1/255, at_least: 0.5}
- {metric: top-11, condition: clean, at_least: 0.5}
"""


def test_every_mistake_is_told_by_lines_with_the_closest_word_and_nothing_that_follows_from_another(tmp_path: Path) -> None:
    found = [problem.partition("mine.yaml, line ")[2] for problem in problems(write(tmp_path, WRONG))]
    expected = [
        (4, "task: there is no 'clasification'; did you mean 'classification'?"),
        (6, "did you mean 'scenes'?"),
        (7, "metrics[1]: no metric named 'top-11'; did you mean 'top-1'"),
        (8, "sample: there is no such field; did you mean 'samples'?"),
        (8, "sample: it is text, and must be a whole number or left out: "),
        (9, "conditons: there is no such field; did you mean 'conditions'?"),
        (11, "attack 'pgd' takes no 'step'; it takes pgd(norm='linf'"),
        (12, "no attack named 'pdg'; did you mean 'pgd'"),
        (13, "'ocluded(share=0.5)' is no attack and no intervention; did you mean 'occlude'?"),
        (15, "the gate names 'top-1' under 'clen', which no track measures; did you mean 'top-1' under 'clean'?"),
        (15, "at_leas: there is no such field; did you mean 'at_least'?"),
        (15, "at_leas: it is text, and must be a number or left out: half; write a number such as 0.5"),
    ]
    assert [int(problem.partition(",")[0]) for problem in found] == [line for line, _ in expected]
    for problem, (_, text) in zip(found, expected, strict=True):
        assert text in problem


def test_the_first_of_several_mistakes_says_where_all_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 4, .*'clasification'.* \(the first of \d+ mistakes: robustbench-cv validate .*mine\.yaml"):
        read_suite(write(tmp_path, WRONG))


def test_a_key_that_comes_twice_hides_no_other_mistake(tmp_path: Path) -> None:
    text = WRONG.replace("  sample: many\n", "  sample: many\n  task: detection\n").replace("gates:", "version: 2\ngates:")
    found = problems(write(tmp_path, text))
    double = [problem for problem in found if "stands twice" in problem]
    assert "line 9, column 3: 'task' stands twice in one mapping, first in line 4" in double[0]
    assert "line 15, column 1: 'version' stands twice in one mapping, first in line 2" in double[1]
    assert len(found) == len(problems(write(tmp_path, WRONG))) + len(double)
    lines = [int(problem.partition("mine.yaml, line ")[2].partition(",")[0]) for problem in found]
    assert lines == sorted(lines)


def test_validate_goes_on_after_a_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["validate", str(tmp_path / "gone.yaml"), str(write(tmp_path, WRONG))])
    assert done.value.code == 2
    said = capsys.readouterr().err
    assert "gone.yaml: No such file" in said
    assert "'clasification'" in said


def test_validate_prints_all_mistakes_and_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path, SHORT)
    for arguments, code in ((["validate", str(good)], 0), (["validate", str(good), str(tmp_path / "gone.yaml")], 2)):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == code
    assert "mine.yaml: no mistake; suite mine, tracks: 1, conditions: 7, gates: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pairs", "seen"),
    [
        (["seed=2"], lambda s: s.seed == 2),
        (["tracks[0].samples=50", "name=other"], lambda s: (s.tracks[0].samples, s.name) == (50, "other")),
        (["tracks[0].metrics=top-1,top-5"], lambda s: s.tracks[0].metrics == ("top-1", "top-5")),
        (["tracks[0].conditions[1].severity=8/255"], lambda s: s.tracks[0].conditions[1].severity == 8 / 255),
    ],
)
def test_overrides_change_one_field(pairs: list[str], seen: Any, tmp_path: Path) -> None:
    suite = read_suite(write(tmp_path, SHORT))
    changed = override(suite, [split_override(pair) for pair in pairs])
    assert seen(changed)
    assert not seen(suite)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("sed=2", "no field 'sed'; did you mean 'seed'"),
        ("seed=x", "it is text, and must be a whole number"),
        ("seed=-1", "out of range"),
        ("tracks[7].samples=1", "there is no number 7; the list has 1"),
        ("tracks=3", r"holds records: name one of their fields"),
        ("tracks[0].conditions[0].name=pgd 2/255", "two classification conditions are called"),
        ("seed", "is no key=value"),
        ("a b=3", "is no key=value"),
        ("name[0]=x", "there is no field 0"),
    ],
)
def test_a_wrong_override_is_refused(pair: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        override(read_suite(write(tmp_path, SHORT)), [split_override(pair)])


def _dumped(name: str) -> Any:
    return json.loads(msgspec.json.encode(SUITES.build(name)))


MISTAKES = {
    "versoin": lambda d: d.update(versoin=1),
    "task": lambda d: d["tracks"][0].update(task="speech"),
    "severity": lambda d: d["tracks"][0]["conditions"].append({"name": "x", "severity": "high"}),
    "field of a condition": lambda d: d["tracks"][0]["conditions"].append({"name": "x", "attak": "pgd"}),
    "metrics": lambda d: d["tracks"][0].update(metrics="top-1"),
    "bound": lambda d: d.update(gates=[{"metric": "top-1", "condition": "clean", "at_least": "much"}]),
    "no name": lambda d: d.pop("name"),
}


@pytest.mark.skipif(importlib.util.find_spec("jsonschema") is None, reason="jsonschema is not installed")
class TestSchema:
    """The schema and the parser agree."""

    @staticmethod
    def accepts(document: Any) -> bool:
        import jsonschema

        schema = suite_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        return bool(jsonschema.Draft202012Validator(schema).is_valid(document))

    @pytest.mark.parametrize("name", SUITES.names())
    def test_every_bundled_suite_is_valid(self, name: str) -> None:
        assert self.accepts(_dumped(name))

    @pytest.mark.parametrize("text", [SHORT, DOCUMENT])
    def test_what_the_documents_show_is_valid(self, text: str, tmp_path: Path) -> None:
        assert read_suite(write(tmp_path, text))
        assert self.accepts(yaml.safe_load(text))

    @pytest.mark.parametrize("mistake", MISTAKES)
    def test_what_the_parser_refuses_the_schema_refuses_too(self, mistake: str, tmp_path: Path) -> None:
        document = _dumped("linf")
        MISTAKES[mistake](document)
        with pytest.raises(UserError):
            read_suite(write(tmp_path, yaml.safe_dump(document)))
        assert not self.accepts(document)


def test_the_schema_knows_every_field_and_what_it_means() -> None:
    parts = suite_schema()["$defs"]
    assert set(parts["Suite"]["properties"]) == set(Suite.__struct_fields__)
    assert set(parts["Condition"]["properties"]) == set(Condition.__struct_fields__)
    assert parts["Condition"]["properties"]["severity"]["description"].startswith("the x value")
