"""DETR, a set of boxes from a transformer. Carion et al., ECCV 2020, https://arxiv.org/abs/2005.12872"""

from __future__ import annotations

from typing import Any

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt, PositiveInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.optional_import import need
from robustbench_cv.models.sources.hf import hf, random_weights
from robustbench_cv.models.sources.hf_detection import ImageProcessor, hf_detector
from robustbench_cv.types import AnyModel


@model(
    task="detection",
    family="DETR",
    paper="arXiv:2005.12872",
    year=2020,
    source="transformers",
    extra="huggingface",
    parameters=41_524_768,
    reduced="num_classes=3, input_size=64, queries=12, width=32, layers=2, backbone='test_resnet'",
)
def detr(
    pretrained: bool = False,
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
    queries: PositiveInt = 100,
    width: PositiveInt = 256,
    layers: PositiveInt = 6,
    backbone: str = "resnet50",
    threshold: Fraction = 0.001,
    operating_score: Fraction = 0.5,
) -> AnyModel:
    """DETR of transformers with a ResNet-50: every query is a box with one class or none, and nothing is suppressed.

    pretrained: facebook/detr-resnet-50. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 91, COCO's numbers with their gaps, as published). input_size: px of the short side
    (default 800, the long one at most 1333). queries, width (a multiple of 8), layers of encoder and of decoder, backbone (timm's name):
    the paper's by default. threshold: the least score decode keeps; operating_score: from where a box counts as reported. UserError where
    transformers is not installed.
    """
    if pretrained:
        return hf("facebook/detr-resnet-50", pretrained=True, classes=classes, input_size=input_size, threshold=threshold)
    library: Any = need("huggingface", "detr")
    given = class_names(classes) if classes else None
    config = library.DetrConfig(
        num_labels=num_classes or (len(given) if given else 91),
        num_queries=queries,
        d_model=width,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_ffn_dim=8 * width,
        decoder_ffn_dim=8 * width,
        backbone_config=library.TimmBackboneConfig(backbone=backbone, use_pretrained_backbone=False, out_indices=[1, 2, 3, 4]),
    )
    network = random_weights(library.DetrForObjectDetection, config)
    if checkpoint:
        load_checkpoint(network, checkpoint, "detr")
    name = "detr" if checkpoint else "detr (random weights)"
    return hf_detector(network, name, given, ImageProcessor.of({}, "detr", input_size), threshold, operating_score)
