"""The documents say what is true: their Python runs, their commands parse, the names in them exist, their links lead somewhere."""

import re
import shlex
from pathlib import Path

import click
import pytest

from robustbench_cv.catalogue import ATTACKS, DATASETS, MODELS, RECIPES, SUITES
from robustbench_cv.cli import cli
from robustbench_cv.cli.help_groups import Command
from robustbench_cv.registry import Spec
from robustbench_cv.suite import Condition, Gate, Suite, Track
from robustbench_cv.suite_files import check_specs, find_suite

ROOT = Path(__file__).parents[1]
PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if path.name != "index.md"]  # the site's front page is made from the README
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))  # what they hold is run by test_tutorials


def _blocks(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"```{language}\n(.*?)```", re.DOTALL)
    return [(f"{path.name}-{i}", block) for path in DOCUMENTS for i, block in enumerate(pattern.findall(path.read_text()))]


def _examples() -> list[str]:
    """The command lines under every --help."""
    return [example.command for command in cli.commands.values() if isinstance(command, Command) for example in command.examples]


def _commands() -> list[str]:
    joined = "\n".join(block.replace("\\\n", " ") for _, block in _blocks("bash"))
    lines = [re.sub(r"\s+#.*$", "", line).strip() for line in joined.splitlines()]
    return [line[line.index("robustbench-cv ") :] for line in lines if "robustbench-cv " in line]


@pytest.mark.parametrize(("name", "code"), _blocks("python"), ids=lambda value: value if len(value) < 30 else "code")
def test_python_in_documents_runs(name: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, name, "exec"), {"__name__": "document"})


@pytest.mark.parametrize("command", [*_commands(), *_examples()])
def test_commands_in_documents_parse_and_name_what_exists(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    subcommand = cli.commands[name]
    with click.Context(subcommand) as context:
        values, _, _ = subcommand.make_parser(context).parse_args(arguments)
    registries = {"suite": SUITES, "recipe": RECIPES}
    for key, registry in registries.items():
        if isinstance(values.get(key), str) and not values[key].endswith(".yaml"):
            registry.entry(Spec.parse(values[key]).name)
    for key, registry in (("models", MODELS), ("model", MODELS), ("data", DATASETS)):
        found = values.get(key) or []
        for spec in [found] if isinstance(found, str) else found:
            parsed = Spec.parse(spec)
            assert parsed.name.endswith(".py") or registry.entry(parsed.name.partition(".")[0])


def test_commands_were_found() -> None:
    assert len(_commands()) > 8
    assert {shlex.split(example)[1] for example in _examples()} == set(cli.commands)


@pytest.mark.parametrize("path", [*DOCUMENTS, *TUTORIALS], ids=lambda p: p.name)
def test_links_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links {target}"


def test_the_attacks_that_the_readme_names_exist() -> None:
    answer = (ROOT / "README.md").read_text().split("What does an adversary break?")[1].split("\n* ")[0]
    named = re.findall(r"`([a-z-]+)`", answer)
    assert len(named) >= 7
    for name in named:
        ATTACKS.entry(name)


def test_the_suite_in_the_documents_is_one_and_holds_every_field(tmp_path: Path) -> None:
    """Read, checked, and complete: each field of a gate or track that there is stands in it or is named in the text."""
    text = (ROOT / "docs" / "suites.md").read_text()
    block, *_ = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "street.yaml").write_text(block)
    suite = find_suite(str(tmp_path / "street.yaml"))
    check_specs(suite)
    assert [gate.word for gate in suite.gates] == ["at_least", "at_least", "at_most"]
    for record in (Suite, Track, Condition, Gate):
        for field in record.__struct_fields__:
            assert re.search(rf"\b{field}\b", text), field
