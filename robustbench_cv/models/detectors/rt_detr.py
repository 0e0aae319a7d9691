"""RT-DETR, a transformer detector that runs in real time. Zhao et al., CVPR 2024, https://arxiv.org/abs/2304.08069"""

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
    paper="arXiv:2304.08069",
    year=2024,
    source="transformers",
    extra="huggingface",
    parameters=42_891_372,
    reduced="num_classes=3, input_size=64, queries=12, width=32, layers=2, stem=8",
)
def rt_detr(
    pretrained: bool = False,
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
    queries: PositiveInt = 300,
    width: PositiveInt = 256,
    layers: PositiveInt = 6,
    stem: PositiveInt = 64,
    threshold: Fraction = 0.001,
    operating_score: Fraction = 0.5,
) -> AnyModel:
    """RT-DETR of transformers with a ResNet-50-vd: the encoder's best places become queries, every class has a score of its own.

    pretrained: PekingU/rtdetr_r50vd. checkpoint: a weights file. With neither, random parameters, the same every time. classes: "a,b,c";
    num_classes where names are not known (default 80). input_size: side of the square to which images are stretched (default 640).
    queries, width (a multiple of 8), layers of the decoder, stem (maps of the backbone's stem; its stages have 4 to 32 times as many): the
    paper's by default. threshold: the least score decode keeps; operating_score: from where a box counts as reported. UserError where
    transformers is not installed.
    """
    if pretrained:
        return hf("PekingU/rtdetr_r50vd", pretrained=True, classes=classes, input_size=input_size, threshold=threshold)
    library: Any = need("huggingface", "rt-detr")
    given = class_names(classes) if classes else None
    stages = [stem * 4 * 2**i for i in range(4)]
    config = library.RTDetrConfig(
        num_labels=num_classes or (len(given) if given else 80),
        num_queries=queries,
        d_model=width,
        encoder_hidden_dim=width,
        encoder_ffn_dim=4 * width,
        decoder_ffn_dim=4 * width,
        decoder_layers=layers,
        encoder_in_channels=stages[1:],
        decoder_in_channels=[width] * 3,
        backbone_config=library.RTDetrResNetConfig(
            embedding_size=stem,
            hidden_sizes=stages,
            depths=[3, 4, 6, 3] if stem == 64 else [1, 1, 1, 1],
            out_features=["stage2", "stage3", "stage4"],
        ),
    )
    network = random_weights(library.RTDetrForObjectDetection, config)
    if checkpoint:
        load_checkpoint(network, checkpoint, "rt-detr")
    name = "rt-detr" if checkpoint else "rt-detr (random weights)"
    return hf_detector(network, name, given, ImageProcessor.of({}, "rt_detr", input_size), threshold, operating_score)
