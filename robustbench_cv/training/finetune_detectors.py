"""How detectors are fine-tuned: each by its own loss, on images as it sees them, until AP50 on held-out ones falls."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FrozenBatchNorm2d

from robustbench_cv.catalogue import MODELS, RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models.detectors.darknet.detector import DarknetDetector
from robustbench_cv.models.detectors.darknet.heads import GridHead
from robustbench_cv.models.detectors.localisation_regression import OneBox
from robustbench_cv.models.detectors.region_based.detector import BoxDetector
from robustbench_cv.models.detectors.ssd import SsdDetector
from robustbench_cv.models.detectors.yolo.detector import YoloDetector
from robustbench_cv.models.sources.hf_detection import HfDetector
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector
from robustbench_cv.models.sources.torchvision_masks import has_masks
from robustbench_cv.models.sources.ultralytics import UltralyticsDetector
from robustbench_cv.models.transfer_learning.replace_head import replace_head
from robustbench_cv.models.weights.initial_weights import parse_size
from robustbench_cv.registry import Scalar, Spec, tagged
from robustbench_cv.training import finetune_losses as lowered
from robustbench_cv.training.augment import chain, flip, light
from robustbench_cv.training.evaluate import evaluate
from robustbench_cv.training.finetune_lesson import Lesson, Numbers, Settings
from robustbench_cv.training.finetune_scores import learning, require
from robustbench_cv.training.loop import Judge
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.split import Part
from robustbench_cv.types import AnyModel, BoxTarget, Dataset


@dataclass(frozen=True)
class Frame:
    """How the network sees images: (h, w) px, with grey borders where `letterbox`, else stretched."""

    size: tuple[int, int]
    letterbox: bool


def lesson(spec: str, donor: AnyModel, settings: Settings, data: Dataset) -> Lesson:
    """A detector's. UserError, naming the way out, for those that no gradient trains and for data without what it learns."""
    _teachable(spec, donor)
    named = tagged(Spec.parse(spec))
    begun = replace_head(spec, data.labels, **_sizes(named, donor, settings))
    model: Any = begun.model
    masks = isinstance(donor, TorchvisionDetector) and has_masks(donor.module)
    if masks:
        _need_masks(spec, data)
    frame = _frame(model, data)
    large = max(frame.size) > LARGE
    require(model.module, learning(model.module, begun.fresh) if settings.frozen else None)
    known: Any = donor
    still = frozenset(name for name, module in known.module.named_modules() if isinstance(module, FrozenBatchNorm2d))
    for name in still:
        model.module.get_submodule(name).requires_grad_(False)
    network = lowered.Learner(model.module, _lowered(model), _switch(model, frame), still, settings.frozen)
    recipe = Recipe(
        name="finetune",
        architecture=spec,
        task="detection",
        network=lambda pool: nn.Identity(),
        loss=_loss,
        augment=chain(flip, light),
        schedule=Schedule(settings.epochs, peak=settings.rate or (1e-4 if large else 1e-3), batch=settings.batch or (4 if large else 16)),
        metrics=("ap50", "ap", *(("mask-ap50", "mask-ap") if masks else ())),
        size=frame.size,
        letterbox=frame.letterbox,
        normalise=False,
        instances=masks,
    )

    def judge(watched: Part, mean: Numbers, std: Numbers, device: str) -> Judge:
        return _missed(begun.model, watched, device)

    return Lesson(begun, recipe, network, lambda pool: (None, None), lambda pool: _own(model.module), judge)


LARGE = 320
"""Side in px above which a step takes 4 images instead of 16, at a tenth of the rate: networks of published size. Project choice."""


def _loss(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    found: Tensor = network(images, truths)
    return found


def _missed(model: AnyModel, watched: Part, device: str) -> Judge:
    """1 - AP50 of the model as it will be used; infinite, which ends nothing, while it finds nothing."""

    def judge(network: nn.Module) -> float:
        found = evaluate(model, (sample for sample, _ in watched.samples()), ("ap50",), device)["ap50"]
        return 1 - found if found > 0 else float("inf")

    return judge


def _own(module: nn.Module) -> tuple[Numbers, Numbers]:
    """The normalisation that a module carries beside its tensors."""
    prepare: Any = dict(module.named_children()).get("prepare")
    if prepare is None or prepare.mean is None:
        return None, None
    return tuple(prepare.mean.flatten().tolist()), tuple(prepare.std.flatten().tolist())


def _teachable(spec: str, donor: AnyModel) -> None:
    match donor:
        case TorchvisionDetector():
            heads: Any = dict(donor.module.named_children()).get("roi_heads")
            if heads is not None and heads.has_keypoint():
                raise UserError(f"{spec} learns key points, which no data set here has; fine-tune faster-rcnn or mask-rcnn")
        case BoxDetector() if isinstance(donor.module, OneBox):
            return
        case YoloDetector() | DarknetDetector() | SsdDetector() | HfDetector():
            return
        case UltralyticsDetector():
            raise UserError(
                f"{spec}: its loss is part of ultralytics' own trainer, which is AGPL and not used here. Train it there "
                f"(yolo detect train model={Spec.parse(spec).target}.pt data=data.yaml) and use the result as {spec.partition('(')[0]}"
                "(weights='best.pt', trust=True)"
            )
        case _:
            raise UserError(f"{spec} is not trained by one loss from pixels to boxes, so it cannot be fine-tuned here; {_way_out(spec)}")


def _way_out(spec: str) -> str:
    name = tagged(Spec.parse(spec)).name.replace("_", "-")
    recipe = next((e.name for e in RECIPES.entries().values() if str(e.facts.get("model", "")).partition(".")[0] == name), None)
    if recipe is None:
        return "fine-tune one of torchvision's, YOLO's, SSD or DETR instead, or train it where it comes from"
    return f"train it on your data by its recipe: robustbench-cv train {recipe} --data DATA"


def _need_masks(spec: str, data: Dataset) -> None:
    target = data[0].target
    if isinstance(target, BoxTarget) and target.masks is None:
        raise UserError(
            f"{spec} learns masks too, which {data.name} does not give; say coco:FOLDER(masks=True) where there are outlines, "
            "or take faster-rcnn"
        )


def _sizes(spec: Spec, donor: AnyModel, settings: Settings) -> dict[str, Scalar]:
    """The arguments that say at which size the new model works: the donor's, unless the user said another."""
    asked = parse_size(settings.size)
    if asked is not None and asked[0] != asked[1]:
        raise UserError(f"{spec}: detectors take one number as size, the side of a square or the short side, not {settings.size!r}")
    takes = inspect.signature(MODELS.factory(spec)).parameters
    if "input_size" in takes and spec.name != "torchvision":
        own = _side(donor) if "checkpoint" in takes and not isinstance(donor, HfDetector) else spec.args.get("input_size", 0)
        side = asked[0] if asked else own
        return {"input_size": side} if side else {}
    if asked is None:
        return {}
    transform: Any = donor.module.transform  # type: ignore[union-attr]
    if transform.fixed_size is not None:
        raise UserError(f"{spec} always scales images to {transform.fixed_size} px; leave out --size")
    return {"min_size": asked[0], "max_size": round(asked[0] * transform.max_size / transform.min_size[-1])}


def _side(model: AnyModel) -> int:
    match model:
        case YoloDetector() | SsdDetector() | BoxDetector():
            return model.side
        case DarknetDetector():
            return model.module.height
        case _:
            known: Any = model
            return int(known.module.transform.min_size[-1])


def _frame(model: AnyModel, data: Dataset) -> Frame:
    """Where a network keeps the aspect of images, the square that holds the first one at the scale at which the network will see it."""
    match model:
        case YoloDetector() | BoxDetector():
            return Frame((model.side, model.side), True)
        case SsdDetector():
            return Frame((model.side, model.side), False)
        case DarknetDetector():
            return Frame((model.module.height, model.module.width), not isinstance(model.module.heads[0], GridHead))
        case HfDetector():
            if model.sight.size is not None:
                return Frame(model.sight.size, False)
            side = max(model.sight.scaled(*data[0].image.shape[-2:]))
            return Frame((side, side), True)
        case _:
            known: Any = model
            transform = known.module.transform
            if transform.fixed_size is not None:
                return Frame((transform.fixed_size[1], transform.fixed_size[0]), False)
            low, high = sorted(data[0].image.shape[-2:])
            side = round(high * min(transform.min_size[-1] / low, transform.max_size / high))
            return Frame((side, side), True)


def _lowered(model: AnyModel) -> lowered.Lowered:
    match model:
        case YoloDetector():
            return lowered.yolo(model)
        case DarknetDetector():
            return lowered.darknet(model)
        case SsdDetector():
            return lowered.ssd(model)
        case HfDetector():
            return lowered.transformers(model)
        case BoxDetector():
            return lowered.one_box(model)
        case TorchvisionDetector():
            return lowered.torchvision(model)
        case _:
            raise TypeError(f"{type(model).__name__} has no loss here")


def _switch(model: AnyModel, frame: Frame) -> Callable[[bool], None]:
    """torchvision's modules scale images themselves: not while they learn, since a pool's images have their size already."""
    if not isinstance(model, TorchvisionDetector):
        return lambda mode: None
    known: Any = model.module
    own = known.transform
    if own.fixed_size is not None:
        return lambda mode: None
    still = GeneralizedRCNNTransform(frame.size[0], frame.size[0], own.image_mean, own.image_std, size_divisible=own.size_divisible)

    def switch(mode: bool) -> None:
        known.transform = still if mode else own

    return switch
