"""Instance masks: predicted, scored as COCO does, learnt from, and taken as the object regions of data that has none."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor

from robustbench_cv.catalogue import DATASETS, INTERVENTIONS, METRICS
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.data.detected_masks import FoundObjects
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.noise import Noise
from robustbench_cv.training.augment import flip
from robustbench_cv.training.training_set import NOTHING, each_object, instance_map
from robustbench_cv.types import BoxPrediction, BoxTarget, Candidates, ClassTarget, Labels, ModelInfo, Sample, predict
from tests.reference import worlds

# pycocotools predates numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_mask_ap_is_pycocotools_own() -> None:
    from pycocotools import mask as coder
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def coded(mask: Tensor) -> Any:
        return coder.encode(numpy.asfortranarray(mask.to(torch.uint8).numpy()))

    for seed in range(3):
        pairs = [(p, s) for p, s in worlds.pairs("detection", seed=seed)]
        truths: list[Any] = []
        found: list[Any] = []
        for k, (prediction, sample) in enumerate(pairs, start=1):
            t = sample.target
            for mask, label, crowd, area in zip(t.masks, t.labels.tolist(), t.crowd.tolist(), t.area.tolist(), strict=True):
                more = {"segmentation": coded(mask), "area": area, "iscrowd": int(crowd), "bbox": [0, 0, 1, 1]}
                truths.append({"id": len(truths) + 1, "image_id": k, "category_id": label, **more})
            for mask, label, score in zip(prediction.masks, prediction.labels.tolist(), prediction.scores.tolist(), strict=True):
                found.append({"image_id": k, "category_id": label, "segmentation": coded(mask), "score": score})
        categories = [{"id": c} for c in sorted({a["category_id"] for a in [*truths, *found]})]
        images = [{"id": k, "height": worlds.SIDE, "width": worlds.SIDE} for k in range(1, len(pairs) + 1)]
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO()
            coco.dataset = {"images": images, "annotations": truths, "categories": categories, "info": {}}
            coco.createIndex()
            evaluation = COCOeval(coco, coco.loadRes(found), "segm")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        for name, expected in (("mask-ap", evaluation.stats[0]), ("mask-ap50", evaluation.stats[1])):
            metric = METRICS.build(name)
            value = metric.reduce([metric.measure(p, s) for p, s in pairs])
            assert value == pytest.approx(expected, abs=1e-12)
        box = METRICS.build("ap")
        assert box.reduce([box.measure(p, s) for p, s in pairs]) != pytest.approx(evaluation.stats[0])


def test_boxes_alone_are_not_scored_as_masks() -> None:
    prediction, sample = worlds.pairs("detection")[0]
    metric = METRICS.build("mask-ap")
    with pytest.raises(NotApplicable, match="finds boxes, not masks"):
        metric.measure(replace(prediction, masks=None), sample)
    with pytest.raises(NotApplicable, match="carry no masks"):
        metric.measure(prediction, replace(sample, target=replace(sample.target, masks=None)))


def test_mask_rcnn_s_masks_are_torchvision_s_own() -> None:
    model: Any = build("mask-rcnn-small(num_classes=3, input_size=64)")
    x = torch.rand(2, 3, 50, 70, generator=torch.Generator().manual_seed(0))
    for ours, theirs in zip(predict(model, x), model.module([*x]), strict=True):
        assert isinstance(ours, BoxPrediction)
        assert ours.masks is not None
        assert ours.masks.shape == (len(ours.scores), 50, 70)
        assert len(ours.scores) > 5
        assert 0 < float(ours.masks.float().mean()) < 1
        assert torch.equal(ours.masks, theirs["masks"][:, 0] > 0.5)


def test_masks_stay_with_their_detections_and_objects() -> None:
    prediction, sample = next(pair for pair in worlds.pairs("detection") if len(pair[1].target.boxes) > 1)
    assert prediction.masks is not None
    keep = prediction.scores > prediction.scores.median()
    assert torch.equal(prediction.select(keep).masks, prediction.masks[keep])
    target = sample.target
    assert torch.equal(target.select(torch.tensor([1])).masks, target.masks[[1]])
    mapped = ClassMap.match(Labels(worlds.NAMES), Labels(worlds.NAMES[1:]), {"background": "-"}).sample(sample)
    assert torch.equal(mapped.target.masks, target.masks)  # type: ignore[union-attr]


def test_scenes_and_coco_targets_carry_masks(tmp_path: Path) -> None:
    sample = DATASETS.build("scenes(samples=5, size=48, task='detection')")[3]
    assert isinstance(sample.target, BoxTarget)
    assert sample.target.masks is not None
    for k, mask in enumerate(sample.target.masks):
        assert torch.equal(mask, sample.regions[f"instance:{k}"])
        assert int(mask.sum()) == int(sample.target.area[k])
    Image.new("RGB", (12, 10)).save(tmp_path / "a.png")
    text = (
        '{"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "car"}], "annotations": '
        '[{"image_id": 1, "category_id": 1, "bbox": [2, 2, 4, 5], "segmentation": [[2, 2, 6, 2, 6, 7, 2, 7]]}]}'
    )
    (tmp_path / "instances.json").write_text(text)
    plain, full = (DATASETS.build(f"coco:{tmp_path}(masks={flag})") for flag in (False, True))
    assert plain[0].target.masks is None  # type: ignore[union-attr]
    assert torch.equal(full[0].target.masks[0], full[0].regions["instance:0"])  # type: ignore[union-attr, index]
    assert plain.fingerprint(0) != full.fingerprint(0)


def test_an_instance_map_keeps_boxes_labels_and_masks_through_a_flip() -> None:
    masks = torch.zeros(3, 20, 20, dtype=torch.bool)
    masks[0, 2:10, 3:18] = masks[1, 8:15, 5:9] = masks[2, :, :] = True
    boxes = torch.tensor([[3.0, 2, 18, 10], [5, 8, 9, 15], [0, 0, 20, 20]])
    target = BoxTarget.of(boxes, torch.tensor([4, 7, 1]), torch.tensor([False, False, True]), masks=masks)
    drawn = instance_map(Sample("x", torch.zeros(3, 20, 20), target), Letterbox(20, 20, 20))
    rows, found = each_object(drawn)
    assert rows[:, 4].tolist() == [4, 7]
    assert torch.equal(found[1].bool(), masks[1])
    assert torch.equal(found[0].bool(), masks[0] & ~masks[1])
    torch.testing.assert_close(rows[1, :4], boxes[1])
    _, turned = flip(torch.zeros(64, 3, 20, 20), drawn.expand(64, 20, 20), torch.Generator().manual_seed(0))
    which = [torch.equal(t, drawn.flip(-1)) for t in turned]
    assert 10 < sum(which) < 54
    assert all(w or torch.equal(t, drawn) for w, t in zip(which, turned, strict=True))
    with pytest.raises(UserError, match="does not have"):
        instance_map(Sample("x", torch.zeros(3, 20, 20), replace(target, masks=None)), Letterbox(20, 20, 20))
    assert (each_object(torch.full((4, 4), NOTHING, dtype=torch.int16))[0]).shape == (0, 5)


# --- model-found objects ------------------------------------------------------------------------------------------------------------


BRIGHT = ModelInfo(name="bright", task="detection", classes=Labels(("car", "boat")), weights_sha256="0" * 64)
BOATS = Labels(("boat", "cow"))


@dataclass(frozen=True)
class Bright:
    """A detector that outlines the red pixels as "car" (0.9) and the blue as "boat" (0.8)."""

    info: ModelInfo = BRIGHT

    def raw(self, images: Tensor, /) -> Candidates:
        n = len(images)
        return Candidates(torch.zeros(n, 1, 1, 4), torch.zeros(n, 1, 2), torch.ones(n, 1, dtype=torch.bool), (images,))

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        found = []
        for image in raw.features[0]:
            masks = torch.stack([image[0] > 0.9, image[2] > 0.9])
            boxes = torch.tensor([[2.0, 2, 8, 8], [10, 3, 15, 9]])
            found.append(BoxPrediction(boxes, torch.tensor([0.9, 0.8]), torch.tensor([0, 1]), masks))
        return found


@dataclass(frozen=True)
class Photos:
    target: Any
    attributes: Any
    labels: Labels = BOATS
    name: str = "photos"

    @property
    def task(self) -> Any:
        return "classification" if isinstance(self.target, ClassTarget) else "detection"

    ids = ("photos/0",)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int, /) -> Sample:
        image = torch.full((3, 16, 20), 0.4)
        image[0, 2:8, 2:7] = image[2, 3:9, 10:15] = 1
        return Sample("photos/0", image, self.target, {}, self.attributes)

    def fingerprint(self, index: int, /) -> str:
        return "same"


def test_the_labelled_object_is_what_the_model_finds_of_its_class() -> None:
    sample = FoundObjects(Photos(ClassTarget(0), {}), Bright(), 0.5)[0]
    assert torch.equal(sample.regions["object"], sample.image[2] > 0.9)
    assert torch.equal(sample.regions["class:car"], sample.image[0] > 0.9)
    assert sample.attributes["masks"] == "found by bright"
    unknown = FoundObjects(Photos(ClassTarget(1), {}), Bright(), 0.5)[0]  # the model has no class "cow": its surest detection
    assert torch.equal(unknown.regions["object"], unknown.image[0] > 0.9)
    few = FoundObjects(Photos(ClassTarget(0), {}), Bright(), 0.85)[0]
    assert "object" not in few.regions
    assert set(few.regions) == {"objects", "instance:0", "class:car"}


def test_an_intervention_removes_the_model_found_object() -> None:
    sample = FoundObjects(Photos(ClassTarget(0), {}), Bright(), 0.5)[0]
    gone = INTERVENTIONS.build("remove(fill='mean', dilate=0)")(sample, Noise(0, (sample.id,), "remove"))
    assert gone.edit is not None
    assert torch.equal(gone.edit.region, sample.image[2] > 0.9)
    assert float(gone.image[2].max()) < 0.9
    assert float(gone.image[0].max()) == 1
    with pytest.raises(NotApplicable):
        INTERVENTIONS.build("remove")(Photos(ClassTarget(0), {})[0], Noise(0, ("x",), "remove"))


def test_boxes_take_the_outline_of_the_detection_over_them() -> None:
    target = BoxTarget.of(torch.tensor([[10.0, 3, 15, 10], [0, 10, 5, 16]]), torch.tensor([0, 1]))
    data = FoundObjects(Photos(target, {"masks": "boxes"}), Bright(), 0.5)
    sample = data[0]
    assert torch.equal(sample.regions["instance:0"], sample.image[2] > 0.9)
    assert int(sample.regions["instance:1"].sum()) == 30
    assert torch.equal(sample.regions["class:boat"], sample.regions["instance:0"])
    assert data.fingerprint(0) != FoundObjects(Photos(target, {}), Bright(), 0.6).fingerprint(0)


def test_found_by_name_and_what_it_refuses() -> None:
    scenes = "scenes(samples=2, size=48)"
    data = DATASETS.build(f"detected-masks:{scenes}(model='mask-rcnn-small(num_classes=3)')", task="detection")
    assert data.task == "detection"
    assert data[0].regions is not None  # Scenes has masks of its own: left alone
    assert "masks" not in data[0].attributes
    with pytest.raises(UserError, match="needs a detector"):
        DATASETS.build(f"detected-masks:{scenes}(model='lenet5')")
    with pytest.raises(UserError, match="score=2 must be a number above 0 and at most 1"):
        DATASETS.build(f"detected-masks:{scenes}(model='mask-rcnn-small', score=2)")
