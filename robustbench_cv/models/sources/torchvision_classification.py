"""torchvision's classifiers, with the resizing, cropping and normalisation of their published evaluation."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.checkpoint import has_auxiliary_heads
from robustbench_cv.models.sources.torchvision_builders import Built, Request, build_module
from robustbench_cv.types import Labels

WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")
"""Builders with classifiers half way; their own random initialisation takes seconds and warns, so with init_weights=False it is torch's."""


def classification(request: Request, *, input_size: int | None = None) -> Classifier:
    """A classifier of torchvision.

    input_size: side in px of the square the network sees, instead of the published one; the margin cropped away stays in proportion. A
    vision transformer is built for it, and published position embeddings are interpolated as torchvision does. Auxiliary heads, which a
    prediction never asks, are there where the checkpoint brings them. UserError for a size that the network cannot have.
    """
    made = _build_sized(request, input_size)
    transforms = made.published.transforms()
    crop, short = transforms.crop_size[0], transforms.resize_size[0]
    side = input_size or getattr(made.module, "image_size", crop)  # what it was built for, where the published one is another
    if side != crop:
        crop, short = side, round(short * side / crop)
    names = made.names or Labels.numbered(request.num_classes or 0).names
    return classifier(
        made.module,
        name=request.title,
        classes=Labels(names),
        mean=transforms.mean,
        std=transforms.std,
        input_size=(crop, crop),
        resize="crop",
        short=short,
        interpolation=transforms.interpolation.value,
        weights=request.weights or "",
    )


def _build_sized(request: Request, input_size: int | None) -> Built:
    options: dict[str, Any] = {}
    if request.name in WITH_AUXILIARY_HEADS:
        options["init_weights"] = False
        if request.checkpoint:
            options["aux_logits"] = has_auxiliary_heads(request.checkpoint)
    if input_size is None:
        return build_module(request, options=options)
    sized = _size_option(request.name, input_size)
    try:
        made = build_module(request, options=options if request.weights else options | sized)
        if sized and request.weights:
            _interpolate_positions(request, made.module, input_size)
    except (AssertionError, ValueError) as error:
        # Their own checks of sizes; torchvision gives no other reason to fail here.
        raise UserError(f"torchvision:{request.name} cannot be built for input_size={input_size}: {str(error).splitlines()[0]}") from error
    return made


def _size_option(name: str, side: int) -> dict[str, Any]:
    """The builder's argument for the size of its images, for networks that are built for one."""
    from torchvision import models

    family = models.get_model_builder(name).__module__.rpartition(".")[2]
    if family == "vision_transformer":
        return {"image_size": side}
    return {"input_size": (side, side)} if family == "maxvit" else {}


def _interpolate_positions(request: Request, network: nn.Module, side: int) -> None:
    """A vision transformer with published weights for images of another size, in place."""
    from torchvision.models import VisionTransformer
    from torchvision.models.vision_transformer import interpolate_embeddings

    if not isinstance(network, VisionTransformer):
        raise UserError(f"torchvision:{request.name}: its weights serve no other size than their own; leave input_size out")
    if side % network.patch_size:
        raise UserError(f"torchvision:{request.name} needs an input_size that is a multiple of {network.patch_size}, not {side}")
    state = interpolate_embeddings(side, network.patch_size, OrderedDict(network.state_dict()))
    positions = state["encoder.pos_embedding"]
    network.encoder.pos_embedding = nn.Parameter(positions)
    network.image_size, network.seq_length = side, positions.shape[1]
