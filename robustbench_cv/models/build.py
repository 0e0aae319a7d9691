"""A spec becomes a model on a device: `unet.scenes`, `timm:resnet50`, `torchvision:fcos_resnet50_fpn(weights="DEFAULT")`, `my.py:f`."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from robustbench_cv.catalogue import MODELS
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import to
from robustbench_cv.models.checkpoint import with_key
from robustbench_cv.models.from_user import model_from_factory
from robustbench_cv.registry import Scalar, Spec, expand_tag, remember
from robustbench_cv.types import AnyModel, HasModule


def build(spec: str | Spec, *, device: str | torch.device = "cpu", **more: Any) -> AnyModel:
    """The model that a spec names, in eval mode, frozen, on a device.

    "arch.tag" is arch(weights='tag'). Beside checkpoint='FILE', key='KEY' takes one of several state dicts in the file. `more`: further
    arguments of its factory. A factory in a file may return a model, or a bare torch module: then `task` and `classes` (and `mean`, `std`,
    `input_size`, `checkpoint`) say what it is. What a factory draws from torch's generator is the same at each call. UserError for
    unknown names, with the closest ones, for arguments that nothing takes, and where there is no such device. device="meta" makes the
    layers without their numbers, in no memory: for counting and for shapes.
    """
    spec = Spec.parse(spec) if isinstance(spec, str) else spec
    spec = key_into_checkpoint(expand_tag(replace(spec, args={**spec.args, **more})))
    factory = MODELS.factory(spec)  # imported here: what a module makes on import is not of the meta device
    with torch.device("meta") if str(device) == "meta" else contextlib.nullcontext(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = model_from_factory(spec, factory) if spec.name.endswith(".py") else MODELS.build(spec)
    made: AnyModel = to(model, device)
    return remember(made, spec)


def key_into_checkpoint(spec: Spec) -> Spec:
    """The spec with key= taken into the file that checkpoint= names. UserError for a key of no file.

    A factory in a file may mean something else by `key`, as long as it names no checkpoint.
    """
    file = next((name for name in ("checkpoint", "weights") if Path(str(spec.args.get(name) or "")).suffix), None)
    if "key" not in spec.args or (spec.name.endswith(".py") and file != "checkpoint"):
        return spec
    key, args = str(spec.args["key"]), {name: value for name, value in spec.args.items() if name != "key"}
    if file is not None:
        return replace(spec, args={**args, file: with_key(str(spec.args[file]), key)})
    if spec.target is not None and Path(spec.target).is_file():
        return replace(spec, args=args, target=with_key(spec.target, key))
    raise UserError(f"{spec}: key= chooses one of several state dicts in the file that checkpoint= names; give both")


def describe(model: AnyModel) -> dict[str, Scalar]:
    """What is known of a model, as one row: name, task, number of classes, parameters, hash of the weights, device."""
    info = model.info
    tensor = next(model.module.parameters(), None) if isinstance(model, HasModule) else None
    return {
        "name": info.name,
        "task": info.task,
        "classes": len(info.classes),
        "classes_named": not info.classes.are_numbered,
        "parameters": info.parameters,
        "weights_sha256": info.weights_sha256,
        "device": str(tensor.device) if tensor is not None else "unknown",
    }
