"""ImageNet-9 as published: folders beside torchvision's reading, 1000 classes as nine, adversarial backgrounds by brute force."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy
import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.datasets import ImageFolder
from torchvision.models import ResNet18_Weights

from robustbench_cv.adversary import run as run_attack
from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, METRICS
from robustbench_cv.data.imagenet9 import FOLDERS, ImageNet9
from robustbench_cv.errors import BadSample, NotApplicable, UserError
from robustbench_cv.interventions.published_variant import PublishedVariant
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.build import build
from robustbench_cv.models.imagenet9 import NINE, NONE, Nine, _rows, as_imagenet9, nine_of_fine
from robustbench_cv.noise import Noise
from robustbench_cv.record_store import InMemory
from robustbench_cv.records import Record
from robustbench_cv.registry import Spec, load_file
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.results import CellRow, DatasetRow, MetricRow, ModelRow, Results, RunInfo, TrackRow
from robustbench_cv.runner.cell import evidence_types
from robustbench_cv.runner.plan import Options, make_plan
from robustbench_cv.runner.run import run_suite
from robustbench_cv.runner.run_facts import condition_facts
from robustbench_cv.suite import CLEAN, Suite, Track
from robustbench_cv.suite_files import find_suite
from robustbench_cv.types import ABSENT, ClassTarget, Labels

folders = load_file(Path(__file__).parent / "published_imagenet9.py")
IMAGENET = tuple(ResNet18_Weights.DEFAULT.meta["categories"])
REMOVED = ("no_fg", "only_bg_b", "only_bg_t")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    written: Path = folders.write(tmp_path)
    return written


def read(root: Path) -> ImageNet9:
    data = DATASETS.build(f"imagenet9:{root}")
    assert isinstance(data, ImageNet9)
    return data


class Colours(nn.Module):
    """A fixed linear network of mean colours: it sees objects and backgrounds alike."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, 3, 4, 4, generator=torch.Generator().manual_seed(1)))

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_avg_pool2d(x, 4) - 0.5
        return torch.einsum("nchw,kchw->nk", pooled, self.weight)


def colours(classes: tuple[str, ...] = NINE, **more: Any) -> Classifier:
    return classifier(Colours(len(classes)), name="colours", classes=Labels(classes), **more)


def fine(logits: Tensor) -> Tensor:
    """The published rule, spelt out: argmax over 1000, then the map; -1 for none."""
    table = {int(row["index"]): NINE.index(row["class"]) for row in _rows()}
    return torch.tensor([table.get(int(row.argmax()), -1) for row in logits])


# --- classes


def test_the_map_has_the_published_counts() -> None:
    counts = Counter(nine_of_fine())
    assert [counts[k] for k in range(9)] == [116, 52, 42, 36, 35, 27, 26, 20, 16]
    assert counts[9] == 630


def test_the_synsets_of_the_map_are_imagenets() -> None:
    names = Path(timm.__file__).parent / "data" / "_info" / "imagenet_synsets.txt"
    synsets = names.read_text().split()
    assert all(synsets[int(row["index"])] == row["synset"] for row in _rows())
    group = dict(zip(IMAGENET, nine_of_fine(), strict=True))
    assert [group[name] for name in ("Chihuahua", "robin", "jeep", "Komodo dragon", "tiger")] == [0, 1, 2, 3, 4]
    assert [group[name] for name in ("ladybug", "banjo", "gorilla", "tench", "whippet", "quail", "toaster")] == [5, 6, 7, 8, 9, 9, 9]


def test_the_most_probable_of_1000_comes_first() -> None:
    logits = torch.randn(400, 1000, generator=torch.Generator().manual_seed(0))
    answers = Nine()(logits).argmax(dim=1)
    assert torch.equal(answers.where(answers < 9, -1), fine(logits))
    usable = torch.tensor([k < 9 for k in nine_of_fine()])
    renormalised = fine(logits.masked_fill(~usable, float("-inf")))
    assert (renormalised != fine(logits)).float().mean() > 0.5  # which rule it is makes a difference
    summed = logits.softmax(dim=1) @ nn.functional.one_hot(torch.tensor(nine_of_fine())).float()
    assert not torch.equal(summed.argmax(dim=1), answers)


def test_a_model_through_the_view_answers_as_its_1000_classes_say() -> None:
    model = colours(IMAGENET)
    view = as_imagenet9(model)
    images = torch.rand(50, 3, 32, 32, generator=torch.Generator().manual_seed(2), requires_grad=True)
    raw = view.raw(images)
    answers = torch.tensor([p.label for p in view.decode(raw)])  # type: ignore[union-attr]
    assert torch.equal(answers.where(answers < 9, -1), fine(model.raw(images).values))
    assert view.info.classes.names == (*NINE, NONE)
    raw.values.amax(dim=1).sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("spec", ["timm:test_resnet", "torchvision:squeezenet1_1(num_classes=1000)"])
def test_images_of_the_networks_size_are_neither_scaled_nor_cropped(spec: str) -> None:
    plain, view = build(spec), build(str(Spec("imagenet9", {"model": spec})))
    assert isinstance(plain, Classifier)
    assert isinstance(view, Classifier)
    prepare = plain.module.prepare
    assert prepare.size is not None
    images = torch.rand(2, 3, *prepare.size, generator=torch.Generator().manual_seed(3))
    assert prepare.mean is not None
    assert prepare.std is not None
    as_they_are = (images - prepare.mean) / prepare.std
    assert torch.equal(view.module.prepare(images), as_they_are)
    assert not torch.allclose(prepare(images), as_they_are, atol=0.1)  # its own evaluation would scale and crop them
    torch.testing.assert_close(view.raw(images).values, Nine()(plain.module.net(as_they_are)))


def test_1000_other_classes_are_refused() -> None:
    for names in (tuple(reversed(IMAGENET)), (*IMAGENET[:999], "unicorn")):
        with pytest.raises(UserError, match="are its classes ImageNet's in the usual order"):
            as_imagenet9(colours(names))
    with pytest.raises(UserError, match="has 9 classes"):
        as_imagenet9(colours())
    for names in (Labels.numbered(1000).names, tuple(f"{name}, of some kind" for name in IMAGENET)):
        assert as_imagenet9(colours(names)).info.classes.names[0] == "dog"
    synsets = (Path(timm.__file__).parent / "data" / "_info" / "imagenet_synsets.txt").read_text().split()
    assert as_imagenet9(colours(tuple(synsets))).info.classes.names[0] == "dog"


# --- folders


def test_the_originals_are_those_of_an_image_folder(root: Path) -> None:
    data, theirs = read(root), ImageFolder(str(root / "original" / "val"))
    assert [data[k].target.label for k in range(len(data))] == theirs.targets  # type: ignore[union-attr]
    assert data.labels.names[2] == "vehicle"
    for k, (picture, _) in enumerate(theirs):
        assert numpy.array_equal((data[k].image * 255).round().byte().permute(1, 2, 0).numpy(), numpy.asarray(picture))
    mask = numpy.load(root / "fg_mask" / "val" / "03_reptile" / "n03000000_1.npy")
    assert torch.equal(data[7].regions["class:reptile"], torch.from_numpy(mask))
    assert data.notes == ()


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_variant_is_read_as_an_image_folder_reads_it(folder: str, root: Path) -> None:
    data, theirs = read(root), ImageFolder(str(root / folder / "val"))
    edit = INTERVENTIONS.build(f"published-variant(variant={folder.replace('_', '-')!r})")
    assert isinstance(edit, PublishedVariant)
    edit = edit.with_dataset(data)
    seen = {}
    for (path, label), (picture, _) in zip(theirs.samples, theirs, strict=True):
        first = re.search(r"n\d{8}_\d+", Path(path).name)  # the foreground comes first
        assert first is not None
        seen[label, first[0]] = numpy.asarray(picture)
    for k in range(len(data)):
        before = data[k]
        after = edit(before, Noise(0, (before.id,)))
        label = before.target.label  # type: ignore[union-attr]
        expected = seen.pop((label, Path(before.id).stem))
        assert numpy.array_equal((after.image * 255).round().byte().permute(1, 2, 0).numpy(), expected)
        assert after.target.label == (ABSENT if folder in REMOVED else label)  # type: ignore[union-attr]
        assert after.edit is not None
        assert after.edit.removed == ({NINE[label]} if folder in REMOVED else frozenset())
    assert not seen


def test_what_is_not_there_is_said(root: Path) -> None:
    shutil.rmtree(root / "mixed_next")
    shutil.rmtree(root / "fg_mask")
    next((root / "only_fg" / "val" / "00_dog").iterdir()).unlink()
    stranger = root / "mixed_same" / "val" / "08_fish" / "fg_n00000009_5_bg_n08000000_1.JPEG"
    shutil.copy(next(stranger.parent.iterdir()), stranger)
    data = read(root)
    lacking, incomplete, passed_over = data.notes
    assert lacking == "bg_challenge lacks the folders mixed_next, fg_mask: there are no numbers for these"
    assert incomplete.startswith("only_fg has no picture of 1 of the 18 originals")
    assert passed_over.startswith("1 pictures of mixed_same show the foreground of no original")
    edit = INTERVENTIONS.build("published-variant(variant='mixed-next')").with_dataset(data)  # type: ignore[attr-defined]
    with pytest.raises(NotApplicable, match="has no folder mixed_next/val"):
        edit(data[0], Noise(0, (data.ids[0],)))
    search = ATTACKS.build("adversarial-background").with_dataset(data)
    with pytest.raises(NotApplicable, match="has no folder fg_mask/val"):
        search.require(data[0])


def test_other_layouts_and_other_data_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean .*bg_challenge"):
        read(tmp_path)
    for part in ("published-variant(variant='no-fg')", "adversarial-background"):
        built: Any = INTERVENTIONS.build(part) if "variant" in part else ATTACKS.build(part)
        with pytest.raises(UserError, match="give --data imagenet9:PATH"):
            built.with_dataset(DATASETS.build("scenes(samples=2)"))
    numpy.save(root / "fg_mask" / "val" / "00_dog" / "n00000000_0.npy", numpy.ones((3, 3)))
    with pytest.raises(BadSample, match=r"float64 \(3, 3\)"):
        _ = read(root)[0].regions["object"]
    (root / "original" / "val" / "08_fish").rename(root / "original" / "val" / "fish")
    with pytest.raises(UserError, match="has nine, 00_dog to 08_fish"):
        read(root)


# --- adversarial backgrounds


def composites(root: Path, data: ImageNet9, index: int) -> Tensor:
    """One object on every background, by the formula of the published evaluation."""
    behind = torch.stack(
        [torch.from_numpy(numpy.array(picture)).permute(2, 0, 1) / 255 for picture, _ in ImageFolder(str(root / "only_bg_t" / "val"))]
    )
    mask = torch.from_numpy(numpy.load(data.masks[data.ids[index]])).float()
    return behind * (1 - mask) + mask * data[index].image


def attack(root: Path, data: ImageNet9, model: Any, backgrounds: int, indices: list[int]) -> Any:
    search = ATTACKS.build(f"adversarial-background(backgrounds={backgrounds})").with_dataset(data)
    images = torch.stack([data[k].image for k in indices])
    targets = [data[k].target for k in indices]
    return run_attack(search, model, images, targets, Noise(0, tuple(data.ids[k] for k in indices)))


@pytest.fixture
def knowing(root: Path) -> Classifier:
    """A model that is right of most objects, and is fooled by some backgrounds: the nearest class by colour, mostly of the middle."""
    data = read(root)
    weight = torch.stack([nn.functional.adaptive_avg_pool2d(data[2 * c].image, 4)[:, 1:3, 1:3].mean(dim=(1, 2)) - 0.5 for c in range(9)])
    made = Colours(9)
    window = torch.full((4, 4), 0.01)
    window[1:3, 1:3] = 1
    made.weight.data = weight[:, :, None, None] / weight.norm(dim=1)[:, None, None, None] * window
    return classifier(made, name="knowing", classes=Labels(NINE))


def test_the_search_finds_what_all_backgrounds_would_say(root: Path, knowing: Classifier) -> None:
    data = read(root)
    everyone = list(range(len(data)))
    made = attack(root, data, knowing, 1000, everyone)
    fooled = []
    for k in everyone:
        shown = composites(root, data, k)
        wrong = knowing.raw(shown).values.argmax(dim=1) != data[k].target.label  # type: ignore[union-attr]
        fooled.append(bool(wrong.any()))
        assert made.forwards[k] <= (len(shown) if not wrong.any() else len(shown) - int(wrong.sum()) + 1)
        assert (made.images[k] - shown).abs().flatten(1).amax(dim=1).min() < 1e-6  # it is one of them
    assert made.success.tolist() == fooled
    assert 0.2 < sum(fooled) / len(fooled) < 1.0
    assert all(made.forwards[k] == 18 for k in everyone if not fooled[k])
    alone = [attack(root, data, knowing, 1000, [k]) for k in everyone]
    assert [bool(one.success[0]) for one in alone] == fooled
    assert [int(one.forwards[0]) for one in alone] == made.forwards.tolist()


def test_more_backgrounds_break_no_fewer_and_few_cost_few(root: Path, knowing: Classifier) -> None:
    data = read(root)
    everyone = list(range(len(data)))
    runs = {limit: attack(root, data, knowing, limit, everyone) for limit in (1, 4, 18)}
    assert all(int(made.forwards.max()) <= limit for limit, made in runs.items())
    shares = [float(made.success.float().mean()) for made in runs.values()]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]
    assert not (runs[1].success & ~runs[4].success).any()


# --- a run, and the published numbers


def test_a_run_gives_the_accuracies_that_image_folders_give(root: Path, tmp_path: Path, knowing: Classifier) -> None:
    suite = find_suite("imagenet9-published(backgrounds=1000)")
    options = Options(models=(knowing,), data=(f"imagenet9:{root}",))
    outcome = run_suite(suite, tmp_path / "run", options)
    results = outcome.results
    (group,) = results.groups()

    def accuracy(folder: str) -> float:
        theirs = ImageFolder(str(root / folder / "val"), lambda picture: torch.from_numpy(numpy.array(picture)).permute(2, 0, 1) / 255)
        answers = knowing.raw(torch.stack([image for image, _ in theirs])).values.argmax(dim=1)
        return float((answers == torch.tensor(theirs.targets)).float().mean())

    for folder in FOLDERS:
        metric = "object-recall" if folder in REMOVED else "top-1"
        assert results.estimate(group, folder.replace("_", "-"), metric).value == pytest.approx(accuracy(folder)), folder
    assert results.estimate(group, "clean", "top-1").value == pytest.approx(accuracy("original"))
    (gap,) = build_items(results, ["background-gap"])
    row = gap.frame.iloc[0]  # type: ignore[union-attr]
    assert row["BG-gap"].estimate.value == pytest.approx(accuracy("mixed_same") - accuracy("mixed_rand"))
    vulnerable = [
        bool((knowing.raw(composites(root, read(root), k)).values.argmax(dim=1) != read(root)[k].target.label).any())  # type: ignore[union-attr]
        for k in range(18)
    ]
    assert row["challenge accuracy"].estimate.value == pytest.approx(1 - sum(vulnerable) / 18)
    (variants,) = build_items(results, ["background-variants"])
    assert variants.frame["n"].tolist() == [18] * 8  # type: ignore[union-attr]

    assert run_suite(suite, tmp_path / "run", options).computed == 0
    changed = next((root / "mixed_rand" / "val" / "00_dog").iterdir())
    shutil.copy(next((root / "mixed_rand" / "val" / "08_fish").iterdir()), changed)
    assert run_suite(suite, tmp_path / "run", options).computed == 1


def test_a_model_of_1000_classes_needs_no_more_than_the_data(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "mixed_next")
    model = colours(IMAGENET)
    suite = find_suite("imagenet9-published(backgrounds=2)")
    said: list[str] = []
    outcome = run_suite(suite, tmp_path / "run", Options(models=(model,), data=(f"imagenet9:{root}",)), announce=said.append)
    results = outcome.results
    (group,) = results.groups()
    data = read(root)
    images = torch.stack([data[k].image for k in range(len(data))])
    expected = (fine(model.raw(images).values) == torch.tensor(data.pictures.classes)).float().mean()
    assert results.estimate(group, "clean", "top-1").value == pytest.approx(float(expected))
    assert results.model_row(group).classes == (*NINE, NONE)
    assert results.estimate(group, "mixed-next", "top-1").n == 0
    assert any("lacks the folders mixed_next" in line for line in said)
    assert any("lacks the folders mixed_next" in note for note in results.run.notes)
    (variants,) = build_items(results, ["background-variants"])
    assert variants.frame["without this variant"].tolist()[-1] == 18  # type: ignore[union-attr]


def test_one_run_does_not_take_a_model_in_two_ways(root: Path, tmp_path: Path) -> None:
    numpy.savez(tmp_path / "fine.npz", images=numpy.zeros((2, 32, 32, 3), numpy.uint8), labels=[0, 1], classes=numpy.array(IMAGENET))
    data = (f"imagenet9:{root}", f"npz:{tmp_path / 'fine.npz'}")
    suite = Suite("both", 1, (Track("classification", (), (), (CLEAN,), ("top-1",)),))
    with pytest.raises(UserError, match=r"answers in other classes on 'bg_challenge' than on .*: make two runs"):
        make_plan(suite, Options(models=(colours(IMAGENET),), data=data))


PUBLISHED = {
    "VGG16-BN": (94.3, 83.6, 73.4, 10.2, None),
    "ResNet-50": (95.6, 86.2, 78.9, 7.3, 22.3),
    "ResNet-152": (96.7, 89.3, 83.5, 5.8, None),
    "ResNet-50 (IN-9L)": (96.4, 89.8, 75.6, 14.2, 12.0),
    "ResNet-50 (IN-9/Mixed-Rand)": (73.3, 71.5, 71.3, 0.2, None),
}
"""Original, Mixed-Same, Mixed-Rand, BG-Gap and challenge accuracy in percent, of the authors' repository."""
N = 4050


def test_the_published_numbers_come_out_of_as_many_right_answers() -> None:
    suite = find_suite("imagenet9-published(backgrounds=4050)")
    (track,) = suite.tracks
    conditions = {c.name: c for c in track.conditions}
    columns = ("clean", "mixed-same", "mixed-rand", "adversarial background")
    rng = numpy.random.default_rng(0)
    records = []
    for model, (original, same, rand, _, challenge) in PUBLISHED.items():
        for name, percent in zip(columns, (original, same, rand, challenge), strict=True):
            right = rng.permutation(N) < round((percent or 0) / 100 * N)
            records += [
                Record(
                    suite=suite.name, suite_version=1, task="classification", model=model, dataset="bg_challenge", condition=name,
                    sample=f"{k}", seed=0, evidence={"top-1": bool(right[k])},
                )
                for k in range(N)
            ]  # fmt: skip
    metrics = {name: METRICS.build(name, labels=Labels(NINE), operating_score=0.25) for name in track.metrics}
    run = RunInfo(
        suite=suite.name,
        version=1,
        seed=0,
        command="",
        created="2026-01-01T00:00:00Z",
        device="cpu",
        versions={},
        code_sha256="",
        tracks=(
            TrackRow(
                "classification",
                tuple(PUBLISHED),
                ("bg_challenge",),
                tuple(conditions[name] for name in columns),
                tuple(MetricRow.of(name, metric) for name, metric in metrics.items()),
                {name: condition_facts(conditions[name]) for name in columns},
            ),
        ),
        models=tuple(ModelRow(model, model, "classification", NINE, 0, "", 0.25) for model in PUBLISHED),
        datasets=(DatasetRow("bg_challenge", "imagenet9:bg_challenge", "classification", N, ""),),
        pairings=(),
        cells=tuple(CellRow(f"{m}-{c}", "classification", m, "bg_challenge", c, N) for m in PUBLISHED for c in columns),
    )
    results = Results(run, InMemory.of(records, evidence_types(metrics.values())))
    (table,) = build_items(results, ["background-gap"])
    frame = table.frame  # type: ignore[union-attr]
    for (model, expected), (_, row) in zip(PUBLISHED.items(), frame.iterrows(), strict=True):
        shown = [row[name].estimate.value * 100 for name in ("original", "mixed-same", "mixed-rand", "BG-gap")]
        assert shown == pytest.approx(expected[:4], abs=0.051), model
        if expected[4] is not None:
            assert row["challenge accuracy"].estimate.value * 100 == pytest.approx(expected[4], abs=0.051)
        assert (row["backgrounds"], row["n"]) == (4050, N)


def test_class_targets_of_a_view_are_found_by_name(root: Path) -> None:
    from robustbench_cv.data.class_map import ClassMap

    found = ClassMap.match(read(root).labels, Labels((*NINE, NONE)))
    assert found.index == tuple(range(9))
    assert found.sample(read(root)[5]).target.label == 2  # type: ignore[union-attr]
    assert isinstance(read(root)[5].target, ClassTarget)
