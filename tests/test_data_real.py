"""The readers on real data: CamVid and CIFAR-10 pictures in the folder that ROBUSTBENCH_CV_DATA names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.types import BoxTarget, ClassTarget, MaskTarget

DATA = Path(os.environ.get("ROBUSTBENCH_CV_DATA", ""))
pytestmark = pytest.mark.skipif(
    "ROBUSTBENCH_CV_DATA" not in os.environ, reason="ROBUSTBENCH_CV_DATA names no folder with camvid/ and cifar10/"
)


@pytest.fixture(scope="module")
def camvid_masks():
    return DATASETS.build(f"masks:{DATA}/camvid/test")


@pytest.fixture(scope="module")
def camvid_boxes():
    return DATASETS.build(f"coco:{DATA}/camvid/test")


def test_camvid_masks(camvid_masks):
    assert (camvid_masks.name, len(camvid_masks), len(camvid_masks.labels)) == ("camvid-test", 233, 11)
    assert camvid_masks.ids[0] == "camvid-test/0001TP_008550"
    for index in range(0, 233, 29):
        sample = camvid_masks[index]
        assert isinstance(sample.target, MaskTarget)
        raw = numpy.asarray(Image.open(DATA / "camvid/test/masks" / f"{sample.id.split('/')[1]}.png"))
        assert (sample.target.labels.numpy() == raw).all()
        covered = torch.stack(list(sample.regions.values())).sum(0)
        assert torch.equal(covered, (sample.target.labels != 255).long())


def test_camvid_boxes_lie_on_the_masks_of_their_class(camvid_masks, camvid_boxes):
    assert camvid_boxes.ids == camvid_masks.ids
    entries = json.loads((DATA / "camvid/test/instances.json").read_text())["annotations"]
    total = 0
    for index in range(0, 233, 29):
        boxed, masked = camvid_boxes[index], camvid_masks[index]
        assert isinstance(boxed.target, BoxTarget)
        assert torch.equal(boxed.image, masked.image)
        total += len(boxed.target.boxes)
        for k, label in enumerate(boxed.target.labels):
            instance = boxed.regions[f"instance:{k}"]
            assert instance.sum() == boxed.target.area[k]
            assert not (instance & ~masked.regions[f"class:{camvid_boxes.labels.names[label]}"]).any()
            rows, columns = instance.nonzero().T
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert boxed.target.boxes[k].tolist() == [float(v) for v in tight]
    assert 0 < total < len(entries)


def test_cifar_arrays():
    data = DATASETS.build(f"npz:{DATA}/cifar10/test_2000.npz")
    assert (data.name, len(data), data.ids[1999]) == ("cifar10-test_2000", 2000, "cifar10-test_2000/001999")
    assert data.labels.names[:3] == ("airplane", "automobile", "bird")
    with numpy.load(DATA / "cifar10/test_2000.npz") as arrays:
        for index in (0, 1, 1999):
            sample = data[index]
            assert isinstance(sample.target, ClassTarget)
            assert sample.target.label == arrays["labels"][index]
            assert (sample.image.permute(1, 2, 0) * 255 == torch.from_numpy(arrays["images"][index])).all()
