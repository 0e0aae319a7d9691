"""The loop, what it keeps, what it refuses, and APGD step by step against an independent implementation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.adversary import APGD, Ascent, Attack, Ensemble, External, Linf, aim_of, ball, run
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.gradient_transforms import chain, l1_mean, momentum, rows, scale, steepest
from robustbench_cv.adversary.objectives.classification import classifier_objective, cross_entropy, margin
from robustbench_cv.adversary.optimizers.apgd import checkpoints
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.adversary.victim import Victim
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import ABSENT, BoxTarget, ClassTarget, Logits, MaskTarget, predict
from tests.adversary_models import MODELS, TinyClassifier, classifier, detector, images, linear, noise, segmenter, targets


def logits_of(model: TinyClassifier) -> nn.Module:
    """The model as the plain network that other libraries take."""

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)

        def forward(self, x: Tensor) -> Tensor:
            return model.raw(x).values

    return Network().eval()


def wrong(model: TinyClassifier, x: Tensor, truth: Any) -> list[bool]:
    return [p.label != t.label for p, t in zip(predict(model, x), truth, strict=True)]


# ---- the optimizers ----------------------------------------------------------------------------------------------------


def test_checkpoints_are_the_published_ones() -> None:
    assert list(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(checkpoints(50)) == [11, 21, 30, 38, 45]
    assert list(checkpoints(300)) == [66, 123, 171, 210, 240, 261, 279, 297]


@dataclass(frozen=True)
class GivenStart(Linf):
    """Linf whose edge is the point that another implementation drew."""

    drawn: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))

    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        return self.drawn


@pytest.mark.parametrize("loss", ["ce", "dlr"])
@pytest.mark.parametrize("steps", [7, 50])
def test_apgd_takes_the_same_path_as_torchattacks(loss: str, steps: int) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    model = classifier(gain=1.0)
    model.module.double()
    x0, eps = images(12).double(), 4 / 255
    truth = targets(model, x0)
    theirs = torchattacks.APGD(logits_of(model), eps=eps, steps=steps, loss=loss, seed=3)
    labels = torch.tensor([t.label for t in truth])
    with torch.random.fork_rng():
        torch.manual_seed(3)
        draw = 2 * torch.rand(x0.shape) - 1
        start = (x0 + eps * draw / draw.flatten(1).abs().amax(1).reshape(-1, 1, 1, 1)).clamp(0, 1)
        torch.manual_seed(3)
        # x_best, robust?, best loss, last misclassified
        best, robust, _, adversarial = theirs.attack_single_run(x0, labels)
    assert robust.any()
    assert not robust.all()
    attack = Attack(
        name="apgd",
        objective=classifier_objective(loss),
        success=misclassified(),
        constraint=GivenStart(eps, start),
        optimizer=APGD(),
        steps=steps,
        start="edge",
    )
    result = run(attack, model, x0, truth, noise(12))
    assert torch.equal(result.success, ~robust)
    torch.testing.assert_close(result.images[robust], best[robust], atol=1e-7, rtol=0)
    if loss == "ce":
        # DLR is flat once two classes lead: from there on the sign of a rounding error leads the way.
        torch.testing.assert_close(result.images[~robust], adversarial[~robust], atol=1e-7, rtol=0)


def test_momentum_is_the_published_recursion_with_each_sample_normalised_alone() -> None:
    move = chain(l1_mean(), momentum(0.5), scale(2.0))
    grads = [
        torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(s)) * torch.tensor([1.0, 100, 0]).reshape(3, 1, 1, 1)
        for s in (0, 1)
    ]
    state = move.init(grads[0])
    total = torch.zeros_like(grads[0])
    for grad in grads:
        given, state = move.update(grad, state)
        unit = grad / grad.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
        total = 0.5 * total + unit
        torch.testing.assert_close(given, 2 * total)
    assert not given[2].any()


def test_states_can_be_repacked() -> None:
    move = chain(l1_mean(), momentum(1.0), scale(2.0))
    grad = images(5)
    _, state = move.update(grad, move.init(grad))
    keep = torch.tensor([3, 1])
    whole, _ = move.update(grad, state)
    part, _ = move.update(grad[keep], rows(state, keep))
    torch.testing.assert_close(part, whole[keep])


@pytest.mark.parametrize("spec", ["pgd(eps=3/255, steps=9)", "apgd(eps=3/255, steps=9)", "pgd(norm='l2', eps=0.4, steps=9)"])
def test_passes_are_counted_and_none_is_repeated(spec: str) -> None:
    model = classifier()
    seen: list[int] = []
    inner = model.module.forward
    model.module.forward = lambda x: (seen.append(len(x)), inner(x))[1]  # type: ignore[method-assign]
    x0 = images(4)
    truth = targets(model, x0)
    seen.clear()
    result = run(dataclasses.replace(ATTACKS.build(spec), keep="worst"), model, x0, truth, noise(4))
    # One pass a step (APGD: and one for the start), and one more for the final iterate of what no earlier one broke.
    during = 10 if spec.startswith("apgd") else 9
    survived = result.forwards - during
    assert set(survived.tolist()) <= {0, 1}
    assert seen == [4] * during + ([int(survived.sum())] if bool(survived.any()) else [])
    assert (result.success | survived.bool()).all()
    assert result.backwards.tolist() == [9] * 4


@pytest.mark.parametrize(
    "spec",
    [
        "pgd(eps=3/255, steps=9)",
        "apgd(eps=3/255, steps=9)",
        "pgd(norm='l2', eps=0.4, steps=9)",
        "patch(area=0.05, where='random', steps=9)",
    ],
)
def test_broken_samples_leave_the_batch_and_the_same_ones_are_broken(spec: str) -> None:
    model = classifier(gain=1.0)
    seen: list[int] = []
    inner = model.module.forward
    model.module.forward = lambda x: (seen.append(len(x)), inner(x))[1]  # type: ignore[method-assign]
    x0 = images(24)
    truth = targets(model, x0)
    attack = ATTACKS.build(spec)
    assert attack.keep == "first"
    seen.clear()
    first = run(attack, model, x0, truth, noise(24))
    passes = list(seen)
    worst = run(dataclasses.replace(attack, keep="worst"), model, x0, truth, noise(24))
    assert torch.equal(first.success, worst.success)
    assert first.success.any()
    assert not first.success.all()
    assert first.success.tolist() == wrong(model, first.images, truth)
    assert torch.equal(first.forwards[~first.success], worst.forwards[~first.success])
    assert passes == sorted(passes, reverse=True)
    assert sum(passes) == int(first.forwards.sum()) < int(worst.forwards.sum())
    assert passes[0] == 24 > passes[-1] >= int((~first.success).sum())
    torch.testing.assert_close(first.images[~first.success], worst.images[~first.success])


# ---- what is kept ------------------------------------------------------------------------------------------------------


def overshooting(keep: str, start: str = "clean", restarts: int = 1) -> Attack[Logits]:
    """Steps so long that iterates jump in and out of the wrong class."""
    region = Linf(12 / 255)
    move = Ascent(chain(steepest(region), scale(24 / 255)))
    return Attack(
        name="jumpy",
        objective=cross_entropy(),
        success=misclassified(),
        constraint=region,
        optimizer=move,
        steps=7,
        restarts=restarts,
        start=start,
        keep=keep,
    )  # type: ignore[arg-type]


def test_worst_keeps_a_misclassified_iterate_that_last_loses() -> None:
    model = classifier(seed=3)
    x0 = images(32, seed=5)
    truth = targets(model, x0)
    last = run(overshooting("last"), model, x0, truth, noise(32))
    worst = run(overshooting("worst"), model, x0, truth, noise(32))
    assert (worst.success | ~last.success).all()
    assert worst.success.sum() >= last.success.sum()
    assert worst.success.tolist() == wrong(model, worst.images, truth)
    assert last.success.tolist() == wrong(model, last.images, truth)


def test_restarts_go_on_with_survivors_only_and_never_lose() -> None:
    model = classifier(gain=1.0)
    x0, eps = images(24), "eps=3/255, steps=3"
    truth = targets(model, x0)
    one = run(ATTACKS.build(f"pgd({eps})"), model, x0, truth, noise(24))
    four = run(ATTACKS.build(f"pgd({eps}, restarts=4)"), model, x0, truth, noise(24))
    assert one.success.any()
    assert not one.success.all()
    assert (four.success | ~one.success).all()
    assert torch.equal(four.images[one.success], one.images[one.success])
    assert torch.equal(four.forwards[one.success], one.forwards[one.success])
    assert (four.forwards[~four.success] == 16).all()


def test_an_ensemble_is_the_worst_case_by_sample() -> None:
    model = classifier(gain=1.0)
    x0 = images(24)
    truth = targets(model, x0)
    parts = tuple(
        ATTACKS.build(s) for s in ("fgsm(eps=3/255)", "pgd(norm='l2', eps=0.2, steps=5)", "pgd(eps=3/255, steps=5, loss='margin')")
    )
    together = run(Ensemble("three", parts), model, x0, truth, noise(24))
    first = run(parts[0], model, x0, truth, noise(24))
    assert (together.success | ~first.success).all()
    assert torch.equal(together.images[first.success], first.images[first.success])
    assert together.success.tolist() == wrong(model, together.images, truth)
    assert (together.forwards[first.success] == 2).all()
    assert (together.forwards[~together.success] == 2 + 6 + 6).all()
    with pytest.raises(UserError, match="must share"):
        Ensemble("mixed", (parts[0], ATTACKS.build("seg-pgd")))


# ---- honesty -----------------------------------------------------------------------------------------------------------


class Sick(TinyClassifier):
    """NaN for the samples whose first pixel is dark; infinite logits for those whose last is."""

    def raw(self, images: Tensor, /) -> Logits:
        values = super().raw(images).values
        values = torch.where(images[:, :1, 0, 0] < 0.05, torch.nan, values)
        return Logits(torch.where(images[:, :1, -1, -1] < 0.05, torch.inf, values))


@pytest.mark.parametrize(
    "spec", ["pgd(eps=2/255, steps=3)", "apgd(eps=2/255, steps=5)", "noise(eps=2/255)", "torchattacks:FGSM(eps=2/255)"]
)
def test_nan_and_infinity_fail_their_sample_and_no_other(spec: str) -> None:
    x0 = images(5).clamp(0.2, 1)
    x0[1, :, 0, 0] = 0.0
    x0[3, :, -1, -1] = 0.0
    healthy = classifier()
    model = Sick(healthy.module, healthy.info)
    truth = targets(healthy, x0)
    result = run(ATTACKS.build(spec), model, x0, truth, noise(5))
    assert sorted(result.failed) == [1, 3]
    assert "not finite" in result.failed[1]
    assert not result.success[[1, 3]].any()
    assert torch.equal(result.images[[1, 3]], x0[[1, 3]])
    others = [0, 2, 4]
    alone = run(ATTACKS.build(spec), model, x0[others], [truth[i] for i in others], noise(5).select(others))
    assert not alone.failed
    torch.testing.assert_close(result.images[others], alone.images, atol=1e-6, rtol=0)


def test_saturation_is_seen_by_cross_entropy_and_escaped_by_margin() -> None:
    model, x0 = linear(1000.0), images(6)
    truth = targets(model, x0)
    blind = run(ATTACKS.build("pgd(eps=16/255, steps=10)"), model, x0, truth, noise(6))
    sharp = run(ATTACKS.build("pgd(eps=16/255, steps=10, loss='margin')"), model, x0, truth, noise(6))
    assert blind.flagged.sum() > 0
    assert sharp.zero_grads.max() == 0
    assert sharp.success.sum() > blind.success.sum()


def test_a_model_without_gradient_is_named() -> None:
    model = classifier()

    class Detached(TinyClassifier):
        def raw(self, images: Tensor, /) -> Logits:
            return Logits(super().raw(images).values.detach())

    detached = Detached(model.module, model.info)
    with pytest.raises(NotApplicable, match="'pgd' follows gradients and model 'tiny classifier' gives none"):
        run(ATTACKS.build("pgd"), detached, images(2), targets(model, images(2)), noise(2))
    run(ATTACKS.build("noise"), detached, images(2), targets(model, images(2)), noise(2))


class Hidden(TinyClassifier):
    """The image's path is cut, while weights that no module registers, and no freezing reaches, ask for gradients."""

    def raw(self, images: Tensor, /) -> Logits:
        return Logits(super().raw(images.detach()).values * torch.ones((), requires_grad=True))


@pytest.mark.parametrize("spec", ["fgsm", "pgd", "apgd", "cw-l2(steps=2)", "deepfool(steps=2)", "fab(steps=2)", "torchattacks:FGSM"])
def test_gradients_that_only_hidden_weights_have_are_none(spec: str) -> None:
    model = classifier()
    with pytest.raises(NotApplicable, match=r"gives none to its input; attacks that need none: .*square"):
        run(ATTACKS.build(spec), Hidden(model.module, model.info), images(2), targets(model, images(2)), noise(2))


@pytest.mark.parametrize("spec", ["fgsm", "pgd", "apgd", "tog-vanish", "tog-mislabel", "tog-fabricate", "seg-pgd", "torchattacks:FGSM"])
@pytest.mark.parametrize("task", list(MODELS))
def test_an_attack_of_another_task_says_what_fits(spec: str, task: str) -> None:
    attack = ATTACKS.build(spec)
    if ATTACKS.entry(spec.split(":")[0]).facts["task"] == task:
        pytest.skip("it fits")
    model, x0 = MODELS[task](), images(2)
    fitting = {"classification": "apgd", "segmentation": "seg-pgd", "detection": "tog-vanish"}[task]
    with pytest.raises(UserError, match=f"attack '{attack.name}' needs .*; try .*{fitting}"):
        run(attack, model, x0, targets(model, x0), noise(2))


def test_samples_without_anything_to_attack_are_left_alone_with_the_reason() -> None:
    x0 = images(3)
    result = run(ATTACKS.build("pgd"), classifier(), x0, [ClassTarget(0), ClassTarget(ABSENT), ClassTarget(1)], noise(3))
    assert list(result.skipped) == [1]
    assert torch.equal(result.images[1], x0[1])
    assert result.forwards[1] == 0
    assert (result.forwards[[0, 2]] >= 1).all()
    blank = MaskTarget(torch.full((16, 16), 255))
    assert "scored" in run(ATTACKS.build("seg-pgd"), segmenter(), x0[:1], [blank], noise(1)).skipped[0]
    nothing = BoxTarget.of(torch.zeros(0, 4), torch.zeros(0))
    for spec in ("tog-vanish", "tog-mislabel"):
        blind = run(ATTACKS.build(spec), detector(bias=-60.0), x0, [nothing] * 3, noise(3))
        assert len(blind.skipped) == 3
        assert "no object" in blind.skipped[0]
        assert torch.equal(blind.images, x0)
        assert not blind.success.any()
        assert blind.reference == "own detections"


def test_detection_attacks_use_the_models_own_detections() -> None:
    model, x0 = detector(), images(3)
    nothing = BoxTarget.of(torch.zeros(0, 4), torch.zeros(0))
    for spec in ("tog-vanish", "tog-mislabel"):
        with_truth = run(ATTACKS.build(spec), model, x0, targets(model, x0), noise(3))
        without = run(ATTACKS.build(spec), model, x0, [nothing] * 3, noise(3))
        assert torch.equal(with_truth.images, without.images)
    assert run(ATTACKS.build("tog-fabricate"), model, x0, [nothing] * 3, noise(3)).reference == "own detections and annotations"


def test_mislabel_goals_leave_the_own_class() -> None:
    model, x0 = detector(), images(6)
    for towards in ("most-likely", "least-likely"):
        attack = ATTACKS.build(f"tog-mislabel(towards='{towards}')")
        aim = aim_of(attack, model, x0, targets(model, x0))
        pairs = [
            (g.labels, r.labels)
            for g, r in zip(aim.goals, aim.references, strict=True)
            if isinstance(g, BoxTarget) and isinstance(r, BoxTarget)
        ]
        assert all((goal != own).all() for goal, own in pairs)
        assert sum(len(goal) for goal, _ in pairs) > 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": images(2) * 255}, r"run from .* to 255"),
        ({"images": images(2)[0]}, r"float images \(N, 3, H, W\)"),
        ({"images": (images(2) * 255).byte()}, "uint8"),
        ({"noise": noise(3)}, "2 images, 2 targets and 3 ids"),
        ({"targets": [ClassTarget(0), ClassTarget(5)]}, "label 5 is no class of model 'tiny classifier', which has 5"),
    ],
)
def test_bad_batches_are_refused(change: dict[str, Any], message: str) -> None:
    arguments = {"images": images(2), "targets": [ClassTarget(0), ClassTarget(1)], "noise": noise(2)} | change
    with pytest.raises(UserError, match=message):
        run(ATTACKS.build("fgsm"), classifier(), **arguments)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pgd(eps=8)", "8/255"),
        ("pgd(alpha=2)", "alpha=2.*2/255"),
        ("pgd(norm='l7')", "'linf', 'l2' and 'l1'"),
        ("pgd(loss='bce')", "no loss"),
        ("pgd(steps=-1)", "steps=-1"),
        ("pgd(random_start=False, restarts=2)", "all be the same"),
        ("tog-mislabel(towards='any')", "'most-likely' or 'least-likely'"),
        ("patch(where='moon')", "'corner'"),
        ("pdg", "did you mean 'pgd'"),
        ("torchattacks:PDG", "did you mean PGD"),
        ("torchattacks:MultiAttack", "no attack"),
        ("torchattacks:PGD(epsilon=0.1)", "eps=0.03"),
        ("torchattacks:PGD(eps=8)", "8/255"),
        ("torchattacks:EADL1(max_iterations=5)", "at least 10"),
    ],
)
def test_bad_arguments_are_refused_with_the_way_out(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ATTACKS.build(spec)


def test_modes_and_freezing_are_restored_after_an_error() -> None:
    model = classifier()
    model.module.train()
    with pytest.raises(UserError):
        run(ATTACKS.build("tog-vanish"), model, images(2), targets(classifier(), images(2)), noise(2))
    assert all(m.training for m in model.module.modules())
    assert all(p.requires_grad for p in model.module.parameters())


def test_the_problem_serves_searches_without_gradients() -> None:
    model, x0 = classifier(), images(3)
    victim = Victim(model=model, x0=x0, goals=targets(model, x0), references=targets(model, x0), noise=noise(3))
    problem = Problem("search", victim, margin(), misclassified(), ball("linf", 0.05), 1, "worst")
    values = problem.value(problem.start("random"))
    assert values.shape == (3,)
    found = problem.finish(problem.start("clean"))
    assert found.forwards.tolist() == [2, 2, 2]
    assert found.backwards.tolist() == [0, 0, 0]


def test_external_attacks_in_batches_share_their_costs() -> None:
    model, x0 = classifier(), images(4)
    attack = ATTACKS.build("torchattacks:PGD(by_sample=False, eps=8/255, steps=3)")
    assert isinstance(attack, External)
    result = run(attack, model, x0, targets(model, x0), noise(4))
    assert result.forwards.tolist() == [4] * 4
    assert result.success.sum() >= 3
    assert result.success.tolist() == wrong(model, result.images, targets(model, x0))
