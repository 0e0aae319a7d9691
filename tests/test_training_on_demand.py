"""Weights that are not bundled: trained when first asked for, once, by the recipe that names them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import robustbench_cv
from robustbench_cv.catalogue import RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models import build as models

RECIPE = '''"""A network that learns in a second."""
from robustbench_cv.catalogue import recipe
from robustbench_cv.models.classifiers.lenet5 import LeNet5
from robustbench_cv.training import losses
from robustbench_cv.training.recipe import Recipe, Schedule

@recipe(model="lenet5.mine")
def mine() -> Recipe:
    """LeNet-5 on a few scenes."""
    return Recipe(
        name="mine", architecture="lenet5", task="classification", network=lambda pool: LeNet5(len(pool.labels)),
        loss=losses.classification, augment=lambda x, y, rng: (x, y), schedule=Schedule(epochs=1, batch=8), metrics=("top-1",),
        size=(32, 32), data="scenes(split='train', samples=16)", test="scenes(split='test', samples=4)",
    )
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ROBUSTBENCH_CV_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "mine.py"
    path.write_text(RECIPE)
    RECIPES.add_file(path)
    yield tmp_path / "cache"
    RECIPES._plugins.clear()


def test_what_is_not_bundled_is_trained_once_and_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="mine"):
        models.build("lenet5.mine")
    first = robustbench_cv.build("lenet5.mine")
    assert "trained on first use" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["lenet5.mine.json", "lenet5.mine.safetensors"]
    written = (folder / "lenet5.mine.safetensors").stat().st_mtime_ns
    again = robustbench_cv.build("lenet5.mine")
    assert "trained" not in capsys.readouterr().err
    assert (folder / "lenet5.mine.safetensors").stat().st_mtime_ns == written
    x = torch.rand(1, 3, 96, 96)
    assert torch.equal(first.raw(x).values, again.raw(x).values)  # type: ignore[union-attr]


def test_bundled_weights_need_no_training(folder: Path) -> None:
    robustbench_cv.build("lenet5.scenes")
    assert not folder.exists()
