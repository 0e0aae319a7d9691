"""The bundled weights: each card is recomputed, each floor held."""

from __future__ import annotations

import functools
import hashlib

import pytest
import torch

from robustbench_cv.bundled_weights import FOLDER, bundled_tags
from robustbench_cv.catalogue import DATASETS, MODELS, RECIPES
from robustbench_cv.models.weights.card import Card, read_card
from robustbench_cv.training.evaluate import evaluate
from robustbench_cv.training.recipe import Recipe
from robustbench_cv.training.training_set import digest
from robustbench_cv.types import Dataset, Sample

FLOORS = {"cifar-resnet20.scenes": ("top-1", 0.95), "unet.scenes": ("miou", 0.80), "yolov3-small.scenes": ("ap50", 0.80)}
FIRST = [*FLOORS, "lenet5.scenes"]
"""Whose cards every test run recomputes; the others' take minutes."""
LATER = [
    "alexnet-original.scenes",
    "cifar-resnet20.scenes-hardened",
    "deconvnet.scenes",
    "deeplabv3plus.scenes",
    "densenet-mini.scenes",
    "dpm.scenes",
    "fast-rcnn.scenes",
    "faster-rcnn-fpn-small.scenes",
    "faster-rcnn-small.scenes",
    "fcn8s.scenes",
    "googlenet.scenes",
    "localisation-regression.scenes",
    "mask-rcnn-small.scenes",
    "mobilenet-v2-mini.scenes",
    "network-in-network-cifar.scenes",
    "pspnet.scenes",
    "rcnn.scenes",
    "retinanet-small.scenes",
    "retinanet-small.scenes-hardened",
    "segnet.scenes",
    "seresnet-mini.scenes",
    "shufflenet-v1.scenes",
    "sliding-window.scenes",
    "sppnet.scenes",
    "ssd300.scenes",
    "vgg-mini.scenes",
    "vit-mini.scenes",
    "yolov1.scenes",
    "yolov2.scenes",
]
NAMES = [*FIRST, *LATER]
WINDOW_BY_WINDOW = [f"{name}.scenes" for name in ("dpm", "fast-rcnn", "localisation-regression", "rcnn", "sliding-window", "sppnet")]
"""They look at every window or proposal by itself, so their cards measure 200 images."""


def card(name: str) -> Card:
    return read_card(FOLDER / f"{name}.json")


@functools.cache
def rendered(spec: str) -> list[Sample]:
    data: Dataset = DATASETS.build(spec)
    return [data[i] for i in range(len(data))]


@functools.cache
def measured(name: str) -> dict[str, float]:
    """The card's metrics, computed again with the weights and the test split it names."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        architecture, tag = name.split(".")
        model = MODELS.factory(architecture)(weights=tag)
        return dict(evaluate(model, rendered(card(name).test), list(card(name).metrics)))
    finally:
        torch.set_num_threads(before)


def test_every_weights_file_has_its_card_and_none_is_forgotten() -> None:
    files = sorted(p.name.removesuffix(".safetensors") for p in FOLDER.glob("*.safetensors"))
    assert files == sorted(NAMES)
    assert sorted(p.stem for p in FOLDER.glob("*.json")) == files
    assert bundled_tags("unet") == ["scenes"]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_this_file(name: str) -> None:
    found = card(name)
    path = FOLDER / f"{name}.safetensors"
    assert found.name == name
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    architecture, tag = name.split(".")
    info = MODELS.factory(architecture)(weights=tag).info
    assert (info.name, info.parameters) == (name, found.parameters)


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_still_names_the_cards_data(name: str) -> None:
    """As many samples, the same test split, the same epochs. That the bytes agree is a slow test."""
    found = card(name)
    made: Recipe = RECIPES.build(found.recipe)
    data = DATASETS.build(made.data)
    assert (len(data), made.test, made.schedule.epochs) == (found.samples, found.test, found.epochs)
    assert found.test_samples >= (200 if name in WINDOW_BY_WINDOW else 500)


@pytest.mark.parametrize("name", [*FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in LATER)])
def test_the_cards_metrics_come_out_again(name: str) -> None:
    assert measured(name) == pytest.approx(dict(card(name).metrics), abs=0.005)


@pytest.mark.parametrize("name", FLOORS)
def test_the_floor_holds(name: str) -> None:
    metric, floor = FLOORS[name]
    assert measured(name)[metric] >= floor


def test_scenes_is_not_trivial() -> None:
    """LeNet-5, trained on the same data, stays at least ten points behind the residual network."""
    assert measured("lenet5.scenes")["top-1"] <= measured("cifar-resnet20.scenes")["top-1"] - 0.10


def test_all_weights_together_stay_small() -> None:
    assert sum(p.stat().st_size for p in FOLDER.glob("*.safetensors")) < 16_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_training_data_have_the_cards_hash(name: str) -> None:
    made: Recipe = RECIPES.build(card(name).recipe)
    data = DATASETS.build(made.data)
    assert digest((name, data.fingerprint(i)) for i, name in enumerate(data.ids)) == card(name).data_sha256
