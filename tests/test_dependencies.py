"""What a cell depends on: an edit or an upgrade recomputes exactly what it touches, and a remark recomputes nothing."""

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import pytest

import robustbench_cv
from robustbench_cv.code_lookups import Lookup, recorded_lookups, unrecorded_lookups
from robustbench_cv.models.build import build as build_model
from robustbench_cv.registry import Registry
from robustbench_cv.runner import dependencies
from robustbench_cv.runner.dependencies import DependencyReader
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

ROOT = Path(robustbench_cv.__file__).parent

MODEL = '''
"""A model whose layers another file holds."""
import torch
from dependency_helper import TINT
from robustbench_cv import Labels
from robustbench_cv.models.adapt import classifier


class Tiny(torch.nn.Module):
    """Bright or dark."""

    def forward(self, x):
        bright = x.mean((1, 2, 3)) * TINT
        return torch.stack([1 - bright, bright], dim=1)


def build():
    return classifier(Tiny(), name="tiny", classes=Labels(("dark", "bright")))
'''

CONDITIONS = (
    CLEAN,
    Condition("pgd", attack="pgd(eps=0.1, steps=1)"),
    Condition("transfer", attack="transfer(source='lenet5(classes=\"dark,bright\")', attack='fgsm(eps=0.1)')"),
    Condition("occluded", interventions=("slide-patch",)),
)
ALL = {c.name for c in CONDITIONS} | {"occluded control"}

Changed = Callable[[], set[str]]


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Suite]:
    (tmp_path / "dependency_helper.py").write_text("TINT = 1.0\n")
    (tmp_path / "model.py").write_text(MODEL)
    images = numpy.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), dtype=numpy.uint8)
    numpy.savez(tmp_path / "d.npz", images=images, labels=numpy.array([0, 1, 0, 1]), classes=numpy.array(["dark", "bright"]))
    monkeypatch.syspath_prepend(str(tmp_path))
    track = Track("classification", (f"{tmp_path / 'model.py'}:build",), (f"npz:{tmp_path / 'd.npz'}",), CONDITIONS, ("top-1",))
    yield Suite("small", 1, (track,))
    sys.modules.pop("dependency_helper", None)


@pytest.fixture
def changed(suite: Suite) -> Changed:
    """The conditions whose cells are no longer those of the first call."""

    def keys() -> dict[str, str]:
        return {c.row.condition: c.row.key for c in make_plan(suite, Options()).cells}

    first = keys()
    return lambda: {name for name, key in keys().items() if key != first[name]}


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[str], str]], None]:
    """Show one file of the package to the reader as if somebody had edited it."""
    read = dependencies._content

    def edit(name: str, change: Callable[[str], str]) -> None:
        path = ROOT / name
        before = read(path).decode()
        after = change(before)
        assert after != before, f"nothing to change in {name}"
        monkeypatch.setattr(dependencies, "_content", lambda p: after.encode() if p.samefile(path) else read(p))

    return edit


REMARKS: dict[str, Callable[[str], str]] = {
    "docstring": lambda s: s.replace('"""', '"""Reworded. ', 1),
    "comment": lambda s: s + "\n# a remark\n",
    "layout": lambda s: s.replace("\n\n\n", "\n\n\n\n"),
    "types": lambda s: s.replace(
        "from __future__ import annotations\n", "from __future__ import annotations\nif TYPE_CHECKING:\n    import x\n"
    ),
}


@pytest.mark.parametrize("kind", REMARKS)
@pytest.mark.parametrize("name", ["runner/cell.py", "runner/progress_bar.py", "attacks/pgd.py"])
def test_a_remark_recomputes_nothing(name: str, kind: str, edit: Callable[..., None], changed: Changed) -> None:
    edit(name, REMARKS[kind])
    assert changed() == set()


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("attacks/pgd.py", {"pgd"}),
        ("attacks/fgsm.py", {"transfer"}),
        ("attacks/transfer.py", {"transfer"}),
        ("models/classifiers/lenet5.py", {"transfer"}),
        ("attacks/square.py", set()),
        ("adversary/optimizers/square.py", set()),
        ("models/classifiers/alexnet.py", set()),
        ("training/train.py", set()),
        ("runner/progress_bar.py", set()),
        ("runner/run.py", set()),
        ("reports/checks.py", set()),
        ("interventions/slide_patch.py", {"occluded", "occluded control"}),
        ("adversary/attack.py", {"pgd", "transfer"}),
        ("runner/attack_search.py", {"pgd", "transfer"}),
        ("metrics/accuracy.py", ALL),
        ("data/npz.py", ALL),
        ("runner/cell.py", ALL),
        ("noise.py", ALL),
    ],
)
def test_an_edit_recomputes_exactly_what_runs_it(name: str, touched: set[str], edit: Callable[..., None], changed: Changed) -> None:
    edit(name, lambda s: s + "\nEDITED = True\n")
    assert changed() == touched


def test_a_module_that_the_users_file_imports_counts(tmp_path: Path, changed: Changed) -> None:
    (tmp_path / "dependency_helper.py").write_text("TINT = 1.0  # the same\n")
    assert changed() == set()
    (tmp_path / "dependency_helper.py").write_text("from dependency_second import TINT\n")
    (tmp_path / "dependency_second.py").write_text("TINT = 1.0\n")
    moved = changed()
    assert moved == ALL
    before = DependencyReader().of([Lookup("model", "", tmp_path / "model.py")])
    (tmp_path / "dependency_second.py").write_text("TINT = 2.0\n")
    after = DependencyReader().of([Lookup("model", "", tmp_path / "model.py")])
    assert {name for name, _ in before.sources ^ after.sources} == {"dependency_second"}


def test_an_upgrade_recomputes_exactly_what_imports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """scipy comes with torchattacks, which requires it; huggingface's models and smp's share torch, which everything does."""
    sources = {
        "timm": "robustbench_cv.models.sources.timm",
        "transformers": "robustbench_cv.models.sources.hf",
        "segmentation-models-pytorch": "robustbench_cv.models.sources.smp",
        "torchattacks": "robustbench_cv.attacks.torchattacks",
        "lenet5": "robustbench_cv.models.classifiers.lenet5",
    }
    # Of these the library is found while a model is built.
    packages = {"transformers": "transformers", "segmentation-models-pytorch": "segmentation_models_pytorch"}

    def keys() -> dict[str, str]:
        reader = DependencyReader()
        return {n: reader.of([m, *([Lookup("package", packages[n])] if n in packages else [])]).sha256 for n, m in sources.items()}

    known = importlib.metadata.version
    before = keys()

    def upgraded(distribution: str) -> set[str]:
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "99" if name == distribution else known(name))
        return {name for name, key in keys().items() if key != before[name]}

    assert upgraded("nothing") == set()
    assert upgraded("transformers") == {"transformers"}
    assert upgraded("segmentation-models-pytorch") == {"segmentation-models-pytorch"}
    assert upgraded("timm") == {"timm", "segmentation-models-pytorch"}
    assert upgraded("torchattacks") == upgraded("scipy") == {"torchattacks"}
    assert upgraded("torch") == set(sources)


def test_a_plugin_from_another_distribution_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_plugin").mkdir()
    (tmp_path / "a_plugin" / "__init__.py").write_text("")
    (tmp_path / "a_plugin" / "inner.py").write_text("from . import deeper\nfrom .deeper import x\n")
    (tmp_path / "a_plugin" / "deeper.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(dependencies, "_packages", lambda: {"a_plugin": ["a-plugin"]})
    monkeypatch.setattr(dependencies, "_installed_roots", lambda: (tmp_path,))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0")
    plugin = Lookup("attack", "a_plugin.inner")
    found = DependencyReader().of([plugin])
    assert {name for name, _ in found.sources} == {"a_plugin", "a_plugin.inner", "a_plugin.deeper"}
    assert found.distributions == {"a-plugin": "1.0"}
    (tmp_path / "a_plugin" / "deeper.py").write_text("x = 2\n")
    assert DependencyReader().of([plugin]) != found
    # What is merely imported counts by its version.
    (tmp_path / "user.py").write_text("def f():\n    import a_plugin.inner\n")
    user = DependencyReader().of([Lookup("model", "", tmp_path / "user.py")])
    assert {name for name, _ in user.sources} == {"user"}
    assert user.distributions == {"a-plugin": "1.0"}


def test_lookups_are_recorded_where_they_are_asked_for() -> None:
    attacks: Registry[object] = Registry("attack", "robustbench_cv.attacks")
    with recorded_lookups() as outer:
        attacks.build("fgsm")
        with unrecorded_lookups():
            attacks.build("bim")
        with recorded_lookups() as inner:
            attacks.build("pgd")
    assert [lookup.module for lookup in inner] == ["robustbench_cv.attacks.pgd"]
    assert [lookup.module for lookup in outer] == ["robustbench_cv.attacks.fgsm", "robustbench_cv.attacks.pgd"]


def test_the_adapter_of_a_users_bare_detector_is_a_part_of_its_code(tmp_path: Path) -> None:
    """Which adapter serves is looked up by the library that the module comes from, which no syntax tree shows."""
    (tmp_path / "bare.py").write_text(
        "from torchvision.models.detection import ssdlite320_mobilenet_v3_large as net\n\n\n"
        "def build():\n    return net(weights=None, weights_backbone=None, num_classes=3)\n"
    )
    reader, spec = DependencyReader(), f"{tmp_path / 'bare.py'}:build(task='detection', classes='a,b')"
    _, code = dependencies.built_with_code(reader, lambda: build_model(spec))
    assert "robustbench_cv.models.sources.torchvision_detection" in {name for name, _ in code.sources}
