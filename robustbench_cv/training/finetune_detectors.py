"""How detectors are fine-tuned: each by its own loss, on images as it sees them, until AP50 on held-out ones falls."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from robustbench_cv.catalogue import MODELS, RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models.trainable import NO_LOSS, MayRefuse, Trainable
from robustbench_cv.models.transfer_learning.replace_head import network_of, replace_head
from robustbench_cv.models.weights.initial_weights import parse_size
from robustbench_cv.registry import Scalar, Spec, expand_tag
from robustbench_cv.training.augment import chain, flip, light
from robustbench_cv.training.evaluate import evaluate
from robustbench_cv.training.finetune_classifiers import learning, require
from robustbench_cv.training.finetune_module import Learner
from robustbench_cv.training.finetune_plan import Lesson, Numbers, Settings
from robustbench_cv.training.loop import Judge
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.split import Part
from robustbench_cv.types import AnyModel, BoxTarget, Dataset


def lesson(spec: str, donor: AnyModel, settings: Settings, data: Dataset) -> Lesson:
    """A detector's. UserError, naming the way out, for those that no gradient trains and for data without what it learns."""
    teachable = _trainable(spec, donor)
    if teachable.learns_masks:
        _need_masks(spec, data)
    begun = replace_head(spec, data.labels, **_sizes(network_of(expand_tag(Spec.parse(spec))), teachable, settings))
    model = _trainable(spec, begun.model)
    frame = model.input_frame(*data[0].image.shape[-2:])
    large = max(frame.size) > LARGE
    require(model.module, learning(model.module, begun.fresh) if settings.frozen else None)
    still = frozenset(name for name, module in teachable.module.named_modules() if isinstance(module, FrozenBatchNorm2d))
    for name in still:
        model.module.get_submodule(name).requires_grad_(False)
    network = Learner(model.module, model.loss, still, settings.frozen)
    recipe = Recipe(
        name="finetune",
        architecture=spec,
        task="detection",
        network=lambda pool: nn.Identity(),
        loss=_loss,
        augment=chain(flip, light),
        schedule=Schedule(
            epochs=settings.epochs, peak=settings.rate or (1e-4 if large else 1e-3), batch=settings.batch or (4 if large else 16)
        ),
        metrics=("ap50", "ap", *(("mask-ap50", "mask-ap") if model.learns_masks else ())),
        size=frame.size,
        letterbox=frame.letterbox,
        normalise=False,
        instances=model.learns_masks,
    )

    def judge(watched: Part, mean: Numbers, std: Numbers, device: str) -> Judge:
        return _judge_by_ap50(begun.model, watched, device)

    return Lesson(
        begun=begun,
        recipe=recipe,
        network=network,
        normalisation=lambda pool: (None, None),
        described=lambda pool: _own_normalisation(model.module),
        judge=judge,
    )


LARGE = 320
"""Side in px above which a step takes 4 images instead of 16, at a tenth of the rate: networks of published size. Project choice."""


def _loss(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    loss: Tensor = network(images, truths)
    return loss


def _judge_by_ap50(model: AnyModel, watched: Part, device: str) -> Judge:
    """1 - AP50 of the model as it will be used; infinite, which ends nothing, while it finds nothing."""

    def judge(network: nn.Module) -> float:
        ap50 = evaluate(model, (sample for sample, _ in watched.samples()), ("ap50",), device)["ap50"]
        return 1 - ap50 if ap50 > 0 else float("inf")

    return judge


def _own_normalisation(module: nn.Module) -> tuple[Numbers, Numbers]:
    """The normalisation that a module carries beside its tensors."""
    prepare: Any = dict(module.named_children()).get("prepare")
    if prepare is None or prepare.mean is None:
        return None, None
    return tuple(prepare.mean.flatten().tolist()), tuple(prepare.std.flatten().tolist())


def _trainable(spec: str, donor: AnyModel) -> Trainable:
    refusal = donor.refusal(spec) if isinstance(donor, MayRefuse) else NO_LOSS
    if refusal is None and isinstance(donor, Trainable):
        return donor
    reason, way_out = refusal or NO_LOSS
    raise UserError(f"{spec} {reason}; {way_out or _way_out(spec)}")


def _way_out(spec: str) -> str:
    name = expand_tag(Spec.parse(spec)).name.replace("_", "-")
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


def _sizes(spec: Spec, donor: Trainable, settings: Settings) -> dict[str, Scalar]:
    """The arguments that say at which size the new model works: the donor's, unless the user said another."""
    asked = parse_size(settings.size)
    if asked is not None and asked[0] != asked[1]:
        raise UserError(f"{spec}: detectors take one number as size, the side of a square or the short side, not {settings.size!r}")
    takes = inspect.signature(MODELS.factory(spec)).parameters
    if "input_size" in takes and spec.name != "torchvision":
        own = donor.side if "checkpoint" in takes and donor.side is not None else spec.args.get("input_size", 0)
        side = asked[0] if asked else own
        return {"input_size": side} if side else {}
    if asked is None:
        return {}
    transform: Any = donor.module.transform
    if transform.fixed_size is not None:
        raise UserError(f"{spec} always scales images to {transform.fixed_size} px; leave out --size")
    return {"min_size": asked[0], "max_size": round(asked[0] * transform.max_size / transform.min_size[-1])}
