"""Every reader of a file that a user hands over, with a small valid file made on the spot: what the fuzz tests damage."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy
import pytest
import safetensors.torch
import torch
from PIL import Image

from robustbench_cv.adversary.universal import files as fitted_files
from robustbench_cv.baselines import read_baseline, write_baseline
from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, MODELS
from robustbench_cv.compare import compare
from robustbench_cv.data.images import may_be_image, read_image, read_mask
from robustbench_cv.errors import BadSample
from robustbench_cv.models.checkpoint import read_state
from robustbench_cv.models.detectors.darknet import cfg as darknet_cfg
from robustbench_cv.models.detectors.darknet import weights as darknet_weights
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.weights.description import Description, write
from robustbench_cv.record_store import RecordStore
from robustbench_cv.results import Results
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.scoring.predictions import read_predictions
from robustbench_cv.scoring.reading import Reading
from robustbench_cv.scoring.rendered import Rendered
from robustbench_cv.scoring.sample_names import names_of
from robustbench_cv.starter_suite import starter
from robustbench_cv.suite_files import problems, read_suite
from robustbench_cv.types import Dataset, Sample

SUITE = """\
name: street
version: 1
seed: 3
tracks:
- task: detection
  models: [yolov3-small.scenes]
  datasets: &data ["scenes(samples=4)"]
  conditions:
  - {name: clean}
  - {attack: "tog-vanish(steps=2)", budgets: [1/255, 2/255]}
  - {name: gone, interventions: ["remove(what='random-class')"], severity: 8/255, curve: c}
  metrics: [ap, ap50]
  samples: 4
gates:
- {metric: ap, condition: clean, at_least: 1/4}
reports: [main-table]
"""
CFG = """\
[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=leaky
[maxpool]
size=2
stride=2
[route]
layers=-1
[shortcut]
from=-2
activation=linear
[convolutional]
filters=21
size=1
stride=1
pad=1
activation=linear
[yolo]
mask=0,1,2
anchors=1,2, 3,4, 5,6
classes=2
num=3
"""


@dataclass(frozen=True)
class Parser:
    """make writes all that belongs together into a folder; `file` is what is damaged of it; read is the product's way in.

    weight: how many times as many damaged files as usual a test takes. quick: whether the valid file is made in a second.
    """

    name: str
    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    weight: float = 1.0
    quick: bool = True


def picture(path: Path, size: tuple[int, int] = (12, 8), mode: str = "RGB", **how: Any) -> None:
    """A valid image file of (width, height), in colours that differ from pixel to pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = numpy.arange(size[0] * size[1] * 3, dtype=numpy.uint8).reshape(size[1], size[0], 3)
    Image.fromarray(values).convert(mode).save(path, **how)


def mask(path: Path, size: tuple[int, int] = (12, 8), dtype: Any = numpy.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((numpy.arange(size[0] * size[1]).reshape(size[1], size[0]) % 2).astype(dtype)).save(path)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def all_of(data: Dataset) -> None:
    """Every sample, its fingerprint, its regions and what is said of its contents: a bad sample must not hide those after it."""
    from robustbench_cv.errors import RobustBenchError

    worst: RobustBenchError | None = None
    for index in range(len(data)):
        try:
            data.fingerprint(index)
            contents = getattr(data, "contents", None)
            if contents is not None:
                contents(index)
            sample: Sample = data[index]
            for region in sample.regions:
                sample.regions[region]
        except RobustBenchError as error:
            worst = error
    if worst is not None:
        raise worst


def dataset(spec: str, **more: Any) -> Callable[[Path], object]:
    return lambda folder: all_of(DATASETS.build(spec.format(folder), **more))


def _coco(folder: Path) -> None:
    for k in range(3):
        picture(folder / "images" / f"{k}.png")
    content = {
        "info": {"year": 2020, "version": 1.5},
        "images": [{"id": k, "file_name": f"{k}.png", "height": 8, "width": 12} for k in range(3)],
        "categories": [{"id": 1, "name": "car"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 5, 4], "iscrowd": 0, "segmentation": [[1, 1, 6, 1, 6, 5]]},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [2, 0.5, 5, 4], "area": 20.5, "iscrowd": 1,
             "segmentation": {"size": [8, 12], "counts": [10, 40, 46]}},
            {"id": 3, "image_id": 2, "category_id": 7, "bbox": [2, 0.5, 5, 4], "segmentation": {"size": [8, 12], "counts": ":X1^1"}},
        ],
    }  # fmt: skip
    text(folder / "instances.json", json.dumps(content, indent=1))


def _yolo(folder: Path) -> None:
    for k in range(2):
        picture(folder / "images/val" / f"{k}.png")
        text(folder / "labels/val" / f"{k}.txt", f"{k} 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.9 0.1 0.9 0.9\n")
    text(folder / "data.yaml", "path: .\ntrain: images/val\nval: images/val\nnc: 2\nnames:\n  0: car\n  1: dog\nkpt_shape: [2, 3]\n")


def _yolo_list(folder: Path) -> None:
    _yolo(folder)
    text(folder / "val.txt", "images/val/0.png\n./images/val/1.png\n")
    text(folder / "data.yaml", "val: val.txt\nnames: [car, dog]\n")


def _voc(folder: Path) -> None:
    for k in range(2):
        picture(folder / "JPEGImages" / f"a{k}.jpg")
        mask(folder / "SegmentationClass" / f"a{k}.png")
        mask(folder / "SegmentationObject" / f"a{k}.png")
        text(
            folder / "Annotations" / f"a{k}.xml",
            f"<?xml version='1.0' encoding='utf-8'?>\n<annotation>\n<filename>a{k}.jpg</filename>\n"
            "<size><width>12</width><height>8</height><depth>3</depth></size>\n<object>\n<name>car</name>\n<difficult>0</difficult>\n<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>8</xmax>"
            "<ymax>7</ymax></bndbox>\n</object>\n</annotation>\n",
        )
    text(folder / "ImageSets/Main/val.txt", "a0 1\na1 -1\n")
    text(folder / "ImageSets/Segmentation/val.txt", "a0\na1\n")
    text(folder / "names.txt", "car\ndog\n")


def _npz(folder: Path, *, packed: bool = False) -> None:
    save = numpy.savez_compressed if packed else numpy.savez
    images = numpy.arange(3 * 4 * 4 * 3, dtype=numpy.uint8).reshape(3, 4, 4, 3)
    save(folder / "a.npz", images=images, labels=numpy.array([0, 1, 1]), classes=numpy.array(["car", "dog"]))


def _cifar(folder: Path, protocol: int = 2) -> None:
    batch = {b"data": numpy.arange(2 * 3072, dtype=numpy.uint8).reshape(2, 3072), b"labels": [0, 1], b"filenames": [b"a.png", b"b.png"]}
    (folder / "test_batch").write_bytes(pickle.dumps(batch, protocol=protocol))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"car", b"dog"]}, protocol=protocol))


def _cifar_bytes(folder: Path) -> None:
    (folder / "test_batch.bin").write_bytes(bytes([0, *range(256)] + [7] * 2816 + [1] + [5] * 3072))
    text(folder / "batches.meta.txt", "car\ndog\n")


def _imagenet(folder: Path) -> None:
    for k in range(2):
        picture(folder / f"val/I{k}.jpg")
    text(folder / "LOC_val_solution.csv", "ImageId,PredictionString\nI0,n01440764 1 2 3 4\nI1,n01443537 1 2 3 4 n01443537 1 2 3 4\n")
    text(folder / "LOC_synset_mapping.txt", "n01440764 tench, Tinca tinca\nn01443537 goldfish\n")


def _cityscapes(folder: Path) -> None:
    picture(folder / "leftImg8bit/val/ulm/a_leftImg8bit.png")
    mask(folder / "gtFine/val/ulm/a_gtFine_labelIds.png")
    ids = numpy.full((8, 12), 26_000, dtype=numpy.uint16)
    ids[:4] = 24_001
    Image.fromarray(ids).save(folder / "gtFine/val/ulm/a_gtFine_instanceIds.png")


def _masks(folder: Path) -> None:
    for k in range(2):
        picture(folder / "images" / f"{k}.png")
        mask(folder / "masks" / f"{k}.png")
    text(folder / "classes.txt", "sky\ncar\n")


def _folder(folder: Path) -> None:
    for name in ("car", "dog"):
        picture(folder / name / "0.png")


def _c_arrays(folder: Path) -> None:
    _cifar(folder)
    numpy.save(folder / "fog.npy", numpy.zeros((10, 32, 32, 3), dtype=numpy.uint8))
    numpy.save(folder / "labels.npy", numpy.array([0, 1] * 5))


def _read_c_arrays(folder: Path) -> None:
    data = DATASETS.build(f"cifar:{folder}")
    edit: Any = INTERVENTIONS.build(f"published-corruption(folder='{folder}', corruption='fog', severity=1)")
    edit(data[0], None)


def _checkpoint(folder: Path, *, legacy: bool = False) -> None:
    torch.manual_seed(0)
    content = {"epoch": 3, "args": {"lr": 0.1, "names": ["a", "b"]}, "state_dict": {"a.weight": torch.rand(4, 3), "a.bias": torch.rand(4)}}
    torch.save(content, folder / "a.pth", _use_new_zipfile_serialization=not legacy)


def _described(folder: Path) -> None:
    torch.manual_seed(0)
    network: Any = MODELS.build("lenet5(num_classes=2)")
    said = Description(architecture="lenet5", classes=("a", "b"), input_size=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    write(folder / "a.safetensors", network.module, said)


def _darknet(folder: Path) -> None:
    text(folder / "a.cfg", CFG)
    torch.manual_seed(0)
    darknet_weights.write(DarknetNetwork(darknet_cfg.parse(CFG)), folder / "a.weights", darknet_weights.Header())
    text(folder / "a.names.txt", "car\ndog\n")


def _use_darknet(folder: Path) -> None:
    model: Any = MODELS.build(f"darknet:{folder}/a.cfg(weights='{folder}/a.weights', classes='{folder}/a.names.txt')")
    model.raw(torch.rand(1, 3, 32, 32))


def _module_file(folder: Path) -> None:
    """As ultralytics saves them, with all that its own classes hold."""
    pytest.importorskip("ultralytics")
    model: Any = MODELS.build("ultralytics:yolov8n(num_classes=2, input_size=32)")
    inner = model.module
    while not hasattr(inner, "yaml"):
        inner = next(inner.children())
    for module in inner.modules():
        module._forward_hooks.clear()  # of the adapter
    inner.names = {0: "car", 1: "dog"}
    torch.save({"model": inner.half(), "ema": None, "epoch": -1, "train_args": {"imgsz": 32}}, folder / "a.pt")


def _read_module_file(folder: Path) -> None:
    MODELS.build(f"ultralytics:{folder}/a.pt")


DATA = {
    "classification": ("npz:{}/a.npz", _npz),
    "detection": ("coco:{}", _coco),
    "segmentation": ("masks:{}", _masks),
}


NUMBERED = {"first_category": 1}
SCORES = {"scores": "probabilities"}, {"scores": "logits"}


def _predictions(
    task: Any, file: str, content: Callable[[Path], object], *said: dict[str, Any]
) -> tuple[Callable[[Path], object], Callable[[Path], object]]:
    spec, write_data = DATA[task]

    def make(folder: Path) -> None:
        (folder / "data").mkdir(exist_ok=True)
        write_data(folder / "data")
        content(folder)

    def read(folder: Path) -> None:
        data: Any = DATASETS.build(spec.format(folder / "data"), task=task)
        for more in said or ({}, {"ignore_extra": True}):
            found = read_predictions(folder / file, task, Reading(dataset=data, names=names_of(data), **more))
            for id_ in data.ids:
                found.answers.of(id_, 8, 12)

    return make, read


def _coco_results(folder: Path) -> None:
    entries = [{"image_id": k, "category_id": 1, "bbox": [1, 1, 5.5, 4], "score": 0.5, "category": "car"} for k in range(3)]
    text(folder / "results.json", json.dumps(entries, indent=1))


def _class_scores(folder: Path) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerows([["id", "car", "dog"], ["000000", 0.25, 0.75], ["000001", 0.5, 0.5], ["000002", "1e0", 0]])
    text(folder / "scores.csv", stream.getvalue())


def _class_labels(folder: Path) -> None:
    text(folder / "scores.csv", 'id,label\n000000,car\n000001,"dog"\n000002,dog\n')


def _yolo_txt(folder: Path) -> None:
    for k in range(3):
        text(folder / "txt" / f"{k}.txt", "0 0.5 0.5 0.25 0.5 0.9\n1 0.4 0.5 0.25 0.5 0.2\n")


def _predicted_masks(folder: Path) -> None:
    for k in range(2):
        mask(folder / "answers" / f"{k}.png")
    text(folder / "answers/classes.txt", "sky\ncar\n")


def _rendered(folder: Path) -> None:
    from robustbench_cv.scoring.render import render

    _masks(folder / "data")
    render("gaussian-noise(severity=1)", f"masks:{folder}/data", folder / "rendered")


def _read_rendered(folder: Path) -> None:
    data: Any = DATASETS.build(f"masks:{folder}/data")
    one = Rendered.open(folder / "rendered")
    one.require_same(data)
    for name in one.names:
        names_of(data, [one.names]).find(name)


def _scored(folder: Path) -> None:
    """A run folder of predictions that were made elsewhere, which takes no model."""
    from robustbench_cv.scoring.score_request import score

    _npz(folder)
    _class_labels(folder)
    with mock.patch("robustbench_cv.runner.run.publish"):  # the report, which takes most of the time and is read by nobody here
        score(folder / "scores.csv", f"npz:{folder}/a.npz", metrics=("top-1",), out=folder / "run")
    _set_apart(folder)


def _set_apart(folder: Path) -> None:
    """What is damaged beside the folder, and a baseline of it."""
    for path in (folder / "run/drawn", folder / "run/report"):
        shutil.rmtree(path, ignore_errors=True)
    for index in (folder / "run/images").glob("*/index.json"):
        shutil.copy(index, folder / "index.json")
    parts = sorted((folder / "run/records").rglob("*.parquet"))
    shutil.copy(parts[0], folder / "part.parquet")
    text(folder / "part.txt", str(parts[0].relative_to(folder)))
    write_baseline(Results.open(folder / "run"), folder / "run.baseline")


def _read_run(folder: Path) -> None:
    shutil.copy(folder / "part.parquet", folder / (folder / "part.txt").read_text())
    for index in (folder / "run/images").glob("*/index.json"):
        shutil.copy(folder / "index.json", index)
    results = Results.open(folder / "run")
    for report in ("main-table", "checks", "protocol"):
        results.table(report)
    list(results.gates), results.exit_code, results.pictures()
    RecordStore(RunFolder(folder / "run"))
    for group in results.groups():
        for condition in results.conditions(group.task):
            results.flags(group, condition.name)
            results.cost(group, condition.name)
    compare(results, results)


def _read_baseline(folder: Path) -> None:
    results = read_baseline(folder / "run.baseline")
    compare(results, results)


PATCH = "adversarial-patch(smallest=0.2, largest=0.3, side=8{})"
OVERLAY = "universal(eps=16/255{})"


def _fitted(folder: Path) -> None:
    from robustbench_cv.adversary.universal.fitting import FittedTheta

    for spec, side in ((PATCH, 8), (OVERLAY, 16)):
        attack: Any = ATTACKS.build(spec.format(""))
        theta = torch.zeros(3, side, side)
        found = FittedTheta(theta=theta, image=(3, 16, 16), ids=("a", "b"), trace=(0.5,), forwards=2, backwards=1)
        fitted_files.write_fitted(folder, attack, found, {"model": "m"})


def _read_fitted(spec: str, suffix: str) -> Callable[[Path], object]:
    def read(folder: Path) -> None:
        stem = spec.partition("(")[0]
        attack: Any = ATTACKS.build(spec.format(f", file='{folder}/{stem}.{suffix}'"))
        attack.fit_facts()
        fitted_files.read_fitted(folder, ATTACKS.build(spec.format("")))

    return read


def _images(suffix: str, mode: str = "RGB", **how: Any) -> Parser:
    def read(folder: Path) -> None:
        path = folder / f"a.{suffix}"
        may_be_image(path)
        with suppress(BadSample):  # most are no masks
            read_mask(path)
        read_image(path, upright=True)

    def make(folder: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture(folder / f"a.{suffix}", mode=mode, **how, **({"exif": exif} if suffix in ("jpg", "png", "webp", "tiff") else {}))

    return Parser(f"image {suffix} {mode}" + "".join(f" {v}" for v in how.values()), f"a.{suffix}", make, read)


def _masks_of(name: str, file: str) -> Parser:
    return Parser(name, file, _masks, dataset("masks:{}"))


def _robustbench_yaml(folder: Path) -> None:
    text(folder / "robustbench.yaml", starter("robustbench", "classification", "lenet5.scenes", "scenes(samples=4)"))


def _suite(file: str) -> Callable[[Path], object]:
    def read(folder: Path) -> None:
        read_suite(folder / file)
        problems(folder / file)

    return read


PARSERS = [
    Parser("suite", "a.yaml", lambda folder: text(folder / "a.yaml", SUITE), _suite("a.yaml"), 1.5),
    Parser("robustbench.yaml", "robustbench.yaml", _robustbench_yaml, _suite("robustbench.yaml"), 0.5),
    Parser("coco", "instances.json", _coco, dataset("coco:{}(masks=True)"), 1.5),
    Parser("coco boxes", "instances.json", _coco, dataset("coco:{}(outlines=False)"), 0.5),
    Parser("data.yaml", "data.yaml", _yolo, dataset("yolo:{}")),
    Parser("yolo labels", "labels/val/1.txt", _yolo, dataset("yolo:{}")),
    Parser("yolo list", "val.txt", _yolo_list, dataset("yolo:{}"), 0.5),
    Parser("voc xml", "Annotations/a1.xml", _voc, dataset("voc:{}")),
    Parser("voc split", "ImageSets/Main/val.txt", _voc, dataset("voc:{}"), 0.5),
    Parser("voc objects", "SegmentationObject/a1.png", _voc, dataset("voc:{}"), 0.5),
    Parser("voc classes", "names.txt", _voc, lambda folder: all_of(DATASETS.build(f"voc:{folder}(classes='{folder}/names.txt')")), 0.5),
    Parser("voc map", "SegmentationClass/a0.png", _voc, dataset("voc:{}", task="segmentation"), 0.5),
    Parser("npz", "a.npz", _npz, dataset("npz:{}/a.npz")),
    Parser("npz packed", "a.npz", lambda folder: _npz(folder, packed=True), dataset("npz:{}/a.npz"), 0.5),
    Parser("cifar pickle", "test_batch", _cifar, dataset("cifar:{}")),
    Parser("cifar pickle 5", "test_batch", lambda folder: _cifar(folder, 5), dataset("cifar:{}"), 0.5),
    Parser("cifar names", "batches.meta", _cifar, dataset("cifar:{}")),
    Parser("cifar bytes", "test_batch.bin", _cifar_bytes, dataset("cifar:{}"), 0.5),
    Parser("cifar-c array", "fog.npy", _c_arrays, _read_c_arrays, 0.5),
    Parser("cifar-c labels", "labels.npy", _c_arrays, _read_c_arrays, 0.5),
    Parser("imagenet solution", "LOC_val_solution.csv", _imagenet, dataset("imagenet:{}/val")),
    Parser("imagenet words", "LOC_synset_mapping.txt", _imagenet, dataset("imagenet:{}/val"), 0.5),
    Parser("cityscapes labels", "gtFine/val/ulm/a_gtFine_labelIds.png", _cityscapes, dataset("cityscapes:{}"), 0.5),
    Parser("cityscapes ids", "gtFine/val/ulm/a_gtFine_instanceIds.png", _cityscapes, dataset("cityscapes:{}", task="detection"), 0.5),
    Parser("folder", "car/0.png", _folder, dataset("folder:{}"), 0.5),
    _masks_of("mask", "masks/0.png"),
    _masks_of("classes.txt", "classes.txt"),
    _images("png"),
    _images("png", "P"),
    _images("jpg"),
    _images("tiff"),
    _images("tiff", "RGB", compression="tiff_lzw"),
    _images("webp"),
    _images("gif", "P"),
    _images("bmp"),
    _images("ppm"),
    _images("jp2"),
    _images("avif"),
    Parser("coco results", "results.json", *_predictions("detection", "results.json", _coco_results, NUMBERED)),
    Parser("class scores", "scores.csv", *_predictions("classification", "scores.csv", _class_scores, *SCORES)),
    Parser("class labels", "scores.csv", *_predictions("classification", "scores.csv", _class_labels), 0.5),
    Parser("yolo predictions", "txt/1.txt", *_predictions("detection", "txt", _yolo_txt), 0.5),
    Parser("predicted mask", "answers/1.png", *_predictions("segmentation", "answers", _predicted_masks), 0.5),
    Parser("predicted classes", "answers/classes.txt", *_predictions("segmentation", "answers", _predicted_masks), 0.5),
    Parser("rendered", "rendered/manifest.json", _rendered, _read_rendered, 0.5),
    Parser("torch zip", "a.pth", _checkpoint, lambda folder: read_state(folder / "a.pth")),
    Parser("torch legacy", "a.pth", lambda folder: _checkpoint(folder, legacy=True), lambda folder: read_state(folder / "a.pth"), 1.5),
    Parser("safetensors", "a.safetensors", lambda folder: safetensors.torch.save_file({"a": torch.rand(4, 3)}, folder / "a.safetensors"),
           lambda folder: read_state(folder / "a.safetensors")),
    Parser("described weights", "a.safetensors", _described, lambda folder: MODELS.build(f"finetuned:{folder}/a.safetensors"), 0.3),
    Parser("lenet5 weights", "a.safetensors", _described, lambda folder: MODELS.build(f"lenet5(checkpoint='{folder}/a.safetensors')"), 0.3),
    Parser("darknet cfg", "a.cfg", _darknet, _use_darknet),
    Parser("darknet weights", "a.weights", _darknet, _use_darknet, 0.3),
    Parser("darknet names", "a.names.txt", _darknet, lambda folder: class_names(str(folder / "a.names.txt")), 0.5),
    Parser("module file", "a.pt", _module_file, _read_module_file, 0.1, quick=False),
    Parser("run.json", "run/run.json", _scored, _read_run, 0.3),
    Parser("findings", "run/findings.json", _scored, _read_run, 0.2),
    Parser("index of pictures", "index.json", _scored, _read_run, 0.2),
    Parser("part", "part.parquet", _scored, _read_run, 0.4),
    Parser("baseline", "run.baseline", _scored, _read_baseline, 0.5),
    Parser("record of a patch", "adversarial-patch.json", _fitted, _read_fitted(PATCH, "png"), 0.5),
    Parser("patch", "adversarial-patch.png", _fitted, _read_fitted(PATCH, "png"), 0.5),
    Parser("record of a perturbation", "universal.json", _fitted, _read_fitted(OVERLAY, "safetensors"), 0.5),
    Parser("perturbation", "universal.safetensors", _fitted, _read_fitted(OVERLAY, "safetensors"), 0.5),
]  # fmt: skip
