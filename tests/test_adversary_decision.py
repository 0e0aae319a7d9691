"""Decision-based attacks: what they are shown, what they may know, how near they come."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary import L2, Linf, aim_of, run
from robustbench_cv.adversary.criteria import misclassified, reported_predictions
from robustbench_cv.adversary.optimizers.decision_based import Conversation, Decisions
from robustbench_cv.adversary.optimizers.hop_skip_jump import HopSkipJump
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.noise import Noise
from robustbench_cv.types import ClassPrediction, ClassTarget, Logits, predict
from tests.adversary_models import MODELS, TinyClassifier, classifier, images, linear, noise, targets


def distances_to_the_boundary(model: TinyClassifier, x0: Tensor, norm: str) -> Tensor:
    """Of a linear model, exactly, where no pixel reaches 0 or 1: the smallest margin over its gradient's dual norm."""
    weight = model.module[1].weight.detach() * model.gain  # type: ignore[index, union-attr, operator]
    z = model.raw(x0).values.detach()
    found = []
    for row in z:
        y = int(row.argmax())
        others = [j for j in range(len(row)) if j != y]
        steep = [(weight[j] - weight[y]).norm(p=2 if norm == "l2" else 1) for j in others]
        found.append(min(float((row[y] - row[j]) / s) for j, s in zip(others, steep, strict=True)))
    return torch.tensor(found)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_it_comes_near_the_true_distance_of_a_linear_model(norm: str) -> None:
    model, x0 = linear(1.0, side=6), images(6, side=6).clamp(0.3, 0.7)
    model.module.double()
    x0 = x0.double()
    truth = targets(model, x0)
    exact = distances_to_the_boundary(model, x0, norm)
    result = run(ATTACKS.build(f"hop-skip-jump(norm='{norm}', queries=4000)"), model, x0, truth, noise(6))
    assert result.success.all()
    ratio = result.size / exact
    assert (ratio > 1 - 1e-4).all()
    assert ratio.median() < (1.1 if norm == "l2" else 1.5)
    fewer = run(ATTACKS.build(f"hop-skip-jump(norm='{norm}', queries=300)"), model, x0, truth, noise(6))
    assert (result.size <= fewer.size).all()
    assert result.size.mean() < fewer.size.mean()


def test_tiles_come_nearer_for_the_same_queries() -> None:
    model: Any = build("lenet5.scenes")
    x0 = noise(8).uniform((3, 12, 12)).repeat_interleave(8, dim=2).repeat_interleave(8, dim=3)
    truth = targets(model, x0)
    alone, together = (run(ATTACKS.build(f"hop-skip-jump(queries=200, tile={tile})"), model, x0, truth, noise(8)).size for tile in (1, 8))
    assert together.median() < 0.6 * alone.median()


@pytest.mark.parametrize("task", list(MODELS))
def test_it_sees_no_scores_and_keeps_to_its_budget(task: str) -> None:
    """A model whose raw output gives no gradient and whose probabilities are all 0 or 1 is attacked just as well."""
    model: Any = MODELS[task]()
    x0 = images(3)
    truth = targets(model, x0)
    asked: list[Tensor] = []
    inner = model.module.forward

    def forward(x: Tensor) -> Tensor:
        asked.append(x + 0.5)
        assert not torch.is_grad_enabled()
        out: Tensor = inner(x)
        return out

    model.module.forward = forward
    result = run(ATTACKS.build("hop-skip-jump(queries=150)"), model, x0, truth, noise(3))
    assert result.success.all()
    # A detector's own detections, the reference, are one pass more.
    assert (result.forwards <= 150 + (task == "detection")).all()
    assert not result.backwards.any()
    assert sum(len(x) for x in asked) == int(result.forwards.sum())
    assert min(float(x.min()) for x in asked) >= -1e-6
    assert max(float(x.max()) for x in asked) <= 1 + 1e-6
    assert (result.size < L2(math.inf).measure(x0, noise(3).uniform((3, 16, 16)))).all()


@pytest.mark.parametrize("task", list(MODELS))
def test_it_comes_nearer_than_fading_noise(task: str) -> None:
    """Half of a segmenter's pixels turn at distances where noise breaks classifiers, so the law of equal budgets is no test there."""
    model: Any = MODELS[task]()
    x0 = images(4)
    truth = targets(model, x0)
    attack = ATTACKS.build("hop-skip-jump(queries=400)")
    result = run(attack, model, x0, truth, noise(4))
    references = aim_of(attack, model, x0, truth).references
    drawn = noise(4, seed=5).uniform((3, 16, 16))
    faded = torch.full((4,), math.inf)
    for share in torch.linspace(1, 0, 201):
        x = share * drawn + (1 - share) * x0
        broken = attack.success(reported_predictions(predict(model, x), model.info.operating_score), references)
        faded = torch.where(broken, attack.constraint.measure(x0, x), faded)
    assert (result.size < faded).all()
    assert result.size.mean() < 0.9 * faded.mean()


def test_hard_labels_alone_give_the_same_result() -> None:
    class HardLabels(TinyClassifier):
        def raw(self, images: Tensor, /) -> Logits:
            return Logits(torch.nn.functional.one_hot(super().raw(images).values.argmax(1), len(self.info.classes)).float())

    whole = classifier()
    hard = HardLabels(whole.module, whole.info)
    x0, spec = images(4), "hop-skip-jump(queries=400)"
    soft = run(ATTACKS.build(spec), whole, x0, targets(whole, x0), noise(4))
    result = run(ATTACKS.build(spec), hard, x0, targets(whole, x0), noise(4))
    assert torch.equal(result.images, soft.images)
    assert result.success.all()


def test_a_budget_ends_the_search_at_the_first_image_inside() -> None:
    model, x0 = classifier(), images(8)
    truth = targets(model, x0)
    free = run(ATTACKS.build("hop-skip-jump(queries=1500)"), model, x0, truth, noise(8))
    eps = float(free.size.median()) * 1.01
    result = run(ATTACKS.build(f"hop-skip-jump(eps={eps!r}, queries=1500)"), model, x0, truth, noise(8))
    assert torch.equal(result.success, free.size <= eps)
    assert (result.size <= eps + 1e-6).all()
    assert (result.forwards[result.success] < free.forwards[result.success]).any()
    assert result.success.tolist() == [p.label != t.label for p, t in zip(predict(model, result.images), truth, strict=True)]  # type: ignore[union-attr]


def test_what_is_wrong_already_costs_one_query() -> None:
    model, x0 = classifier(), images(3)
    truth = targets(model, x0.flip(0))
    result = run(ATTACKS.build("hop-skip-jump(queries=100)"), model, x0, truth, noise(3))
    wrong = [p.label != t.label for p, t in zip(predict(model, x0), truth, strict=True)]  # type: ignore[union-attr]
    assert any(wrong)
    for i in range(3):
        assert (int(result.forwards[i]) == 1) == wrong[i]
        assert (float(result.size[i]) == 0) == wrong[i]


def test_a_model_that_never_changes_its_mind_is_not_broken() -> None:
    class Stubborn(TinyClassifier):
        def decode(self, raw: Logits, /) -> list[Any]:
            return [ClassPrediction(torch.tensor([1.0, 0, 0, 0, 0])) for _ in raw.values]

    whole, x0 = classifier(), images(2)
    result = run(
        ATTACKS.build("hop-skip-jump(queries=200)"),
        Stubborn(whole.module, whole.info),
        x0,
        [ClassTarget(0)] * 2,
        noise(2),
    )
    assert not result.success.any()
    assert torch.equal(result.images, x0)
    assert (result.size == 0).all()


@pytest.mark.parametrize(
    "spec",
    ["hop-skip-jump(queries=60)", "nes(queries=40, probes=20)", "one-pixel(population=5, generations=3)", "rotation-translation(draws=3)"],
)
def test_nan_fails_its_sample_and_no_other(spec: str) -> None:
    class Sick(TinyClassifier):
        """NaN for samples that are dark on the whole."""

        def raw(self, images: Tensor, /) -> Logits:
            values = super().raw(images).values
            return Logits(torch.where(images.mean((1, 2, 3)).reshape(-1, 1) < 0.15, torch.nan, values))

    healthy = classifier()
    x0 = images(4).clamp(0.3, 1)
    x0[2] *= 0.1
    truth = targets(healthy, x0)
    model = Sick(healthy.module, healthy.info)
    result = run(ATTACKS.build(spec), model, x0, truth, noise(4))
    assert list(result.failed) == [2]
    assert "not finite" in result.failed[2]
    assert not result.success[2]
    assert torch.equal(result.images[2], x0[2])
    others = [0, 1, 3]
    alone = run(ATTACKS.build(spec), healthy, x0[others], [truth[i] for i in others], noise(4).select(others))
    torch.testing.assert_close(result.images[others], alone.images, atol=1e-5, rtol=0)


def test_a_cheating_conversation_gains_nothing() -> None:
    """Whatever it claims by stopping, only images that the model was seen to get wrong, inside the budget, count."""

    def converse(x0: Tensor, noise_: Noise) -> Conversation:
        yield 1 - x0

    model, x0 = classifier(), images(4)
    attack = Decisions(name="cheat", accepts=Logits, success=misclassified(), constraint=Linf(0.01), converse=converse, queries=5)
    result = run(attack, model, x0, targets(model, x0), noise(4))
    assert (result.size <= 0.01 + 1e-6).all()
    assert result.success.tolist() == [p.label != t.label for p, t in zip(predict(model, result.images), targets(model, x0), strict=True)]  # type: ignore[union-attr]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UserError, match="'linf' or 'l2'"):
        HopSkipJump("l1")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="queries=0"):
        ATTACKS.build("hop-skip-jump(queries=0)")
    with pytest.raises(UserError, match="first=0"):
        ATTACKS.build("hop-skip-jump(first=0)")
    with pytest.raises(UserError, match="8/255"):
        ATTACKS.build("hop-skip-jump(norm='linf', eps=8)")
