"""The facts of built attacks: what tables print of them, against what their loops do."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import structs

from robustbench_cv.adversary import Linf, run
from robustbench_cv.adversary.attack_facts import AttackFacts, facts_of
from robustbench_cv.adversary.external.adapters import from_torchattacks
from robustbench_cv.adversary.universal.judging import attack_of
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.suite import Condition
from tests.adversary_models import MODELS, images, noise, targets


def facts(spec: str) -> AttackFacts:
    return facts_of(ATTACKS.build(spec))


@pytest.mark.parametrize(
    ("spec", "norm", "radius", "steps", "restarts"),
    [
        ("fgsm(eps=8/255)", "linf", 8 / 255, 1, 1),
        ("pgd(norm='Linf', eps=8/255, steps=7, restarts=3)", "linf", 8 / 255, 7, 3),
        ("pgd(norm='L2', eps=0.5, steps=7)", "l2", 0.5, 7, 1),
        ("pgd(norm='l1', eps=12.0, steps=7)", "l1", 12.0, 7, 1),
        ("cw-l2(steps=20, searches=7)", "l2", None, 140, 1),
        ("deepfool(eps=0.5, steps=9)", "l2", 0.5, 9, 1),
        ("pgd-l0(pixels=100, steps=20)", "l0", 100.0, 20, 1),
        ("tog-vanish(eps=2/255, steps=10)", "linf", 2 / 255, 10, 1),
        ("seg-pgd(eps=2/255, steps=10)", "linf", 2 / 255, 10, 1),
        ("square(eps=8/255, queries=50)", "linf", 8 / 255, 50, 1),
        ("patch(steps=5)", "area", 0.02, 5, 1),
        ("apgd-t(eps=8/255, steps=20, targets=3)", "linf", 8 / 255, 20, 3),
        ("fab(eps=None, steps=5)", "linf", None, 5, 1),
        ("fab(eps=8/255, steps=5, restarts=4)", "linf", 8 / 255, 5, 4),
        ("sea(eps=8/255, steps=10)", "linf", 8 / 255, 10, 4),
        ("autoattack(eps=8/255, steps=20, queries=200)", "linf", 8 / 255, 20 + 9 * 20 + 9 * 20 + 200, 1),
        ("hop-skip-jump(eps=0.7, queries=30)", "l2", 0.7, None, 1),
        ("rotation-translation(draws=4)", "range", 1.0, 4, 1),
        ("transfer(source='lenet5.scenes', attack='mi-fgsm(eps=8/255, steps=6)')", "linf", 8 / 255, 6, 1),
        ("torchattacks:PGD(eps=8/255, steps=5)", "linf", 8 / 255, 5, 1),
        ("universal(eps=10/255, steps=12)", "linf", 10 / 255, 12, 1),
        ("noise(eps=8/255)", "linf", 8 / 255, 1, 1),
    ],
)
def test_facts_are_those_of_the_loop(spec: str, norm: str, radius: float | None, steps: int | None, restarts: int) -> None:
    made = facts(spec)
    assert (made.norm, made.steps, made.restarts) == (norm, steps, restarts)
    assert made.radius == (None if radius is None else pytest.approx(radius))


@pytest.mark.parametrize("task", MODELS)
@pytest.mark.parametrize("kind", ["square", "nes", "spsa", "sparse-rs", "one-pixel", "hop-skip-jump", "rotation-translation", "noise"])
def test_no_search_asks_more_than_its_queries(kind: str, task: str) -> None:
    names = {"square": ("square-pixels", "square-vanish"), "nes": ("nes-pixels", "nes-vanish"), "spsa": ("spsa-pixels", "spsa-vanish")}
    every = {"classification": kind, **dict(zip(("segmentation", "detection"), names.get(kind, (kind, kind)), strict=True))}
    entry = ATTACKS.entry(every[task])
    if entry.facts["task"] not in (task, "any"):
        pytest.skip(f"{kind} is for {entry.facts['task']}")
    attack: Any = ATTACKS.build(f"{every[task]}({entry.facts.get('reduced', '')})")
    model, x0 = MODELS[task](), images(3)
    made = run(attack, model, x0, targets(model, x0), noise(3))
    queries = facts_of(attack).queries
    assert queries is not None
    # One more, where what the attack is aimed at is read from the clean image.
    assert int(made.forwards.max()) <= queries + 1
    assert int(made.backwards.max()) == 0


def test_attacks_by_gradients_have_no_queries_and_controls_are_known() -> None:
    assert facts("pgd(steps=3)").queries is None
    assert facts("noise()").is_control
    assert not facts("pgd()").is_control


def test_a_fit_is_told_from_its_plain_and_shuffled_forms() -> None:
    sampled = Condition("sticker", attack="sticker-hide(steps=5)")
    conditions = [sampled, structs.replace(sampled, judged="plain"), structs.replace(sampled, judged="shuffled")]
    made = {c.judged: facts_of(attack_of(c)) for c in conditions}
    assert [f.judged for f in made.values()] == ["sampled", "plain", "shuffled"]
    assert len({f.fit for f in made.values()}) == 1
    assert facts("sticker-hide(steps=6)").fit != made["sampled"].fit


def test_an_adversary_of_unknown_kind_says_what_it_can() -> None:
    class Mine:
        constraint, steps = Linf(0.1), 3

    assert facts_of(Mine()) == AttackFacts(norm="linf", radius=0.1, steps=3)
    assert facts_of(object()) == AttackFacts()
    assert facts_of(from_torchattacks("theirs", lambda network: lambda x, y: x, Linf(0.1))).steps is None


def test_facts_can_be_stored() -> None:
    made = facts("autoattack(steps=5, queries=20)")
    assert len(made.parts) == 4
    assert msgspec.json.decode(msgspec.json.encode(made), type=AttackFacts) == made
