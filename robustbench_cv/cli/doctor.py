"""doctor: every check on a model and a data set, before anything is computed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from robustbench_cv.catalogue import DATASETS, MODELS
from robustbench_cv.check_findings import Finding, Fix
from robustbench_cv.cli import completion_values, options
from robustbench_cv.cli.help_groups import OTHER, WHAT, option, titled_command
from robustbench_cv.specs import Spec
from robustbench_cv.terminal import plain, say

EXAMPLES = [
    ("robustbench-cv doctor --model cifar-resnet20.scenes --data scenes", "a bundled model on the embedded data"),
    ("robustbench-cv doctor --model my_model.py:build --data coco:/data/coco/val2017", "your own model and data"),
]


@titled_command("doctor", examples=EXAMPLES)
@option("--model", title=WHAT, required=True, metavar="SPEC", shell_complete=completion_values.models, help="The model.")
@option("--data", title=WHAT, required=True, metavar="SPEC", help="The data set: 64 samples of it, or up to 512 where these do not decide.")
@options.class_map
@options.device
@option("--fix", title=OTHER, is_flag=True, help="Print the corrected line of configuration of what a check can name.")
@option("--json", "as_json", title=OTHER, is_flag=True, help="Machine-readable.")
@options.plugin
def command(model: str, data: str, device: str, class_map: str, fix: bool, as_json: bool) -> int:
    """Is any number going to be wrong? Runs every check that needs no run, on a model and 64 samples, or more where these do not decide."""
    from robustbench_cv.data.class_names import parse_overrides

    MODELS.check(model)
    DATASETS.check(data)
    pairs = parse_overrides(class_map)

    from robustbench_cv.api import examine_specs
    from robustbench_cv.runner.progress_bar import progress_for
    from robustbench_cv.runner.run import EXIT_CHECK

    progress = progress_for(quiet=as_json)
    findings = examine_specs(model, data, device=device, class_map=pairs, announce=partial(say, err=as_json), progress=progress)
    if as_json:
        say(json.dumps([dataclasses.asdict(f) for f in findings], indent=1))
    else:
        print_findings(findings)
        if fix:
            for line in fix_lines(findings, model):
                say(line)
    return EXIT_CHECK if any(f.verdict == "stop" for f in findings) else 0


def fix_lines(findings: Sequence[Finding], model: str) -> list[str]:
    """What to write, by check: the corrected line of configuration, and the model's spec where that says what its file's module is."""
    lines = []
    for finding in findings:
        if finding.fix is None or finding.verdict not in ("stop", "warn", "note"):
            continue
        lines.append(f"{finding.check}: write, {finding.fix.place}:\n    {plain(finding.fix.line)}")
        spec = mended_spec(model, finding.fix)
        if spec:
            lines.append(f'  or, as the model:\n    --model "{plain(spec)}"')
    return lines or ["no check can name a corrected line of configuration"]


def mended_spec(model: str, fix: Fix) -> str:
    """The spec of a bare module of a file with the fix's arguments; empty for other models, which say themselves what they are."""
    from robustbench_cv.models.from_user import FACTS

    spec = Spec.parse(model)
    if (
        not spec.name.endswith(".py")
        or "task" not in spec.args
        or not {name for name, _ in fix.arguments} <= set(FACTS)
        or not fix.arguments
    ):
        return ""
    kept = {name: value for name, value in spec.args.items() if name not in dict(fix.arguments)}
    return str(dataclasses.replace(spec, args=kept | {name: text for name, text in fix.arguments if text}))


def print_findings(findings: Sequence[Any]) -> None:
    """One row a check, the severest first, then one line that says what to do next."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    colours = {"pass": "green", "note": "cyan", "warn": "yellow", "stop": "bold red", "not applicable": "dim"}
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("check", max_width=26)
    table.add_column("verdict", no_wrap=True)
    table.add_column("evidence, and what to do")
    for f in findings:
        verdict = "n/a" if f.verdict == "not applicable" else f.verdict
        remedy = f"\n[bold]→ {_literal(f.remedy)}[/]" if f.remedy else ""
        row = (_literal(f"{f.check} {f.title}"), f"[{colours[f.verdict]}]{verdict}[/]", _literal(f.evidence) + remedy)
        table.add_row(*row, style="dim" if verdict == "n/a" else "")
    console = Console(highlight=False)
    console.print(table)
    console.print(_advice(findings))


def _literal(text: str) -> str:
    """Text of a finding, whose brackets and control characters are shown instead of obeyed."""
    from rich.markup import escape

    return escape(plain(text))


def _advice(findings: Sequence[Any]) -> str:
    stops = [f.check for f in findings if f.verdict == "stop"]
    if stops:
        return f"[bold red]stop[/]: {', '.join(stops)}. A run would block every number of this model on this data."
    warned = [f.check for f in findings if f.verdict == "warn"]
    if warned:
        return f"[yellow]warn[/]: {', '.join(warned)}. A run goes on and marks the numbers."
    return "[green]pass[/]: no check objects."
