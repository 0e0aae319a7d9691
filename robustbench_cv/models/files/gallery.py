"""An embedder as a classifier: identities are known by a few pictures each, and the nearest picture decides."""

from __future__ import annotations

from typing import Any

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import DATASETS, model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier
from robustbench_cv.models.build import build
from robustbench_cv.models.embedders import embedder as embedders


@model()
def gallery(embedder: str, *, data: str = "scenes(split='train')", shots: PositiveInt = 5) -> Classifier:
    """What attacks, interventions and suites take: gallery:facenet, or gallery(embedder="facenet(checkpoint='mine.safetensors')").

    embedder: spec of one. data: spec of a classification data set whose classes are the identities; its first `shots` pictures of each are
    the gallery (fewer where there are fewer). The score of an identity is minus the distance to the nearest of its pictures. UserError for
    a model that is no embedder and for identities without a picture.
    """
    known: Any = build(embedder, device="cpu")
    if not isinstance(known, embedders.Embedder):
        raise UserError(f"{embedder} is for {known.info.task}, a gallery needs an embedder: facenet or siamese")
    if shots < 1:
        raise UserError(f"shots={shots}: the gallery needs at least one picture of each identity")
    dataset = DATASETS.build(data, task="classification")
    left = [shots] * len(dataset.labels)
    images, labels = [], []
    for index in range(len(dataset)):
        if not any(left):
            break
        sample: Any = dataset[index]
        if left[sample.target.label]:
            left[sample.target.label] -= 1
            images.append(sample.image)
            labels.append(sample.target.label)
    return embedders.gallery(known, images, labels, dataset.labels.names)
