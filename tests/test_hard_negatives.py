"""Hard-negative sampling: what a model knows worst is removed most, chosen anew for each epoch, the same for a seed and after a stop."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.catalogue import DATASETS, RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.interventions.object_selection import things
from robustbench_cv.models.checkpoint import read_state
from robustbench_cv.training import loop
from robustbench_cv.training.class_difficulty import LEAST, class_difficulty
from robustbench_cv.training.context_augmentation import LARGEST_SHARE, augment_part
from robustbench_cv.training.drawn_copies import NONE, Candidate, drawn_copies
from robustbench_cv.training.finetune import Settings, finetune
from robustbench_cv.training.losses import NEGATIVE
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.split import Part
from robustbench_cv.training.train import read, train
from robustbench_cv.training.training_set import TrainingSet
from robustbench_cv.types import IGNORE, Labels, MaskTarget

HARD = "context(swaps=0.0, sampling='hard-negative')"


def part(task: str, count: int = 12) -> Part:
    data = DATASETS.build(f"scenes(task={task!r}, samples={count}, size=48)")
    return Part(data, range(count), data.name)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_an_image_has_one_copy_without_each_class_that_can_go(task: str) -> None:
    plain = part(task)
    rows = list(augment_part(plain, f"{HARD[:-1]}, copies=2)", seed=0).rows())
    originals = {row.sample.id: row.sample for row in rows if row.sample.edit is None}
    assert list(originals) == list(plain.dataset.ids)
    drawn = [row for row in rows if row.candidate is not None]
    assert len({row.sample.id for row in rows}) == len({row.fingerprint for row in rows}) == len(rows)
    removed: dict[str, set[str]] = {}
    for row in drawn:
        assert row.sample.edit is not None
        assert row.candidate.times == 2
        (name,) = row.sample.edit.removed
        assert plain.dataset.labels.names[row.candidate.label] == name
        removed.setdefault(row.candidate.of, set()).add(name)
    for name, sample in originals.items():
        others = {k: m for k, m in things(sample).items() if task != "classification" or not bool((m & sample.regions["object"]).any())}
        assert removed.get(name, set()) == {k for k, mask in others.items() if 0 < float(mask.float().mean()) <= LARGEST_SHARE}
    assert max(map(len, removed.values())) > 1


def test_the_negative_loss_goes_with_it() -> None:
    rows = [row for row in augment_part(part("segmentation"), f"{HARD[:-1]}, loss='negative')", seed=0).rows() if row.candidate]
    for row in rows:
        assert isinstance(row.sample.target, MaskTarget)
        labels = row.sample.target.labels
        negative = (labels >= NEGATIVE) & (labels != IGNORE)
        assert set((labels[negative] - NEGATIVE).tolist()) == {row.candidate.label}  # type: ignore[union-attr]


def test_a_class_is_drawn_as_often_as_its_weight_says() -> None:
    ids = [f"{i}" for i in range(2000)]
    candidates = [c for i in ids for c in (None, Candidate(i, 0, 1), Candidate(i, 2, 1))]
    drawn = drawn_copies([*candidates, None, Candidate("alone", 1, 3)], originals=range(0, 6000, 3))
    assert drawn is not None
    assert len(drawn) == 2001 + 2000 + 3
    assert drawn.copies.shape == (2003, 2)
    assert int((drawn.copies == NONE).sum()) == 3
    chosen = drawn.draw(torch.tensor([0.2, 1.0, 0.6, 1.0]), generator())
    assert chosen[:2001].tolist() == [*range(0, 6000, 3), 6000]
    assert chosen[-3:].tolist() == [6001] * 3  # an image with one candidate has it each time
    weak = (chosen[2001:-3] % 3 == 2).float().mean()
    assert float(weak) == pytest.approx(0.75, abs=0.04)
    assert torch.equal(chosen, drawn.draw(torch.tensor([0.2, 1.0, 0.6, 1.0]), generator()))
    assert not torch.equal(chosen, drawn.draw(torch.tensor([0.2, 1.0, 0.6, 1.0]), generator(1)))


def test_without_candidates_nothing_is_drawn() -> None:
    assert drawn_copies([None, None], [0, 1]) is None


def pool(images: Tensor, truths: Tensor, classes: int) -> TrainingSet:
    return TrainingSet(Labels.numbered(classes), images, truths, "")


def test_difficulty_is_what_iou_and_recall_lack() -> None:
    rng = generator()
    truths = torch.randint(0, 4, (5, 6, 6), generator=rng).to(torch.uint8)
    truths[:, 0] = IGNORE
    answers = torch.randint(0, 5, (5, 6, 6), generator=rng)
    images = torch.arange(5, dtype=torch.uint8)[:, None, None, None].expand(5, 3, 6, 6)

    def scores(x: Tensor) -> Tensor:
        return nn.functional.one_hot(answers[(x[:, 0, 0, 0] * 255).round().long()], 5).movedim(-1, 1).float()

    made = class_difficulty("segmentation", pool(images, truths, 5), torch.arange(5), scores, lambda x, t: x.sum(), 2)
    scored = truths != IGNORE
    expected = []
    for c in range(4):
        right, either = ((truths == c) & (answers == c) & scored).sum(), (((truths == c) | (answers == c)) & scored).sum()
        expected.append(1 - float(right) / float(either))
    mean = sum(expected) / 4
    assert made.tolist() == pytest.approx([*expected, mean, mean])  # the fifth class is nowhere, the last is none of them

    labels = torch.tensor([0, 0, 0, 1, 2])
    by_class = class_difficulty(
        "classification",
        pool(images, labels, 3),
        torch.arange(5),
        lambda x: nn.functional.one_hot(torch.tensor([0, 0, 1, 1, 0])[(x[:, 0, 0, 0] * 255).round().long()], 3).float(),
        lambda x, t: x.sum(),
        4,
    )
    assert by_class[:3].tolist() == pytest.approx([1 / 3, LEAST, 1.0])


def test_difficulty_of_a_detector_is_the_loss_of_the_images_that_show_a_class() -> None:
    rows = torch.tensor([[[0, 0, 2, 2, 0], [0, 0, 2, 2, 1]], [[0, 0, 2, 2, 1], [0, 0, 0, 0, -1]]], dtype=torch.float32)
    images = torch.stack([torch.full((3, 4, 4), 255), torch.full((3, 4, 4), 51)]).to(torch.uint8)
    made = class_difficulty("detection", pool(images, rows, 3), torch.arange(2), lambda x: x, lambda x, t: x.mean(), 1)
    assert made.tolist() == pytest.approx([1.0, 0.6, 0.8, 0.8])  # losses 1 and 0.2: class 0 in the first image, class 1 in both


class Answers(nn.Module):
    """A segmenter that always answers one class. Its one parameter says which."""

    def __init__(self, classes: int, answer: float) -> None:
        super().__init__()
        self.classes, self.answer = classes, nn.Parameter(torch.tensor(answer))

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        logits = torch.zeros(len(images), self.classes, *images.shape[-2:])
        logits[:, int(self.answer.detach())] = 1
        return logits


def planted(labels: tuple[int, int]) -> tuple[TrainingSet, Recipe]:
    """100 images, half of each class, each with a copy without the one and a copy without the other class."""
    truths = torch.tensor(labels).repeat(150).to(torch.uint8)[:, None, None].expand(300, 4, 4)
    images = torch.zeros(300, 3, 4, 4, dtype=torch.uint8)
    candidates = [None] * 100 + [Candidate(f"{i}", c, 1) for i in range(100) for c in labels]
    made = replace(pool(images, truths, 3), drawn=drawn_copies(candidates, range(100)))
    recipe = Recipe(
        name="planted",
        architecture="none",
        task="segmentation",
        network=lambda _: nn.Identity(),
        loss=lambda network, x, t: x.sum(),
        augment=lambda x, t, rng: (x, t),
        schedule=Schedule(epochs=1),
        metrics=(),
        size=(4, 4),
    )
    return made, recipe


@pytest.mark.parametrize(("knows", "weak"), [(0, 1), (1, 0)])
def test_what_the_network_is_bad_at_is_removed_more_often(knows: int, weak: int) -> None:
    made, recipe = planted((0, 1))
    network = Answers(3, float(knows)).train()
    chosen = loop._learned_from(network, made, loop.Run(recipe=recipe, epochs=1, seed=0), generator())
    assert network.training
    assert made.drawn is not None
    assert len(chosen) == made.per_epoch == 200
    # 1 - IoU is 0.5 of the class that is always answered, and 1 of the other
    removed = [(position - 100) % 2 for position in chosen[100:].tolist()]
    assert removed.count(weak) / 100 == pytest.approx(2 / 3, abs=0.1)


def test_weights_are_measured_anew_before_each_epoch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measured: list[Tensor] = []
    drawn: list[Tensor] = []
    real, draw = loop.class_difficulty, loop._learned_from

    def note(*args: Any, **more: Any) -> Tensor:
        measured.append(real(*args, **more))
        return measured[-1]

    monkeypatch.setattr(loop, "class_difficulty", note)
    monkeypatch.setattr(loop, "_learned_from", lambda *args: drawn.append(draw(*args)) or drawn[-1])
    recipe = "segmenter(size=32, width=4, batch=8, epochs=3, peak=0.02)"
    train(recipe, data="scenes(samples=20, size=48)", out=tmp_path / "a.safetensors", augment=HARD)
    assert len(measured) == len(drawn) == 3
    assert not torch.equal(measured[0], measured[2])
    assert not torch.equal(drawn[0], drawn[1])


class Stop(Exception):
    pass


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    made = RECIPES.build("segmenter(size=32, width=4, batch=8, epochs=3)")
    learned = read(made, augment_part(part("segmentation"), HARD, seed=0))

    def run(name: str, stop: int | None) -> dict[str, Tensor]:
        torch.manual_seed(0)
        network = made.network(learned)
        settings = loop.Run(recipe=made, epochs=3, seed=0, state=tmp_path / name, key="k")

        def watch(done: int, total: int, loss: float) -> None:
            if done == stop:
                raise Stop

        if stop is not None:
            with pytest.raises(Stop):
                loop.fit(network, learned, settings, watch)
            network = made.network(learned)
        loop.fit(network, learned, settings)
        return network.state_dict()

    steps = learned.per_epoch // 8
    whole, halved = run("whole", None), run("halved", 2 * steps)
    assert steps > 1
    assert all(torch.equal(whole[name], halved[name]) for name in whole)


@pytest.mark.parametrize("model", ["cifar-resnet20.scenes", "unet.scenes", "retinanet-small.scenes"])
def test_fine_tuning_takes_it(model: str, tmp_path: Path) -> None:
    cards = [
        finetune(
            model,
            data=f"scenes(samples=10, size=48, task={task!r})",
            out=tmp_path / f"{k}.safetensors",
            settings=Settings(epochs=1, size=48),
            augment=HARD,
        )
        for k in (0, 1)
        for task in ({"cifar": "classification", "unet.": "segmentation", "retin": "detection"}[model[:5]],)
    ]
    assert 8 < cards[0].samples <= 16
    first, second = (read_state(tmp_path / f"{k}.safetensors").tensors for k in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_recipe_that_takes_all_images_at_once_refuses_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="take sampling='size'"):
        train("scenes-rcnn", data="scenes(samples=4)", out=tmp_path / "a.safetensors", augment=HARD)
