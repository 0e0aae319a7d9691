"""Predictions that were made elsewhere become a run: the same records, metrics, intervals, checks, report and gates as a model's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.data.source import NumbersImages
from robustbench_cv.errors import UserError
from robustbench_cv.model_from_predictions import ClosedModel, Missing
from robustbench_cv.models.labels import class_names
from robustbench_cv.run_folder import digest
from robustbench_cv.runner.plan import chosen_indices
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.progress_bar import Progress, silent
from robustbench_cv.runner.run import Outcome, run_suite
from robustbench_cv.scoring.class_scores import LABEL_METRICS, ClassLabels
from robustbench_cv.scoring.conditions import edit_condition, with_placebos
from robustbench_cv.scoring.prediction_forms import task_of
from robustbench_cv.scoring.predictions import read_predictions
from robustbench_cv.scoring.reading import Read, Reading, Scores
from robustbench_cv.scoring.rendered import Rendered
from robustbench_cv.scoring.sample_names import names_of
from robustbench_cv.specs import Spec
from robustbench_cv.suite import CLEAN, Gate, Suite, Track
from robustbench_cv.suite_files import check_specs
from robustbench_cv.tasks import Task
from robustbench_cv.types import Dataset, Labels, ModelInfo

METRICS: Mapping[Task, tuple[str, ...]] = {
    "classification": ("top-1", "hallucination-rate"),
    "segmentation": ("miou", "pixel-accuracy", "hallucination-rate", "hallucinated-area"),
    "detection": ("ap", "ap50", "ap75", "hallucination-rate", "fabricated-per-image"),
}
"""What predictions are measured by, unless other metrics are named (project choice); each task's first leads."""

REPORTS = ("overview", "main-table", "iou-by-class", "context-sensitivity", "corruptions", "gallery", "checks", "protocol")

PAIRED_REPORTS = ("context-sensitivity", "corruptions")
"""Those that need predictions of the images as they are, too."""

MOST_EMPTY = 0.5
"""Share of images without any detection beyond which that must be said to be meant (project choice): a file cut off looks the same."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """What to score. predictions: by condition, "clean" or the spec of an edit. data: a spec.

    classes: the model's, by index ("a,b,c", or a text file), where they are not the data's. scores, first_category: see `Reading`.
    missing: what a sample without a prediction is; None: one in which nothing was found for detections, a mistake for all others.
    extra: what predictions of images are that the data do not hold. rendered: edited images that predictions were made on.
    """

    predictions: Mapping[str, Path]
    data: str
    classes: str | None = None
    scores: Scores | None = None
    first_category: int | None = None
    missing: Missing | None = None
    extra: Literal["error", "ignore"] = "error"
    operating_score: float = 0.25
    metrics: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    rendered: tuple[Rendered, ...] = ()
    name: str | None = None


def score(
    request: Request,
    out: Path,
    options: Options,
    *,
    command: str = "",
    progress: Callable[[int], Progress] = silent,
    announce: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """The run that predictions make, in the folder `out`. options: without models and data.

    UserError for predictions that cannot be read, that are not of these samples, or that cannot be judged by these metrics.
    """
    if not request.predictions:
        raise UserError("no predictions are given; name a file or a folder with --predictions")
    task = task_of(next(iter(request.predictions.values())))
    suite = _suite(request, task)
    check_specs(suite, (ClosedModel,), (request.data,))
    whole = _dataset(request.data, task)
    read = {condition: _read(request, path, task, condition, whole) for condition, path in request.predictions.items()}
    labels_alone = any(isinstance(one.answers, ClassLabels) for one in read.values())
    if labels_alone:
        suite = _suite(replace(request, metrics=_label_metrics(request)), task)
    model = _model(request, task, read)
    chosen = _dataset(request.data, task, options.limit)
    ids = [chosen.ids[i] for i in chosen_indices(chosen, options.limit)]
    for condition, one in read.items():
        announce(f"{condition}: {one.kind}; {len(one.samples.intersection(ids))} of {len(ids)} samples have a prediction")
    notes = tuple(note for condition, one in read.items() for note in _notes(request, condition, one, ids, model.missing))
    for folder in request.rendered:
        folder.require_same(whole)
    wanted = replace(options, models=(model,), data=(request.data,), notes=(*options.notes, *notes), placebos=False)
    return run_suite(suite, out, wanted, command=command, progress=progress, announce=announce)


def _suite(request: Request, task: Task) -> Suite:
    conditions = with_placebos([edit_condition(text) for text in request.predictions])
    track = Track(task, (), (request.data,), conditions, request.metrics or METRICS[task])
    reports = REPORTS if CLEAN.name in request.predictions else tuple(name for name in REPORTS if name not in PAIRED_REPORTS)
    return Suite("score", version=1, tracks=(track,), gates=request.gates, reports=reports, strength=0)


def _dataset(spec: str, task: Task, limit: int | None = None) -> Dataset:
    """As a run builds it: data that are made on demand are made as many as are wanted."""
    more: dict[str, Any] = {} if limit is None or "samples" in Spec.parse(spec).args else {"samples": limit}
    dataset = DATASETS.build(spec, task=task, **more)
    if dataset.task != task:
        raise UserError(f"data {spec!r} is for {dataset.task}, and the predictions are for {task}; name data of that task")
    return dataset


def _read(request: Request, path: Path, task: Task, condition: str, dataset: Dataset) -> Read:
    more = [one.names for one in request.rendered if one.condition == condition]
    # Annotations beside rendered images number the classes as the data's own file does, else from 1.
    first = 1 if more and request.classes is None and not isinstance(dataset, NumbersImages) else None
    reading = Reading(
        dataset=dataset,
        names=names_of(dataset, more),
        classes=None if request.classes is None else Labels(class_names(request.classes)),
        scores=request.scores,
        first_category=request.first_category if request.first_category is not None else first,
        ignore_extra=request.extra == "ignore",
    )
    return read_predictions(path, task, reading)


def _label_metrics(request: Request) -> tuple[str, ...]:
    """Of predictions that are labels alone. UserError where others are asked for."""
    more = [name for name in request.metrics if name not in LABEL_METRICS]
    if more:
        raise UserError(
            f"metric {more[0]!r} asks for more than the answer, and labels alone were given; give a column of scores for each class, or "
            f"ask for {' and '.join(LABEL_METRICS)}"
        )
    return request.metrics or LABEL_METRICS


def _model(request: Request, task: Task, read: Mapping[str, Read]) -> ClosedModel:
    """The model that made the predictions, as far as it is here. UserError where two files are of other classes."""
    classes = {condition: one.classes for condition, one in read.items()}
    first, *others = classes
    for other in others:
        if classes[other] != classes[first]:
            raise UserError(
                f"predictions under {other!r} are of other classes than those under {first!r}; one model has one list of classes"
            )
    missing = request.missing or ("empty" if task == "detection" else "error")
    if missing == "empty" and task != "detection":
        raise UserError(f"--missing empty is for detections: in {task} every sample has an answer; say failed, or give all answers")
    facts = [[condition, one.sha256] for condition, one in read.items()]
    path = next(iter(request.predictions.values()))
    info = ModelInfo(
        name=request.name or path.stem or path.resolve().name,
        task=task,
        classes=classes[first],
        weights_sha256=digest([facts, classes[first].names, missing]),
        operating_score=request.operating_score,
    )
    return ClosedModel(info, {condition: one.answers for condition, one in read.items()}, missing, read[first].box_format)


def _notes(request: Request, condition: str, read: Read, ids: Sequence[str], missing: Missing) -> Iterator[str]:
    """What readers of the report must know. UserError where samples have no prediction and should, or hardly any has one."""
    yield from read.notes
    shown = next((one.samples for one in request.rendered if one.condition == condition), None)
    served = [id_ for id_ in ids if shown is None or id_ in shown]
    lacking = [id_ for id_ in served if id_ not in read.samples]
    if not lacking:
        return
    some = f"{len(lacking)} of {len(served)} samples, such as {lacking[0]!r},"
    where = "" if condition == CLEAN.name else f" under {condition!r}"
    # Which samples an edit can serve is not known before it is made, unless its images lie in a folder.
    known = condition == CLEAN.name or shown is not None
    if missing == "error" and known:
        raise UserError(
            f"{some} have no prediction{where}; give one for each, take --limit, or say --missing failed: such samples then count as "
            "failed, and the numbers that they are missing from say so"
        )
    if missing == "failed" and known:
        yield f"{some} have no prediction{where}, and count as failed"
    if missing == "empty" and request.missing is None and len(lacking) > MOST_EMPTY * len(served):
        raise UserError(
            f"{some} have no detection{where}: is the file whole, and of these data? --missing empty says that nothing was found in them, "
            "--missing failed that they have no prediction"
        )
    if missing == "empty":
        whose = "and count" if known else "and where the edit serves them count"
        yield f"{some} have no detection{where}, {whose} as images in which nothing was found"
