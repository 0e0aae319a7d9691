"""The command line: parse, call, print. Torch is imported inside the commands that need it, so that help and lists answer at once.

Exit codes: 0 pass, 1 a gate failed, 2 wrong usage, 3 inconclusive, 4 a check said stop, 5 the machine failed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from robustbench_cv import __version__
from robustbench_cv.catalogue import REGISTRIES, add_plugin
from robustbench_cv.errors import RobustBenchError
from robustbench_cv.registry import Entry
from robustbench_cv.runner.memory import keep_freed_memory

_KINDS = click.Choice(sorted(REGISTRIES))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="robustbench-cv")
def cli() -> None:
    """The robustness benchmark for computer vision whose numbers defend themselves."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: errors for people on stderr, the exit code from the table above."""
    # Before torch loads: threads that wait by spinning make a shared core several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    try:
        code = cli.main(args=None if arguments is None else list(arguments), standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted; the same command again goes on from here", err=True)
        sys.exit(5)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except RobustBenchError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(5)
    sys.exit(code if isinstance(code, int) else 0)


def _plugins(_: click.Context, __: click.Parameter, files: tuple[str, ...]) -> tuple[str, ...]:
    for file in files:
        add_plugin(file)
    return files


_plugin = click.option(
    "--plugin",
    multiple=True,
    callback=_plugins,
    expose_value=False,
    is_eager=True,
    help="Python file whose marked factories are registered.",
)
_device = click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, or auto: the GPU where there is one.")
_class_map = click.option("--class-map", default="", help='Data class = model class where names differ: "auto=car,sign=-" (- drops one).')


@cli.command()
@click.argument("suite")
@click.option("--model", "models", multiple=True, help="Model spec in place of the suite's; may be repeated.")
@click.option("--data", multiple=True, help="Data spec in place of the suite's; may be repeated.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only N samples, the same ones every time.")
@click.option("--seed", type=int, help="Seed of every random choice; the suite's unless given.")
@_device
@click.option("--batch-size", default="auto", show_default=True, help="Images at once, or auto; halved where memory runs out.")
@click.option("--out", type=click.Path(path_type=Path), help="Run folder; runs/SUITE unless given.")
@click.option("--skip-bad", is_flag=True, help="Record unreadable samples as failed and go on.")
@click.option("--strength", type=click.IntRange(min=0), help="Unbroken samples on which each attack is tested for weakness; 0: none.")
@click.option("--note", "notes", multiple=True, help="A sentence that readers of the report must know; may be repeated.")
@_class_map
@_plugin
def run(
    suite: str,
    models: tuple[str, ...],
    data: tuple[str, ...],
    limit: int | None,
    seed: int | None,
    device: str,
    batch_size: str,
    out: Path | None,
    skip_bad: bool,
    strength: int | None,
    notes: tuple[str, ...],
    class_map: str,
) -> int:
    """Run SUITE (a name such as quick or "linf(eps=1/255)", or a YAML file) and write its report.

    The same command again resumes what is left, and then does nothing.
    """
    size = _batch_size(batch_size)
    from robustbench_cv.data.class_map import parse_overrides
    from robustbench_cv.runner.plan import Options
    from robustbench_cv.runner.progress_bar import Bar
    from robustbench_cv.runner.run import choose_device, find_suite, run_suite

    found = find_suite(suite)
    folder = out or Path("runs") / found.name
    click.echo(f"writes {folder}/: records, pictures, report")
    options = Options(
        models=models,
        data=data,
        limit=limit,
        seed=seed,
        device=choose_device(device),
        batch_size=size,
        skip_bad=skip_bad,
        class_map=parse_overrides(class_map),
        notes=notes,
    )
    if strength is not None:
        options = dataclasses.replace(options, strength=strength)
    command = shlex.join(["robustbench-cv", *sys.argv[1:]])
    outcome = run_suite(found, folder, options, command=command, progress=Bar, announce=click.echo)
    click.echo(_summary(outcome.results))
    click.echo(f"{outcome.computed} cells computed, {outcome.reused} reused; exit code {outcome.exit_code}")
    click.echo(f"report: {(folder / 'report' / 'index.html').resolve()}")
    return outcome.exit_code


def _batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdigit() and int(text) > 0:
        return int(text)
    raise click.BadParameter(f"{text!r} is neither a positive number nor auto", param_hint="--batch-size")


def _summary(results: Any) -> str:
    """The main tables as text."""
    from robustbench_cv.catalogue import REPORTS

    made = REPORTS.build("main-table")(results)
    tables = made if isinstance(made, list | tuple) else [made]
    return "\n".join(table.to_markdown() for table in tables)


@cli.command()
@click.option("--model", required=True, help="Model spec.")
@click.option("--data", required=True, help="Data spec.")
@_device
@_class_map
@_plugin
def doctor(model: str, data: str, device: str, class_map: str) -> int:
    """Is any number going to be wrong? Runs every check on a model and up to 64 samples."""
    from robustbench_cv.api import examine_specs
    from robustbench_cv.runner.run import EXIT_CHECK

    findings = examine_specs(model, data, device=device, class_map=class_map, announce=click.echo)
    _print_findings(findings)
    return EXIT_CHECK if any(f.verdict == "stop" for f in findings) else 0


def _print_findings(findings: Sequence[Any]) -> None:
    """One row a check, the severest first, then one line that says what to do next."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    colours = {"pass": "green", "note": "cyan", "warn": "yellow", "stop": "bold red", "not applicable": "dim"}
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("check", max_width=26)
    table.add_column("verdict", no_wrap=True)
    table.add_column("evidence, and what to do")
    for f in findings:
        verdict = "n/a" if f.verdict == "not applicable" else f.verdict
        remedy = f"\n[bold]→ {escape(f.remedy)}[/]" if f.remedy else ""
        row = (escape(f"{f.check} {f.title}"), f"[{colours[f.verdict]}]{verdict}[/]", escape(f.evidence) + remedy)
        table.add_row(*row, style="dim" if verdict == "n/a" else "")
    console = Console(highlight=False)
    console.print(table)
    console.print(_advice(findings))


def _advice(findings: Sequence[Any]) -> str:
    stops = [f.check for f in findings if f.verdict == "stop"]
    if stops:
        return f"[bold red]stop[/]: {', '.join(stops)}. A run would block every number of this model on this data."
    warned = [f.check for f in findings if f.verdict == "warn"]
    if warned:
        return f"[yellow]warn[/]: {', '.join(warned)}. A run goes on and marks the numbers."
    return "[green]pass[/]: no check objects."


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; the run folder itself unless given.")
@_plugin
def report(folder: Path, out: Path | None) -> None:
    """Write the report of a run again, from its folder alone."""
    from robustbench_cv.results import Results

    target = out or folder
    click.echo(f"writes {target}/report/ and {target}/summary.csv")
    Results.open(folder).report(target)
    click.echo(f"report: {(target / 'report' / 'index.html').resolve()}")


@cli.command("list")
@click.argument("kind", type=_KINDS)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
@_plugin
def list_(kind: str, as_json: bool) -> None:
    """What there is of KIND."""
    entries = [REGISTRIES[kind].entries()[name] for name in REGISTRIES[kind].names()]
    if as_json:
        rows = [{"name": e.name, "signature": e.signature, "summary": e.summary, **e.facts} for e in entries]
        click.echo(json.dumps(rows, indent=1))
        return
    width = max((len(e.name) for e in entries), default=0)
    for e in entries:
        click.echo(f"{e.name:<{width}}  {_facts_of_model(e) if kind == 'models' else ''}{e.summary}")


def _facts_of_model(entry: Entry) -> str:
    """Task, year, source and parameters of an architecture, in columns; blank for a source of many."""
    facts = entry.facts
    count = facts.get("parameters")
    millions = f"{count / 1e6:,.2f} M" if isinstance(count, int) else ""
    return f"{facts.get('task', ''):<14}  {facts.get('year', ''):<4}  {facts.get('source', ''):<12}  {millions:>9}  "


@cli.command()
@click.argument("kind")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="For data: the picture to write; NAME.png unless given.")
@_plugin
def show(kind: str, name: str, out: Path | None) -> None:
    """What KIND NAME is: its documentation, or for `data` a contact sheet of its first pictures."""
    if kind == "data":
        _show_data(name, out)
        return
    registry = REGISTRIES.get(kind if kind.endswith("s") else kind + "s")
    if registry is None:
        raise click.BadParameter(f"{kind!r} is none of data, {', '.join(k[:-1] for k in sorted(REGISTRIES))}", param_hint="KIND")
    import inspect

    entry = registry.entry(name)
    factory = registry.factory(name)
    module = inspect.getmodule(factory)
    click.echo(f"{entry.name}{entry.signature}\n")
    for text in dict.fromkeys([inspect.getdoc(factory), inspect.getdoc(module) if module else None]):
        if text:
            click.echo(text + "\n")
    for fact, value in entry.facts.items():
        click.echo(f"{fact}: {value}")


def _show_data(spec: str, out: Path | None) -> None:
    from robustbench_cv.catalogue import DATASETS
    from robustbench_cv.data.contact_sheet import contact_sheet
    from robustbench_cv.registry import Spec

    path = out or Path(f"{Spec.parse(spec).name}.png")
    click.echo(f"writes {path}")
    contact_sheet(DATASETS.build(spec)).save(path)


@cli.command()
@click.argument("recipe", required=False)
@click.option("--finetune", "model", help="Instead of a recipe: a model spec, to be trained further on --data.")
@click.option("--data", help="Training data spec; the recipe's own unless given.")
@click.option("--test", help="Data spec to measure the result on; the recipe's own unless given.")
@click.option("--out", type=click.Path(path_type=Path), help="Weights to write (.safetensors); RECIPE.safetensors unless given.")
@click.option("--epochs", type=click.IntRange(min=1), help="The recipe's own unless given; with --finetune at most, 20 unless given.")
@click.option("--frozen", is_flag=True, help="With --finetune: train the new head alone.")
@click.option("--patience", type=click.IntRange(min=1), help="With --finetune: epochs without progress that end the training; 5.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="With --finetune: highest rate; 0.001, large detectors 0.0001.")
@click.option("--batch", type=click.IntRange(min=1), help="With --finetune: images a step; 16, large detectors 4.")
@click.option("--size", help="With --finetune: side or WxH px at which the model trains and runs; its own unless given.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only the first N training samples.")
@click.option("--seed", type=int, default=0, show_default=True)
@_device
@_plugin
def train(
    recipe: str | None,
    model: str | None,
    data: str | None,
    test: str | None,
    out: Path | None,
    epochs: int | None,
    limit: int | None,
    seed: int,
    device: str,
    **settings: Any,
) -> None:
    """Train by RECIPE, or --finetune a model on --data, and write weights with a card. The same command again resumes."""
    if (recipe is None) == (model is None):
        raise click.UsageError("give a RECIPE or --finetune MODEL (robustbench-cv list recipes; list models)")
    given = {name: value for name, value in settings.items() if value}
    if model is not None:
        _finetune(model, data, test, out, epochs, limit, seed, device, given)
        return
    if given:
        raise click.UsageError(f"--{min(given)} goes with --finetune; a recipe has its own")
    assert recipe is not None
    from robustbench_cv.registry import Spec
    from robustbench_cv.runner.run import choose_device
    from robustbench_cv.training.train import train as train_recipe

    path = out or Path(f"{Spec.parse(recipe).name}.safetensors")
    click.echo(f"writes {path} and {path.with_suffix('.json')}")
    card = train_recipe(recipe, data=data, test=test, out=path, epochs=epochs, limit=limit, seed=seed, device=choose_device(device))
    click.echo(json.dumps(card.to_json(), indent=1))


def _finetune(
    model: str,
    data: str | None,
    test: str | None,
    out: Path | None,
    epochs: int | None,
    limit: int | None,
    seed: int,
    device: str,
    given: dict[str, Any],
) -> None:
    from robustbench_cv.registry import Spec
    from robustbench_cv.runner.run import choose_device
    from robustbench_cv.training.finetune import Settings, finetune

    if data is None:
        raise click.UsageError("--finetune needs --data: folder:DIR, masks:DIR, coco:DIR, npz:FILE (robustbench-cv list datasets)")
    spec = Spec.parse(model)
    path = out or Path(f"{(spec.target or spec.name).replace('/', '-')}-finetuned.safetensors")
    click.echo(f"writes {path} and {path.with_suffix('.json')}; use it as finetuned:{path}")
    chosen: dict[str, Any] = given if epochs is None else {**given, "epochs": epochs}
    settings = Settings(**chosen)
    card = finetune(model, data=data, test=test, out=path, settings=settings, seed=seed, device=choose_device(device), limit=limit)
    click.echo(json.dumps(card.to_json(), indent=1))


@cli.command()
@click.argument("name", required=False)
@click.option("--input", "size", default="224", show_default=True, help='Image side in pixels, or "640x480" (width x height).')
@click.option("--layers", is_flag=True, help="One row a layer: output, parameters, MAC, receptive field, stride.")
@click.option("--by-module", is_flag=True, help="Parameters and MAC of each module.")
@click.option("--all", "every", is_flag=True, help="Instead of NAME: the latency of every architecture, one row each.")
@click.option("--task", default="", help="With --all: classification, segmentation, detection or embedding alone.")
@click.option("--reduced", is_flag=True, help="With --all: each at the small size that the tests use.")
@click.option("--markdown", is_flag=True, help="With --all: a Markdown table.")
@click.option(
    "--seconds", type=click.FloatRange(min=0), default=10.0, show_default=True, help="Longest timing of a model; 3 calls at least."
)
@click.option("--batch-size", type=click.IntRange(min=1), default=1, show_default=True, help="Images in a call whose latency is taken.")
@click.option("--runs", type=click.IntRange(min=3), default=20, show_default=True, help="Calls whose latency is taken.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, auto, or meta: count without building or timing.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable: everything.")
@_plugin
def profile(
    name: str | None,
    size: str,
    layers: bool,
    by_module: bool,
    every: bool,
    batch_size: int,
    runs: int,
    device: str,
    as_json: bool,
    **more: Any,
) -> None:
    """What the model NAME costs: parameters, multiply-adds, activation memory, receptive fields, latency. --all: images a second of all."""
    from robustbench_cv.models.build import build
    from robustbench_cv.models.complexity import show
    from robustbench_cv.models.complexity.profile import profile as measure
    from robustbench_cv.models.weights.initial_weights import parse_size
    from robustbench_cv.runner.run import choose_device

    if (name is None) != every:
        raise click.UsageError("give a model's NAME, or --all for a table of every architecture")
    image = parse_size(size) or (224, 224)
    if name is None:
        _speeds(image, choose_device(device), batch_size, runs, as_json, **more)
        return
    model = build(name, device=choose_device(device))
    found = measure(model, image, batch=batch_size, runs=runs)
    if as_json:
        click.echo(json.dumps(show.to_json(found), indent=1))
        return
    click.echo(show.summary(found))
    for wanted, rows in ((layers, show.layer_rows), (by_module, show.module_rows)):
        if wanted:
            click.echo("\n" + show.aligned(rows(found)))


def _speeds(
    image: tuple[int, int],
    device: str,
    batch: int,
    runs: int,
    as_json: bool,
    *,
    task: str,
    reduced: bool,
    markdown: bool,
    seconds: float,
) -> None:
    import dataclasses

    from robustbench_cv.catalogue import MODELS
    from robustbench_cv.models.complexity import show, speed

    if device == "meta":
        raise click.UsageError("--all takes times, and the meta device computes nothing; use --device cpu or cuda")
    wanted = speed.specs(MODELS.entries().values(), task, reduced=reduced)
    if not wanted:
        raise click.UsageError(f"no architecture is for {task!r}; robustbench-cv list models shows their tasks")
    found: list[speed.Speed] = []
    for row in speed.speeds(wanted, image, device=device, batch=batch, runs=runs, seconds=seconds):
        click.echo(f"{len(found) + 1} of {len(wanted)}: {row.name}", err=True)
        found.append(row)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in found], indent=1))
        return
    table = speed.rows(found)
    click.echo(speed.markdown(table) if markdown else show.aligned(table))


if __name__ == "__main__":
    main()
