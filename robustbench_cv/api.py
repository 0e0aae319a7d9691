"""One call from Python for what `robustbench-cv run` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from robustbench_cv.results import Results
from robustbench_cv.runner.plan import Options
from robustbench_cv.runner.run import choose_device, find_suite, run_suite
from robustbench_cv.suite import Suite
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
) -> Results:
    """Run a suite (a name, a YAML file, or a Suite) and read its results back.

    models: specs, or models you built (anything with `info`, `raw` and `decode`); data: specs. Both replace the suite's own for their task.
    out: the run folder, runs/<suite> unless given; the same call again resumes. Raises UserError for what you can fix.
    """
    found = find_suite(suite) if isinstance(suite, str) else suite
    folder = Path(out) if out is not None else Path("runs") / found.name
    specs = (data,) if isinstance(data, str) else tuple(data)
    options = Options(tuple(models), specs, limit, seed, choose_device(device), batch_size, skip_bad, class_map)
    return run_suite(found, folder, options).results
