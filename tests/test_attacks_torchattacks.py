"""Our attacks and torchattacks' on the same images: the same robust accuracy; and its classes through our adapter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.adversary import run
from robustbench_cv.catalogue import ATTACKS, MODELS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.noise import Noise
from robustbench_cv.types import ClassTarget
from tests.adversary_models import classifier, images, noise, targets

torchattacks = pytest.importorskip("torchattacks")

# All but the wrappers; JSMA is quadratic in pixels. With arguments small enough for a test.
QUICK: dict[str, str] = {
    "AutoAttack": "eps=8/255",
    "APGDT": "eps=8/255, steps=5",
    "CW": "steps=10",
    "DeepFool": "steps=10",
    "EADEN": "max_iterations=10, binary_search_steps=1",
    "EADL1": "max_iterations=10, binary_search_steps=1",
    "FAB": "eps=8/255, steps=3, n_restarts=1",
    "OnePixel": "steps=2, popsize=4",
    "PGDRS": "steps=2",
    "PGDRSL2": "steps=2",
    "Pixle": "max_iterations=3, restarts=3",
    "SPSA": "eps=8/255, nb_iter=2, nb_sample=8",
    "SparseFool": "steps=3",
    "Square": "eps=8/255, n_queries=20",
}
NAMES = [n for n in torchattacks.__all__ if n not in (*torchattacks.__wrapper__, "JSMA")]


@pytest.mark.parametrize("name", NAMES)
def test_every_class_runs_within_its_budget_and_is_judged_anew(name: str) -> None:
    model, x0 = classifier(), images(2)
    truth = targets(model, x0)
    result = run(ATTACKS.build(f"torchattacks:{name}({QUICK.get(name, '')})"), model, x0, truth, noise(2))
    with torch.no_grad():
        wrong = [int(v) != t.label for v, t in zip(model.raw(result.images).values.argmax(1), truth, strict=True)]  # type: ignore[union-attr]
    assert result.success.tolist() == wrong
    assert not result.images.requires_grad
    assert (result.forwards >= 1).all()
    again = run(ATTACKS.build(f"torchattacks:{name}({QUICK.get(name, '')})"), model, x0[1:], truth[1:], noise(2).select([1]))
    torch.testing.assert_close(again.images[0], result.images[1], atol=1e-5, rtol=0)
    if name == "VANILA":
        assert torch.equal(result.images, x0)


@pytest.mark.parametrize("name", ["APGDT", "AutoAttack", "JSMA"])
def test_too_few_classes_are_not_applicable(name: str) -> None:
    model, x0 = classifier(classes=2), images(1)
    with pytest.raises(NotApplicable, match=f"torchattacks:{name} needs at least . classes, this model has 2"):
        run(ATTACKS.build(f"torchattacks:{name}"), model, x0, targets(model, x0), noise(1))


def test_seeds_come_from_the_sample_id() -> None:
    model, x0 = classifier(), images(1).expand(2, -1, -1, -1)
    attack = ATTACKS.build("torchattacks:APGD(eps=8/255, steps=2)")
    result = run(attack, model, x0, targets(model, x0), noise(2))
    assert not torch.equal(result.images[0], result.images[1])
    again = run(attack, model, x0, targets(model, x0), noise(2))
    assert torch.equal(result.images, again.images)


# ---- parity on real images ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cifar() -> tuple[Any, Tensor, Tensor]:
    folder = os.environ.get("ROBUSTBENCH_CV_DATA")
    if not folder:
        pytest.skip("ROBUSTBENCH_CV_DATA names no folder with cifar10/")
    path = Path(folder) / "cifar10"
    model = MODELS.build(f"cifar-resnet20(checkpoint='{path / 'resnet20.safetensors'}')")
    with numpy.load(path / "test_2000.npz") as data:
        pictures, labels = data["images"][:500], data["labels"][:500]
    return model, torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float() / 255, torch.from_numpy(labels)


class Network(nn.Module):
    """Our model as torchattacks takes it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model.module

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.inner(x)
        return values


def both(spec: str, theirs: Any, cifar: tuple[Any, Tensor, Tensor], n: int) -> tuple[float, float]:
    """Robust accuracy of our attack and of theirs on the first n images."""
    model, x, y = cifar
    network = Network(model).eval()
    made, attack = theirs(network), ATTACKS.build(spec)
    ours = their = 0
    for i in range(0, n, 100):
        images_, labels = x[i : i + 100], y[i : i + 100]
        ids = tuple(f"cifar/{j}" for j in range(i, i + 100))
        result = run(attack, model, images_, [ClassTarget(int(v)) for v in labels], Noise(0, ids))
        ours += int((~result.success).sum())
        with torch.random.fork_rng():
            torch.manual_seed(i)
            adversarial = made(images_, labels).detach()
        with torch.no_grad():
            their += int((network(adversarial).argmax(1) == labels).sum())
    return ours / n, their / n


PAIRS = [
    pytest.param("fgsm(eps=1/255)", lambda net: torchattacks.FGSM(net, 1 / 255), id="fgsm"),
    pytest.param("mi-fgsm(eps=1/255)", lambda net: torchattacks.MIFGSM(net, 1 / 255, 0.1 / 255, 10), id="mi-fgsm"),
    pytest.param("pgd(eps=1/255, steps=40)", lambda net: torchattacks.PGD(net, 1 / 255, 2.5 / 40 / 255, 40), id="pgd-40"),
    pytest.param("pgd(norm='l2', eps=0.1, steps=20)", lambda net: torchattacks.PGDL2(net, 0.1, 0.0125, 20), id="pgd-l2"),
    pytest.param("apgd(eps=1/255, steps=50)", lambda net: torchattacks.APGD(net, eps=1 / 255, steps=50), id="apgd-ce"),
    pytest.param(
        "apgd(eps=1/255, steps=50, loss='dlr')", lambda net: torchattacks.APGD(net, eps=1 / 255, steps=50, loss="dlr"), id="apgd-dlr"
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "theirs"), PAIRS)
def test_robust_accuracy_is_torchattacks_within_a_point(spec: str, theirs: Any, cifar: tuple[Any, Tensor, Tensor]) -> None:
    ours, their = both(spec, theirs, cifar, 500)
    print(f"\n{spec}: robust accuracy {ours:.1%}, torchattacks {their:.1%}, n = 500")
    assert abs(ours - their) <= 0.01


@pytest.mark.parametrize(("spec", "theirs"), PAIRS[:2])
def test_robust_accuracy_is_torchattacks_on_a_few(spec: str, theirs: Any, cifar: tuple[Any, Tensor, Tensor]) -> None:
    ours, their = both(spec, theirs, cifar, 100)
    assert abs(ours - their) <= 0.01
    assert ours < 0.4
