"""Data sets in the Hugging Face format: each task from parquet, from a saved folder and from an image folder, beside the library itself."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image as Pillow

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import BoxTarget, ClassTarget, MaskTarget

datasets = pytest.importorskip("datasets")

CLASSES = ["cat", "dog", "owl"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library keeps what it converted in a cache of its own; here that is one a test."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def png(values: numpy.ndarray) -> dict[str, Any]:
    stream = io.BytesIO()
    Pillow.fromarray(values).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": None}


def photo(k: int, height: int = 20, width: int = 30) -> numpy.ndarray:
    return numpy.random.default_rng(k).integers(0, 256, (height, width, 3), dtype=numpy.uint8)


def classified(count: int = 6) -> Any:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    return datasets.Dataset.from_dict({"image": [png(photo(k)) for k in range(count)], "label": [k % 3 for k in range(count)]}, features)


def segmented() -> Any:
    features = datasets.Features({"image": datasets.Image(), "annotation": datasets.Image()})
    masks = [numpy.random.default_rng(k).choice(numpy.array([0, 1, 2, 255], dtype=numpy.uint8), (20, 30)) for k in range(4)]
    return datasets.Dataset.from_dict({"image": [png(photo(k)) for k in range(4)], "annotation": [png(mask) for mask in masks]}, features)


def detected(boxes: str = "xywh", box: list[float] | None = None) -> Any:
    fields = {"bbox": datasets.List(datasets.Value("float32"), length=4), "category": datasets.ClassLabel(names=CLASSES)}
    features = datasets.Features({"image": datasets.Image(), "objects": datasets.List(fields)})
    one = box or ([4.0, 5.0, 10.0, 8.0] if boxes == "xywh" else [4.0, 5.0, 14.0, 13.0])
    objects = [[{"bbox": one, "category": 1}, {"bbox": [0.0, 0.0, 3.0, 3.0], "category": 2}], []]
    return datasets.Dataset.from_dict({"image": [png(photo(k)) for k in range(2)], "objects": objects}, features)


def parquet(table: Any, folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    table.to_parquet(folder / "data" / "validation-00000-of-00001.parquet")
    return folder


def saved(table: Any, folder: Path) -> Path:
    datasets.DatasetDict({"validation": table}).save_to_disk(folder)
    return folder


def alone(table: Any, folder: Path) -> Path:
    table.save_to_disk(folder)
    return folder


WAYS = [parquet, saved, alone]


@pytest.mark.parametrize("keep", WAYS)
def test_classification_is_what_the_library_decodes(keep: Callable[[Any, Path], Path], tmp_path: Path) -> None:
    table = classified()
    data = DATASETS.build(f"hf:{keep(table, tmp_path / 'pets')}", task="classification")
    assert data.labels.names == tuple(CLASSES)
    assert len(data) == 6
    for k in range(6):
        sample, row = data[k], table[k]
        assert torch.equal(sample.image, torch.from_numpy(numpy.asarray(row["image"]).copy()).permute(2, 0, 1) / 255)
        assert isinstance(sample.target, ClassTarget)
        assert sample.target.label == row["label"]
    assert len({data.fingerprint(k) for k in range(6)}) == 6
    assert data.ids[0].endswith("/000000")


@pytest.mark.parametrize("keep", WAYS)
def test_segmentation_is_what_the_library_decodes(keep: Callable[[Any, Path], Path], tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    table = segmented()
    spec = f"hf:{keep(table, tmp_path / 'street')}(classes={str(tmp_path / 'classes.txt')!r})"
    data = DATASETS.build(spec, task="segmentation")
    for k in range(4):
        sample, mask = data[k], torch.from_numpy(numpy.asarray(table[k]["annotation"]).copy())
        assert isinstance(sample.target, MaskTarget)
        assert torch.equal(sample.target.labels, mask.long())
        assert torch.equal(sample.regions["class:car"], mask == 2)
    with pytest.raises(UserError, match="names no classes; give them one a line"):
        DATASETS.build(spec.partition("(")[0], task="segmentation")


@pytest.mark.parametrize("boxes", ["xywh", "xyxy"])
def test_boxes_are_read_in_either_way(boxes: str, tmp_path: Path) -> None:
    data = DATASETS.build(f"hf:{parquet(detected(boxes), tmp_path / 'd')}(boxes={boxes!r})", task="detection")
    sample, empty = (data[k] for k in range(2))
    assert isinstance(sample.target, BoxTarget)
    assert sample.target.boxes[0].tolist() == [4, 5, 14, 13]
    assert sample.target.labels.tolist() == [1, 2]
    assert len(empty.target.boxes) == 0
    assert sample.regions["class:dog"].sum() == 10 * 8


def test_a_box_beyond_the_image_costs_its_sample(tmp_path: Path) -> None:
    data = DATASETS.build(f"hf:{parquet(detected(box=[4.0, 5.0, 100.0, 8.0]), tmp_path / 'd')}", task="detection")
    with pytest.raises(BadSample, match="row 0: annotation 0: bbox"):
        data[0]


def test_an_image_folder_of_the_library_is_read_too(tmp_path: Path) -> None:
    for k in range(6):
        folder = tmp_path / "animals" / "test" / CLASSES[k % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(photo(k)).save(folder / f"{k}.png")
    data = DATASETS.build(f"hf:{tmp_path / 'animals'}", task="classification")
    assert (data.name, data.labels.names, len(data)) == ("animals-test", tuple(CLASSES), 6)
    assert {tuple(data[k].image.shape) for k in range(6)} == {(3, 20, 30)}


def test_the_split_to_test_on_is_chosen_and_never_the_one_to_train_on(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": classified(6), "test": classified(3)}).save_to_disk(tmp_path / "both")
    assert len(DATASETS.build(f"hf:{tmp_path / 'both'}")) == 3
    assert len(DATASETS.build(f"hf:{tmp_path / 'both'}(split='train')")) == 6
    with pytest.raises(UserError, match="has no split 'dev'; it has train, test"):
        DATASETS.build(f"hf:{tmp_path / 'both'}(split='dev')")
    datasets.DatasetDict({"train": classified(6), "extra": classified(3)}).save_to_disk(tmp_path / "neither")
    with pytest.raises(UserError, match="has the splits train, extra; say which"):
        DATASETS.build(f"hf:{tmp_path / 'neither'}")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        DATASETS.build(f"hf:{tmp_path / 'nowhere'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="cannot be read as a Hugging Face data set"):
        DATASETS.build(f"hf:{tmp_path / 'empty'}")
    pets = parquet(classified(), tmp_path / "pets")
    with pytest.raises(UserError, match=r"has no column of objects .*it has image, label"):
        DATASETS.build(f"hf:{pets}", task="detection")
    with pytest.raises(UserError, match="has no column 'breed'; it has image, label"):
        DATASETS.build(f"hf:{pets}(label='breed')")


def test_a_picture_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    Pillow.fromarray(photo(0)).save(tmp_path / "secret.png")
    data = DATASETS.build(f"hf:{parquet(classified(), tmp_path / 'pets')}")
    for path in (str(tmp_path / "secret.png"), "../secret.png"):
        with pytest.raises(BadSample, match="lies outside this folder"):
            data._stored({"bytes": None, "path": path}, 0)


def test_a_damaged_picture_costs_its_sample(tmp_path: Path) -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=CLASSES)})
    cells = [png(photo(0)), {"bytes": b"GIF89a, or not", "path": None}, {"bytes": b"", "path": None}]
    table = datasets.Dataset.from_dict({"image": cells, "label": [0, 1, 2]}, features)
    data = DATASETS.build(f"hf:{parquet(table, tmp_path / 'pets')}")
    assert data[0].image.shape == (3, 20, 30)
    with pytest.raises(BadSample, match="row 1"):
        data[1]
    with pytest.raises(BadSample, match=r"row 2.* is empty"):
        data[2]


def test_a_run_reads_it(tmp_path: Path) -> None:
    pets = parquet(classified(), tmp_path / "pets")
    track = Track("classification", ("lenet5(num_classes=3)",), (f"hf:{pets}",), (CLEAN, Condition("grey", ("grayscale()",))), ("top-1",))
    outcome = run_suite(Suite("s", 1, (track,), reports=("main-table",)), tmp_path / "out", Options(strength=0))
    assert set(outcome.results.records["status"]) == {"ok"}
    assert len(outcome.results.records) == 12
