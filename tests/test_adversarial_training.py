"""Adversarial training: what the adversary does to a batch, what it leaves alone, and whether it hardens."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.adversary import run
from robustbench_cv.catalogue import ATTACKS, DATASETS, METRICS, RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.noise import Noise
from robustbench_cv.tasks import Task
from robustbench_cv.training import losses
from robustbench_cv.training.adversarial import AdversarialTraining
from robustbench_cv.training.loop import Run, Watch, fit
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.training_set import TrainingSet
from robustbench_cv.types import Dataset, Labels, predict
from tests.test_training import Tiny, its_file_is_a_model, read, same, tiny_recipe

pytestmark = pytest.mark.usefixtures("one_thread")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(6, 3, 8, 10, generator=rng(1)), torch.arange(6) % 2


def network() -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny().train()


# --- one batch -------------------------------------------------------------------------------------------------------------------


def test_on_a_linear_loss_the_corner_of_the_ball_is_found_from_any_start() -> None:
    images, truths = batch()
    slope = torch.randn(3, 8, 10, generator=rng(2))
    x = AdversarialTraining(0.1, steps=3).perturb(nn.Identity(), lambda x, t: (x * slope).sum(), images, truths, rng())
    torch.testing.assert_close(x, (images + 0.1 * slope.sign()).clamp(0, 1))


@pytest.mark.parametrize(("steps", "move"), [(1, 0.125), (2, 0.125), (5, 0.05)])
def test_the_steps_are_those_of_a_plain_loop_in_training_mode(steps: int, move: float) -> None:
    """One image's gradient depends on the others through the batch's statistics, which a plain loop on a copy shows as well."""
    images, truths = batch()
    reference, generator = copy.deepcopy(network()), rng(3)
    x = (images + (torch.rand(images.shape, generator=generator) * 2 - 1) * 0.1).clamp(0, 1)
    for _ in range(steps):
        x = x.detach().clone().requires_grad_()
        losses.classification(reference, x, truths).backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        x = images + (x.detach() + move * x.grad.sign() - images).clamp(-0.1, 0.1)
        x = x.clamp(0, 1)
    made = network()
    found = AdversarialTraining(0.1, steps).perturb(made, lambda x, t: losses.classification(made, x, t), images, truths, rng(3))
    torch.testing.assert_close(found, x)
    assert not found.requires_grad


def test_a_share_of_the_batch_is_changed_and_the_rest_is_not() -> None:
    images, truths = batch()
    seen: list[int] = []

    def lowered(x: Tensor, t: Tensor) -> Tensor:
        seen.append(len(x))
        assert torch.equal(t, truths[: len(x)])
        return x.square().sum()

    x = AdversarialTraining(0.1, share=0.5).perturb(nn.Identity(), lowered, images, truths, rng())
    assert seen == [3, 3]
    assert torch.equal(x[3:], images[3:])
    assert (x[:3] != images[:3]).flatten(1).any(1).all()


def test_the_network_is_left_as_it_was_even_where_its_loss_breaks_down() -> None:
    made = network()
    made.last.weight.requires_grad_(False)
    before, learned = copy.deepcopy(made.state_dict()), [p.requires_grad for p in made.parameters()]
    images, truths = batch()

    def breaks(x: Tensor, t: Tensor) -> Tensor:
        made(x)
        raise RuntimeError("broken")

    def works(x: Tensor, t: Tensor) -> Tensor:
        return losses.classification(made, x, t)

    AdversarialTraining(0.1).perturb(made, works, images, truths, rng())
    with pytest.raises(RuntimeError, match="broken"):
        AdversarialTraining(0.1).perturb(made, breaks, images, truths, rng())
    assert same(before, made.state_dict())
    assert [p.requires_grad for p in made.parameters()] == learned
    assert all(p.grad is None for p in made.parameters())
    assert made.training


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdversarialTraining(8), "eps=8"),
        (lambda: AdversarialTraining(0), "eps=0"),
        (lambda: AdversarialTraining(0.1, steps=0), "0 attack steps"),
        (lambda: AdversarialTraining(0.1, share=1.5), "share of 1.5"),
        (lambda: RECIPES.build("scenes-classifier-hardened(eps=4)"), "4/255"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(UserError, match=message):
        make()


# --- in the loop -----------------------------------------------------------------------------------------------------------------

HARD = replace(tiny_recipe(), adversary=AdversarialTraining(0.1))


def trained(recipe: Recipe, state: Path | None = None, watch: Watch = lambda done, total, loss: None) -> dict[str, Tensor]:
    made = network()
    fit(
        made,
        read("classification"),
        Run(recipe=recipe, epochs=3, seed=0, device="cpu", mean=(0.5,) * 3, std=(0.25,) * 3, state=state, key="key"),
        watch,
    )
    return {k: v.clone() for k, v in made.state_dict().items()}


def test_hardening_is_a_function_of_its_seed() -> None:
    first = trained(HARD)
    torch.rand(5)
    assert same(first, trained(HARD))
    assert not same(first, trained(tiny_recipe()))


@pytest.mark.parametrize("stop_after", [2, 3, 5])
def test_an_interrupted_hardening_ends_as_if_it_had_not_been(tmp_path: Path, stop_after: int) -> None:
    state = tmp_path / "run.training"
    steps: list[int] = []

    def stop(done: int, total: int, loss: float) -> None:
        steps.append(done)
        if len(steps) == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(HARD, state, stop)
    assert same(trained(HARD), trained(HARD, state))


class Linear(nn.Module):
    """A linear classifier of 8x8 pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(3 * 64, 2)
        nn.init.zeros_(self.map.weight)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.map(x.flatten(1))
        return scores


def two_features(count: int = 400) -> TrainingSet:
    """A strong feature that tells nine of ten apart, and a weak one, 3/255 on every other pixel, that tells all: Tsipras et al. 2019."""
    truths = torch.arange(count) % 2
    sign = 2 * truths - 1
    images = torch.full((count, 3, 8, 8), 128)
    images[:, 1:] += 3 * sign[:, None, None, None]
    honest = torch.rand(count, generator=rng(5)) < 0.9
    images[:, 0] += (60 * sign * torch.where(honest, 1, -1))[:, None, None]
    return TrainingSet(Labels(("a", "b")), images.to(torch.uint8), truths, "")


def test_hardening_gives_up_what_an_adversary_can_turn() -> None:
    """Plain training ends with the weak feature, right everywhere and nowhere under attack; hardening keeps the strong one."""
    pool = two_features()
    x, t = pool.images.float() / 255, pool.truths
    right: dict[str, tuple[float, float]] = {}
    for name, adversary in {"plain": None, "hardened": AdversarialTraining(6 / 255)}.items():
        made = Linear()
        recipe = replace(
            tiny_recipe(),
            loss=losses.classification,
            augment=lambda x, t, g: (x, t),
            schedule=Schedule(epochs=15, peak=0.03),
            adversary=adversary,
        )
        fit(made, pool, Run(recipe=recipe, epochs=15, seed=0, mean=(0.5,) * 3, std=(0.05,) * 3))
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(made((leaf - 0.5) / 0.05), t), leaf)
        attacked = (x + 6 / 255 * slope.sign()).clamp(0, 1)
        clean, under = ((made((images - 0.5) / 0.05).argmax(1) == t).float().mean() for images in (x, attacked))
        right[name] = float(clean), float(under)
    assert right["plain"][0] > 0.97
    assert right["plain"][1] < 0.3
    assert right["hardened"][1] > 0.8


# --- the recipes -----------------------------------------------------------------------------------------------------------------

TWINS = {"scenes-classifier-hardened": "cifar-resnet20.scenes", "scenes-detector-hardened": "retinanet-small.scenes"}


@pytest.mark.parametrize("name", TWINS)
def test_hardened_weights_begin_with_their_twins(name: str) -> None:
    recipe: Recipe = RECIPES.build(name)
    twin = build(TWINS[name])
    assert RECIPES.entry(name).facts["model"] == f"{TWINS[name]}-hardened"
    pool = TrainingSet(twin.info.classes, torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 1, 5), "")
    begun = sum(float(p.detach().double().abs().sum()) for p in recipe.network(pool).parameters())
    known = sum(float(p.detach().double().abs().sum()) for p in twin.module.parameters())  # type: ignore[union-attr]
    assert begun == pytest.approx(known, rel=1e-5)
    assert recipe.network(replace(pool, labels=Labels(("red", "blue")))) is not None


@pytest.mark.parametrize(
    ("recipe", "task", "metric"),
    [
        ("scenes-classifier-hardened(eps=1/255, attack_steps=1)", "classification", "top-1"),
        ("scenes-detector-hardened(share=0.5)", "detection", "ap50"),
        ("segmenter(size='32x24', width=2, eps=2/255)", "segmentation", "miou"),
    ],
)
def test_recipes_harden_on_data_of_ones_own(tmp_path: Path, recipe: str, task: Task, metric: str) -> None:
    assert its_file_is_a_model(recipe, task, metric, tmp_path / "mine.safetensors").adversary is not None


# --- the bundled weights ---------------------------------------------------------------------------------------------------------


def left(spec: str, attack: str, count: int, metric: str, first: int = 100) -> float:
    """What an attack leaves of a model's metric on some test scenes."""
    model: Any = build(spec)
    data: Dataset = DATASETS.build(f"scenes(split='test', samples=500, task={model.info.task!r})")
    samples = [data[i] for i in range(first, first + count)]
    images, noise = torch.stack([s.image for s in samples]), Noise(0, tuple(s.id for s in samples))
    found = run(ATTACKS.build(attack), model, images, [s.target for s in samples], noise)
    judge = METRICS.build(metric, labels=model.info.classes)
    return float(judge.reduce([judge.measure(p, s) for p, s in zip(predict(model, found.images), samples, strict=True)]))


def test_the_hardened_classifier_outlasts_its_twin() -> None:
    attack = "pgd(eps=4/255, steps=7)"
    assert left("cifar-resnet20.scenes", attack, 16, "top-1") <= 0.25
    assert left("cifar-resnet20.scenes-hardened", attack, 16, "top-1") >= 0.5


@pytest.mark.slow
def test_the_hardened_classifier_outlasts_its_twin_under_autoattack() -> None:
    attack = "autoattack(eps=4/255, steps=20, queries=200)"
    assert left("cifar-resnet20.scenes", attack, 40, "top-1") <= 0.1
    assert left("cifar-resnet20.scenes-hardened", attack, 40, "top-1") >= 0.4


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "least"), [("tog-vanish(eps=4/255)", 0.1), ("tog-untargeted(eps=4/255)", 0.3)])
def test_the_hardened_detector_outlasts_its_twin(attack: str, least: float) -> None:
    """least: AP50 that the hardened one keeps above what its twin does."""
    twin, hardened = (left(f"retinanet-small.{tag}", attack, 40, "ap50") for tag in ("scenes", "scenes-hardened"))
    assert hardened >= twin + least
