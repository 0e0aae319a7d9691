"""Laws of every attack that is fitted first: on its fit, on its judging, on its files."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary import AttackResult, aim_of, run
from robustbench_cv.adversary.criteria import reported_predictions
from robustbench_cv.adversary.universal import files
from robustbench_cv.adversary.universal.fitting import FittedTheta, fit
from robustbench_cv.adversary.universal.judging import with_judging
from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.adversary.victim import Victim
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.types import Sample, predict
from tests.adversary_models import MODELS, images, noise, targets

QUICK = "limit=16, steps=15, batch=8"
# Aimed at classes that the tiny models have, and small enough for images of 16 pixels.
ARGUMENTS = {
    "universal": "eps=16/255",
    "seg-universal": "eps=24/255",
    "adversarial-patch": "smallest=0.2, largest=0.3, side=8, alpha=0.1",
    "seg-patch": "area=0.25, side=8, wrong_fraction=0.2",
    "dpatch": "area=0.2, side=8",
    "robust-dpatch": "area=0.2, side=8, alpha=0.05",
    "person-patch": "cls='class 1', scale=0.5, side=8",
    "sticker-hide": "cls='class 1', smallest=0.8, largest=1.0, side=8",
    "sticker-create": "target='class 1', smallest=0.2, largest=0.3, side=8",
    "shapeshifter": "cls='class 1', target='class 0', side=8",
}
ENTRIES = {name: entry for name, entry in ATTACKS.entries().items() if entry.facts.get("fitted")}
NAMES = sorted(ENTRIES)


def built(name: str, more: str = "") -> UniversalAttack[Any]:
    given = [ARGUMENTS[name], QUICK, more]
    attack = ATTACKS.build(f"{name}({', '.join(g for g in given if g)})")
    assert isinstance(attack, UniversalAttack)
    return attack


def task_of(name: str) -> str:
    return str(ENTRIES[name].facts["task"])


def samples(task: str, n: int, seed: int) -> list[Sample]:
    model, x = MODELS[task](), images(n, seed=seed)
    return [Sample(f"sample {i} of {seed}", image, target) for i, (image, target) in enumerate(zip(x, targets(model, x), strict=True))]


@cache
def fitted(name: str, seed: int = 0) -> FittedTheta:
    return fit(built(name), MODELS[task_of(name)](), samples(task_of(name), 32, seed=1), seed=seed)


def judged(attack: UniversalAttack[Any], n: int = 24) -> tuple[Any, Tensor, Any, AttackResult]:
    model, x0 = MODELS[task_of(attack.name)](), images(n, seed=2)
    truth = targets(model, x0)
    return model, x0, truth, run(attack, model, x0, truth, noise(n))


def ready(name: str) -> UniversalAttack[Any]:
    made = fitted(name)
    return built(name).with_theta(made.theta, made.ids)


def placed(attack: UniversalAttack[Any], model: Any, x0: Tensor, truth: Any) -> Any:
    aim = aim_of(attack, model, x0, truth)
    served = [i for i in range(len(x0)) if i not in aim.skipped]
    victim = Victim(model=model, x0=x0, goals=aim.goals, references=aim.references, noise=noise(len(x0))).select(torch.tensor(served))
    return served, attack.place(victim, attack.surface, "place")


@pytest.mark.parametrize("name", NAMES)
def test_without_a_fit_there_is_nothing_to_judge(name: str) -> None:
    with pytest.raises(UserError, match="nothing to show yet"):
        judged(built(name), 8)


@pytest.mark.parametrize("name", NAMES)
def test_success_and_size_are_those_of_the_images(name: str) -> None:
    attack = ready(name)
    model, x0, truth, result = judged(attack)
    assert not result.failed
    served, (_, _, references) = placed(attack, model, x0, truth)
    assert len(served) >= 4
    degree = attack.success.degree(reported_predictions(predict(model, result.images[served]), model.info.operating_score), references)
    expected = torch.zeros(len(x0))
    expected[served] = degree
    torch.testing.assert_close(result.degree, expected)
    assert torch.equal(result.success, (expected >= attack.success.threshold) & torch.tensor([i in served for i in range(len(x0))]))
    torch.testing.assert_close(result.size, attack.surface.measure(x0, result.images).float())
    assert (result.size <= attack.surface.radius + 1e-6).all()
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert int(result.backwards.sum()) == 0
    for i in result.skipped:
        assert torch.equal(result.images[i], x0[i])


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_of_the_model_changes_nothing(name: str) -> None:
    """A poster is judged by whether it is seen, not by the objects that were there without it."""
    attack = ready(name)
    model, x0, truth, result = judged(attack)
    again = run(attack, model, x0, truth, noise(len(x0)), MODELS[task_of(name)]())
    torch.testing.assert_close(again.degree, result.degree)
    assert torch.equal(again.images, result.images)


def objective(attack: UniversalAttack[Any], theta: Tensor) -> float:
    """The mean objective of theta on images that no fit has seen."""
    model, x0 = MODELS[task_of(attack.name)](), images(24, seed=2)
    _, (where, goals, _) = placed(attack, model, x0, targets(model, x0))
    with torch.no_grad():
        return float(attack.objective(model.raw(where.apply(theta)), goals).mean())


@pytest.mark.parametrize("name", NAMES)
def test_on_unseen_images_it_beats_what_it_started_from_and_its_own_pixels_without_their_pattern(name: str) -> None:
    # By the objective: a patch does not reach beyond the few pixels that a tiny segmenter or detector looks at, so it breaks little.
    attack, theta = built(name), fitted(name).theta
    assert objective(attack, theta) > objective(attack, attack.surface.start(images(1)[0], noise(1))) + 1e-3
    # Turned and moved at random, a pattern says nothing to models that see 5 pixels at a time: there the colours do it all.
    if name not in ("robust-dpatch", "seg-patch"):
        assert objective(attack, theta) > objective(attack, attack.surface.random(theta, noise(1))) + 1e-3


@pytest.mark.parametrize("name", ["universal", "shapeshifter"])
def test_it_breaks_what_its_control_does_not(name: str) -> None:
    attack = ready(name)
    result, control = judged(attack)[3], judged(dataclasses.replace(attack, shuffled=True))[3]
    assert result.success.sum() >= control.success.sum() + 3


@pytest.mark.parametrize("name", [n for n in NAMES if n != "robust-dpatch"])
def test_fitting_raises_the_objective(name: str) -> None:
    """Not robust-dpatch: on the tiny detector its batches, turned and lit at random, differ by more than its patch changes."""
    made = fitted(name)
    assert sum(made.trace[-5:]) > sum(made.trace[:5])
    assert 1 <= len(made.ids) <= 16
    assert made.backwards == 15 * 8 or len(made.ids) < 16
    assert torch.equal(built(name).surface.project(made.theta), made.theta)


@pytest.mark.parametrize("name", ["adversarial-patch", "seg-universal", "person-patch"])
def test_a_fit_depends_on_its_seed_and_samples_alone(name: str) -> None:
    again = fit(built(name), MODELS[task_of(name)](), samples(task_of(name), 32, seed=1), seed=0)
    assert torch.equal(fitted(name).theta, again.theta)
    assert fitted(name).ids == again.ids
    assert not torch.equal(again.theta, fitted(name, seed=1).theta)


@pytest.mark.parametrize("name", NAMES)
def test_what_concerns_judging_alone_leaves_the_fit_as_it_was(name: str) -> None:
    facts = built(name).fit_facts()
    assert with_judging(built(name), "shuffled").fit_facts() == with_judging(built(name), "plain").fit_facts() == facts
    changed = ATTACKS.build(f"{name}({ARGUMENTS[name]}, limit=16, steps=16, batch=8)")
    assert changed.fit_facts() != facts


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_fares_the_same_alone_and_in_a_batch(name: str) -> None:
    attack = ready(name)
    model, x0, truth, together = judged(attack)
    for i in (0, 5):
        alone = run(attack, model, x0[i : i + 1], [truth[i]], noise(24).select([i]))
        torch.testing.assert_close(alone.images[0], together.images[i])
        assert bool(alone.success[0]) == bool(together.success[i])
        assert (0 in alone.skipped) == (i in together.skipped)


@pytest.mark.parametrize("name", NAMES)
def test_files_hold_it_exactly(name: str, tmp_path: Path) -> None:
    attack, made = built(name), fitted(name)
    path = files.write_fitted(tmp_path, attack, made, {"model": "tiny", "seed": 0})
    assert {p.suffix for p in tmp_path.iterdir()} >= {".json", ".png"}
    again = built(name, f"file={str(path)!r}")
    assert again.theta is not None
    assert torch.equal(again.theta, made.theta)
    assert again.fitted_on == made.ids
    assert torch.equal(judged(again)[3].images, judged(ready(name))[3].images)
    saved = files.read_fitted(tmp_path, attack)
    assert saved is not None
    assert torch.equal(saved.theta, made.theta)


@pytest.mark.parametrize("name", ["adversarial-patch", "universal"])
def test_fitting_leaves_the_model_and_the_global_generators_alone(name: str) -> None:
    model = MODELS[task_of(name)]()
    model.module.train()
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    flags = [m.training for m in model.module.modules()], [p.requires_grad for p in model.module.parameters()]
    given = samples(task_of(name), 32, seed=1)
    generator = torch.get_rng_state()
    made = fit(built(name), model, given, seed=0)
    assert all(torch.equal(v, before[k]) for k, v in model.module.state_dict().items())
    assert flags == ([m.training for m in model.module.modules()], [p.requires_grad for p in model.module.parameters()])
    assert all(p.grad is None for p in model.module.parameters())
    assert torch.equal(generator, torch.get_rng_state())
    # In eval mode all the same: dropout would have changed the outcome.
    assert torch.equal(made.theta, fitted(name).theta)
