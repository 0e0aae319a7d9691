"""A run's numbers in experiment trackers: MLflow, Weights & Biases (offline) and TensorBoard, each written to a local folder.

One run of the tracker a model; a number's name is its task, data set, condition and metric; rates are shares. What a check blocked is not
exported. Each tracker is an extra of this package.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from robustbench_cv.errors import UserError
from robustbench_cv.rendering import reporting
from robustbench_cv.results import Results


def export(results: Results, target: str) -> Path:
    """Write to "mlflow:DIR", "wandb:DIR" or "tensorboard:DIR"; the folder. UserError as of `read_target`."""
    name, path = read_target(target)
    path.mkdir(parents=True, exist_ok=True)
    try:
        EXPORTERS[name](results, path)
    except ImportError as error:
        raise UserError(_missing(name)) from error
    return path


def read_target(target: str) -> tuple[str, Path]:
    """Tracker and folder, before anything is written. UserError for what is neither, or where the tracker is not installed."""
    name, colon, folder = target.partition(":")
    if name not in EXPORTERS or not colon or not folder:
        close = difflib.get_close_matches(name, EXPORTERS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close and close[0] != name else ""
        raise UserError(f"--export {target!r} names no tracker and folder{hint}; write {', '.join(f'{known}:DIR' for known in EXPORTERS)}")
    if importlib.util.find_spec(name) is None:
        raise UserError(_missing(name))
    return name, Path(folder)


def _missing(name: str) -> str:
    return f"the export needs {name}: pip install 'robustbench-cv[{name}]'"


def numbers(results: Results, model: str) -> Iterator[tuple[str, float]]:
    """Every number of a model that may be shown, with the ends of its interval, by a name that all trackers take."""
    for group in (g for g in results.groups() if g.model == model):
        for condition in reporting.ordered_conditions(results, group.task):
            for metric in results.metrics(group.task):
                e = results.estimate(group, condition.name, metric)
                name = _plain(f"{group.task}/{group.dataset}/{condition.name}/{metric}")
                for part, value in (("", e.value), ("_low", e.low), ("_high", e.high)):
                    if value is not None:
                        yield name + part, float(value)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9/_. -]", "_", name.replace("/255", " of 255").replace("%", " percent"))


def _models(results: Results) -> list[str]:
    return list(dict.fromkeys(g.model for g in results.groups()))


def _facts(results: Results, model: str) -> dict[str, str]:
    run = results.run
    rows = {m.spec for m in run.models if m.name == model}
    return {"suite": run.suite, "version": str(run.version), "seed": str(run.seed), "model": model, "spec": ", ".join(sorted(rows))}


def _to_mlflow(results: Results, folder: Path) -> None:
    import mlflow  # pyright: ignore[reportMissingImports]

    mlflow.set_tracking_uri(f"sqlite:///{folder.resolve() / 'mlflow.db'}")
    mlflow.set_experiment(results.run.suite)
    for model in _models(results):
        with mlflow.start_run(run_name=model):
            mlflow.log_params(_facts(results, model))
            mlflow.log_metrics(dict(numbers(results, model)))


def _to_wandb(results: Results, folder: Path) -> None:
    import wandb  # pyright: ignore[reportMissingImports]

    for model in _models(results):
        started: Any = wandb.init(
            project="robustbench-cv", name=model, dir=str(folder), mode="offline", config=_facts(results, model), reinit="finish_previous"
        )
        started.log(dict(numbers(results, model)))
        started.finish()


def _to_tensorboard(results: Results, folder: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for i, model in enumerate(_models(results)):
        writer: Any = SummaryWriter(str(folder / f"{i}-{_plain(model).replace('/', '-')}"))
        for name, value in numbers(results, model):
            writer.add_scalar(name, value, 0)
        writer.add_text("run", "  \n".join(f"{key}: {value}" for key, value in _facts(results, model).items()), 0)
        writer.close()


EXPORTERS: dict[str, Callable[[Results, Path], None]] = {"mlflow": _to_mlflow, "wandb": _to_wandb, "tensorboard": _to_tensorboard}
