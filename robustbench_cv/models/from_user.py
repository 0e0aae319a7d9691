"""What a user's own factory returns becomes a model: it is one already, or a bare torch module plus what the user says about it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, get_args, runtime_checkable

from torch import nn

from robustbench_cv.catalogue import MODELS
from robustbench_cv.code_lookups import Lookup, record_lookup
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import classifier, segmenter
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.labels import class_names
from robustbench_cv.registry import Product, Spec
from robustbench_cv.tasks import Task
from robustbench_cv.types import AnyModel, Labels

FACTS = ("task", "classes", "mean", "std", "channels", "input_size", "checkpoint", "name")
"""What can be said of a bare module, beside the factory's own arguments."""

DETECTORS = {"torchvision": "robustbench_cv.models.sources.torchvision_detection"}
"""By the library that a bare module comes from: the module whose `detector(module, names, name)` adapts its detectors, if it has one."""


TORCH_MODULE = Product("a torch module", ("forward", "state_dict"))
MODEL_OR_MODULE = Product("a model (info, raw, decode) or a torch module", MODELS.product.attributes, alternative=TORCH_MODULE)


@runtime_checkable
class LooksLikeModel(Protocol):
    """Enough of types.Model to tell one from a bare module."""

    @property
    def info(self) -> Any: ...
    def raw(self, images: Any, /) -> Any: ...
    def decode(self, raw: Any, /) -> Any: ...


def model_from_factory(spec: Spec, factory: Callable[..., Any]) -> AnyModel:
    """Call a file's factory and adapt what it returns.

    Arguments that the factory takes are its own; the rest are FACTS about a bare module. A factory that takes num_classes gets the number
    of `classes`. UserError where one is neither, or missing.
    """
    signature = inspect.signature(factory)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    own = {k: v for k, v in spec.args.items() if k in signature.parameters or (takes_all and k not in FACTS)}
    facts = {k: v for k, v in spec.args.items() if k not in own}
    if "num_classes" in signature.parameters and "num_classes" not in own and isinstance(spec.args.get("classes"), str):
        own["num_classes"] = len(class_names(str(spec.args["classes"])))
    unknown = sorted(set(facts) - set(FACTS))
    if unknown:
        raise UserError(f"{spec}: nothing takes {', '.join(unknown)}; the factory is {signature}, and of a module can be said {FACTS}")
    made = MODELS.call(spec, factory, own, MODEL_OR_MODULE)
    if isinstance(made, LooksLikeModel):
        if facts:
            raise UserError(f"{spec}: the factory returns a model, which says itself what it is; leave out {', '.join(facts)}")
        model: AnyModel = made
        return model
    return model_from_module(made, str(spec), facts)


def model_from_module(module: nn.Module, where: str, facts: Mapping[str, Any]) -> AnyModel:
    """A bare module as a model of its task. UserError where the facts do not say enough."""
    task, classes = facts.get("task"), facts.get("classes")
    if task not in get_args(Task) or classes is None:
        raise UserError(
            f"{where}: the factory returns a bare {type(module).__name__}; say what it is: "
            f"task='classification' (or 'segmentation', 'detection') and classes='a,b,c' (or a text file, one a line); "
            f"got task={task!r}, classes={classes!r}"
        )
    names = class_names(classes) if isinstance(classes, str) else tuple(classes)
    if facts.get("checkpoint") is not None:
        load_checkpoint(module, facts["checkpoint"], where)
    name = str(facts.get("name") or where.partition("(")[0])
    if task == "detection":
        return _detector(module, names, name)
    size = parse_numbers(facts.get("input_size"), "input_size")
    adapt: Callable[..., AnyModel] = classifier if task == "classification" else segmenter
    return adapt(
        module,
        name=name,
        classes=Labels(names),
        mean=parse_numbers(facts.get("mean"), "mean"),
        std=parse_numbers(facts.get("std"), "std"),
        channels=str(facts.get("channels") or "RGB"),
        input_size=None if size is None else (int(size[0]), int(size[-1])),
    )


def _detector(module: nn.Module, names: tuple[str, ...], name: str) -> AnyModel:
    adapter = DETECTORS.get(type(module).__module__.partition(".")[0])
    if adapter is None:
        raise UserError(
            f"{name}: a bare {type(module).__name__} cannot be taken as a detector, since no two agree on their output; return an object "
            "with info, raw(images) -> Candidates (boxes and log scores before threshold and suppression) and decode(candidates)"
        )
    record_lookup(Lookup("model", adapter))
    adapted: AnyModel = importlib.import_module(adapter).detector(module, names, name)
    return adapted


def parse_numbers(value: Any, what: str) -> tuple[float, ...] | None:
    """None, a number, a sequence of numbers, or a text such as "0.5,0.5,0.5"."""
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else (value,)
    try:
        return tuple(float(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what}={value!r} is not a list of numbers; write {what}='0.5,0.5,0.5'") from error
