"""Other libraries' attacks, by stand-ins of the same calling convention (and the libraries themselves where they are installed).

The stand-ins know the answer (PGD of their own) or cheat; an adapter must be as strong as the first and see through the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.adversary import L2, External, Linf, run
from robustbench_cv.adversary.external.adapters import from_art, from_foolbox, from_torchattacks
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.types import Logits, predict
from tests.adversary_models import TinyClassifier, classifier, images, noise, targets

EPS = 4 / 255
Craft = Callable[[nn.Module, Tensor, Tensor], Tensor]


def sign_steps(network: nn.Module, x0: Tensor, labels: Tensor) -> Tensor:
    """An honest attack: ten sign steps."""
    x = x0.clone()
    for _ in range(10):
        x = x.detach().requires_grad_()
        loss = nn.functional.cross_entropy(network(x), labels)
        (grad,) = torch.autograd.grad(loss, x)
        x = (x + EPS / 4 * grad.sign()).clamp(x0 - EPS, x0 + EPS).clamp(0, 1)
    return x.detach()


class FoolboxStandIn:
    """foolbox's convention, 3.3.4: attack(fmodel, images, labels, epsilons=eps) -> (raw, clipped, success); all is claimed broken."""

    def __init__(self, craft: Craft) -> None:
        self.craft = craft

    def __call__(self, fmodel: nn.Module, inputs: Tensor, criterion: Tensor, /, *, epsilons: float | None) -> tuple[Tensor, Tensor, Tensor]:
        assert epsilons is None or epsilons == EPS
        made = self.craft(fmodel, inputs, criterion)
        # raw may leave the range: what counts is clipped.
        return made + 9, made, torch.ones(len(inputs), dtype=torch.bool)


class ArtStandIn:
    """ART's convention, 1.20: attack.generate(x=array, y=one-hot array) -> array."""

    def __init__(self, network: nn.Module, craft: Craft) -> None:
        self.network, self.craft = network, craft

    def generate(self, x: numpy.ndarray[Any, Any], y: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
        assert isinstance(x, numpy.ndarray)
        assert x.dtype == numpy.float32
        assert y.shape == (len(x), 5)
        assert (y.sum(1) == 1).all()
        made = self.craft(self.network, torch.from_numpy(x), torch.from_numpy(y).argmax(1))
        return made.double().numpy()


def torchattacks_like(craft: Craft, within: Any) -> External:
    return from_torchattacks("stand-in", lambda network: lambda x, y: craft(network, x, y), within)


def foolbox_like(craft: Craft, within: Any) -> External:
    return from_foolbox("stand-in", lambda: FoolboxStandIn(craft), within, model_of=lambda network, device: network)


def art_like(craft: Craft, within: Any) -> External:
    return from_art("stand-in", lambda network: ArtStandIn(network, craft), within, estimator_of=lambda network, classes, shape: network)


KINDS = pytest.mark.parametrize("wrapped", [torchattacks_like, foolbox_like, art_like])


@KINDS
def test_an_honest_attack_keeps_its_strength_and_is_counted(wrapped: Callable[[Craft, Any], External]) -> None:
    model, x0 = classifier(gain=1.0), images(12)
    truth = targets(model, x0)
    result = run(wrapped(sign_steps, Linf(EPS)), model, x0, truth, noise(12))
    own = run(ATTACKS.build("pgd(eps=4/255, steps=10, random_start=False)"), model, x0, truth, noise(12))
    assert result.success.sum() >= own.success.sum() - 1
    assert result.success.any()
    assert result.success.tolist() == [p.label != t.label for p, t in zip(predict(model, result.images), truth, strict=True)]  # type: ignore[union-attr]
    assert (result.size <= EPS + 1e-6).all()
    assert (result.forwards == 11).all()
    assert (result.backwards == 10).all()
    assert all(p.grad is None for p in model.module.parameters())


@KINDS
@pytest.mark.parametrize(
    ("craft", "message"),
    [
        (lambda net, x, y: x + 0.03, "outside"),
        (lambda net, x, y: (x + 0.1).clamp(0, 1), "of a budget of"),
        (lambda net, x, y: x * float("nan"), "outside"),
        (lambda net, x, y: x[:, :, :8], "shape"),
    ],
    ids=["out-of-range", "over-budget", "nan", "another-shape"],
)
def test_images_that_break_the_contract_stop_the_run(wrapped: Callable[[Craft, Any], External], craft: Craft, message: str) -> None:
    model, x0 = classifier(), images(2)
    with pytest.raises(UserError, match=message):
        run(wrapped(craft, Linf(EPS)), model, x0, targets(model, x0), noise(2))


@KINDS
def test_a_claim_of_success_is_not_believed(wrapped: Callable[[Craft, Any], External]) -> None:
    model, x0 = classifier(), images(4)
    result = run(wrapped(lambda net, x, y: x, Linf(EPS)), model, x0, targets(model, x0), noise(4))
    assert not result.success.any()
    assert (result.size == 0).all()


@KINDS
def test_a_model_without_a_gradient_is_named_with_what_would_do(wrapped: Callable[[Craft, Any], External]) -> None:
    class Detached(TinyClassifier):
        def raw(self, images: Tensor, /) -> Logits:
            return Logits(super().raw(images).values.detach())

    whole, x0 = classifier(), images(2)
    with pytest.raises(NotApplicable, match=r"gives none to its input; attacks that need none: .*hop-skip-jump, nes, .*one-pixel"):
        run(wrapped(sign_steps, Linf(EPS)), Detached(whole.module, whole.info), x0, targets(whole, x0), noise(2))


def test_another_error_of_the_library_stays_what_it_is() -> None:
    def fail(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        raise RuntimeError("out of paper")

    model, x0 = classifier(), images(1)
    with pytest.raises(RuntimeError, match="out of paper"):
        run(foolbox_like(fail, Linf(EPS)), model, x0, targets(model, x0), noise(1))


def test_an_infinite_radius_asks_foolbox_for_the_smallest_change() -> None:
    seen: list[float | None] = []

    class Minimal(FoolboxStandIn):
        def __call__(self, fmodel: Any, inputs: Tensor, criterion: Tensor, /, *, epsilons: float | None) -> tuple[Tensor, Tensor, Tensor]:
            seen.append(epsilons)
            return super().__call__(fmodel, inputs, criterion, epsilons=epsilons)

    model, x0 = classifier(), images(1)
    attack = from_foolbox("minimal", lambda: Minimal(sign_steps), L2(math.inf), model_of=lambda network, device: network)
    run(attack, model, x0, targets(model, x0), noise(1))
    assert seen == [None]


def test_something_else_than_three_results_is_refused() -> None:
    model, x0 = classifier(), images(1)
    attack = from_foolbox("two", lambda: lambda *given, epsilons: given[1], Linf(EPS), model_of=lambda network, device: network)  # type: ignore[arg-type, return-value]
    with pytest.raises(UserError, match=r"returns \(raw, clipped, success\)"):
        run(attack, model, x0, targets(model, x0), noise(1))


def test_a_file_of_the_users_own_runs_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from robustbench_cv.adversary import Linf\n"
        "from robustbench_cv.adversary.external.adapters import from_torchattacks\n"
        "class Brighter:\n"
        "    def __init__(self, network, eps): self.eps = eps\n"
        "    def __call__(self, images, labels): return (images + self.eps).clamp(0, 1)\n"
        "def build(eps=8/255):\n"
        "    return from_torchattacks('brighter', lambda network: Brighter(network, eps), Linf(eps))\n"
    )
    model, x0 = classifier(), images(3)
    result = run(ATTACKS.build(f"{tmp_path / 'mine.py'}:build(eps=0.02)"), model, x0, targets(model, x0), noise(3))
    torch.testing.assert_close(result.images, (x0 + 0.02).clamp(0, 1))


# ---- the libraries themselves ------------------------------------------------------------------------------------------

FOOLBOX = [
    "LinfPGD(eps=4/255, steps=10)",
    "L2PGD(eps=0.3, steps=5)",
    "LinfDeepFoolAttack(eps=4/255, steps=10)",
    "L2CarliniWagnerAttack(steps=5)",
]
ART = [
    "ProjectedGradientDescent(eps=4/255, eps_step=1/255, max_iter=10)",
    "FastGradientMethod(norm=2, eps=0.3)",
    "DeepFool(max_iter=5)",
    "HopSkipJump(max_iter=1, max_eval=20, init_eval=5)",
]


@pytest.mark.parametrize(
    "spec", [pytest.param(f"{kind}:{s}", id=s.split("(")[0]) for kind, specs in (("foolbox", FOOLBOX), ("art", ART)) for s in specs]
)
def test_the_real_library_runs_within_its_budget(spec: str) -> None:
    library = spec.split(":")[0]
    pytest.importorskip(
        library,
        reason=f"{library} is not installed: uv run --with {'foolbox' if library == 'foolbox' else 'adversarial-robustness-toolbox'}",
    )
    model, x0 = classifier(gain=1.0), images(6)
    truth = targets(model, x0)
    result = run(ATTACKS.build(spec), model, x0, truth, noise(6))
    assert result.success.tolist() == [p.label != t.label for p, t in zip(predict(model, result.images), truth, strict=True)]  # type: ignore[union-attr]
    assert result.success.any()
    assert (result.forwards > 1).all()
    if "ProjectedGradientDescent" in spec or "LinfPGD" in spec:
        own = run(ATTACKS.build("pgd(eps=4/255, steps=10)"), model, x0, truth, noise(6))
        assert abs(int(result.success.sum()) - int(own.success.sum())) <= 1


@pytest.mark.parametrize(("library", "package"), [("foolbox", "foolbox"), ("art", "adversarial-robustness-toolbox")])
def test_a_library_that_is_missing_is_named(library: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("foolbox", "art.attacks.evasion", "art"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(UserError, match=f"is not installed: pip install {package}"):
        ATTACKS.build(f"{library}:PGD(eps=0.1)")
