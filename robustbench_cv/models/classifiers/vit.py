"""Vision transformer. Dosovitskiy et al., ICLR 2021, https://arxiv.org/abs/2010.11929"""

from __future__ import annotations

from torch import nn

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.classifiers.library import from_timm
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="ViT",
    paper="arXiv:2010.11929",
    year=2020,
    source="timm",
    parameters=86_567_656,
    reduced="input_size=32",
)
def vit(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
) -> Classifier:
    """ViT-B/16: a transformer over patches of 16x16 px. Other sizes: timm:vit_large_patch16_224.

    weights: timm's tag ("augreg2_in21k_ft_in1k"), or "DEFAULT". checkpoint: a file instead. With neither, random parameters, the same every
    time. classes: "a,b,c" or a text file; num_classes where names are not known (default ImageNet's 1000). input_size: side in px.
    """
    return from_timm(
        "vit",
        "vit_base_patch16_224",
        weights=weights,
        checkpoint=checkpoint,
        classes=classes,
        num_classes=num_classes,
        input_size=input_size,
    )


@model(
    task="classification",
    family="ViT",
    paper="arXiv:2010.11929",
    year=2020,
    source="timm",
    parameters=317_130,
    reduced="depth=2, num_classes=5, input_size=32",
)
def vit_mini(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    depth: NonNegativeInt = 0,
) -> Classifier:
    """ViT in small: patches of 8x8 px, four heads of 16; the mean of the patches is classified, not a token of its own.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 10). input_size: the side or 'WxH' in multiples of 8 px (default: what
    the weights were trained at, else 64). depth: blocks (default 6).
    """
    default = Description(architecture="vit-mini", classes=Labels.numbered(10).names, input_size=(64, 64), arguments={"depth": 6})
    begin = initial_weights("vit-mini", weights, checkpoint, classes, num_classes, input_size, default=default, depth=depth)
    size = begin.input_size or (64, 64)
    network = begin.make(lambda: mini_vit(len(begin.classes), size, begin.arguments["depth"]))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=size)


def mini_vit(classes: int, size: tuple[int, int], depth: int) -> nn.Module:
    """(N, 3, *size) -> (N, classes). UserError where no whole number of patches fits."""
    from timm.models.vision_transformer import VisionTransformer

    if size[0] % 8 or size[1] % 8:
        raise UserError(f"vit-mini cuts images into patches of 8x8 px; give an input_size in multiples of 8, not {size[1]}x{size[0]}")
    network: nn.Module = VisionTransformer(
        img_size=size, patch_size=8, num_classes=classes, embed_dim=64, depth=depth, num_heads=4, class_token=False, global_pool="avg"
    )
    return network
