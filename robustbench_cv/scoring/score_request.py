"""What `robustbench-cv score` and `rb.score` take, as people write it, made into a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.checks.allowed import check_allowed
from robustbench_cv.errors import UserError
from robustbench_cv.model_from_predictions import Missing
from robustbench_cv.results import Results
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.progress_bar import Progress, silent
from robustbench_cv.runner.run import Outcome
from robustbench_cv.scoring.conditions import edit_condition, split_condition
from robustbench_cv.scoring.reading import Scores
from robustbench_cv.scoring.rendered import Rendered
from robustbench_cv.scoring.score import Request
from robustbench_cv.scoring.score import score as score_request
from robustbench_cv.suite import CLEAN, Gate

T = TypeVar("T")


def score(
    predictions: str | Path | Mapping[str, str | Path],
    data: str | None = None,
    *,
    rendered: str | Path | Sequence[str | Path] = (),
    metrics: Sequence[str] = (),
    limit: int | None = None,
    seed: int | None = None,
    classes: str | None = None,
    class_map: Mapping[str, str] | None = None,
    scores: Scores | None = None,
    first_category: Literal[0, 1] | None = None,
    missing: Missing | None = None,
    extra: Literal["error", "ignore"] = "error",
    operating_score: float = 0.25,
    skip_bad: bool = False,
    name: str | None = None,
    gates: Sequence[Gate] = (),
    out: str | Path | None = None,
    notes: Sequence[str] = (),
    allow: Sequence[str] = (),
) -> Results:
    """Judge predictions that were made elsewhere, as a run judges a model's own; `robustbench-cv score --help` says what each means.

    predictions: a file or folder, or several by condition ("clean", or the spec of an edit). UserError for what you can fix.
    """
    named = predictions if isinstance(predictions, Mapping) else {"": predictions}
    return execute(
        predictions=[(condition, Path(path)) for condition, path in named.items()],
        data=data,
        rendered=[rendered] if isinstance(rendered, str | Path) else rendered,
        metrics=metrics,
        limit=limit,
        seed=seed,
        classes=classes,
        class_map=class_map,
        scores=scores,
        first_category=None if first_category is None else str(first_category),
        missing=missing,
        extra=extra,
        operating_score=operating_score,
        skip_bad=skip_bad,
        name=name,
        gates=gates,
        out=Path(out) if out is not None else Path("runs") / "score",
        notes=notes,
        allow=allow,
    ).results


def execute(
    *,
    predictions: Sequence[str | tuple[str, Path]],
    out: Path,
    data: str | None = None,
    rendered: Sequence[str | Path] = (),
    metrics: Sequence[str] = (),
    limit: int | None = None,
    seed: int | None = None,
    classes: str | None = None,
    class_map: Mapping[str, str] | None = None,
    scores: Scores | None = None,
    first_category: str | None = None,
    missing: Missing | None = None,
    extra: Literal["error", "ignore"] = "error",
    operating_score: float = 0.25,
    skip_bad: bool = False,
    name: str | None = None,
    gates: Sequence[Gate] = (),
    at_least: Sequence[str] = (),
    notes: Sequence[str] = (),
    allow: Sequence[str] = (),
    command: str = "",
    progress: Callable[[int], Progress] = silent,
    announce: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """As `score`, from what a command line holds: predictions as "CONDITION=PATH", gates as "METRIC=BOUND"."""
    folders = tuple(Rendered.open(Path(folder)) for folder in rendered)
    by_condition = _by_condition([split_condition(one) if isinstance(one, str) else one for one in predictions], folders)
    spec = data or _only([one.manifest.data for one in folders], "data")
    if spec is None:
        raise UserError("no data are given; say --data, such as --data coco:/data/coco/val2017, or --rendered FOLDER")
    DATASETS.check(spec)
    drawn = _only([one.manifest.seed for one in folders], "seeds")
    if drawn is not None and seed is not None and drawn != seed:
        raise UserError(f"--seed {seed}: the images of {folders[0].folder} were edited with the seed {drawn}; leave --seed out")
    most = _only([one.manifest.limit for one in folders], "numbers of samples") if limit is None else limit
    request = Request(
        predictions=by_condition,
        data=spec,
        classes=classes,
        scores=scores,
        first_category=None if first_category is None else int(first_category),
        missing=missing,
        extra=extra,
        operating_score=operating_score,
        metrics=tuple(metrics),
        gates=(*gates, *map(_gate, at_least)),
        rendered=folders,
        name=name,
    )
    options = Options(
        limit=most,
        seed=seed if drawn is None else drawn,
        skip_bad=skip_bad,
        allow=check_allowed(allow),
        class_map=class_map,
        notes=tuple(notes),
    )
    return score_request(request, out, options, command=command, progress=progress, announce=announce)


def _by_condition(named: Sequence[tuple[str, Path]], rendered: Sequence[Rendered]) -> dict[str, Path]:
    """Predictions by condition. Those without one are of the only rendered folder that no other is of, else of the images as they are."""
    taken = {condition for condition, _ in named}
    by_condition: dict[str, Path] = {}
    for condition, path in named:
        free = [one.condition for one in rendered if one.condition not in taken]
        # The last of several unnamed ones is of the edited images: the clean ones are named first, or not at all.
        unnamed = [p for c, p in named if not c]
        if not condition and free and (len(unnamed) == 1 or path == unnamed[-1]):
            condition = _only(free, "conditions") or CLEAN.name
        condition = condition or CLEAN.name
        if condition in by_condition:
            raise UserError(f"{by_condition[condition]} and {path} are both under {condition!r}; say CONDITION=PATH for each")
        edit_condition(condition)
        by_condition[condition] = path
    # Unedited ones come first: they are what the others are compared with.
    return dict(sorted(by_condition.items(), key=lambda item: item[0] != CLEAN.name))


def _only(values: Sequence[T], what: str) -> T | None:
    """The one that all of these are; None where there are none. UserError where they differ."""
    different = list(dict.fromkeys(values))
    if len(different) > 1:
        raise UserError(f"the rendered folders are of different {what}: {' and '.join(map(str, different[:2]))}; score them one by one")
    return different[0] if different else None


def _gate(text: str) -> Gate:
    metric, _, bound = text.rpartition("=")
    try:
        return Gate(metric, CLEAN.name, float(bound))
    except ValueError:
        raise UserError(f"--at-least {text!r} is no bound; write METRIC=BOUND, such as ap=0.4") from None
