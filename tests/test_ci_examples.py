"""The GitHub action and the examples for CI: they parse, their commands are commands, and each outcome ends as it should."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from robustbench_cv.cli import cli

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = ACTION["runs"]["steps"]
DOCUMENT = ROOT / "docs" / "regression-testing.md"
EXAMPLES = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)]
VALUES = {
    "SUITE": "quick",
    "OUT": "runs/gate",
    "BASELINE": "baselines/model.parquet",
    "MARGIN": "0.02",
    "GITHUB_STEP_SUMMARY": "summary.md",
}


def _scripts(value: Any) -> Iterator[str]:
    """Every shell line of a parsed CI file: `run:` of GitHub, `script:` of GitLab."""
    if isinstance(value, dict):
        for key, part in value.items():
            if key in ("run", "script") and isinstance(part, str | list):
                yield from [part] if isinstance(part, str) else part
            else:
                yield from _scripts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _scripts(part)


def _commands() -> list[list[str]]:
    found = []
    for script in [*_scripts(ACTION), *(line for example in EXAMPLES for line in _scripts(example))]:
        for line in script.replace("\\\n", " ").splitlines():
            if line.strip().startswith("robustbench-cv "):
                words = [os.path.expandvars(re.sub(r"\$\{?(\w+)\}?", lambda m: VALUES.get(m[1], m[0]), w)) for w in shlex.split(line)]
                end = next((i for i, word in enumerate(words) if word in ("||", "&&")), len(words))
                found.append([word for word in words[1:end] if "[@]" not in word])
    return found


@pytest.mark.parametrize("command", _commands(), ids=" ".join)
def test_the_commands_of_ci_are_commands(command: list[str]) -> None:
    name, *arguments = command
    subcommand = cli.commands[name]
    assert not any("$" in argument for argument in arguments)
    with click.Context(subcommand) as context:
        values, rest, _ = subcommand.make_parser(context).parse_args(arguments)
        for parameter in subcommand.get_params(context):
            given = values.get(parameter.name or "")
            if isinstance(given, str | list | tuple | bool) and parameter.name != "help":
                parameter.type_cast_value(context, given)
    assert not rest


def test_examples_use_the_action_with_inputs_that_it_has() -> None:
    used = [
        step
        for example in EXAMPLES
        for job in (example.get("jobs") or {}).values()
        for step in job["steps"]
        if "robustbench-cv/robustbench-cv@" in step.get("uses", "")
    ]
    assert used
    for step in used:
        assert set(step["with"]) <= set(ACTION["inputs"])
    assert len(_commands()) >= 4


def test_no_input_is_pasted_into_a_script() -> None:
    """Text of others would be code there."""
    for script in _scripts(ACTION):
        assert "${{" not in script


def _filled(text: str, inputs: dict[str, str], told: dict[str, str]) -> str:
    """With GitHub's expressions replaced by what they stand for."""
    text = re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: inputs[m[1]], text)
    return re.sub(r"\$\{\{ steps\.\w+\.outputs\.(\w+) \}\}", lambda m: told.get(m[1], ""), text)


def _act(tmp_path: Path, run: int, compare: int, **given: str) -> tuple[int, str]:
    """The exit code of the action's shell steps, and the outcome, with a `robustbench-cv` that ends with these codes."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "robustbench-cv").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n[ "$1" = run ] && exit {run}\nexit {compare}\n')
    (tools / "robustbench-cv").chmod(0o755)
    output = tmp_path / "output"
    output.touch()
    inputs = {name: str(facts.get("default", "")) for name, facts in ACTION["inputs"].items()} | given
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(tmp_path / "s.md")}
    for step in STEPS:
        if "run" not in step or "pip install" in step["run"] or "gh pr" in step["run"]:
            continue
        told = dict(line.split("=", 1) for line in output.read_text().splitlines())
        filled = {name: _filled(text, inputs, told) for name, text in step.get("env", {}).items()}
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], env=environment | filled, capture_output=True, text=True)
        if done.returncode:
            return done.returncode, told.get("outcome", "")
    return 0, dict(line.split("=", 1) for line in output.read_text().splitlines())["outcome"]


@pytest.mark.parametrize(
    ("run", "compare", "given", "expected"),
    [
        (0, 0, {"baseline": "b.parquet"}, (0, "pass")),
        (1, 0, {"baseline": "b.parquet"}, (0, "pass")),
        (0, 1, {"baseline": "b.parquet"}, (1, "regression")),
        (0, 3, {"baseline": "b.parquet"}, (3, "inconclusive")),
        (0, 3, {"baseline": "b.parquet", "fail-on": "regression"}, (0, "inconclusive")),
        (0, 2, {"baseline": "b.parquet"}, (2, "")),
        (5, 0, {"baseline": "b.parquet"}, (5, "")),
        (0, 0, {}, (0, "pass")),
        (1, 0, {}, (1, "regression")),
        (4, 0, {}, (1, "blocked")),
    ],
)
def test_the_action_ends_as_its_outcome_says(
    run: int, compare: int, given: dict[str, str], expected: tuple[int, str], tmp_path: Path
) -> None:
    assert _act(tmp_path, run, compare, **given) == expected


def test_arguments_reach_the_run_as_they_are_quoted(tmp_path: Path) -> None:
    assert _act(tmp_path, 0, 0, arguments="--model \"m.py:build(a='b c')\" --limit 5") == (0, "pass")
    assert (tmp_path / "called").read_text() == "run quick --out runs/gate --model m.py:build(a='b c') --limit 5\n"
