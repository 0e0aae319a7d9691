"""A classifier of ImageNet's 1000 classes, answering in the nine of ImageNet-9."""

from __future__ import annotations

import torch

from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.build import build
from robustbench_cv.models.imagenet9 import as_imagenet9


@model(paper="arXiv:2006.09994")
def imagenet9(model: str) -> Classifier:
    """imagenet9:timm:resnet50, or imagenet9(model="timm:resnet50(pretrained=True)"): what `imagenet9:` data make of such a model.

    The most probable of the 1000 classes comes first and is then one of the nine, or none and so wrong. Images of the network's own size
    are neither scaled nor cropped, whatever its usual evaluation does. UserError for a model of other classes.
    """
    return as_imagenet9(build(model, device=torch.get_default_device()))
