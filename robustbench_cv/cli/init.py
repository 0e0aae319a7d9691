"""init: a commented suite for a model and data of the user's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from robustbench_cv.catalogue import DATASETS, MODELS
from robustbench_cv.cli import completion_values, options
from robustbench_cv.cli.help_groups import OTHER, WHAT, WRITES, option, titled_command
from robustbench_cv.errors import UserError
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv init --model my_model.py:build --data folder:/data/images", "robustbench.yaml, after a look at both"),
    ("robustbench-cv init --out suites/street.yaml", "asks for model and data"),
]
QUESTIONS = {
    "model": "Your model (timm:resnet18(pretrained=True), my_model.py:build, ultralytics:best.pt, ...)",
    "data": "Your data (folder:PATH, coco:PATH, yolo:PATH/data.yaml, masks:PATH, ...)",
}
ANSWERS = {
    "model": '--model "timm:resnet18(pretrained=True)", --model my_model.py:build, --model ultralytics:best.pt or another '
    "(robustbench-cv list models)",
    "data": "--data folder:PATH, --data coco:PATH, --data yolo:PATH/data.yaml, --data masks:PATH or another (robustbench-cv list datasets)",
}
"""What to type where nobody can be asked."""


@titled_command("init", examples=EXAMPLES)
@option("--model", title=WHAT, metavar="SPEC", shell_complete=completion_values.models, help="Your model; asked for unless given.")
@option("--data", title=WHAT, metavar="SPEC", shell_complete=completion_values.data, help="Your data; asked for unless given.")
@options.class_map
@options.device
@option(
    "--out",
    title=WRITES,
    type=options.FILE,
    metavar="FILE.yaml",
    default="robustbench.yaml",
    show_default=True,
    help="The suite; its name is the run's.",
)
@option("--force", title=WRITES, is_flag=True, help="Overwrite FILE.yaml.")
@option("--no-doctor", title=OTHER, is_flag=True, help="Do not look at model and data first.")
@options.plugin
def command(model: str | None, data: str | None, class_map: str, device: str, out: Path, force: bool, no_doctor: bool) -> int:
    """Write a commented suite for your model and data, after the doctor has looked at both."""
    if out.suffix.lower() not in (".yaml", ".yml"):
        raise click.UsageError(f"{out}: a suite is a YAML file; name it {out.with_suffix('.yaml')}")
    if out.exists() and not force:
        raise click.UsageError(f"{out} is there already and is not overwritten; --force does, or name another with --out")
    model, data = _answer("model", model), _answer("data", data)
    MODELS.check(model)
    DATASETS.check(data)
    from robustbench_cv.data.class_names import parse_overrides

    pairs = parse_overrides(class_map)
    task = _task(model, device)
    text = _checked(out, task, model, data)
    code = 0 if no_doctor else _doctor(model, data, device, pairs)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    say(f"written: {out}. Next: robustbench-cv run {out} limit=32")
    return code


def _answer(what: str, given: str | None) -> str:
    if given is None and not sys.stdin.isatty():
        raise click.UsageError(f"--{what} is missing, and nobody is there to be asked: write {ANSWERS[what]}")
    answer: str = click.prompt(QUESTIONS[what]) if given is None else given
    return answer


def _task(model: str, device: str) -> Any:
    """What the registry knows of a name, or what the built model says of itself."""
    from robustbench_cv.registry import Spec

    name = Spec.parse(model).name
    known = None if name.endswith(".py") else MODELS.entry(name).facts.get("task")
    if known is None:
        from robustbench_cv.runner.run import choose_device
        from robustbench_cv.training.train_on_demand import build

        known = build(model, device=choose_device(device)).info.task
    return known


def _checked(out: Path, task: Any, model: str, data: str) -> str:
    """The suite's text, read back: what is written is a suite."""
    import tempfile

    from robustbench_cv.starter_suite import starter
    from robustbench_cv.suite_files import problems
    from robustbench_cv.tasks import TASKS

    if task not in TASKS:
        raise UserError(f"{model!r} is for {task}; a suite is for {', '.join(TASKS)}")
    text = starter(out.stem, task, model, data)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / out.name
        draft.write_text(text, encoding="utf-8")
        found = problems(draft)
    if found:
        raise UserError(f"no suite can be written: {found[0].removeprefix(f'{draft}, ')}")
    return text


def _doctor(model: str, data: str, device: str, pairs: Any) -> int:
    from robustbench_cv.api import examine_specs
    from robustbench_cv.cli.doctor import print_findings
    from robustbench_cv.runner.progress_bar import progress_for
    from robustbench_cv.runner.run import EXIT_CHECK

    findings = examine_specs(model, data, device=device, class_map=pairs, announce=say, progress=progress_for())
    print_findings(findings)
    return EXIT_CHECK if any(f.verdict == "stop" for f in findings) else 0
