"""Any timm classifier, with the input size, crop and normalisation of its own configuration."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.sources.offline import missing_weights, reachable
from robustbench_cv.recorded_reads import record_read
from robustbench_cv.types import Labels


@model(library="timm")
def timm(
    name: str,
    *,
    pretrained: bool = False,
    checkpoint: str | None = None,
    classes: str | None = None,
    num_classes: PositiveInt | None = None,
    input_size: PositiveInt | None = None,
) -> Classifier:
    """A timm classifier: timm:resnet50.a1_in1k(pretrained=True).

    pretrained: timm's weights; without them and a checkpoint file the weights are random, from a fixed seed, and the name says so.
    classes: "a,b,c" or a text file, one a line; ImageNet's names where the model has its 1000 classes. input_size: side in px that the
    network sees. UserError for unknown names, and for weights that are neither here nor to be downloaded, saying what to put where.
    """
    given = class_names(classes) if classes else None
    if pretrained and checkpoint:
        raise UserError(f"timm:{name}: give pretrained=True or checkpoint, not both")
    module = _module(name, pretrained, num_classes or (len(given) if given else None), input_size)
    if checkpoint:
        load_checkpoint(module, checkpoint, f"timm:{name}")
    return _adapt(module, name if pretrained or checkpoint else f"{name} (random weights)", given, num_classes, input_size)


def _adapt(module: nn.Module, title: str, given: tuple[str, ...] | None, count: int | None, input_size: int | None) -> Classifier:
    from timm.data.config import resolve_data_config

    resolve: Callable[..., dict[str, Any]] = resolve_data_config
    config = resolve({}, model=module)
    height, width = (input_size, input_size) if input_size else config["input_size"][-2:]
    squash = config["crop_mode"] == "squash"
    return classifier(
        module,
        name=title,
        classes=Labels(given) if given else _labels(module, count),
        mean=config["mean"],
        std=config["std"],
        input_size=(height, width),
        resize="stretch" if squash else "crop",
        short=None if squash else int(max(height, width) / config["crop_pct"]),
        interpolation=config["interpolation"],
    )


def _labels(module: nn.Module, count: int | None) -> Labels:
    """ImageNet's names for a head of 1000 that the user left as it is: torchvision's list, so that both sources agree."""
    outputs: Any = module.num_classes
    if count is None and outputs == 1000:
        from torchvision.models import ResNet18_Weights

        return Labels(tuple(ResNet18_Weights.DEFAULT.meta["categories"]))
    return Labels.numbered(outputs)


def _module(name: str, pretrained: bool, count: int | None, input_size: int | None) -> nn.Module:
    from timm import create_model, get_pretrained_cfg, is_model

    if not is_model(name):
        raise UserError(f"timm has no model {name!r}{_close(name)}")
    try:
        config = get_pretrained_cfg(name)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"timm has {name.partition('.')[0]} but not with those weights{_close(name)}") from error
    if config is not None and config.crop_mode not in ("center", "squash"):
        raise UserError(f"timm:{name} pads images ({config.crop_mode!r}), which this source does not; write a factory of your own for it")
    options: dict[str, Any] = {} if count is None else {"num_classes": count}
    if input_size is not None and config is not None and config.fixed_input_size:
        options["img_size"] = input_size
    if pretrained:
        if config is None or not config.has_weights:
            raise UserError(f"timm has no weights for {name!r}; {_tags(name)}")
        if count is not None and count != config.num_classes:
            raise UserError(f"timm:{name}: its weights have {config.num_classes} classes, not {count}; leave out num_classes and classes")
        options["pretrained_cfg_overlay"] = overlay = _cached_overlay(name, config)
        # What the hub's cache means by a name may be another file tomorrow.
        record_read(None if config.hf_hub_id or "file" not in overlay else Path(overlay["file"]))
    # A fixed seed, so that random weights are the same in every process and a run on them can be resumed.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            module: nn.Module = create_model(name, pretrained=pretrained, **options)
        except OSError as error:
            raise missing_weights(f"timm:{name}", _url(config), _folder(config), str(error).split("\n", maxsplit=1)[0]) from error
        except (AssertionError, ValueError, RuntimeError, ArithmeticError) as error:
            given = ", ".join(f"{key}={value}" for key, value in (("num_classes", count), ("input_size", input_size)) if value is not None)
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"timm:{name} cannot be built with {given or 'its own settings'}: {reason}") from error
    return module


def _cached_overlay(name: str, config: Any) -> dict[str, str]:
    """The cached file as an overlay of the configuration, or nothing where timm shall download. UserError where it cannot."""
    if config.hf_hub_id:
        from huggingface_hub import try_to_load_from_cache

        names = [config.hf_hub_filename] if config.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
        cached = (try_to_load_from_cache(config.hf_hub_id, file) for file in names)
        path = next((path for path in cached if isinstance(path, str)), None)
    else:
        file = Path(torch.hub.get_dir()) / "checkpoints" / str(config.url).rsplit("/", 1)[-1]
        path = str(file) if file.is_file() else None
    if path is not None:
        return {} if config.custom_load else {"file": path}
    if not reachable(_url(config)):
        raise missing_weights(f"timm:{name}", _url(config), _folder(config), "no network")
    return {}


def _url(config: Any) -> str:
    if not config.hf_hub_id:
        return str(config.url)
    from huggingface_hub.constants import ENDPOINT

    return f"{ENDPOINT}/{config.hf_hub_id}/resolve/main/{config.hf_hub_filename or 'model.safetensors'}"


def _folder(config: Any) -> str:
    if not config.hf_hub_id:
        return str(Path(torch.hub.get_dir()) / "checkpoints")
    from huggingface_hub.constants import HF_HUB_CACHE

    return f"{HF_HUB_CACHE} (as `hf download {config.hf_hub_id}` lays it out there)"


def _tags(name: str) -> str:
    from timm import list_pretrained

    tags = list_pretrained(f"{name.partition('.')[0]}.*")
    return f"there are weights {', '.join(tags[:5])}" if tags else "leave out pretrained=True for random ones, or give a checkpoint"


def _close(name: str) -> str:
    from timm import list_models

    names = list_models(pretrained=True) + list_models() if "." in name else list_models()
    close = difflib.get_close_matches(name, names, n=3)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
