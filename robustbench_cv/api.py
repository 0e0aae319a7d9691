"""One call from Python for what a command does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.checks.doctor import examine
from robustbench_cv.data.class_map import ClassMap, parse_overrides
from robustbench_cv.findings import Finding
from robustbench_cv.models.labels import require_classes
from robustbench_cv.results import Results
from robustbench_cv.runner.plan import Options
from robustbench_cv.runner.run import choose_device, find_suite, run_suite
from robustbench_cv.suite import Suite
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
) -> Results:
    """Run a suite (a name, a YAML file, or a Suite) and read its results back.

    models: specs, or models you built (anything with `info`, `raw` and `decode`); data: specs. Both replace the suite's own for their task.
    out: the run folder, runs/<suite> unless given; the same call again resumes. strength: unbroken samples on which each attack is tested
    for weakness. Raises UserError for what you can fix.
    """
    found = find_suite(suite) if isinstance(suite, str) else suite
    folder = Path(out) if out is not None else Path("runs") / found.name
    specs = (data,) if isinstance(data, str) else tuple(data)
    options = Options(
        models=tuple(models),
        data=specs,
        limit=limit,
        seed=seed,
        device=choose_device(device),
        batch_size=batch_size,
        skip_bad=skip_bad,
        class_map=class_map,
        strength=strength,
    )
    return run_suite(found, folder, options).results


def examine_specs(
    model: str, data: str, *, device: str = "auto", class_map: str = "", announce: Callable[[str], None] = lambda text: None
) -> list[Finding]:
    """Run every check on a model and up to 64 samples of a data set, both by spec: what `robustbench-cv doctor` prints."""
    chosen = choose_device(device)
    built = build(model, device=chosen)
    require_classes(built)
    dataset = DATASETS.build(data, task=built.info.task)
    mapping = ClassMap.match(dataset.labels, built.info.classes, parse_overrides(class_map))
    announce(mapping.describe())
    return examine(built, dataset, mapping, range(len(dataset)), device=chosen)
