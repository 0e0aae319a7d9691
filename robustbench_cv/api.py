"""One call from Python for what a command does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas
from typing_extensions import TypedDict, Unpack

from robustbench_cv.catalogue import DATASETS, MODELS
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.allowed import check_allowed
from robustbench_cv.checks.doctor import diagnose, step_count
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.data.source import seen_by
from robustbench_cv.errors import UserError
from robustbench_cv.explain.methods import build_method
from robustbench_cv.explain.survey import spread_indices, survey
from robustbench_cv.models.adapt import to
from robustbench_cv.models.labels import require_classes
from robustbench_cv.rendering.explanations import Explanations
from robustbench_cv.rendering.film_strips import Gallery
from robustbench_cv.rendering.write_report import build_items, publish
from robustbench_cv.results import Results
from robustbench_cv.runner.cost_estimate import CostEstimate, estimate_cost
from robustbench_cv.runner.plan import Options, make_plan
from robustbench_cv.runner.plan_text import missing_regions, plan_in_words
from robustbench_cv.runner.progress_bar import Progress, silent
from robustbench_cv.runner.run import Outcome, choose_device, run_suite
from robustbench_cv.suite import Suite
from robustbench_cv.suite_files import check_specs, find_suite
from robustbench_cv.terminal import encodable
from robustbench_cv.training.train_on_demand import build
from robustbench_cv.types import AnyModel


def run(
    suite: str | Suite,
    *,
    models: Sequence[str | AnyModel] = (),
    data: str | Sequence[str] = (),
    limit: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    out: str | Path | None = None,
    skip_bad: bool = False,
    class_map: Mapping[str, str] | None = None,
    strength: int | None = None,
    notes: Sequence[str] = (),
    reread: bool = False,
    save_predictions: bool = False,
    workers: int = 1,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    worker_memory: float = 0.0,
    mirror: str = "",
    allow: Sequence[str] = (),
) -> Results:
    """Run a suite (a name, a YAML file, or a Suite) and read its results back.

    models: specs, or models you built (anything with `info`, `raw` and `decode`); data: specs. Both replace the suite's own for their task.
    out: the run folder, runs/<suite> unless given; the same call again resumes. strength: unbroken samples on which each attack is tested
    for weakness. notes: sentences that readers of the report must know. reread: read all data files again, also those whose size and times
    are what they were when this folder's run read them. save_predictions: keep what classifiers and segmenters said of every sample, as
    `score` reads it; detections are kept always. workers: processes that compute cells, on this machine, or with executor="ray" on the
    cluster at address (None: RAY_ADDRESS's, or one of this machine), each asking it for worker_memory GB; models are specs then. mirror: an
    address that fsspec knows (s3://bucket/run): finished files are copied there, and what lies there is not computed again.
    allow: ids of checks (S07) whose "stop" only marks the numbers that they speak of, which says so wherever it is shown.
    Raises UserError for what you can fix, ForeignError where a model's, attack's or data set's own code fails.
    """
    return execute(
        suite,
        models=models,
        data=data,
        limit=limit,
        seed=seed,
        device=device,
        batch_size=batch_size,
        out=out,
        skip_bad=skip_bad,
        class_map=class_map,
        strength=strength,
        notes=notes,
        reread=reread,
        save_predictions=save_predictions,
        workers=workers,
        executor=executor,
        address=address,
        worker_memory=worker_memory,
        mirror=mirror,
        allow=allow,
    ).results


class RunOptions(TypedDict, total=False):
    """What `run` takes beside a suite and a folder; see there."""

    models: Sequence[str | AnyModel]
    data: str | Sequence[str]
    limit: int | None
    seed: int | None
    device: str
    batch_size: int | None
    skip_bad: bool
    class_map: Mapping[str, str] | None
    strength: int | None
    notes: Sequence[str]
    reread: bool
    save_predictions: bool
    workers: int
    executor: Literal["local", "ray"]
    address: str | None
    worker_memory: float
    mirror: str
    allow: Sequence[str]


def execute(
    suite: str | Suite,
    *,
    out: str | Path | None = None,
    command: str = "",
    progress: Callable[[int], Progress] = silent,
    announce: Callable[[str], None] = lambda text: None,
    **asked: Unpack[RunOptions],
) -> Outcome:
    """As `run`, with what the call did beside its results: cells computed and reused, the exit code of `robustbench-cv run`.

    command: the command line, for run.json. progress: a bar over samples. announce: is given lines for people.
    """
    chosen, options = _checked(suite, **asked)
    folder = Path(out) if out is not None else Path("runs") / chosen.name
    return run_suite(chosen, folder, options, command=encodable(command), progress=progress, announce=announce)


def plan(suite: str | Suite, **asked: Unpack[RunOptions]) -> list[str]:
    """What `run` would do, in lines for people; everything that it would refuse before its first cell is refused. Writes nothing."""
    made = make_plan(*_checked(suite, **asked))
    return [*plan_in_words(made), *(f"NOTE {note}" for note in missing_regions(made))]


def cost(suite: str | Suite, *, progress: Callable[[int], Progress] = silent, **asked: Unpack[RunOptions]) -> CostEstimate:
    """What `run` would take: seconds, bytes, and what takes most of the time, by four samples of every model, data set and condition."""
    return estimate_cost(*_checked(suite, **asked), progress)


def _checked(suite: str | Suite, **asked: Unpack[RunOptions]) -> tuple[Suite, Options]:
    """The suite and the options of a run, checked."""
    chosen = find_suite(suite) if isinstance(suite, str) else suite
    models, data = asked.get("models", ()), asked.get("data", ())
    specs = (data,) if isinstance(data, str) else tuple(data)
    check_specs(chosen, models, specs)
    return chosen, Options(
        models=tuple(models),
        data=specs,
        limit=_in_range("limit", asked.get("limit"), 1, 2**31 - 1),
        seed=_in_range("seed", asked.get("seed"), 0, 2**63 - 1),
        device=choose_device(asked.get("device", "auto")),
        batch_size=_in_range("batch_size", asked.get("batch_size"), 1, 999_999),
        skip_bad=asked.get("skip_bad", False),
        class_map=asked.get("class_map"),
        notes=tuple(map(encodable, asked.get("notes", ()))),
        strength=_in_range("strength", asked.get("strength"), 0, 2**31 - 1),
        reread=asked.get("reread", False),
        save_predictions=asked.get("save_predictions", False),
        workers=_in_range("workers", asked.get("workers", 1), 1, 4096) or 1,
        executor=asked.get("executor", "local"),
        address=asked.get("address"),
        worker_memory=asked.get("worker_memory", 0.0),
        mirror=asked.get("mirror", ""),
        allow=check_allowed(asked.get("allow", ())),
    )


def _in_range(name: str, value: int | None, least: int, most: int) -> int | None:
    if value is not None and not least <= value <= most:
        raise UserError(f"{name}={value} must be a whole number from {least} to {most}")
    return value


def report(results: Results, out: str | Path) -> list[Path]:
    """Write the run's reports (csv, md, tex, figures, one html page), summary.csv and junit.xml under a folder; the paths written."""
    return publish(results, Path(out), results.run.reports)


def table(results: Results, name: str) -> pandas.DataFrame:
    """The frame of a report by its spec ("main-table", "context-sensitivity"); of its first part where it has several.

    UserError for a report that is not registered, or that has nothing to show of this run.
    """
    framed = [item for item in build_items(results, [name], typed=[name]) if not isinstance(item, Gallery)]
    if not framed:
        raise UserError(f"report {name!r} has no table to show of this run")
    return framed[0].frame


def examine_specs(
    model: str,
    data: str,
    *,
    device: str = "auto",
    class_map: Mapping[str, str] | None = None,
    announce: Callable[[str], None] = lambda text: None,
    progress: Callable[[int], Progress] = silent,
) -> list[Finding]:
    """Run every check on a model and up to 64 samples of a data set, both by spec: what `robustbench-cv doctor` prints.

    progress: over the checks.
    """
    MODELS.check(model)
    DATASETS.check(data)
    chosen = choose_device(device)
    built = build(model, device=chosen)
    require_classes(built.info.name, built.info.classes.names)
    dataset = DATASETS.build(data, task=built.info.task)
    built = seen_by(dataset, built)
    mapping = ClassMap.match(dataset.labels, built.info.classes, class_map or {})
    announce(f"{built.info.name} on {dataset.name}: {mapping.summary()}")
    with progress(step_count()) as bar:
        begun = 0

        def begins(step: str) -> None:
            nonlocal begun
            bar.advance(min(begun, 1))
            begun += 1
            bar.describe(step)

        findings = diagnose(built, dataset, mapping, range(len(dataset)), device=chosen, begins=begins)
        bar.advance(min(begun, 1))
    return findings


def explain(
    model: str | AnyModel,
    data: str,
    method: str = "occlusion",
    *,
    samples: int = 16,
    tolerance: int | None = None,
    device: str = "auto",
    class_map: Mapping[str, str] | None = None,
    progress: Callable[[int], Progress] = silent,
    announce: Callable[[str], None] = lambda text: None,
) -> Explanations:
    """Maps of what a model says of the main objects of `samples` pictures, spread over the data, and what they say of each class.

    method: "occlusion(side=16)", "gradient", "integrated-gradients", "grad-cam(layer='net.layer4')", "lrp". tolerance: of the pointing
    game, in pixels; None is 15 at a shorter side of 224 px, scaled. `.table()` has a row a class;
    robustbench_cv.rendering.explanations.write writes it with the pictures. UserError where no sample has a mask of its object.
    """
    if isinstance(model, str):
        MODELS.check(model)
    DATASETS.check(data)
    made, chosen = build_method(method), choose_device(device)
    built = build(model, device=chosen) if isinstance(model, str) else to(model, chosen)
    require_classes(built.info.name, built.info.classes.names)
    dataset = DATASETS.build(data, task=built.info.task)
    built = seen_by(dataset, built)
    mapping = ClassMap.match(dataset.labels, built.info.classes, class_map or {})
    announce(f"{built.info.name} on {dataset.name}: {mapping.summary()}")
    indices = spread_indices(len(dataset), _in_range("samples", samples, 1, 2**31 - 1) or 1)
    with progress(len(indices)) as bar:
        bar.describe(f"{built.info.name} · {method}")
        found = survey(
            built,
            dataset,
            mapping,
            made,
            indices,
            device=chosen,
            tolerance_px=_in_range("tolerance", tolerance, 1, 2**31 - 1),
            advance=lambda sample: bar.advance(1),
        )
    if not found.cases:
        raise UserError(
            f"{dataset.name} has no sample to explain: {found.left_out[0] if found.left_out else 'it is empty'}; "
            "give data with masks, such as scenes, coco:PATH or masks:PATH"
        )
    said = f"{tolerance} px" if tolerance is not None else "15 px at a shorter side of 224 px, scaled"
    return Explanations(found, method, built.info.name, dataset.name, built.info.classes, said)
