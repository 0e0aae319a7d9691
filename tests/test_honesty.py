"""Defences that only look like defences, planted one at a time: the verdict on the attack names each, and calls sound attacks strong."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary.attack import run
from robustbench_cv.catalogue import ATTACKS, MODELS
from robustbench_cv.check_findings import STRENGTH, Finding
from robustbench_cv.checks import gradient_check
from robustbench_cv.checks.attack_strength import judge
from robustbench_cv.checks.checked_attack import Attacked, Budget, Other
from robustbench_cv.checks.comparison_attacks import PROBES, Trace, Tried, trace
from robustbench_cv.checks.half_precision import Float32, half_precision
from robustbench_cv.checks.s10_masking import s10_masking
from robustbench_cv.checks.s11_steps import s11_steps
from robustbench_cv.errors import NotApplicable
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxTarget, ClassTarget, Logits, ModelInfo, Prediction, Sample
from tests.adversary_models import TinyClassifier, classifier, detector, images, segmenter, targets

SIDE = 16
PGD = "pgd(eps=0.01, steps=40)"

Change = Callable[[Tensor], Tensor]


class Planted:
    """A tiny classifier with something before its images or after its logits."""

    def __init__(self, before: Change = lambda x: x, after: Change = lambda z: z, base: TinyClassifier | None = None) -> None:
        self.base = base or classifier()
        self.before, self.after = before, after
        self.module = self.base.module

    @property
    def info(self) -> ModelInfo:
        return self.base.info

    def raw(self, images: Tensor, /) -> Logits:
        return Logits(self.after(self.base.raw(self.before(images)).values))

    def decode(self, raw: Logits, /) -> Sequence[Prediction]:
        return self.base.decode(raw)


def samples_of(model: Planted, n: int = 24, seed: int = 3) -> list[Sample]:
    """Random images with the model's own answers as labels: every one is right before the attack."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, SIDE, SIDE, generator=generator) * 0.6 + 0.2
    with torch.no_grad():
        labels = model.raw(images).values.argmax(1).tolist()
    return [Sample(f"s{i}", x, ClassTarget(y)) for i, (x, y) in enumerate(zip(images, labels, strict=True))]


def attacked(model: Planted, spec: str = PGD, keep: int = 8, **more: Any) -> Attacked:
    """What the battery sees after `spec` ran on the model."""
    samples = samples_of(model)
    n, noise = len(samples), Noise(0, tuple(s.id for s in samples), "pgd")
    images, targets = torch.stack([s.image for s in samples]), [s.target for s in samples]
    try:
        made = run(ATTACKS.build(spec), model, images, targets, noise)
    except NotApplicable:
        return Attacked(
            model=model, task="classification", spec=spec, survivors=samples[:keep], attacked=n, survived=n, backwards=0.0, no_gradient=True
        )
    survivors = [s for s, broken in zip(samples, made.success.tolist(), strict=True) if not broken]
    gradients, zero = float(made.backwards.float().mean()), float((made.zero_grads >= 1).float().mean())
    return Attacked(
        model=model,
        task="classification",
        spec=spec,
        survivors=survivors[:keep],
        attacked=n,
        survived=len(survivors),
        backwards=gradients,
        zero=zero,
        **more,
    )


def verdict(model: Planted, spec: str = PGD, **more: Any) -> Finding:
    return judge(attacked(model, spec, **more))


PLANTED: dict[str, tuple[Callable[[], Planted], str, str, str, str]] = {
    "saturated": (
        lambda: Planted(after=lambda z: 100 * z),
        "pgd(eps=0.03, steps=40)",
        "S10",
        "warn",
        "saturated scores.*the DLR loss breaks",
    ),
    "distilled": (
        lambda: Planted(after=lambda z: z / 0.005),
        "pgd(eps=0.01, steps=20)",
        "S10",
        "warn",
        "saturated scores.*the DLR loss breaks",
    ),
    "quantised": (lambda: Planted(lambda x: (15 * x).round() / 15), "pgd(eps=0.06, steps=40)", "S09", "stop", "exactly zero for 100.0%"),
    "detached": (lambda: Planted(lambda x: x.detach()), PGD, "S09", "stop", "no gradient through"),
    "half": (lambda: Planted(after=lambda z: (30 * z).half().float()), "pgd(eps=0.03, steps=40)", "S13", "warn", "float16.*breaks 8 of 8"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_only_looks_like_a_defence_is_named(name: str) -> None:
    make, spec, check, severity, words = PLANTED[name]
    found = verdict(make(), spec)
    assert (found.check, found.verdict, found.title) == (check, severity, STRENGTH)
    assert found.evidence.startswith("attack looks weak because")
    assert re.search(words, found.evidence), found.evidence
    assert found.remedy.startswith("try: ")


def test_an_attack_that_had_nothing_to_break_is_not_called_strong() -> None:
    model = Planted()
    right = samples_of(model, 12)
    wrong = [replace(s, target=ClassTarget((s.target.label + 1) % 4)) for s in right]  # type: ignore[union-attr]
    subject = Attacked(model=model, task="classification", spec=PGD, survivors=[], attacked=12, survived=0, backwards=1.0, broken=wrong)
    nothing = judge(subject)
    assert (nothing.verdict, nothing.code) == ("not applicable", "nothing-to-break")
    assert "nothing to break: the unchanged images met the criterion already (12 of 12 looked at)" in nothing.evidence
    some = judge(replace(subject, broken=[*wrong[:5], *right[5:]]))
    assert some.verdict == "pass"
    assert some.evidence == "attack looks strong: it broke all 12 samples; 5 of 12 looked at were broken before it"
    assert judge(replace(subject, broken=right)).evidence == "attack looks strong: it broke all 12 samples"


def test_the_remedy_that_is_named_for_saturated_scores_makes_the_attack_strong() -> None:
    assert verdict(Planted(after=lambda z: 100 * z), "pgd(eps=0.03, steps=40, loss='dlr')").verdict == "pass"


def test_many_steps_on_a_sound_model_look_strong() -> None:
    for spec in (PGD, "pgd(norm='l2', eps=0.2, steps=40)", "apgd(eps=0.01, steps=20)", "pgd(eps=0.004, steps=40)"):
        subject = attacked(Planted(), spec)
        assert 0 < subject.survived < subject.attacked, "the attack breaks some and not all"
        found = judge(subject)
        assert (found.check, found.verdict) == ("S10", "pass"), found.evidence
        assert found.evidence.startswith(f"attack looks strong ({len(subject.survivors)} of {subject.survived} survivors tried)")
        assert "random noise (20 draws)" in found.evidence


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("pgd(eps=0.03, steps=1, alpha=0.0001)", "1 step can cross 0.0033 of the radius"),
        ("pgd(eps=0.03, steps=30, alpha=0.0005)", "30 steps can cross 0.5 of the radius"),
        ("fgsm(eps=0.01)", "a single step"),
    ],
)
def test_steps_that_cannot_do_it_look_weak(spec: str, words: str) -> None:
    found = verdict(Planted(), spec)
    assert (found.check, found.verdict) == ("S11", "warn")
    assert words in found.evidence


class Oscillating(torch.nn.Module):
    """Two classes, apart only where a fine comb of the mean colour says so: long steps jump over the teeth."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((1, 2, 3))
        rise = -(((mean - 0.5175) / 0.0035) ** 2)
        return torch.stack([torch.zeros_like(rise) + 0.2, 0.5 + rise], dim=1)


def test_steps_longer_than_the_radius_overshoot() -> None:
    base = classifier(classes=2)
    planted = Planted(base=base)
    comb = Oscillating()
    planted.raw = lambda images: Logits(comb(images))  # type: ignore[method-assign]
    samples = [Sample(f"g{i}", torch.full((3, SIDE, SIDE), 0.5), ClassTarget(0)) for i in range(6)]
    spec = "pgd(eps=0.03, steps=20, alpha=0.06, random_start=False, loss='margin')"
    found = judge(Attacked(model=planted, task="classification", spec=spec, survivors=samples, attacked=6, survived=6, backwards=20.0))
    assert (found.check, found.verdict) == ("S11", "warn")
    assert "overshoot" in found.evidence


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_trace_says_how_far_the_steps_go_and_whether_the_loss_still_rises() -> None:
    """Against a plain loop of the same attack."""
    model = Planted()
    subject = attacked(model, "pgd(eps=0.03, steps=5, alpha=0.002, random_start=False)")
    course = trace(subject)
    assert course is not None
    assert course.reach == pytest.approx(5 * 0.002 / 0.03, rel=1e-4)
    x0, labels = subject.images, torch.tensor([s.target.label for s in subject.survivors if isinstance(s.target, ClassTarget)])
    x, losses = x0, []
    for _ in range(6):
        x = x.detach().requires_grad_()
        loss = torch.nn.functional.cross_entropy(model.raw(x).values, labels, reduction="none")
        losses.append(loss.detach())
        (g,) = torch.autograd.grad(loss.sum(), x)
        x = (x + 0.002 * g.sign()).clamp(x0 - 0.03, x0 + 0.03).clamp(0, 1)
    rising = (losses[5] - losses[4] > 0.1 * (losses[5] - losses[0])) & (losses[5] > losses[0])
    assert (course.rose, course.rising) == (float((losses[5] > losses[0]).float().mean()), float(rising.float().mean()))


@pytest.mark.parametrize(("rose", "verdict_of_it"), [(0.25, "warn"), (0.625, "warn"), (0.75, "pass")])
def test_an_attack_that_does_not_raise_its_own_loss_looks_weak_though_more_steps_do_no_better(rose: float, verdict_of_it: str) -> None:
    """As on SegNet, whose scores jump with the places of its maxima: no number of steps helps, and every other check is content."""
    subject = attacked(Planted(), "pgd(eps=0.004, steps=40)")
    subject.measurements.update(trace=Trace(40, 2.5, 0.05, rose, 0.0), longer=None)
    found = judge(subject)
    assert found.verdict == verdict_of_it
    assert (f"the loss rose on {rose:.0%} of the survivors only, in 40 steps" in found.evidence) == (verdict_of_it == "warn")


def test_draws_that_follow_no_gradient_are_not_asked_for_a_rising_loss() -> None:
    subject = Attacked(
        model=Planted(),
        task="classification",
        spec="rotation-translation(draws=5)",
        survivors=samples_of(Planted(), 6),
        attacked=6,
        survived=6,
        backwards=0.0,
    )
    subject.measurements.update(trace=Trace(5, None, None, 0.2, 0.0), longer=None)
    assert s11_steps()(subject).verdict == "pass"
    assert s11_steps()(replace(subject, backwards=5.0)).verdict == "warn"


@pytest.mark.parametrize(("share", "expected"), [(0.5, [0.5]), (0.99, [])])
def test_an_unbounded_search_takes_steps_that_cross_its_ball(share: float, expected: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """DAG's step is a gamma of its own. An image of one class is no reason to expect 99 % of the pixels to be wrong."""
    tried: list[Any] = []
    monkeypatch.setattr(Attacked, "breaks", lambda subject, attack: tried.append(attack) or torch.tensor([True]))
    model, x = segmenter(), images(1)
    spec = f"seg-dag(eps=8/255, steps=20, gamma=1/255, wrong_fraction={share})"
    PROBES["unbounded"](
        Attacked(
            model=model,
            task="segmentation",
            spec=spec,
            survivors=[Sample("s", x[0], targets(model, x)[0])],
            attacked=1,
            survived=1,
            backwards=20.0,
        )
    )
    free = [attack for attack in tried if attack.constraint.radius > 8 / 255]
    assert [attack.constraint.radius for attack in free] == expected
    for attack in free:
        step, _ = attack.optimizer.move.update(torch.ones_like(x), attack.optimizer.move.init(x))
        assert float(step.abs().amax()) * attack.steps == pytest.approx(2.5 * 0.5)


@pytest.mark.parametrize("spec", ["deepfool(eps=0.05, steps=5, candidates=2)", "cw-l2(eps=0.05, steps=5, searches=2)"])
def test_searches_that_may_leave_their_budget_are_judged_too(spec: str) -> None:
    found = verdict(Planted(), spec)
    assert found.verdict in ("pass", "warn"), found.evidence
    assert "own code is at fault" not in found.evidence


@pytest.mark.parametrize(("spec", "tried"), [("tog-vanish", True), ("tog-mislabel", False), ("tog-fabricate", False)])
def test_no_unbounded_ball_is_held_against_an_attack_that_grey_would_not_serve(spec: str, tried: bool) -> None:
    """A grey image loses every object; it shows none as another class, and none where nothing is."""
    model, x0 = detector(), images(2)
    samples = [Sample(f"s{i}", x, t) for i, (x, t) in enumerate(zip(x0, targets(model, x0), strict=True))]
    subject = Attacked(model=model, task="detection", spec=f"{spec}(steps=2)", survivors=samples, attacked=2, survived=2, backwards=2.0)
    assert (PROBES["unbounded"](subject) is not None) == tried


@pytest.mark.parametrize(("spec", "remedy"), [("cw-l2(eps=1e-5, steps=5)", "did not come to it"), ("pgd(eps=1e-5)", "breaks the gradient")])
def test_a_search_for_the_boundary_that_finds_none_is_told_to_go_on(spec: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROBES, "unbounded", lambda subject: Tried("a radius of 0.5", 0, 4))
    found = s10_masking()(
        Attacked(
            model=Planted(), task="classification", spec=spec, survivors=samples_of(Planted(), 4), attacked=4, survived=4, backwards=10.0
        )
    )
    assert found.verdict == "warn"
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("attacked", "survived", "remaining", "expected"),
    [(4, 4, 1, "pass"), (4, 4, 2, "warn"), (9, 4, 4, "pass"), (9, 5, 2, "warn")],
)
def test_the_last_few_survivors_of_an_unbounded_search_are_no_mask(
    attacked: int, survived: int, remaining: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROBES, "unbounded", lambda subject: Tried("a radius of 0.5", survived - remaining, survived))
    samples = samples_of(Planted(), survived)
    subject = Attacked(
        model=Planted(),
        task="classification",
        spec="pgd(eps=1e-5)",
        survivors=samples,
        attacked=attacked,
        survived=survived,
        backwards=10.0,
    )
    assert s10_masking()(subject).verdict == expected


def test_a_surrogate_that_the_attack_does_not_serve_is_no_reason_to_judge_nothing() -> None:
    model: Any = MODELS.build("faster-rcnn-small(input_size=64, num_classes=3)")
    x0 = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    truth = BoxTarget.of(torch.tensor([[4.0, 4, 40, 40]]), torch.tensor([0]))
    samples = [Sample(f"s{i}", x, truth) for i, x in enumerate(x0)]
    other = Other(detector(), samples)
    subject = Attacked(
        model=model, task="detection", spec="rap(steps=2)", survivors=samples, attacked=2, survived=2, backwards=2.0, others=[other]
    )
    assert PROBES["transfer"](subject) is None


def test_a_surrogate_that_breaks_more_than_the_white_box_is_named() -> None:

    def half_blind(x: Tensor) -> Tensor:
        """The same pixels; every other column lets no gradient through."""
        seen = (torch.arange(x.shape[-1]) % 2).float()
        return x * seen + (x * (1 - seen)).detach()

    sound = Planted()
    masked = Planted(half_blind, base=sound.base)
    survivors = attacked(masked).survivors
    others = (Other(sound, survivors),)
    subject = Attacked(
        model=masked,
        task="classification",
        spec=PGD,
        survivors=survivors,
        attacked=24,
        survived=len(survivors),
        backwards=40.0,
        others=others,
    )
    tried = PROBES["transfer"](subject)
    assert tried is not None
    assert tried.beats
    found = judge(subject)
    assert (found.check, found.verdict) == ("S10", "warn")


def test_a_larger_budget_that_breaks_less_is_named() -> None:
    subject = attacked(Planted())
    here = {s.id: False for s in subject.survivors} | {f"x{i}": True for i in range(20)}
    smaller = here | {s.id: True for s in subject.survivors} | {"more": True, "again": True}
    here |= {"more": False, "again": False}
    curve = [Budget(0.005, smaller), Budget(0.01, here)]
    found = judge(attacked(Planted(), severity=0.01, curve=curve))
    assert (found.check, found.verdict) == ("S10", "warn")
    assert "the smaller budget 0.005 breaks" in found.evidence
    assert judge(attacked(Planted(), severity=0.005, curve=curve)).verdict == "pass"
    assert judge(attacked(Planted(), severity=0.01, curve=[Budget(0.005, here), Budget(0.01, here)])).verdict == "pass"


def test_without_trying_anything_the_records_still_speak() -> None:
    blank = {"model": Planted(), "task": "classification", "spec": PGD, "survivors": (), "attacked": 20}
    assert judge(Attacked(**blank, survived=5, backwards=40.0, zero=0.95)).verdict == "stop"  # type: ignore[arg-type]
    assert judge(Attacked(**blank, survived=5, backwards=40.0, zero=0.2)).verdict == "warn"  # type: ignore[arg-type]
    assert judge(Attacked(**blank, survived=5, backwards=40.0)).verdict == "note"  # type: ignore[arg-type]
    assert judge(Attacked(**blank, survived=0, backwards=40.0)).evidence == "attack looks strong: it broke all 20 samples"  # type: ignore[arg-type]
    control = blank | {"spec": "noise(eps=0.01)"}
    assert judge(Attacked(**control, survived=5, backwards=0.0)).verdict == "not applicable"  # type: ignore[arg-type]


def test_a_search_without_gradients_that_a_gradient_outdoes_is_named() -> None:
    samples = samples_of(Planted())[:6]
    found = judge(
        Attacked(
            model=Planted(),
            task="classification",
            spec="torchattacks:Pixle(max_iterations=1)",
            survivors=samples,
            attacked=6,
            survived=6,
            backwards=0.0,
        )
    )
    assert found.verdict == "note", "it has no ball to try anything in"
    found = judge(
        Attacked(model=Planted(), task="classification", spec="square(eps=0.01)", survivors=samples, attacked=6, survived=6, backwards=0.0)
    )
    assert (found.check, found.verdict) == ("S10", "warn")
    assert "gradient ascent (20 steps) breaks" in found.evidence


def test_two_of_many_or_one_of_few_beat_an_attack() -> None:
    assert [Tried("x", k, 8).beats for k in (0, 1, 2)] == [False, False, True]
    assert [Tried("x", k, 3).beats for k in (0, 1)] == [False, True]
    assert [Tried("x", 3, 8, again).beats for again in (0, 1, 2)] == [True, True, False], "what luck breaks as well proves nothing"


def test_finite_differences_know_a_gradient_from_its_opposite() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, x = torch.randn(3, 4, 4, generator=generator), torch.rand(5, 3, 4, 4, generator=generator) * 0.5 + 0.25

    def value(images: Tensor) -> Tensor:
        return (images * weights).flatten(1).sum(1)

    right = weights.expand_as(x)
    assert gradient_check.measure(value, x, right) == gradient_check.Slopes(5, 0, 10, 10)
    assert gradient_check.measure(value, x, -right).misleads
    assert gradient_check.measure(value, x, 0 * right) == gradient_check.Slopes(5, 5, 0, 0)


def test_half_precision_is_seen_and_undone() -> None:
    x = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    plain = Planted()

    def automatic(images: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return torch.nn.functional.conv2d(images, torch.eye(3)[:, :, None, None]).float()

    halved, cast = Planted(after=lambda z: z.half().float()), Planted(automatic)
    assert half_precision(plain, x) == []
    assert half_precision(halved, x) == ["float16"]
    assert half_precision(cast, x) == ["bfloat16"]
    exact = plain.raw(x).values
    for model in (halved, cast):
        assert not torch.equal(model.raw(x).values, exact)
        torch.testing.assert_close(Float32(model).raw(x).values, exact)
