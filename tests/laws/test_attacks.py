"""Laws of every registered attack, and that the same laws catch attacks that are broken on purpose."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from typing import Any, cast

import numpy
import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary import Adversary, Ascent, Attack, AttackResult, External, Linf, Patch, aim_of, run
from robustbench_cv.adversary.constraints.pixels import Pixels
from robustbench_cv.adversary.constraints.spatial import Spatial
from robustbench_cv.adversary.criteria import misclassified, reported_predictions
from robustbench_cv.adversary.gradient_transforms import chain, scale, steepest
from robustbench_cv.adversary.objective import indifferent
from robustbench_cv.adversary.objectives.classification import cross_entropy
from robustbench_cv.adversary.optimizers.ascent import RandomSteps
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.check_findings import STRENGTH
from robustbench_cv.checks import comparison_attacks
from robustbench_cv.checks.attack_strength import judge
from robustbench_cv.checks.checked_attack import Attacked
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.registry import Spec
from robustbench_cv.runner.attack_search import radius_of
from robustbench_cv.tasks import Task
from robustbench_cv.types import Sample, predict
from tests.adversary_models import MODELS, images, linear, noise, segmenter, targets

# What a name alone does not build, or builds with a budget too large for the tiny models.
SPECS = {
    "torchattacks": "torchattacks:PGD(eps=8/255, alpha=2/255, steps=5)",
    "mi-fgsm": "mi-fgsm(eps=8/255)",
    "patch": "patch(area=0.04)",
    "apgd-t": "apgd-t(steps=8, targets=2)",
    "autoattack": "autoattack(steps=5, queries=20)",
    "cw-l2": "cw-l2(eps=0.5, steps=12, searches=5)",
    "deepfool": "deepfool(eps=0.5)",
    "fab": "fab(steps=6)",
    "fab-t": "fab-t(steps=6, targets=2)",
    "square": "square(queries=80)",
    "ni-fgsm": "ni-fgsm(eps=8/255)",
    "di-fgsm": "di-fgsm(eps=8/255)",
    "ti-fgsm": "ti-fgsm(eps=8/255, kernel=3)",
}
SCALE_FREE = ("apgd-dlr", "apgd-t", "autoattack", "cw-l2", "deepfool", "fab", "fab-t", "seg-dag", "sea")
"""No scale of the logits takes their gradients away."""
ENTRIES = ATTACKS.entries()
SPECS |= {name: f"{name}({entry.facts['reduced']})" for name, entry in ENTRIES.items() if "reduced" in entry.facts}
CASES = [
    pytest.param(SPECS.get(name, name), task, id=f"{name}-{task}")
    for name in ATTACKS.names()
    for task in MODELS
    if ENTRIES[name].facts["task"] in (task, "any") and not ENTRIES[name].facts.keys() & {"fitted", "needs"}
]
# Half of a segmenter's pixels turn no nearer than where noise breaks classifiers: held in test_adversary_decision.
GRADIENT_CASES = [case for case in CASES if not str(case.id).startswith("noise") and case.id != "hop-skip-jump-segmentation"]


def name_of(case: Any) -> str:
    return Spec.parse(case.values[0]).name


def attacked(attack: Adversary[Any] | str, task: str, n: int = 6) -> tuple[Any, Tensor, Any, AttackResult]:
    model = MODELS[task]()
    x0 = images(n)
    truth = targets(model, x0)
    attack = ATTACKS.build(attack) if isinstance(attack, str) else attack
    return model, x0, truth, run(attack, model, x0, truth, noise(n))


def degree(attack: Adversary[Any], model: Any, x0: Tensor, truth: Any, x: Tensor) -> Tensor:
    """The attack's own criterion on any images, by the public path."""
    seen = reported_predictions(predict(model, x), model.info.operating_score)
    return attack.success.degree(seen, aim_of(attack, model, x0, truth).references)


def require_gain_over_noise(attack: Any, task: str) -> None:
    """The law that an identity fails: more done, on average, than by random noise in the same constraint."""
    model, x0, truth, result = attacked(attack, task, n=12)
    control = Attack(
        name="control",
        objective=indifferent(),
        success=attack.success,
        constraint=attack.constraint,
        optimizer=RandomSteps(),
        steps=1,
        restarts=1,
        start="clean",
        keep="last",
        reference=attack.reference,
    )
    if isinstance(attack.constraint, Patch | Pixels | Spatial):
        control = dataclasses.replace(control, steps=0, start="edge")
    random = run(control, model, x0, truth, noise(12, seed=7))
    assert result.degree.mean() > random.degree.mean() + 0.1


@pytest.mark.parametrize(("spec", "task"), CASES)
def test_success_and_size_are_those_of_the_images(spec: str, task: str) -> None:
    attack = ATTACKS.build(spec)
    model, x0, truth, result = attacked(attack, task)
    again = degree(attack, model, x0, truth, result.images)
    assert torch.equal(result.success, again >= attack.success.threshold)
    torch.testing.assert_close(result.degree, again)
    with contextlib.suppress(NotApplicable):
        torch.testing.assert_close(result.size, attack.constraint.measure(x0, result.images), rtol=1e-5, atol=1e-7)
    assert (result.size <= attack.constraint.radius + 1e-6).all()
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert not result.images.requires_grad
    assert not torch.equal(result.images, x0)
    assert not result.failed


@pytest.mark.parametrize(("spec", "task"), GRADIENT_CASES)
def test_it_beats_noise_of_its_size(spec: str, task: str) -> None:
    require_gain_over_noise(ATTACKS.build(spec), task)


@pytest.mark.parametrize("spec", [*dict.fromkeys(case.values[0] for case in CASES), "transfer(source='lenet5', attack='fgsm(eps=2/255)')"])
def test_its_budget_is_known_to_the_records(spec: str) -> None:
    assert (radius_of(ATTACKS.build(spec)) or 0) > 0


@pytest.mark.parametrize(("spec", "task"), CASES)
def test_its_strength_can_be_judged(spec: str, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing had been broken, so that everything is tried that fits; at small cost."""
    monkeypatch.setattr(comparison_attacks, "QUERIES", dict.fromkeys(comparison_attacks.QUERIES, 5))
    monkeypatch.setattr(comparison_attacks, "DRAWS", 2)
    monkeypatch.setattr(comparison_attacks, "LONGER", 3)
    model = MODELS[task]()
    x0 = images(2)
    samples = [Sample(f"s{i}", x, target) for i, (x, target) in enumerate(zip(x0, targets(model, x0), strict=True))]
    gradients = 0.0 if ENTRIES[Spec.parse(spec).name].facts.get("gradient") is False else 5.0
    found = judge(Attacked(model=model, task=cast("Task", task), spec=spec, survivors=samples, attacked=2, survived=2, backwards=gradients))
    assert found.title == STRENGTH
    assert (found.verdict == "not applicable") == spec.startswith("noise")
    assert found.verdict != "note"


@pytest.mark.parametrize(("spec", "task"), CASES)
def test_a_sample_fares_the_same_alone_and_in_a_batch(spec: str, task: str) -> None:
    # float64: a step's sign would turn the last bit of float32 into a whole step.
    model = MODELS[task]()
    model.module.double()
    x0 = images(4).double()
    truth = targets(model, x0)
    attack = ATTACKS.build(spec)
    together = run(attack, model, x0, truth, noise(4))
    for i in (0, 3):
        alone = run(attack, model, x0[i : i + 1], [truth[i]], noise(4).select([i]))
        torch.testing.assert_close(alone.images[0], together.images[i], atol=1e-6, rtol=0)
        assert bool(alone.success[0]) == bool(together.success[i])
        assert int(alone.forwards[0]) == int(together.forwards[i])


@pytest.mark.parametrize(("spec", "task"), CASES)
def test_the_model_and_the_global_generators_are_left_alone(spec: str, task: str) -> None:
    model = MODELS[task]()
    x0 = images(3)
    truth = targets(model, x0)
    quiet = run(ATTACKS.build(spec), model, x0, truth, noise(3))
    model.module.train()
    next(model.module.children()).eval()
    next(model.module.parameters()).requires_grad_(False)
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    flags = [m.training for m in model.module.modules()], [p.requires_grad for p in model.module.parameters()]
    generators = torch.get_rng_state(), numpy.random.get_state()[1].copy()
    copy = x0.clone()
    result = run(ATTACKS.build(spec), model, x0, truth, noise(3))
    assert all(torch.equal(v, before[k]) for k, v in model.module.state_dict().items())
    assert flags == ([m.training for m in model.module.modules()], [p.requires_grad for p in model.module.parameters()])
    assert all(p.grad is None for p in model.module.parameters())
    assert torch.equal(generators[0], torch.get_rng_state())
    assert (generators[1] == numpy.random.get_state()[1]).all()
    assert torch.equal(copy, x0)
    # Attacked in eval mode all the same: dropout would have changed the outcome.
    assert torch.equal(result.images, quiet.images)


@pytest.mark.parametrize(
    ("spec", "task"),
    [
        case
        for case in GRADIENT_CASES
        if not str(case.id).endswith("-detection") and ENTRIES[name_of(case)].facts.get("gradient") is not False
    ],
)
def test_a_saturated_model_is_flagged_not_robust(spec: str, task: str) -> None:
    model = linear(1000.0) if task == "classification" else segmenter(3000.0)
    # Images alike, so that the top logits of all are far apart.
    x0 = images(4).clamp(0.2, 0.8)
    result = run(ATTACKS.build(spec), model, x0, targets(model, x0), noise(4))
    stuck = ~result.success
    if spec.split("(")[0] in SCALE_FREE:
        plain = {"classification": "pgd", "segmentation": "pixel-pgd"}[task]
        blind = run(ATTACKS.build(plain), model, x0, targets(model, x0), noise(4))
        assert blind.flagged.any() or task == "segmentation"
        assert result.degree.mean() > blind.degree.mean()
        return
    assert stuck.any()
    if task == "classification":
        assert (result.zero_grads[stuck] > 0.9).all()
        assert torch.equal(result.flagged, stuck)


@pytest.mark.parametrize(("spec", "task"), CASES)
def test_no_budget_does_nothing(spec: str, task: str) -> None:
    parsed = Spec.parse(spec)
    if parsed.target is None and not re.search(r"\beps:", ENTRIES[parsed.name].signature):
        pytest.skip("it has an area or a number of pixels, not a budget for each")
    attack = ATTACKS.build(dataclasses.replace(parsed, args={**parsed.args, "eps": 0.0}))
    _, x0, _, result = attacked(attack, task)
    assert torch.equal(result.images, x0)


def broken(scale_by: float, steps: int) -> Attack[Any]:
    ball = Linf(8 / 255)
    move = chain(steepest(ball), scale(scale_by))
    return Attack(
        name="broken",
        objective=cross_entropy(),
        success=misclassified(),
        constraint=ball,
        optimizer=Ascent(move),
        steps=steps,
        start="clean",
        keep="last",
    )


def test_the_same_attack_unbroken_passes() -> None:
    require_gain_over_noise(broken(1 / 255, steps=10), "classification")


@pytest.mark.parametrize(("scale_by", "steps"), [(0.0, 0), (-1 / 255, 10)], ids=["identity", "sign-flipped"])
def test_the_noise_law_catches(scale_by: float, steps: int) -> None:
    with pytest.raises(AssertionError):
        require_gain_over_noise(broken(scale_by, steps), "classification")


@pytest.mark.parametrize(
    ("craft", "message"),
    [
        (lambda x, y: (x + 0.1).clamp(0, 1), "of a budget of"),
        (lambda x, y: x + 0.03, "outside"),
        (lambda x, y: x * float("nan"), "outside"),
    ],
    ids=["over-budget", "out-of-range", "nan"],
)
def test_images_outside_the_contract_are_refused(craft: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        attacked(External("cheat", lambda network, classes, seed: craft, Linf(8 / 255)), "classification")
