"""The training loop and its recipes, on data small enough to learn in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.catalogue import MODELS, RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models.weights.card import read_card
from robustbench_cv.models.weights.description import read_description
from robustbench_cv.tasks import Task
from robustbench_cv.training import augment, losses, train
from robustbench_cv.training.loop import Run, Watch, fit
from robustbench_cv.training.recipe import Augment, Recipe, Schedule
from robustbench_cv.training.split import split
from robustbench_cv.training.training_set import NOTHING, TrainingSet, collect
from robustbench_cv.types import BoxTarget, ClassTarget, Labels, MaskTarget, Sample, Target, predict

pytestmark = pytest.mark.usefixtures("one_thread")


COLOURS = Labels(("red", "blue"))


@dataclass(frozen=True)
class Squares:
    """A bright red or blue square on grey: 24x32 pictures whose truth is plain for every task."""

    task: Task
    count: int = 20
    name: str = "squares"
    labels: Labels = COLOURS

    @property
    def ids(self) -> Sequence[str]:
        return [f"{self.name}/{i}" for i in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> Sample:
        label, top, left = index % 2, index % 5 * 2, index % 7 * 2
        image = torch.full((3, 24, 32), 0.4)
        image[2 * label, top : top + 12, left : left + 16] = 1
        box = torch.tensor([[left, top, left + 16, top + 12.0]])
        mask = torch.full((24, 32), 1 - label)
        mask[top : top + 12, left : left + 16] = label
        targets: dict[Task, Target] = {
            "classification": ClassTarget(label),
            "segmentation": MaskTarget(mask),
            "detection": BoxTarget.of(box, torch.tensor([label])),
        }
        return Sample(self.ids[index], image, targets[self.task])

    def fingerprint(self, index: int, /) -> str:
        return f"{self.task} {index}"


class Tiny(nn.Module):
    """Two convolutions, one normalised, so that parameters and buffers both matter."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.last(self.norm(self.first(x)).relu()).mean((2, 3))
        return scores


def tiny_recipe(epochs: int = 3) -> Recipe:
    return Recipe(
        name="tiny",
        architecture="lenet5",
        task="classification",
        network=lambda pool: Tiny(len(pool.labels)),
        loss=losses.classification,
        augment=augment.chain(augment.flip, augment.shift, augment.light),
        schedule=Schedule(epochs=epochs, batch=8),
        metrics=("top-1",),
        size=(12, 16),
    )


def read(task: Task, size: tuple[int, int] = (12, 16), *, letterbox: bool = False, count: int = 20) -> TrainingSet:
    data = Squares(task, count)
    return collect(data.labels, ((data[i], data.fingerprint(i)) for i in range(count)), size, letterbox)


def trained(
    pool: TrainingSet, seed: int = 0, state: Path | None = None, watch: Watch = lambda done, total, loss: None
) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Tiny()
    fit(
        network,
        pool,
        Run(recipe=tiny_recipe(), epochs=3, seed=seed, device="cpu", mean=(0.5,) * 3, std=(0.25,) * 3, state=state, key="key"),
        watch,
    )
    assert not network.training
    return {k: v.clone() for k, v in network.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


# --- the loop --------------------------------------------------------------------------------------------------------------------


def test_training_is_a_function_of_its_seed_and_leaves_the_global_generator_alone() -> None:
    pool = read("classification")
    before = torch.get_rng_state()
    first = trained(pool)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert same(first, trained(pool))
    assert not same(first, trained(pool, seed=1))


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_an_interrupted_training_ends_as_if_it_had_not_been(tmp_path: Path, stop_after: int) -> None:
    """Two steps an epoch: stopped within the first, at the end of it, and within the second and the third epoch."""
    pool, state = read("classification"), tmp_path / "run.training"
    steps: list[int] = []

    def stop(done: int, total: int, loss: float) -> None:
        steps.append(done)
        if len(steps) == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(pool, state=state, watch=stop)
    assert state.exists() == (stop_after > 2)
    resumed: list[int] = []
    assert same(trained(pool), trained(pool, state=state, watch=lambda done, total, loss: resumed.append(done)))
    assert resumed == list(range((stop_after - 1) // 2 * 2 + 1, 7))
    assert not state.exists()


def test_a_state_of_another_training_is_not_used(tmp_path: Path) -> None:
    pool, state = read("classification"), tmp_path / "run.training"
    torch.save({"key": "another", "epoch": 2, "network": {}, "optimizer": {}}, state)
    assert same(trained(pool), trained(pool, state=state))


def test_a_loss_that_is_no_number_stops_the_training() -> None:
    pool = read("classification")
    recipe = replace(tiny_recipe(), loss=lambda network, x, truths: network(x).sum() * float("nan"))
    with pytest.raises(RuntimeError, match="not a number at step 0"):
        fit(Tiny(), pool, Run(recipe=recipe, epochs=1, seed=0))


def test_the_schedule_rises_and_falls_once() -> None:
    rates = [Schedule(epochs=1, peak=2.0, warm=0.25).rate(i / 100) for i in range(101)]
    assert max(rates) == rates[25] == 2.0
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert rates[100] == pytest.approx(0)


# --- pools and augmentation --------------------------------------------------------------------------------------------------------


def test_a_pool_keeps_pictures_and_truths_at_the_training_size() -> None:
    data = Squares("segmentation")
    pool = read("segmentation", (24, 32))
    for i in range(4):
        target = data[i].target
        assert isinstance(target, MaskTarget)
        assert torch.equal(pool.truths[i].long(), target.labels)
        torch.testing.assert_close(pool.images[i].float() / 255, data[i].image, atol=0.002, rtol=0)
    assert read("classification").truths.tolist() == [0, 1] * 10
    assert read("segmentation", count=3).sha256 != read("segmentation", count=4).sha256


def test_a_letterboxed_pool_scales_its_boxes() -> None:
    pool = read("detection", (64, 64), letterbox=True)
    assert pool.images.shape == (20, 3, 64, 64)
    torch.testing.assert_close(pool.truths[1], torch.tensor([[2.0 * 2, 2 * 2 + 8, 18 * 2, 14 * 2 + 8, 1]]))
    torch.testing.assert_close(pool.shapes(), torch.tensor([[32.0, 24]] * 20))


def test_boxes_are_padded_to_one_length_and_crowds_left_out() -> None:
    image = torch.zeros(3, 32, 32)
    boxes = torch.tensor([[0.0, 0, 8, 8], [8, 8, 16, 16], [0, 0, 32, 32]])
    full = BoxTarget.of(boxes, torch.tensor([0, 1, 1]), crowd=torch.tensor([False, False, True]))
    none = BoxTarget.of(torch.zeros(0, 4), torch.zeros(0))
    pool = collect(Labels(("a", "b")), [(Sample("1", image, none), ""), (Sample("2", image, full), "")], (32, 32), True)
    assert pool.truths.shape == (2, 2, 5)
    assert (pool.truths[0] == NOTHING).all()
    assert pool.truths[1, :, 4].tolist() == [0, 1]


def test_statistics_are_those_of_the_pixels() -> None:
    pool = read("classification", (24, 32))
    pixels = torch.stack([Squares("classification")[i].image for i in range(20)])
    mean, std = pool.statistics()
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=2e-3)
    assert std == pytest.approx(pixels.std((0, 2, 3)).clamp(min=0.01).tolist(), abs=2e-3)  # green is constant


def test_flips_take_label_maps_and_boxes_along() -> None:
    rng = torch.Generator().manual_seed(0)
    maps, boxes = read("segmentation", (24, 32)), read("detection", (32, 32), letterbox=True)
    images, truths = augment.flip(maps.images.float() / 255, maps.truths, rng)
    turned = [not torch.equal(a, b / 255.0) for a, b in zip(images, maps.images, strict=True)]
    assert 0 < sum(turned) < 20
    for flipped, new, old in zip(turned, truths, maps.truths, strict=True):
        assert torch.equal(new, old.flip(-1) if flipped else old)
    images, rows = augment.flip(boxes.images.float() / 255, boxes.truths, rng)
    for image, (row,), label in zip(images, rows, boxes.truths[:, 0, 4], strict=True):
        x1, y1, x2, y2 = row[:4].int().tolist()
        inside = image[2 * int(label), y1:y2, x1:x2]
        assert (inside > 0.9).all()


def test_zoom_keeps_pixels_and_labels_together() -> None:
    maps = read("segmentation", (24, 32), count=6)
    for seed in range(5):
        images, truths = augment.zoom(maps.images.float() / 255, maps.truths, torch.Generator().manual_seed(seed))
        assert images.shape == (6, 3, 24, 32)
        bright = (images.amax(1) - images.amin(1)) > 0.3  # a coloured square
        expected = torch.where(bright, torch.arange(6)[:, None, None] % 2, 1 - torch.arange(6)[:, None, None] % 2)
        assert (expected == truths).float().mean() > 0.95


def test_moved_boxes_stay_on_their_objects() -> None:
    """The bright square is found again in the pixels, to a pixel, wherever it went and however large it became."""
    pool = read("detection", (64, 64), letterbox=True)
    x = pool.images[:12].float() / 255
    moved, rows = augment.move(x, pool.truths[:12], torch.Generator().manual_seed(0))
    seen = 0
    for picture, row in zip(moved, rows[:, 0], strict=True):
        if int(row[4]) == NOTHING:
            continue
        bright = picture[2 * int(row[4])] > 0.7
        down, across = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
        found = torch.stack([across.min(), down.min(), across.max() + 1, down.max() + 1]).float()
        assert float((found - row[:4]).abs().max()) <= 1.5
        seen += 1
    assert seen >= 8
    assert len({tuple(row.tolist()) for row in (rows - pool.truths[:12])[:, 0]}) == 12
    far = torch.tensor([[[0.0, 0, 2, 2, 0], [-1, -1, -1, -1, -1]]])
    gone = sum(int((augment.move(x[:1], far, torch.Generator().manual_seed(s))[1][..., 4] >= 0).sum()) for s in range(20))
    assert 0 < gone < 20


@pytest.mark.parametrize("part", [augment.flip, augment.light, augment.shift])
def test_augmentations_stay_in_range_and_follow_their_generator(part: Augment) -> None:
    images, truths = torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(3)), torch.arange(6)
    first, same_truths = part(images, truths, torch.Generator().manual_seed(1))
    again, _ = part(images, truths, torch.Generator().manual_seed(1))
    other, _ = part(images, truths, torch.Generator().manual_seed(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(same_truths, truths)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1


# --- losses ----------------------------------------------------------------------------------------------------------------------


def test_overlap_loss_equals_the_obvious_one() -> None:
    probs = torch.rand(2, 4, 5, 6, generator=torch.Generator().manual_seed(0)).softmax(1)
    labels = torch.randint(0, 3, (2, 5, 6), generator=torch.Generator().manual_seed(1))  # class 3 is never shown
    labels[0, :2] = 255
    overlaps = []
    for c in range(3):
        p, t = probs[:, c][labels != 255], (labels == c)[labels != 255].float()
        overlaps.append(2 * (p * t).sum() / (p.sum() + t.sum()))
    torch.testing.assert_close(losses.overlap_loss(probs, labels), 1 - torch.stack(overlaps).mean())
    assert losses.overlap_loss(probs, torch.full_like(labels, 255)) == 0


def test_unscored_pixels_do_not_train() -> None:
    scores = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    truths = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    truths[0, :2] = 255
    loss = losses.segmentation(nn.Identity(), scores, truths)
    kept = truths != 255
    entropy = nn.functional.cross_entropy(scores.movedim(1, -1)[kept], truths[kept].long())
    torch.testing.assert_close(loss, entropy + losses.overlap_loss(scores.softmax(1), truths.long()))
    (grad,) = torch.autograd.grad(loss, scores)
    assert not grad[0, :, :2].any()
    assert grad[0, :, 2:].any()


# --- splits ----------------------------------------------------------------------------------------------------------------------


def test_without_a_test_set_every_tenth_sample_is_held_out() -> None:
    learned, judged = split(tiny_recipe(), Squares("classification", 25), None, None)
    assert list(judged.indices) == [9, 19]
    assert sorted([*learned.indices, *judged.indices]) == list(range(25))
    learned, judged = split(tiny_recipe(), Squares("classification", 25), None, 4)
    assert (list(learned.indices), list(judged.indices)) == ([0, 1, 2], [3])


def test_data_of_another_task_or_other_classes_are_refused() -> None:
    with pytest.raises(UserError, match="needs data for classification; squares is for detection"):
        split(tiny_recipe(), Squares("detection"), None, None)
    other = Squares("classification", labels=Labels(("green", "blue")))
    with pytest.raises(UserError, match="differ in their classes"):
        split(tiny_recipe(), Squares("classification"), other, None)
    with pytest.raises(UserError, match="at least 2"):
        split(tiny_recipe(), Squares("classification", 1), None, None)
    with pytest.raises(UserError, match="trains on data of yours"):
        split(tiny_recipe(), None, None, None)


# --- from recipe to file ---------------------------------------------------------------------------------------------------------


def test_a_segmenter_learns_from_masks_and_its_file_says_all(tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    data = Squares("segmentation", 40)
    card = train("segmenter(size='32x24', width=4, batch=4, peak=0.01)", data=data, test=data, out=out, epochs=10)
    description = read_description(out)
    assert description is not None
    assert description.classes == ("red", "blue")
    assert description.input_size == (24, 32)
    assert description.arguments == {"width": 4}
    model = MODELS.build(f"unet(checkpoint={str(out)!r})")
    assert model.info.classes == data.labels
    right = [(predict(model, data[i].image[None])[0].labels == data[i].target.labels).float().mean() for i in range(8)]  # type: ignore[union-attr]
    assert sum(right) / 8 > 0.9  # constant answers reach 0.5
    assert card == read_card(out.with_suffix(".json"))
    assert card.metrics["pixel-accuracy"] > 0.9
    assert (card.samples, card.test_samples, card.epochs) == (40, 40, 10)
    assert card.parameters == model.info.parameters
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.json", "mine.safetensors"]


def test_the_same_training_gives_the_same_bytes(tmp_path: Path) -> None:
    cards = [
        train("segmenter(size='32x24', width=2)", data=Squares("segmentation"), out=tmp_path / f"{i}.safetensors", epochs=1)
        for i in range(2)
    ]
    assert cards[0].sha256 == cards[1].sha256
    assert cards[0].data_sha256 == cards[1].data_sha256
    assert cards[0].test == "every 10th of squares"


@pytest.mark.parametrize(
    ("recipe", "task", "metric"),
    [
        ("scenes-classifier(size=16)", "classification", "top-1"),
        ("scenes-lenet5", "classification", "top-1"),
        ("scenes-segmenter(width=2)", "segmentation", "miou"),
        ("scenes-detector(width=4)", "detection", "ap50"),
    ],
)
def test_recipes_run_and_their_files_are_models(tmp_path: Path, recipe: str, task: Task, metric: str) -> None:
    its_file_is_a_model(recipe, task, metric, tmp_path / "mine.safetensors")


def its_file_is_a_model(recipe: str, task: Task, metric: str, out: Path) -> Recipe:
    """Trained for an epoch on squares; the recipe."""
    data = Squares(task, 16)
    card = train(recipe, data=data, test=data, out=out, epochs=1)
    assert 0 <= card.metrics[metric] <= 1
    made: Recipe = RECIPES.build(recipe)
    model = MODELS.factory(made.architecture)(checkpoint=str(out))
    assert model.info.classes == data.labels
    assert model.info.task == task
    return made


def test_weights_are_only_written_as_safetensors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine\.safetensors"):
        train("segmenter", data=Squares("segmentation"), out=tmp_path / "mine.pt")


def test_a_broken_card_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    with pytest.raises(UserError, match="no card"):
        read_card(path)
    path.write_text('{"name": "x"}')
    with pytest.raises(UserError, match="not a card"):
        read_card(path)
