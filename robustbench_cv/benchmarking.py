"""Speed of models as benchmarks of pytest-benchmark, whose files its own `compare` reads."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.training.train_on_demand import build
from robustbench_cv.types import (
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    MaskPrediction,
    MaskTarget,
    Model,
    Prediction,
    Target,
    predict,
)

STEPS = 10
ATTACKS_BY_TASK = {
    "classification": f"pgd(eps=0.000001, steps={STEPS})",
    "segmentation": f"seg-pgd(eps=0.000001, steps={STEPS})",
    "detection": f"tog-fabricate(eps=0.000001, steps={STEPS})",
}
"""Of a budget so small that no sample is broken and leaves the batch: each step is of all images."""

CASES = Path(__file__).with_name("benchmark_cases.py")


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A model with a batch of images (N, 3, H, W), its own answers to them as targets, and an attack of its task."""

    model: Model[Any]
    images: Tensor
    targets: Sequence[Target]
    attack: Any

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(map(str, range(len(self.images))))

    def wait(self, made: object) -> object:
        """The same, once the GPU is done."""
        if self.images.device.type == "cuda":
            torch.cuda.synchronize(self.images.device)
        return made


def bench(
    models: Sequence[str],
    *,
    image: tuple[int, int],
    batch: int = 8,
    device: str = "cpu",
    seconds: float = 1.0,
    json: Path | None = None,
    save: str = "",
) -> int:
    """Time each model, print pytest-benchmark's table, and write its JSON; pytest's exit code. UserError where it is not installed.

    seconds: about how long each benchmark is timed. save: a name under which the figures are kept in .benchmarks of the working folder.
    """
    try:
        import pytest
        import pytest_benchmark.plugin  # noqa: F401
    except ImportError as error:
        raise UserError("bench needs pytest-benchmark: pip install 'robustbench-cv[bench]'") from error
    with tempfile.TemporaryDirectory() as folder, _alone_with_benchmark():
        arguments = ["-p", "pytest_benchmark.plugin", "-p", "no:cacheprovider", "-c", str(Path(folder, "pytest.ini")), "-q", "-rs"]
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        arguments += ["--rootdir", str(CASES.parent), "-o", "python_files=*.py", "--import-mode=importlib", str(CASES)]
        arguments += ["--benchmark-max-time", str(seconds), "--benchmark-sort=name", "--benchmark-disable-gc"]
        arguments += [f"--benchmark-storage={(Path.cwd() / '.benchmarks').as_uri()}"]
        arguments += [f"--benchmark-json={json}"] if json else []
        arguments += [f"--benchmark-save={save}"] if save else []
        arguments += ["--benchmark-columns=median,iqr,ops,rounds", "--benchmark-group-by=param:spec"]
        return int(pytest.main(arguments, plugins=[_plugin(models, image, batch, device)]))


def make_case(spec: str, image: tuple[int, int], batch: int, device: str) -> Case:
    """Build a model, and its own answers to seeded noise as targets. UserError for a model of a task without attacks."""
    model = build(spec, device=device)
    if model.info.task not in ATTACKS_BY_TASK:
        raise UserError(f"{spec} is for {model.info.task}; bench times models for {', '.join(ATTACKS_BY_TASK)}")
    images = torch.rand((batch, 3, *image), generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad():
        targets = [_target(prediction) for prediction in predict(model, images)]
    return Case(model=model, images=images, targets=targets, attack=ATTACKS.build(ATTACKS_BY_TASK[model.info.task]))


def _target(prediction: Prediction) -> Target:
    if isinstance(prediction, ClassPrediction):
        return ClassTarget(prediction.label)
    return MaskTarget(prediction.labels) if isinstance(prediction, MaskPrediction) else BoxTarget.of(prediction.boxes, prediction.labels)


def _plugin(models: Sequence[str], image: tuple[int, int], batch: int, device: str) -> object:
    import pytest

    class Given:
        """What the benchmarks are about."""

        @pytest.fixture(scope="session", params=list(models), ids=list(models))
        def spec(self, request: pytest.FixtureRequest) -> str:
            return str(request.param)

        @pytest.fixture(scope="session")
        def case(self, spec: str) -> Case:
            return make_case(spec, image, batch, device)

    return Given()


@contextmanager
def _alone_with_benchmark() -> Iterator[None]:
    """Other plug-ins of the environment, and options of its users, are no part of a measurement."""
    names = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
