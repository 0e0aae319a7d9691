"""ultralytics' detectors below their predict(): the same boxes and scores, their suppression, gradients, and nothing written or started."""

from __future__ import annotations

import builtins
import copy
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.types import Candidates, Labels, predict

NAMES = ["yolov8n", "yolov3-tiny", "yolov5n", "yolov9t", "yolov10n", "yolo11n", "yolo12n", "yolo26n"]
WITHOUT_SUPPRESSION = {"yolov10n", "yolo26n"}


@pytest.fixture(autouse=True, scope="module")
def _there() -> None:
    # Not importorskip: importing it here, before the source does, would replace functions of other libraries for all tests that follow.
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not installed")
    build("ultralytics:yolov8n(num_classes=2, input_size=64)")


def photos(n: int = 2, height: int = 64, width: int = 64, seed: int = 0) -> Tensor:
    coarse = torch.rand((n, 3, 8, 8), generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 1)


def calibrated(spec: str) -> Any:
    """Batch statistics of some images: an untrained network's own let signal and gradient die out."""
    model: Any = build(spec)
    norms = [m for m in model.module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        model.raw(photos(4, seed=9))
    for norm in norms:
        norm.eval()
    return model


@pytest.mark.parametrize("name", NAMES)
def test_candidates_and_detections_are_what_ultralytics_makes_of_them(name: str) -> None:
    """The network's own decoding gives the same boxes and scores; its own suppression, for scores without ties, the same detections."""
    from ultralytics.utils.nms import non_max_suppression

    one_to_one = name in WITHOUT_SUPPRESSION
    model = calibrated(f"ultralytics:{name}(num_classes=3, input_size=64, threshold=0.002, one_to_one={one_to_one})")
    x = photos()
    with torch.no_grad():
        raw, (theirs, _) = model.raw(x), model.module(x)
    assert raw.valid.all()
    boxes = raw.boxes[:, :, 0]
    scores = torch.rand(raw.log_score.shape, generator=torch.Generator().manual_seed(1)) ** 4
    if one_to_one:
        best = raw.log_score.exp().flatten(1).sort(dim=1, descending=True).values
        torch.testing.assert_close(best[:, :40], theirs[:, :40, 4], rtol=1e-3, atol=1e-5)
        chosen = model.module.model[-1].postprocess(torch.cat([boxes, scores], dim=2))
        kept = non_max_suppression(chosen, conf_thres=0.002, max_det=300, end2end=True)
    else:
        middle, size = theirs[:, :2], theirs[:, 2:4]
        corners = torch.cat([middle - size / 2, middle + size / 2], dim=1).transpose(1, 2)
        torch.testing.assert_close(boxes, corners.clamp(0, 64), rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(raw.log_score.exp(), theirs[:, 4:].transpose(1, 2), rtol=1e-4, atol=1e-6)
        sides = boxes[..., 2:] - boxes[..., :2]
        scores = scores * (sides > 0).all(dim=2, keepdim=True)  # what lies beside the image is not reported
        same = torch.cat([(boxes[..., :2] + boxes[..., 2:]) / 2, sides, scores], dim=2)
        kept = non_max_suppression(same.transpose(1, 2), conf_thres=0.002, iou_thres=0.7, multi_label=True, max_det=300)
    for mine, expected in zip(model.decode(Candidates(raw.boxes, scores.log(), raw.valid)), kept, strict=True):
        assert len(mine.scores) == len(expected) > 0
        torch.testing.assert_close(mine.scores, expected[:, 4], rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(mine.labels, expected[:, 5].long())
        torch.testing.assert_close(mine.boxes, expected[:, :4], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("name", ["yolov8n", "yolov10n", "yolo26n"])
def test_gradients_reach_the_pixels_and_nothing_changes(name: str) -> None:
    model = calibrated(f"ultralytics:{name}(num_classes=2, input_size=64)")
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    modes = [m.training for m in model.module.modules()]
    x = photos(2, 40, 56).requires_grad_()
    raw = model.raw(x)
    model.decode(raw)
    raw.log_score.square().mean().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().amax(1) > 1e-9).all()
    assert not any(modes)
    assert [m.training for m in model.module.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in model.module.state_dict().items())
    assert not any(p.requires_grad for p in model.module.parameters())


def test_it_holds_the_network_and_no_trainer() -> None:
    from ultralytics.nn.tasks import DetectionModel

    model: Any = build("ultralytics:yolov8n(num_classes=2, input_size=64)")
    assert type(model.module) is DetectionModel
    assert type(model.module).train is nn.Module.train


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 100), (200, 90), (33, 64)])
def test_the_letterbox_is_theirs(height: int, width: int) -> None:
    from ultralytics.data.augment import LetterBox

    from robustbench_cv.models.sources.ultralytics import Rectangle

    pixels = (photos(1, height, width)[0] * 255).round()
    theirs = LetterBox((64, 64), auto=True, stride=32)(image=pixels.byte().permute(1, 2, 0).numpy())
    frame = Rectangle(height, width, 64, 32)
    mine = frame.images(pixels[None] / 255)[0]
    expected = torch.from_numpy(theirs.copy()).permute(2, 0, 1)
    assert mine.shape == expected.shape
    assert ((mine * 255) - expected).abs().max() < 1.5  # theirs rounds to bytes, in fixed-point arithmetic
    h, w = frame.scaled
    left, _, top, _ = frame.borders
    corner = torch.tensor([[left, top, left + w, top + h]]).float()
    torch.testing.assert_close(frame.back(corner), torch.tensor([[0.0, 0, width, height]]), atol=1.5, rtol=0.02)


def test_suppression_free_networks_report_overlapping_boxes() -> None:
    model: Any = build("ultralytics:yolov10n(num_classes=2, input_size=64, one_to_one=True)")
    boxes = torch.tensor([[[10.0, 10, 30, 30], [11, 10, 30, 30]]])[:, :, None]
    raw = Candidates(boxes, torch.tensor([[[0.9, 0.2], [0.8, 0.3]]]).log(), torch.ones(1, 2, dtype=torch.bool))
    (found,) = model.decode(raw)
    torch.testing.assert_close(found.scores[:2], torch.tensor([0.9, 0.8]))
    other: Any = build("ultralytics:yolov8n(num_classes=2, input_size=64)")
    assert other.decode(raw)[0].scores.tolist() == pytest.approx([0.9, 0.3])


# --- files -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def yolo() -> nn.Module:
    """ultralytics' own network of three classes."""
    model: Any = build("ultralytics:yolov8n(num_classes=3, input_size=64)")
    inner: nn.Module = model.module
    for module in inner.modules():
        module._forward_hooks.clear()
    return inner


def saved(path: Path, inner: nn.Module, names: Any = None, **content: Any) -> Path:
    """As training leaves it: halved, its average emptied into it."""
    inner = copy.deepcopy(inner).half()
    inner.names = names if names is not None else {0: "car", 1: "person", 2: "dog"}  # type: ignore[assignment]
    torch.save({"model": inner, "ema": None, "epoch": -1, "train_args": {"imgsz": 60}, **content}, path)
    return path


def test_a_trained_file_is_a_model_by_its_path_alone(yolo: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "best.pt", yolo)
    model: Any = build(f"ultralytics:{path}")
    assert model.info.name == "best"
    assert model.info.task == "detection"
    assert model.info.classes.names == ("car", "person", "dog")
    assert model.side == 64, "the size it was trained at, up to a multiple of its stride"
    halved = copy.deepcopy(yolo).half().float()
    assert all(torch.equal(v, halved.state_dict()[k]) for k, v in model.module.state_dict().items())
    named: Any = build(f"yolov8(weights={str(path)!r}, input_size=64)")
    torch.testing.assert_close(named.raw(photos()).log_score, model.raw(photos()).log_score)
    assert type(model.module) not in torch.serialization.get_safe_globals(), "what reads this file reads no other"


@pytest.mark.parametrize(
    "names",
    [
        ["car", "person", "dog"],
        {1: "car", 2: "person", 3: "dog"},
        {"0": "car", "1": "person", "2": "dog"},
        {"dog": 2, "car": 0, "person": 1},
        {2: "dog", 0: "car", 1: "person"},
        {"c": "car", "p": "person", "d": "dog"},
    ],
)
def test_class_names_are_read_however_they_are_kept(names: Any, yolo: nn.Module, tmp_path: Path) -> None:
    assert build(f"ultralytics:{saved(tmp_path / 'best.pt', yolo, names)}").info.classes.names == ("car", "person", "dog")


@pytest.mark.parametrize(
    ("names", "message"), [({0: "car", 1: "car", 2: "dog"}, "'car' stands for several"), ({0: "a", 3: "b", 7: "c"}, "numbered 0 to 7")]
)
def test_names_that_name_no_class_each_are_asked_for(names: Any, message: str, yolo: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "best.pt", yolo, names)
    with pytest.raises(UserError, match=rf"{message}.*classes='a,b,c'"):
        build(f"ultralytics:{path}")
    assert build(f"ultralytics:{path}(classes='x,y,z')").info.classes.names == ("x", "y", "z")


def test_the_average_of_an_interrupted_training_is_taken_and_a_key_chooses(
    yolo: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    average = copy.deepcopy(yolo)
    with torch.no_grad():
        for parameter in average.parameters():
            parameter.add_(0.5)
    path = saved(tmp_path / "last.pt", yolo, ema=average.half())
    first = "model.0.conv.weight"
    taken, chosen = (build(f"ultralytics:{path}{key}").module.state_dict()[first] for key in ("", "(key='model')"))  # type: ignore[union-attr]
    assert "took 'ema' and left 'model' (key='model' takes it)" in caplog.text
    torch.testing.assert_close(taken, chosen + 0.5, atol=1e-2, rtol=0)


def test_other_tasks_are_served_by_their_boxes_or_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from ultralytics.nn.tasks import ClassificationModel, OBBModel, SegmentationModel

    with torch.random.fork_rng():
        networks = {c: c(f"yolov8n-{n}.yaml", nc=3, verbose=False) for c, n in ((ClassificationModel, "cls"), (SegmentationModel, "seg"))}
        rotated = OBBModel("yolov8n-obb.yaml", nc=3, verbose=False)
    x = photos(2, 96, 96)
    classifying: Any = build(f"ultralytics:{saved(tmp_path / 'cls.pt', networks[ClassificationModel])}(input_size=64)")
    assert classifying.info.task == "classification"
    with torch.no_grad():
        inner = classifying.module.net.network
        torch.testing.assert_close(classifying.raw(x).values, inner(classifying.module.prepare(x))[1])
    masks: Any = build(f"ultralytics:{saved(tmp_path / 'seg.pt', networks[SegmentationModel])}")
    assert masks.info.task == "detection"
    assert masks.raw(x).log_score.shape[2] == 3
    assert "its boxes are used, its masks are left" in caplog.text
    with pytest.raises(UserError, match="ends in OBB, not in a detecting head"):
        build(f"ultralytics:{saved(tmp_path / 'obb.pt', rotated)}")


def test_a_file_that_names_other_code_needs_trust(yolo: nn.Module, tmp_path: Path) -> None:
    path = saved(tmp_path / "best.pt", yolo, note=Labels(("a",)))
    for spec in (f"ultralytics:{path}", f"ultralytics:yolov8n(weights={str(path)!r})"):
        with pytest.raises(UserError, match=r"runs whatever code is in it.*trust=True"):
            build(spec)
    assert build(f"ultralytics:{path}(trust=True)").info.classes.names == ("car", "person", "dog")


def test_bare_tensors_say_no_network(yolo: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    torch.save(yolo.state_dict(), path)
    with pytest.raises(UserError, match=r"holds bare tensors.*name it, as in ultralytics:yolov8n"):
        build(f"ultralytics:{path}")
    assert len(build(f"ultralytics:yolov8n(weights={str(path)!r}, num_classes=3)").info.classes) == 3
    with pytest.raises(UserError, match="is a file already"):
        build(f"ultralytics:{path}(weights={str(path)!r})")


def test_a_malicious_file_does_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "ran"),))

    path = tmp_path / "evil.pt"
    torch.save({"model": Evil()}, path)
    for spec in (f"ultralytics:yolov8n(weights={str(path)!r})", f"ultralytics:{path}"):
        with pytest.raises(UserError, match="trust=True"):
            build(spec)
    assert not (tmp_path / "ran").exists()


def test_a_state_dict_needs_no_trust(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model: Any = build("ultralytics:yolo11n(num_classes=2, input_size=64)")
    state = {k: v + 0.01 if v.is_floating_point() else v for k, v in model.module.state_dict().items()}
    path = tmp_path / "mine.safetensors"
    save_file(state, path)
    loaded: Any = build(f"ultralytics:yolo11n(weights={str(path)!r}, classes='cat,dog', input_size=64)")
    assert loaded.info.classes.names == ("cat", "dog")
    assert all(torch.equal(v, state[k]) for k, v in loaded.module.state_dict().items())
    with pytest.raises(UserError, match="number of classes"):
        build(f"ultralytics:yolo11n(weights={str(path)!r}, classes='cat,dog,cow')")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("yolov8x9", "no detector 'yolov8x9'; did you mean"),
        ("yolov8n-seg", "no detector 'yolov8n-seg'"),
        ("yolov8n(weights='none.pt')", "nothing is downloaded here"),
        ("yolov8n(one_to_one=True)", "has no one-to-one head"),
        ("yolov8n(input_size=100)", "multiple of 32, not 100"),
        ("yolov8n(classes='a,b', num_classes=3)", "2 class names for 3 outputs"),
    ],
)
def test_what_cannot_be_is_said(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(f"ultralytics:{spec}")


def test_a_missing_package_is_named_with_its_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(
        name: str, globals_: Mapping[str, object] | None = None, locals_: Any = None, parts: Sequence[str] = (), level: int = 0
    ) -> Any:
        if name.split(".")[0] == "ultralytics":
            raise ModuleNotFoundError("No module named 'ultralytics'", name="ultralytics")
        return real(name, globals_, locals_, parts, level)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UserError, match=r"robustbench-cv\[ultralytics\].*AGPL-3.0"):
        build("ultralytics:yolov8n")


def test_predictions_are_in_pixels_of_the_image() -> None:
    model = calibrated("ultralytics:yolov8n(num_classes=2, input_size=64)")
    (found,) = predict(model, photos(1, 50, 80))
    assert len(found.boxes) > 0
    assert float(found.boxes[:, 2].max()) <= 80
    assert float(found.boxes[:, 3].max()) <= 50
    assert float(found.boxes[:, 2].max()) > 64


@pytest.mark.parametrize("name", ["yolov8n", "yolo12n"])
def test_the_gradient_of_an_image_alone_is_that_in_a_batch(name: str) -> None:
    """Behind area attention the gradient of a single image has strides that torch's batch norm misreads on the CPU."""
    model: Any = calibrated(f"ultralytics:{name}(num_classes=2, input_size=64)")
    model.module.double()  # an untrained network grows rounding errors

    def gradient(images: Tensor) -> Tensor:
        x = images.clone().requires_grad_()
        model.raw(x).log_score.mean(dim=(1, 2)).sum().backward()
        assert x.grad is not None
        return x.grad

    pair = photos(2).double()
    torch.testing.assert_close(gradient(pair[:1]), gradient(pair)[:1], rtol=1e-5, atol=1e-8)


def test_other_libraries_keep_their_functions(tmp_path: Path) -> None:
    """Importing ultralytics replaces PIL's open and more for the whole process; a damaged image then ends in its search for a plugin."""
    code = (
        "import PIL.Image, cv2, torch\n"
        "before = PIL.Image.open, cv2.imread, torch.save\n"
        "from robustbench_cv.catalogue import MODELS\n"
        "MODELS.build('ultralytics:yolov8n')\n"
        "assert before == (PIL.Image.open, cv2.imread, torch.save)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


def test_a_model_on_the_meta_device_leaves_the_library_usable() -> None:
    """Its classes hold tensors: imported while a model is built without memory, they must not be of the meta device for ever."""
    code = (
        "from robustbench_cv.models.build import build\n"
        "spec = 'ultralytics:yolov8n(num_classes=2, input_size=64)'\n"
        "build(spec, device='meta')\n"
        "build(spec)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
