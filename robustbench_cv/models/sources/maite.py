"""A model that follows MAITE's protocols, from a file of yours."""

from __future__ import annotations

from typing import Literal

from robustbench_cv.arguments import PositiveNumber
from robustbench_cv.catalogue import MODELS, model
from robustbench_cv.maite import model_from_maite
from robustbench_cv.models.labels import class_names
from robustbench_cv.registry import Product, Spec
from robustbench_cv.types import AnyModel

_THEIRS = Product("a MAITE model (metadata, __call__)", ("metadata",), is_callable=True)


@model()
def maite(
    path: str,
    *,
    task: Literal["classification", "detection"],
    scale: PositiveNumber,
    scores: Literal["probabilities", "logits"] | None = None,
    classes: str | None = None,
) -> AnyModel:
    """maite:file.py:factory(task='detection', scale=255): what the factory returns is called with images (C, H, W).

    task: their protocols of both look alike. scale: what a pixel of 1 becomes. scores: what a classifier returns, probabilities or logits.
    classes: "a,b,c" or a text file, where its metadata have no index2label. UserError where one of these is needed and not said.
    """
    spec = Spec.parse(path)
    factory = MODELS.factory(spec)
    made = MODELS.call(spec, factory, {}, _THEIRS)
    return model_from_maite(made, task, scale=scale, scores=scores, classes=None if classes is None else class_names(classes))
