"""Any detector of ultralytics (YOLOv3, v5, v6, v8, v9, v10, 11, 12, 26), below its `predict()`: raw head output, gradients to the pixels.

ultralytics is under the AGPL-3.0, so it is an extra of its own and only imported here. What this holds is its inner DetectionModel, never
its `YOLO` object, whose `train()` starts a training. Deviations from its `predict()`: the image stays float from end to end, and boxes are
cut to the image before suppression instead of after it.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt, PositiveInt
from robustbench_cv.boxes import clip
from robustbench_cv.catalogue import model
from robustbench_cv.errors import RobustBenchError, UserError, describe
from robustbench_cv.models.adapt import Classifier, classifier, describe_module, freeze
from robustbench_cv.models.checkpoint import LOG, load_checkpoint, split_key
from robustbench_cv.models.detection_postprocessing import detections
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.sources.ultralytics_files import SavedModel, classes_in_file, find_file, read_saved_model, rounded_side
from robustbench_cv.models.trainable import Refusal
from robustbench_cv.types import AnyModel, BoxPrediction, Candidates, Labels, ModelInfo

GREY = 114 / 255
"""The border's colour."""

QUIET = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
"""Set before ultralytics is imported, unless the user has: no events sent, nothing installed by itself, nothing printed."""
REPLACED = (("PIL.Image", "open"), ("cv2", "imread"), ("cv2", "imwrite"), ("cv2", "imshow"), ("torch", "save"))
"""What importing ultralytics replaces."""


@model(library="ultralytics")
def ultralytics(
    name: str,
    *,
    weights: str = "",
    trust: bool = False,
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
    one_to_one: bool = False,
    threshold: Fraction = 0.001,
    operating_score: Fraction = 0.25,
    nms_iou: Fraction = 0.7,
    top: PositiveInt = 300,
) -> AnyModel:
    """A model of ultralytics: ultralytics:yolov8n(weights='yolov8n.pt'), or a trained file by its path alone: ultralytics:runs/best.pt.

    A path brings its network, its class names, its task and the size it was trained at; networks with masks or key points serve as
    detectors of boxes, classifying ones as classifiers. weights: a file on this machine: a state dict (.safetensors or torch file), or
    ultralytics' own .pt, of which only classes of torch and ultralytics are rebuilt; trust=True rebuilds whatever it names, which runs its
    code. Nothing is downloaded. Without weights random ones from a fixed seed, and the name says so. classes: "a,b,c" or a text file, one
    a line (default: the file's own names, else numbers); num_classes where names are not known (default 80). input_size: the longer side
    in px that the network sees, a multiple of its stride (default: a path's own, else 640). one_to_one: of networks that have it (YOLOv10,
    YOLO26), the head trained to report each object once, without suppression (ultralytics' nms=False); else the other one, as it does
    itself. threshold, nms_iou and top are those of ultralytics' validation. UserError where the package is missing, the architecture
    unknown, or the file refused.
    """
    tasks = _package()
    given = class_names(classes) if classes else None
    file, _ = split_key(Path(name))
    by_path = file.suffix.lower() == ".pt"
    if by_path and weights:
        raise UserError(f"ultralytics:{name} is a file already; leave weights={weights!r} out, or name an architecture before it")
    with _of_a_file(name if by_path else weights):
        saved = _read_file(tasks, name if by_path else weights, trust)
    if by_path and saved is None:
        raise UserError(f"{name} holds bare tensors, which say no network: name it, as in ultralytics:yolov8n(weights={name!r})")
    network = saved.network if saved else _build_network(tasks, name, weights, num_classes or (len(given) if given else 80))
    title = file.stem if by_path else name if weights else f"{name} (random weights)"
    side = input_size or (saved.side if saved and by_path else 0)
    names = saved.names if saved else None
    settings = Settings(operating_score, threshold, nms_iou, top)
    with _of_a_file(name if by_path else weights):
        if type(_last_layer(network)).__name__ == "Classify":
            return _classifier(network, title, given, names, side or 224)
        return _detector(network, title, given, names, side or 640, settings, one_to_one=one_to_one, exact=bool(input_size))


@contextmanager
def _of_a_file(file: str) -> Iterator[None]:
    """UserError, naming the file, for whatever goes wrong with a network that came from one: a pickle may lack any of its parts."""
    try:
        yield
    except RobustBenchError:
        raise
    except Exception as error:
        if not file:
            raise
        raise UserError(f"{file} holds no whole network of ultralytics ({describe(error)[:200]}); was it cut off, or damaged?") from error


class Settings(NamedTuple):
    """From where a box counts as reported, and what decode keeps."""

    operating_score: float
    threshold: float
    nms_iou: float
    top: int


def _read_file(tasks: Any, file: str, trust: bool) -> SavedModel | None:
    if not file:
        return None
    find_file(file)
    return read_saved_model(tasks, file, trust=trust)


def _detector(
    network: nn.Module,
    title: str,
    given: tuple[str, ...] | None,
    names: Any,
    side: int,
    settings: Settings,
    *,
    one_to_one: bool,
    exact: bool,
) -> UltralyticsDetector:
    """exact: the user said the side, which is not rounded then."""
    head = _head(network, title)
    if one_to_one:
        if getattr(head, "one2one_cv2", None) is None:
            raise UserError(f"ultralytics:{title} has no one-to-one head; leave one_to_one out (YOLOv10 and YOLO26 have one)")
        head.end2end = True
    labels = _labels(given, names, int(head.nc), title)
    stride = int(max(head.stride.max().item(), 32))
    side = side if exact else rounded_side(side, stride)
    if side < stride or side % stride:
        raise UserError(f"ultralytics:{title} needs an input_size that is a multiple of {stride}, not {side}")
    _, threshold, nms_iou, top = settings
    facts = (f"input={side}", f"threshold={threshold}", f"nms_iou={nms_iou}", f"top={top}", f"one_to_one={head.end2end}")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(_in_order)
    info = describe_module(freeze(network), title, "detection", labels, *facts, operating_score=settings.operating_score)
    return UltralyticsDetector(module=network, info=info, side=side, stride=stride, threshold=threshold, nms_iou=nms_iou, top=top)


class ClassScores(nn.Module):
    """The scores before softmax of a classifying network, which gives (probabilities, scores) in evaluation."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, classes)."""
        output = self.network(x)
        scores: Tensor = output[1] if isinstance(output, tuple) else output
        return scores


def _classifier(network: nn.Module, title: str, given: tuple[str, ...] | None, names: Any, side: int) -> Classifier:
    """As ultralytics validates: the short side scaled to `side`, the middle cut out, pixels in [0, 1]."""
    count = int(_last_layer(network).linear.out_features)
    labels = _labels(given, names, count, title)
    return classifier(ClassScores(network), name=title, classes=labels, input_size=(side, side), resize="crop")


@dataclass(frozen=True)
class Rectangle:
    """How images of height x width px are fitted: the longer side becomes `side`, grey borders fill up to multiples of `stride`."""

    height: int
    width: int
    side: int
    stride: int

    @property
    def scaled(self) -> tuple[int, int]:
        """(h, w) of the picture."""
        ratio = min(self.side / self.height, self.side / self.width)
        return max(1, round(self.height * ratio)), max(1, round(self.width * ratio))

    @property
    def borders(self) -> tuple[int, int, int, int]:
        """Left, right, top, bottom."""
        h, w = self.scaled
        down, across = ((-size % self.stride) / 2 for size in (h, w))
        return round(across - 0.1), round(across + 0.1), round(down - 0.1), round(down + 0.1)

    def images(self, images: Tensor) -> Tensor:
        """Bilinear without antialiasing, as OpenCV's; differentiable."""
        if images.shape[-2:] != self.scaled:
            images = F.interpolate(images, self.scaled, mode="bilinear", align_corners=False)
        return F.pad(images, self.borders, value=GREY)

    def back(self, boxes: Tensor) -> Tensor:
        """Boxes (..., 4) of the network's input in px of the image, cut to it."""
        left, _, top, _ = self.borders
        ratio = min(self.side / self.height, self.side / self.width)
        return clip((boxes - boxes.new_tensor([left, top, left, top])) / ratio, self.height, self.width)


@dataclass(frozen=True, eq=False, kw_only=True)
class UltralyticsDetector:
    """A Model of Candidates around a DetectionModel. side: the longer side of its input, px. threshold, nms_iou, top: what decode keeps."""

    module: nn.Module
    info: ModelInfo
    side: int
    stride: int
    threshold: float
    nms_iou: float
    top: int

    def raw(self, images: Tensor, /) -> Candidates:
        """Every place's box (N, K, 1, 4) and log sigmoid of every class, of the head that is in use."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"a detector takes images (N, 3, H, W) of one size, got {tuple(images.shape)}; group samples by shape first")
        frame = Rectangle(images.shape[-2], images.shape[-1], self.side, self.stride)
        head: Any = self.module.model[-1]  # type: ignore[index]
        _, found = self.module(frame.images(images))
        if "one2many" in found:
            found = found["one2one" if head.end2end else "one2many"]
        shapes = [f.shape[-2:] for f in found["feats"]]
        boxes = frame.back(places(found["boxes"], shapes, head.stride.tolist(), int(head.reg_max)))
        log_score = F.logsigmoid(found["scores"]).transpose(1, 2)
        valid = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
        return Candidates(boxes[:, :, None], log_score, valid)

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        """As ultralytics validates: each place may be reported for several classes; suppression within a class, none for the one-to-one
        head; the best `top`; on the CPU.
        """
        head: Any = self.module.model[-1]  # type: ignore[index]
        if not head.end2end:
            return detections(raw, self.threshold, self.nms_iou, self.top)
        score, boxes = raw.log_score.detach().exp().cpu(), raw.boxes.detach()[:, :, 0].cpu()
        return [_best(b, s, self.threshold, self.top) for b, s in zip(boxes, score, strict=True)]

    def refusal(self, spec: str, /) -> Refusal | None:
        """Its loss is under a licence that nothing here is to depend on."""
        source = spec.partition("(")[0]
        return Refusal(
            "learns by a loss that is part of ultralytics' own trainer, which is AGPL and not used here",
            f"train it there (yolo detect train model={source.partition(':')[2]}.pt data=data.yaml) and use the result as {source}"
            "(weights='best.pt', trust=True)",
        )


def places(distances: Tensor, shapes: Iterable[tuple[int, int]], strides: Iterable[float], bins: int) -> Tensor:
    """Boxes (N, K, 4) xyxy in px of the network's input, from distances (N, 4 bins, K) to the left, top, right and bottom.

    Each distance, in cells from the middle of the cell, is the mean of a distribution over 0 ... bins - 1 (Li et al. 2020,
    arXiv:2006.04388), or the number itself where there is one bin.
    """
    middles, sizes = [], []
    for (height, width), stride in zip(shapes, strides, strict=True):
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        middles.append(torch.stack([x, y], dim=-1).flatten(0, 1))
        sizes.append(torch.full((height * width, 1), float(stride)))
    middle, size = torch.cat(middles).to(distances), torch.cat(sizes).to(distances)
    sides = torch.unflatten(distances.transpose(1, 2), -1, (4, bins))
    far = (sides.softmax(dim=-1) * torch.arange(bins).to(distances)).sum(dim=-1) if bins > 1 else sides[..., 0]
    return torch.cat([middle - far[..., :2], middle + far[..., 2:]], dim=-1) * size


def _in_order(_: nn.Module, __: object, output: Tensor) -> None:
    """Lay the gradient of a single image out anew before a batch norm reads it.

    torch 2.15 misreads it on the CPU where the stride of the batch is not that of one image, as behind the area attention of YOLO12: its
    backward pass then gives another gradient than that of the same image in a batch of two.
    """
    if output.requires_grad and len(output) == 1:
        output.register_hook(lambda gradient: gradient.contiguous())  # type: ignore[no-untyped-call]


def _best(boxes: Tensor, score: Tensor, threshold: float, top: int) -> BoxPrediction:
    """The `top` places by their best class; of their (place, class) pairs as many, the best, above the threshold."""
    count = min(top, len(score))
    rows = score.amax(dim=1).topk(count).indices
    values, pairs = score[rows].flatten().topk(count)
    pairs, values = pairs[values > threshold], values[values > threshold]
    return BoxPrediction(boxes[rows[pairs // score.shape[1]]], values, pairs % score.shape[1])


def _package() -> Any:
    """ultralytics.nn.tasks, imported quietly: its settings go to a temporary folder, and OMP_NUM_THREADS, which it sets, is put back.

    So are the functions of other libraries that it replaces for the whole process: a damaged image would end in its search for a plugin.
    """
    threads = os.environ.get("OMP_NUM_THREADS")
    modules = [(importlib.import_module(module), name) for module, name in REPLACED]
    replaced = [(module, name, getattr(module, name)) for module, name in modules]
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    if "YOLO_CONFIG_DIR" not in os.environ:
        folder = Path(tempfile.gettempdir()) / f"robustbench_cv-ultralytics-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
        folder.mkdir(exist_ok=True)
        os.environ["YOLO_CONFIG_DIR"] = str(folder)
    try:
        with torch.device("cpu"):  # its classes hold tensors, which shall not be of the meta device that some model is built on
            from ultralytics.nn import tasks
    except ImportError as error:
        raise UserError(
            f"ultralytics is not installed ({error}): pip install 'robustbench-cv[ultralytics]'. Its licence is the AGPL-3.0, which asks "
            "more of those who pass on or serve software built on it than ours, the Apache-2.0; so it is an extra of its own"
        ) from error
    finally:
        if threads is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        for module, name, function in replaced:
            setattr(module, name, function)
    return tasks


def _build_network(tasks: Any, name: str, weights: str, count: int) -> nn.Module:
    """The DetectionModel of an architecture, with a file's tensors or random ones."""
    _require_known(name)
    # A fixed seed, so that random weights are the same in every process and a run on them can be resumed. On the CPU even where a model
    # without numbers is asked for (device="meta"): the constructor runs the network to learn its strides.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        network: nn.Module = tasks.DetectionModel(f"{name}.yaml", nc=count, verbose=False)
    if weights:
        load_checkpoint(network, Path(weights).expanduser(), f"ultralytics:{name}")
    return network


def _require_known(name: str) -> None:
    """UserError, with the closest names, for what ultralytics has no architecture of."""
    import ultralytics as package

    stems = {path.stem for path in (Path(package.__file__).parent / "cfg" / "models").rglob("*.yaml")}
    plain = {stem for stem in stems if re.fullmatch(r"yolov?\d+[a-z]?(-(p2|p6|spp|tiny|ghost.*))?", stem)}
    if name not in plain and re.sub(r"(\d)[nslmx](?=-|$)", r"\1", name) not in plain:
        sized = sorted(plain | {re.sub(r"(\d)(?=-|$)", rf"\1{size}", stem, count=1) for stem in plain for size in "nslmx"})
        close = difflib.get_close_matches(name, sized, n=3)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise UserError(f"ultralytics has no detector {name!r}{hint}")


WITH_BOXES = {"Detect": "", "v10Detect": "", "Segment": "masks", "Segment26": "masks", "Pose": "key points", "Pose26": "key points"}
"""Heads whose boxes are read as those of a detector, and what else they say."""


def _last_layer(network: Any) -> Any:
    layers = getattr(network, "model", None)
    return layers[-1] if isinstance(layers, nn.Sequential) and len(layers) else None


def _head(network: nn.Module, name: str) -> Any:
    head = _last_layer(network)
    kind = type(network if head is None else head).__name__
    if head is None or kind not in WITH_BOXES or not type(head).__module__.startswith("ultralytics."):
        raise UserError(
            f"ultralytics:{name} ends in {kind}, not in a detecting head; this source serves detectors of upright boxes, with or without "
            "masks and key points, and classifiers"
        )
    if WITH_BOXES[kind]:
        LOG.warning("ultralytics:%s: its boxes are used, its %s are left", name, WITH_BOXES[kind])
    return head


def _labels(given: tuple[str, ...] | None, names: Any, count: int, name: str) -> Labels:
    if given is not None and len(given) != count:
        raise UserError(f"ultralytics:{name}: {len(given)} class names for {count} outputs; give one for each")
    named = given or classes_in_file(names, count, f"ultralytics:{name}")
    return Labels(named) if named else Labels.numbered(count)
