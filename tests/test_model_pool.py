"""How many models are alive at once in a run, and what a plan knows of those that are not built."""

import gc
import json
import os
import re
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbench_cv.errors import ForeignError, UserError
from robustbench_cv.kept_files import load_kept, write_kept
from robustbench_cv.models.classifiers.lenet5 import LeNet5
from robustbench_cv.models.weights.description import Description, write
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner import model_pool, stored_cell
from robustbench_cv.runner.model_pool import ModelPool
from robustbench_cv.runner.plan import Options, make_plan
from robustbench_cv.runner.run import Outcome, run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.training.train_on_demand import build
from robustbench_cv.types import AnyModel
from tests.test_runner import MODEL, cells_of, write_data

PGD = Condition("pgd", attack="pgd(eps=0.1, steps=2)", severity=0.1)


class Counted:
    """In place of `build`: which models it made, and the largest number of them that were alive after each build."""

    def __init__(self) -> None:
        self.specs: list[str] = []
        self.most = 0
        self._modules: list[weakref.ref[torch.nn.Module]] = []

    def __call__(self, spec: str, **options: Any) -> AnyModel:
        model = build(spec, **options)
        self.specs.append(spec)
        self._modules.append(weakref.ref(model.module))  # type: ignore[union-attr]
        self.most = max(self.most, self.alive())
        return model

    def alive(self) -> int:
        return sum(module() is not None for module in self._modules)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()
    monkeypatch.setattr(model_pool, "build", counted)
    return counted


def lenets(folder: Path, count: int) -> list[str]:
    """Specs of networks of this package, each from a checkpoint of its own."""
    specs = []
    for k in range(count):
        torch.manual_seed(k)
        path = folder / f"lenet{k}.safetensors"
        write(path, LeNet5(3), Description(architecture="lenet5", classes=("dark", "bright", "red"), input_size=(32, 32)))
        specs.append(f"lenet5(checkpoint={str(path)!r})")
    return specs


def users_models(folder: Path, count: int) -> list[str]:
    source = MODEL.format(before="pass", after="pass").replace('name="tiny"', 'name=f"tiny {gain}"')
    (folder / "model.py").write_text(source)
    return [f"{folder / 'model.py'}:build(gain={k + 1}.0)" for k in range(count)]


def suite_of(models: list[str], data: list[str], *conditions: Condition) -> Suite:
    track = Track("classification", tuple(models), tuple(data), conditions or (CLEAN,), ("top-1",))
    return Suite("pool", 1, (track,), reports=("main-table", "checks"))


def run(suite: Suite, out: Path, **options: Any) -> Outcome:
    return run_suite(suite, out, Options(**{"strength": 0, **options}))


@pytest.fixture
def alive_at_cells(built: Counted, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many models were alive when each cell had been computed."""
    counts: list[int] = []
    plain = stored_cell.run_cell

    def counting(job: Any) -> Any:
        output = plain(job)
        counts.append(built.alive())
        return output

    monkeypatch.setattr(stored_cell, "run_cell", counting)
    return counts


def test_one_model_is_alive_at_a_time(alive_at_cells: list[int], built: Counted, tmp_path: Path) -> None:
    """Also where each is asked about two data sets."""
    suite = suite_of(users_models(tmp_path, 6), [write_data(tmp_path, 70), write_data(tmp_path, 6, seed=1)], CLEAN, PGD)
    gc.disable()  # nothing but the run itself lets models go
    try:
        outcome = run(suite, tmp_path / "run")
    finally:
        gc.enable()
    assert alive_at_cells == [1] * outcome.computed == [1] * (6 * 3 * 2)
    assert built.most == 1


def test_a_resumed_run_computes_what_is_missing_with_one_model_alive(alive_at_cells: list[int], built: Counted, tmp_path: Path) -> None:
    suite = suite_of(users_models(tmp_path, 4), [write_data(tmp_path, 20)], CLEAN, PGD)
    run(suite, tmp_path / "run")
    second = next(cell.row.key for cell in make_plan(suite, Options()).cells if "2.0" in cell.row.model)
    for path in (tmp_path / "run" / "records").rglob("*2.0*/**/*.parquet"):
        path.unlink()
    alive_at_cells.clear()
    outcome = run(suite, tmp_path / "run")
    assert (outcome.computed, outcome.reused) == (2, 6)
    assert alive_at_cells == [1, 1]
    assert second in cells_of(tmp_path / "run")


def test_models_of_this_package_are_not_built_where_nothing_is_missing(built: Counted, tmp_path: Path) -> None:
    suite = suite_of(["lenet5.scenes", "vgg-mini.scenes"], ["scenes"], CLEAN, PGD)
    first = run(suite, tmp_path / "run", limit=3)
    built.specs.clear()
    assert run(suite, tmp_path / "run", limit=3).computed == 0
    assert built.specs == []
    # another number of samples: the models are asked about what they have not seen
    assert run(suite, tmp_path / "run", limit=12).computed == 4
    assert set(built.specs) == {"lenet5.scenes", "vgg-mini.scenes"}
    assert first.results.run.models == run(suite, tmp_path / "run", limit=3).results.run.models


def test_a_checkpoint_with_other_bytes_is_built_and_computed_again(built: Counted, tmp_path: Path) -> None:
    (spec,) = lenets(tmp_path, 1)
    data = write_data(tmp_path, 8, side=32)
    run(suite_of([spec], [data]), tmp_path / "run")
    built.specs.clear()
    assert run(suite_of([spec], [data]), tmp_path / "run").computed == 0
    assert not built.specs
    file = tmp_path / "lenet0.safetensors"
    content = bytearray(file.read_bytes())
    content[-4:] = b"\x01\x3c\x01\x3c"
    times = file.stat()
    file.write_bytes(bytes(content))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as an unpacked archive may leave it
    assert run(suite_of([spec], [data]), tmp_path / "run").computed == 1
    assert built.specs


def test_a_users_model_is_built_for_every_plan(built: Counted, tmp_path: Path) -> None:
    """Its factory may read what nobody sees."""
    source = MODEL.format(before="pass", after="pass").replace(
        "def build(gain=20.0):", f"def build():\n    gain = float(__import__('pathlib').Path({str(tmp_path / 'gain')!r}).read_text())"
    )
    (tmp_path / "model.py").write_text(source)
    (tmp_path / "gain").write_text("20")
    suite = suite_of([f"{tmp_path / 'model.py'}:build"], [write_data(tmp_path, 8)])
    run(suite, tmp_path / "run")
    assert run(suite, tmp_path / "run").computed == 0
    (tmp_path / "gain").write_text("5")
    assert run(suite, tmp_path / "run").computed == 1


def test_a_model_that_is_another_one_each_time_is_refused(tmp_path: Path) -> None:
    source = MODEL.format(before="pass", after="pass").replace(
        "def build(gain=20.0):", "def build(gain=20.0):\n    gain += __import__('time').time_ns() % 997"
    )
    (tmp_path / "model.py").write_text(source)
    stable = users_models_in(tmp_path / "stable")
    suite = suite_of([f"{tmp_path / 'model.py'}:build", stable], [write_data(tmp_path, 8)])
    with pytest.raises(UserError, match=r"model '.*model.py:build' is another one each time it is built \(weights_sha256"):
        run(suite, tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.parquet"))


def users_models_in(folder: Path) -> str:
    folder.mkdir()
    return users_models(folder, 1)[0]


def test_a_factory_that_fails_at_a_later_build_loses_no_other_models_records(tmp_path: Path) -> None:
    marker = tmp_path / "built"
    source = MODEL.format(before="pass", after="pass").replace(
        "def build(gain=20.0):",
        f"def build(gain=20.0):\n    with open({str(marker)!r}, 'a') as f:\n        f.write('x')\n"
        f"    if __import__('os').path.getsize({str(marker)!r}) > 2:\n        raise RuntimeError('out of licences')",
    )
    (tmp_path / "model.py").write_text(source)
    suite = suite_of([users_models_in(tmp_path / "stable"), f"{tmp_path / 'model.py'}:build"], [write_data(tmp_path, 8)])
    with pytest.raises(ForeignError, match="out of licences"):
        run(suite, tmp_path / "run")
    assert len(cells_of(tmp_path / "run")) == 1


def test_random_numbers_of_a_factory_are_the_same_at_each_build(tmp_path: Path) -> None:
    """Torch's, which nearly every module draws its first weights from."""
    source = MODEL.format(before="pass", after="pass").replace(
        "nn.Parameter(torch.tensor(float(gain)))", "nn.Parameter(torch.rand(()) + 1)"
    )
    (tmp_path / "model.py").write_text(source)
    pool = ModelPool("cpu")
    first, other = f"{tmp_path / 'model.py'}:build", users_models_in(tmp_path / "stable")
    torch.manual_seed(7)
    state = torch.get_rng_state()
    gains = [float(next(pool.get(spec).module.parameters())) for spec in (first, other, first)]  # type: ignore[union-attr]
    assert gains[0] == gains[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_models_that_were_handed_over_stay(tmp_path: Path) -> None:
    specs = users_models(tmp_path, 2)
    given = [build(spec) for spec in specs]
    suite = suite_of(["lenet5.scenes"], [write_data(tmp_path, 8)])
    results = run(suite, tmp_path / "run", models=tuple(given)).results
    assert [row.name for row in results.run.models] == ["tiny 1.0", "tiny 2.0"]
    assert run(suite, tmp_path / "run", models=tuple(given)).computed == 0


def test_a_surrogate_is_alive_beside_its_victim_and_no_other_model(built: Counted, tmp_path: Path) -> None:
    attack = "transfer(source='lenet5.scenes', attack='fgsm(eps=8/255)')"
    suite = suite_of(["vgg-mini.scenes", "lenet5.scenes", "googlenet.scenes"], ["scenes"], CLEAN, Condition("t", attack=attack))
    gc.disable()
    try:
        run(suite, tmp_path / "run", limit=3)
    finally:
        gc.enable()
    assert built.most == 2


def test_verdicts_on_attacks_hold_two_models_at_most(built: Counted, tmp_path: Path) -> None:
    suite = suite_of(users_models(tmp_path, 4), [write_data(tmp_path, 12)], CLEAN, PGD)
    outcome = run(suite, tmp_path / "run", strength=4)
    assert built.most == 2
    assert len([f for f in outcome.results.findings if f.check == "S10" and f.condition == "pgd"]) == 4


def test_two_models_of_one_name_are_refused_before_any_cell(tmp_path: Path) -> None:
    source = MODEL.format(before="pass", after="pass")
    (tmp_path / "model.py").write_text(source)
    suite = suite_of([f"{tmp_path / 'model.py'}:build(gain={g}.0)" for g in (1, 2)], [write_data(tmp_path, 8)])
    with pytest.raises(UserError, match="two models of this run are called 'tiny'"):
        run(suite, tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.parquet"))


def test_a_damaged_description_counts_as_missing(built: Counted, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    suite = suite_of(["lenet5.scenes"], ["scenes"])
    run(suite, tmp_path / "run", limit=2)
    (path,) = (tmp_path / "run" / "descriptions").glob("*.json")
    path.write_bytes(path.read_bytes()[:50])
    built.specs.clear()
    assert run(suite, tmp_path / "run", limit=2).computed == 0
    assert built.specs == ["lenet5.scenes"]
    assert re.search(r"descriptions.*is damaged", caplog.text)
    built.specs.clear()
    assert run(suite, tmp_path / "run", limit=2).computed == 0
    assert not built.specs


def test_a_description_that_the_model_does_not_fit_is_thrown_away(tmp_path: Path) -> None:
    """Were a key ever less than what a model depends on, nothing would be computed under it."""
    suite = suite_of(["lenet5.scenes"], ["scenes"])
    run(suite, tmp_path / "run", limit=2)
    folder = RunFolder(tmp_path / "run")
    (path,) = (folder.root / "descriptions").glob("*.json")
    kept = json.dumps(load_kept(path, dict, remedy=""))
    sha = re.search(r'"weights_sha256": "(\w+)"', kept)
    assert sha is not None
    write_kept(path, json.loads(kept.replace(sha[1], "0" * 64)))
    with pytest.raises(UserError, match="another one each time it is built"):
        run(suite, tmp_path / "run", limit=2)
    assert not path.exists()
    assert run(suite, tmp_path / "run", limit=2).computed == 0


def test_what_models_cost_is_in_run_json_at_the_end(tmp_path: Path) -> None:
    suite = suite_of(["lenet5.scenes", "vgg-mini.scenes"], ["scenes"])
    first = run(suite, tmp_path / "run", limit=2).results.run
    assert [row.model for row in first.complexity] == ["lenet5.scenes", "vgg-mini.scenes"]
    time.sleep(1.1)  # `created` counts in seconds
    content = (tmp_path / "run" / "run.json").read_bytes()
    run(suite, tmp_path / "run", limit=2)
    assert (tmp_path / "run" / "run.json").read_bytes() == content
