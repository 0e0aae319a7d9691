"""SegFormer. Xie, Wang, Yu, Anandkumar, Alvarez, Luo, NeurIPS 2021, https://arxiv.org/abs/2105.15203, through transformers."""

from __future__ import annotations

from typing import Any

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Segmenter
from robustbench_cv.models.sources.hf_segmentation import segformer_model

LARGE = (64, 128, 320, 512)
SIZES: dict[str, dict[str, Any]] = {
    "b0": {"depths": (2, 2, 2, 2), "hidden_sizes": (32, 64, 160, 256), "decoder_hidden_size": 256},
    "b1": {"depths": (2, 2, 2, 2), "hidden_sizes": LARGE, "decoder_hidden_size": 256},
    "b2": {"depths": (3, 4, 6, 3), "hidden_sizes": LARGE, "decoder_hidden_size": 768},
    "b3": {"depths": (3, 4, 18, 3), "hidden_sizes": LARGE, "decoder_hidden_size": 768},
    "b4": {"depths": (3, 8, 27, 3), "hidden_sizes": LARGE, "decoder_hidden_size": 768},
    "b5": {"depths": (3, 6, 40, 3), "hidden_sizes": LARGE, "decoder_hidden_size": 768},
}
"""Blocks and maps of each stage, and maps of the head, of the paper's six encoders (table 6)."""


@model(
    task="segmentation",
    family="SegFormer",
    paper="arXiv:2105.15203",
    year=2021,
    source="transformers",
    parameters=3_752_694,
    reduced="num_classes=3",
    extra="huggingface",
)
def segformer(
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    size: str = "b0",
) -> Segmenter:
    """SegFormer with the encoder MiT-B0 to B5, for images of any size.

    weights: a published model's name on the hub ("nvidia/segformer-b0-finetuned-ade-512-512"), which brings its own size. checkpoint: a
    weights file. With neither, random parameters, the same every time. classes: "a,b,c" or a text file; num_classes where names are not
    known (default 150, as ADE20K has). input_size: the side or 'WxH' to which images are scaled (default: as published, else as they are).
    size: of the encoder, b0 to b5.
    """
    if size not in SIZES:
        raise UserError(f"segformer has no size {size!r}; it has {', '.join(SIZES)}")
    return segformer_model(
        weights,
        configuration=SIZES[size],
        title=weights or ("segformer" if size == "b0" else f"segformer-{size}"),
        checkpoint=checkpoint,
        classes=classes,
        num_classes=num_classes,
        input_size=input_size,
    )
