"""Code of others in a run: what it raises, and how it tries to end the program, says whose it was, and costs no more than its sample."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import timm
import torch

from robustbench_cv.boxes import area
from robustbench_cv.catalogue import ATTACKS, INTERVENTIONS, add_plugin
from robustbench_cv.data.npz import ArrayData
from robustbench_cv.errors import BadSample, ForeignError, UserError
from robustbench_cv.files import load_json
from robustbench_cv.foreign_errors import calling, is_ours, locate, name_samples, one_by_one, ran_out_of_memory
from robustbench_cv.registry import Spec, load_file
from robustbench_cv.results import Results
from robustbench_cv.runner.plan import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

MARK = 255
"""The value of the first pixel of the image on which foreign code fails."""

CODE = """
import sys
import torch
from torch import nn
from robustbench_cv.catalogue import attack, intervention
from robustbench_cv.models.adapt import classifier
from robustbench_cv.types import Labels, Logits


def marked(images):
    return bool((images[..., 0, 0, 0] > 0.99).any())


class Tiny(nn.Module):
    def forward(self, x):
        if marked(x):
            {fault}
        return torch.stack([x[:, 0].mean((1, 2)), x[:, 1:].mean((1, 2, 3))], dim=1)


class Sound(nn.Module):
    def forward(self, x):
        return torch.stack([x[:, 0].mean((1, 2)), x[:, 1:].mean((1, 2, 3))], dim=1)


def build():
    return classifier(Tiny(), name="tiny", classes=Labels(("red", "grey")))


def sound():
    return classifier(Sound(), name="sound", classes=Labels(("red", "grey")))


class Edit:
    needs = frozenset()
    removes_objects = False
    control = None

    def __call__(self, sample, noise):
        if marked(sample.image):
            {fault}
        return sample


@intervention()
def fragile_edit():
    return Edit()


def failing_objective(*arguments):
    {fault}


failing_objective.accepts = Logits


@attack()
def fragile_attack():
    from dataclasses import replace
    from robustbench_cv.catalogue import ATTACKS
    return replace(ATTACKS.build("pgd(eps=0.1, steps=2)"), objective=failing_objective)


def leave():
    {fault}
"""


@pytest.fixture
def data(tmp_path: Path) -> str:
    images = numpy.full((6, 8, 8, 3), 100, dtype=numpy.uint8)
    images[:3, :, :, 0] = 200
    images[4, 0, 0] = MARK
    classes = numpy.array(["red", "grey"])
    numpy.savez(tmp_path / "d.npz", images=images, labels=numpy.array([0, 0, 0, 1, 1, 1]), classes=classes)
    return f"npz:{tmp_path / 'd.npz'}"


def write_code(folder: Path, fault: str) -> Path:
    path = folder / "mine.py"
    path.write_text(CODE.format(fault=fault))
    return path


def run(model: str, data: str, out: Path, *conditions: Condition, metrics: tuple[str, ...] = ("top-1",), skip_bad: bool = False) -> Results:
    track = Track("classification", (model,), (data,), (CLEAN, *conditions), metrics)
    suite = Suite("small", 1, (track,), reports=("main-table",), strength=0)
    return run_suite(suite, out, Options(skip_bad=skip_bad)).results


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks before a run would meet the same fault among these few samples; a real run checks 64 of many."""
    monkeypatch.setattr("robustbench_cv.runner.run.stored_preflight", lambda *_, **__: [])


FAULTS = {"raise KeyError('no such layer')": "KeyError: 'no such layer'", "sys.exit(0)": "ended the program: sys.exit(0)"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_model_that_fails_on_one_image_is_named_with_it(fault: str, data: str, tmp_path: Path) -> None:
    model = f"{write_code(tmp_path, fault)}:build"
    with pytest.raises(ForeignError) as caught:
        run(model, data, tmp_path / "out")
    said = str(caught.value)
    assert said.startswith("model 'tiny', sample 'd/000004': ")
    assert f"mine.py, line 17: {FAULTS[fault]}" in said
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("fault", FAULTS)
def test_skip_bad_costs_that_image_alone(fault: str, data: str, tmp_path: Path) -> None:
    model = f"{write_code(tmp_path, fault)}:build"
    results = run(model, data, tmp_path / "out", Condition("pgd", attack="pgd(eps=0.01, steps=2)"), skip_bad=True)
    for condition in ("clean", "pgd"):
        rows = results.records.query(f"condition == {condition!r}").set_index("sample")
        assert dict(rows["status"].value_counts()) == {"ok": 5, "failed": 1}
        assert FAULTS[fault] in rows.loc["d/000004", "reason"]
        assert rows.loc["d/000004", "attack"] is None
    assert results.estimate(results.groups()[0], "clean", "top-1").n == 5


def test_an_edit_that_fails_is_named_with_its_sample(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_code(tmp_path, "raise IndexError('off the edge')")
    for registry in (INTERVENTIONS, ATTACKS):
        monkeypatch.setattr(registry, "_plugins", {})
    add_plugin(str(path))
    edit = Condition("edit", interventions=("fragile-edit",))
    with pytest.raises(ForeignError, match=r"intervention fragile-edit, sample 'd/000004': .*mine.py, line \d+: IndexError: off the edge"):
        run(f"{path}:sound", data, tmp_path / "out", edit)
    results = run(f"{path}:sound", data, tmp_path / "skipped", edit, skip_bad=True)
    assert results.counts(results.groups()[0], "edit") == {"ok": 5, "failed": 1}


def test_an_attack_that_fails_is_named_with_model_and_sample(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_code(tmp_path, "raise ZeroDivisionError")
    monkeypatch.setattr(ATTACKS, "_plugins", {})
    ATTACKS.add_file(path)
    attack = Condition("a", attack="fragile-attack")
    with pytest.raises(ForeignError, match=r"attack fragile-attack on model 'sound', sample 'd/\d+': .*mine.py.*ZeroDivisionError"):
        run(f"{path}:sound", data, tmp_path / "out", attack)


def test_reading_data_that_fails_in_an_unforeseen_way_is_a_bad_sample(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ArrayData.__getitem__

    def broken(self: ArrayData, index: int) -> object:
        if index == 4:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
        return original(self, index)

    monkeypatch.setattr(ArrayData, "__getitem__", broken)
    path = write_code(tmp_path, "pass")
    with pytest.raises(ForeignError, match=r"data 'd', sample 'd/000004': .*UnicodeDecodeError: .*invalid start byte"):
        run(f"{path}:sound", data, tmp_path / "out")
    results = run(f"{path}:sound", data, tmp_path / "skipped", skip_bad=True)
    assert results.counts(results.groups()[0], "clean") == {"ok": 5, "failed": 1}


def raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_whose_an_error_is(tmp_path: Path) -> None:
    """Ours: raised by our files, or by a library that they call wrongly. Not ours: a user's file, another library, a model's layers."""
    mine = raised(load_file(write_code(tmp_path, "raise ValueError('mine')")).leave)
    assert locate(mine).endswith("mine.py, line 65: ValueError: mine")
    others = (mine, raised(lambda: timm.create_model("no-such")), raised(lambda: torch.nn.Linear(2, 2)(torch.zeros(1, 3))))
    assert [is_ours(error) for error in others] == [False, False, False]
    ours = (raised(lambda: Spec.parse(3)), raised(lambda: area("boxes")), raised(lambda: load_json(tmp_path, int, remedy="")))  # type: ignore[arg-type]
    assert [is_ours(error) for error in ours] == [True, True, True]


def test_memory_that_runs_out_stays_what_it_is() -> None:
    for error in (MemoryError("much"), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError("CUDA")):
        assert ran_out_of_memory(error)
        with pytest.raises(type(error)) as caught, calling("model 'm'"):
            raise error
        assert caught.value is error
    assert not ran_out_of_memory(ValueError("can't allocate memory for love"))


@pytest.mark.parametrize("error", [UserError("ours"), BadSample("ours"), KeyboardInterrupt()])
def test_our_own_errors_and_interrupts_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, calling("model 'm'"):
        raise error
    assert caught.value is error


def test_a_batch_is_done_again_image_by_image() -> None:
    sizes = []

    def work(images: torch.Tensor, positions: list[int]) -> list[int]:
        sizes.append(len(images))
        if 2 in positions:
            raise ForeignError("no")
        return [10 * i for i in positions]

    assert one_by_one(work, lambda error: -1)(torch.zeros(4, 3, 1, 1), [0, 1, 2, 3]) == [0, 10, -1, 30]
    assert sizes == [4, 1, 1, 1, 1]
    with pytest.raises(ForeignError):
        one_by_one(work, None)(torch.zeros(4, 3, 1, 1), [0, 1, 2, 3])
    assert name_samples(["a"]) == "sample 'a'"
