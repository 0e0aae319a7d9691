"""Detectors taken to other classes: every family by its own loss, what is kept of the head, and that it goes on after a stop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.detectors.darknet.heads import AnchorHead
from robustbench_cv.models.detectors.darknet.losses import scales_loss
from robustbench_cv.models.detectors.yolo.loss import yolo_loss
from robustbench_cv.models.detectors.yolo.network import STRIDES
from robustbench_cv.models.sources.ultralytics import UltralyticsDetector
from robustbench_cv.models.trainable import HeadRows, InputFrame, Objects, Refusal
from robustbench_cv.models.transfer_learning.class_rows import rows_of
from robustbench_cv.models.transfer_learning.replace_head import replace_head
from robustbench_cv.training import finetune_detectors
from robustbench_cv.training.evaluate import evaluate
from robustbench_cv.training.finetune import Settings, finetune
from robustbench_cv.training.finetune_module import Learner, objects
from robustbench_cv.training.training_set import NOTHING, fit_to_size
from robustbench_cv.types import BoxTarget, Labels, Sample
from tests.test_training import COLOURS, Squares

DETR = "detr(input_size=32,queries=4,width=16,layers=1,backbone='test_resnet')"
RT_DETR = "rt-detr(input_size=32,queries=4,width=16,layers=1,stem=8)"
FAMILIES = {
    "yolov3-small(input_size=32,width=4)": 32,
    "yolov1(input_size=64,width=4,hidden=16)": 64,
    "yolov2.scenes": 96,
    "yolov3-tiny(input_size=32,width=4)": 32,
    "ssd300.scenes": 96,
    "localisation-regression(input_size=32,width=4)": 32,
    "faster-rcnn-small.scenes": 128,
    "retinanet-small.scenes": 128,
    "faster-rcnn-vgg16(input_size=48,width=4,hidden=8)": 64,
    DETR: 42,
    RT_DETR: 32,
}
"""Each with the longer side, px, of what it sees of a Square of 24x32."""


pytestmark = pytest.mark.usefixtures("one_thread")


def needs(spec: str) -> None:
    if spec in (DETR, RT_DETR):
        pytest.importorskip("transformers", reason="the extra huggingface is not installed")


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.module.state_dict().items()}


@pytest.mark.parametrize("spec", FAMILIES)
def test_every_family_learns_by_its_own_loss_and_its_file_gives_it_back(spec: str, tmp_path: Path) -> None:
    needs(spec)
    out = tmp_path / "mine.safetensors"
    data = Squares("detection", 8)
    lessons = []

    def kept(*args: Any) -> Any:
        lessons.append(finetune_detectors_lesson(*args))
        begun.append(state(lessons[0].begun.model))
        return lessons[0]

    begun: list[dict[str, torch.Tensor]] = []
    finetune_detectors_lesson = finetune_detectors.lesson
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_detectors, "lesson", kept)
        card = finetune(spec, data=data, out=out, settings=Settings(epochs=1, batch=3))
    assert set(card.metrics) == {"ap50", "ap"}
    (lesson,) = lessons
    assert max(lesson.recipe.size) == FAMILIES[spec]
    model: Any = build(f"finetuned:{out}")
    assert model.info.classes == COLOURS
    moved = {name for name, tensor in state(model).items() if not torch.equal(tensor, begun[0][name])}
    assert {name for name, p in model.module.named_parameters() if name in lesson.begun.fresh} & moved
    assert moved - lesson.begun.fresh
    assert all(torch.equal(tensor, state(model)[name]) for name, tensor in state(lesson.begun.model).items())
    image = data[0].image[None]
    trained, loaded = lesson.begun.model.raw(image), model.raw(image)
    torch.testing.assert_close(trained.boxes, loaded.boxes, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(trained.log_score, loaded.log_score, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("size", ["", "128"])
def test_what_was_finetuned_is_finetuned_on_with_all_its_tensors(size: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    finetune("yolov3-small(width=4, input_size=64)", data=Squares("detection", 8), out=first, settings=Settings(epochs=1))
    begun = replace_head(f"finetuned:{first}", COLOURS, **({"input_size": int(size)} if size else {}))
    assert not begun.fresh
    known = state(build(f"finetuned:{first}"))
    assert all(torch.equal(tensor, known[name]) for name, tensor in state(begun.model).items())
    finetune(f"finetuned:{first}", data=Squares("detection", 8), out=second, settings=Settings(epochs=1, size=size))
    model: Any = build(f"finetuned:{second}")
    assert model.side == int(size or 64)
    assert any(not torch.equal(tensor, known[name]) for name, tensor in state(model).items())


def test_average_precision_rises_on_a_handful_of_pictures(tmp_path: Path) -> None:
    data, spec = Squares("detection", 16), "faster-rcnn-small.scenes"
    before = evaluate(replace_head(spec, data.labels, input_size=96).model, (data[i] for i in range(16)), ("ap50",))["ap50"]
    settings = Settings(epochs=6, batch=4, rate=3e-3)
    card = finetune(spec, data=data, test=data, out=tmp_path / "mine.safetensors", settings=settings)
    assert card.metrics["ap50"] > before + 0.3


@pytest.mark.parametrize(
    "spec", ["yolov2.scenes", "ssd300.scenes", "faster-rcnn-small.scenes", "retinanet-small.scenes", "mask-rcnn-small.scenes"]
)
def test_a_class_of_the_same_name_keeps_what_was_learned_of_it(spec: str) -> None:
    donor = build(spec)
    names = donor.info.classes.names
    model = replace_head(
        spec, Labels((names[4], "unheard of", names[1])), **finetune_detectors._sizes(_spec(spec), donor, Settings())
    ).model
    image = DATASETS.build("scenes(samples=1)", task="detection")[0].image[None]
    theirs, ours = donor.raw(image), model.raw(image)
    # Under a softmax over all classes, only what lies between two scores is theirs alone.
    apart = theirs.log_score[..., 4] - theirs.log_score[..., 1]
    shown = theirs.valid & (theirs.log_score[..., [1, 4]] > -1e3).all(-1)
    torch.testing.assert_close((ours.log_score[..., 0] - ours.log_score[..., 2])[shown], apart[shown], atol=1e-4, rtol=1e-4)
    assert ours.log_score[..., 0].std() > 0
    boxes = theirs.boxes if theirs.boxes.shape[2] == 1 else theirs.boxes[:, :, [4, 1]]
    torch.testing.assert_close(ours.boxes if ours.boxes.shape[2] == 1 else ours.boxes[:, :, [0, 2]], boxes)


def test_a_classifier_keeps_the_rows_of_a_class_it_knows() -> None:
    donor = build("lenet5.scenes")
    names = donor.info.classes.names
    model = replace_head("lenet5.scenes", Labels(("new", names[3], names[0]))).model
    image = DATASETS.build("scenes(samples=1)", task="classification")[0].image[None]
    torch.testing.assert_close(model.raw(image).values[:, 1:], donor.raw(image).values[:, [3, 0]])  # type: ignore[union-attr]


def test_a_frozen_training_moves_the_head_alone(tmp_path: Path) -> None:
    spec, out = "faster-rcnn-small.scenes", tmp_path / "frozen.safetensors"
    finetune(spec, data=Squares("detection", 8), out=out, settings=Settings(frozen=True, epochs=2, batch=3))
    begun, after = replace_head(spec, COLOURS, input_size=96), state(build(f"finetuned:{out}"))
    moved = {name for name, tensor in state(begun.model).items() if not torch.equal(tensor, after[name])}
    assert moved == begun.fresh


def test_norms_that_were_frozen_stay_as_they_are() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Sequential(nn.BatchNorm2d(2)))
    learner = Learner(net, lambda x, shown: x.sum(), frozenset({"1"}), False)
    learner.train()
    assert [net[0].training, net[1].training, net[2].training, net[2][0].training] == [True, False, True, True]  # type: ignore[index]


def test_a_stopped_training_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    spec, data, settings = "faster-rcnn-small.scenes", Squares("detection", 8), Settings(epochs=3, batch=3)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    finetune(spec, data=data, out=whole, settings=settings)
    done = 0

    def stop(*args: Any) -> Any:
        nonlocal done
        done += 1
        if done == 2:
            raise KeyboardInterrupt
        return evaluate(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_detectors, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            finetune(spec, data=data, out=broken, settings=settings)
    assert broken.with_suffix(".training").is_file()
    assert not broken.exists()
    finetune(spec, data=data, out=broken, settings=settings)
    assert whole.read_bytes() == broken.read_bytes()


def test_masks_are_learned_where_data_have_them(tmp_path: Path) -> None:
    out = tmp_path / "masks.safetensors"
    data = DATASETS.build("scenes(samples=6, size=64)", task="detection")
    card = finetune("mask-rcnn-small(width=4, input_size=64)", data=data, out=out, settings=Settings(epochs=1, batch=2))
    assert {"mask-ap50", "mask-ap"} < set(card.metrics)
    with pytest.raises(UserError, match=r"learns masks too, which squares does not give; say coco:FOLDER\(masks=True\)"):
        finetune("mask-rcnn-small.scenes", data=Squares("detection"), out=out)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dpm", "by its recipe: robustbench-cv train scenes-dpm --data"),
        ("rcnn(input_size=64,width=4,num_classes=2)", "train scenes-rcnn --data"),
        ("faster-rcnn-small.scenes", "detectors take one number as size"),
        ("torchvision:ssdlite320_mobilenet_v3_large", "leave out --size"),
    ],
)
def test_what_cannot_be_finetuned_says_what_can_be_done(spec: str, message: str, tmp_path: Path) -> None:
    size = {"faster-rcnn-small.scenes": "64x48", "torchvision:ssdlite320_mobilenet_v3_large": 64}.get(spec, "")
    with pytest.raises(UserError, match=message):
        finetune(spec, data=Squares("detection"), out=tmp_path / "a.safetensors", settings=Settings(size=size))


class Own:
    """A detector that no module here knows of."""

    info, module, side, learns_masks = None, nn.Linear(1, 1), 32, False

    def refusal(self, spec: str, /) -> Refusal | None:
        return Refusal("is out of sorts", "wait") if spec == "tired" else None

    def input_frame(self, height: int, width: int, /) -> InputFrame:
        return InputFrame((height, width), letterbox=False)

    def loss(self, images: torch.Tensor, objects: Sequence[Objects], /) -> torch.Tensor:
        return images.sum() + sum(o.boxes.sum() for o in objects)

    def head_rows(self, length: int, /) -> HeadRows | None:
        return HeadRows(torch.arange(length)[:, None], torch.arange(0))


def test_a_detector_is_trained_by_what_it_says_of_itself() -> None:
    own: Any = Own()
    assert finetune_detectors._trainable("own", own) is own
    assert rows_of(own, 3).of_class.tolist() == [[0], [1], [2]]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="tired is out of sorts; wait"):
        finetune_detectors._trainable("tired", own)
    lossless: Any = type("Lossless", (), {name: value for name, value in vars(Own).items() if name != "loss"})()
    with pytest.raises(UserError, match="mine is not trained by one loss from pixels to boxes"):
        finetune_detectors._trainable("mine", lossless)


def test_ultralytics_detectors_are_trained_where_they_come_from() -> None:
    refusal = UltralyticsDetector.refusal(cast(Any, None), "ultralytics:yolov8n(weights='a.pt')")
    assert refusal is not None
    assert "AGPL" in refusal.reason
    assert refusal.way_out.startswith("train it there (yolo detect train model=yolov8n.pt")
    assert refusal.way_out.endswith("ultralytics:yolov8n(weights='best.pt', trust=True)")


def test_a_learner_leaves_out_what_has_no_extent_and_what_is_no_object() -> None:
    rows = torch.tensor([[[0.0, 0, 4, 4, 1], [2, 2, 2.5, 9, 0], [5, 5, 6, 7, 2], [0, 0, 9, 9, NOTHING]]])
    (shown,) = objects(rows)
    assert shown.boxes.tolist() == [[0, 0, 4, 4], [5, 5, 6, 7]]
    assert shown.labels.tolist() == [1, 2]
    assert shown.masks is None


def test_torchvision_s_own_scaling_is_back_after_the_loss() -> None:
    model: Any = build("faster-rcnn-small.scenes")
    own = model.module.transform
    model.module.train()
    shown = Objects(torch.tensor([[2.0, 2, 30, 30]]), torch.tensor([0]))
    assert model.loss(torch.rand(2, 3, 48, 48), [shown, shown]).isfinite()
    assert model.module.transform is own
    with pytest.raises(IndexError):
        model.loss(torch.rand(1, 3, 48, 48), [Objects(shown.boxes, torch.tensor([99]))])
    assert model.module.transform is own


def test_the_loss_over_several_layers_is_version_3_s() -> None:
    draw = torch.Generator().manual_seed(0)
    anchors = torch.rand(3, 2, 2, generator=draw) * 40 + 4
    grids = [torch.randn(2, 2 * 8, 64 // s, 96 // s, generator=draw) for s in STRIDES]
    boxes = [torch.tensor([[3.0, 5, 12, 13], [20, 10, 50, 62], [70, 33, 95, 63]]), torch.zeros(0, 4)]
    labels = [torch.tensor([0, 1, 2]), torch.zeros(0, dtype=torch.long)]
    heads = [AnchorHead(3, a, in_cells=False, softmax=False) for a in anchors]
    expected = yolo_loss([g.unflatten(1, (2, 8)) for g in grids], anchors, boxes, labels)
    found = scales_loss(heads[::-1], grids[::-1], boxes, labels, 64, 96)
    torch.testing.assert_close(found, expected)


def test_boxes_are_stretched_with_their_image() -> None:
    target = BoxTarget.of(torch.tensor([[2.0, 4, 10, 12], [0, 0, 4, 4]]), torch.tensor([1, 0]), crowd=torch.tensor([False, True]))
    image, rows = fit_to_size(Sample("a", torch.rand(3, 16, 32), target), (32, 32), letterbox=False)
    assert image.shape == (3, 32, 32)
    assert rows.tolist() == [[2, 8, 10, 24, 1]]


def _spec(text: str) -> Any:
    from robustbench_cv.registry import Spec, expand_tag

    return expand_tag(Spec.parse(text))
