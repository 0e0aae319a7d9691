"""Training with contexts swapped and objects removed: what the copies are, and what the negative loss asks."""

from pathlib import Path

import numpy
import pytest
import torch
from torch import nn

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.errors import UserError
from robustbench_cv.training.context_augmentation import AugmentedPart, augment_part, parse_augmentation
from robustbench_cv.training.losses import NEGATIVE, segmentation
from robustbench_cv.training.split import Part
from robustbench_cv.training.train import train
from robustbench_cv.types import IGNORE


def part(task: str, count: int = 12) -> Part:
    data = DATASETS.build(f"scenes(task={task!r}, samples={count}, size=48)")
    return Part(data, range(count), data.name)


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_every_image_is_followed_by_its_edited_copies(task: str) -> None:
    made = augment_part(part(task), "context(copies=2)", seed=0)
    samples = list(made.samples())
    originals = [s for s, _ in samples if "#" not in s.id]
    copies = [s for s, _ in samples if "#" in s.id]
    assert [s.id for s in originals] == list(made.dataset.ids)
    assert 12 < len(copies) <= 24
    assert len({f for _, f in samples}) == len(samples)
    again = list(augment_part(part(task), "context(copies=2)", seed=0).samples())
    assert all(torch.equal(a.image, b.image) for (a, _), (b, _) in zip(samples, again, strict=True))
    other = [s for s, _ in augment_part(part(task), "context(copies=2)", seed=1).samples() if "#" in s.id]
    assert any(not torch.equal(a.image, b.image) for a, b in zip(copies, other, strict=False))
    kinds = {s.edit.kind for s in copies if s.edit}
    assert kinds == {"swap-context", "remove"}
    if task == "classification":
        labels = {s.id: s.target.label for s in originals}
        assert all(s.target.label == labels[s.id.partition("#")[0]] for s in copies)  # no copy without its object


def test_negative_pixels_carry_the_class_that_they_must_not_have() -> None:
    swaps = "context(swaps=0.0, loss='negative')"
    for sample, _ in augment_part(part("segmentation"), swaps, seed=0).samples():
        if sample.edit is None or sample.edit.kind != "remove":
            continue
        labels = sample.target.labels
        negative = (labels >= NEGATIVE) & (labels != IGNORE)
        assert bool(negative.any())
        subject = sample.edit.subject
        assert subject is not None
        assert torch.equal(labels[negative] - NEGATIVE, subject.labels[negative])  # type: ignore[union-attr]


class Fixed(nn.Module):
    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits


def test_the_negative_loss_is_that_of_the_paper() -> None:
    logits = torch.tensor([[[[2.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]]])  # (1, 3, 1, 2)
    images = torch.zeros(1, 3, 1, 2)
    plain = segmentation(Fixed(logits), images, torch.tensor([[[0, IGNORE]]]))
    negative = segmentation(Fixed(logits), images, torch.tensor([[[0, NEGATIVE + 1]]], dtype=torch.uint8))
    wrong = float(logits[0, :, 0, 1].softmax(dim=0)[1])
    assert float(negative - plain) == pytest.approx(-numpy.log(1 - wrong), abs=1e-5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mixup", "no augmentation named 'mixup'; there is context"),
        ("context(copies=0)", "copies=0"),
        ("context(times=2)", "it takes copies, swaps, sampling, loss and fill"),
        ("context(sampling='hard')", "sampling"),
        ("context(fill='lama')", "no fill named"),
    ],
)
def test_what_is_no_augmentation_is_refused(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        parse_augmentation(spec)


def test_small_classes_are_removed_more_often_by_size() -> None:
    def mean_area(sampling: str) -> float:
        made = augment_part(part("detection", 40), f"context(swaps=0.0, sampling={sampling!r})", seed=0)
        assert isinstance(made, AugmentedPart)
        copies = [s for s, _ in made.samples() if s.edit is not None and s.edit.kind == "remove"]
        return float(numpy.mean([float(s.edit.region.float().mean()) for s in copies if s.edit]))

    assert mean_area("size") < mean_area("random")


def test_the_card_says_what_was_learned_from(tmp_path: Path) -> None:
    card = train("scenes-lenet5(samples=12, epochs=1)", out=tmp_path / "a.safetensors", limit=12, augment="context")
    assert card.data.endswith("with context augmentation")
    assert 12 < card.samples <= 24
