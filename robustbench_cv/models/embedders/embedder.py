"""An embedder: pixels in [0, 1] become a vector, and the distance of two vectors says whether the pictures show the same.

It has no classes, so that no attack, metric or suite judges it by itself: `gallery` makes a classifier of it, which all of them take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, Prepared, classifier, freeze, weights_sha256
from robustbench_cv.models.preprocessing import Preprocessing
from robustbench_cv.models.weights.initial_weights import InitialWeights
from robustbench_cv.types import Labels


class Twins(nn.Module):
    """A network of one twin: images (N, channels, h, w) -> vectors (N, D)."""

    def between(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance of each pair of vectors, (N, D) and (N, D) -> (N,): the smaller, the likelier the same."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Raw output of an embedder: vectors (N, D)."""

    values: Tensor


@dataclass(frozen=True)
class EmbedderInfo:
    """What is known of an embedder without running it."""

    name: str
    weights_sha256: str
    parameters: int
    task: Literal["embedding"] = "embedding"

    @property
    def classes(self) -> Labels:
        """None."""
        return Labels(())


@dataclass(frozen=True, eq=False)
class Embedder:
    """A network of one twin with its preprocessing inside; frozen, in eval mode."""

    module: Prepared
    info: EmbedderInfo

    def raw(self, images: Tensor, /) -> Embeddings:
        """Vectors of images (N, 3, H, W) in [0, 1]. Differentiable."""
        return Embeddings(self.module(images))

    def decode(self, raw: Embeddings, /) -> list[Tensor]:
        """One vector (D,) an image, on the CPU."""
        return list(raw.values.detach().float().cpu())

    def distance(self, first: Embeddings, second: Embeddings, /) -> Tensor:
        """Of pairs, (N,), differentiable; `verification` has the threshold and the rates."""
        return _twins(self.module).between(first.values, second.values)


def embedder(network: Twins, begin: InitialWeights) -> Embedder:
    """Freeze a network and give it its preprocessing."""
    prepared = freeze(Prepared(network, Preprocessing(begin.mean, begin.std, begin.input_size)))
    digest = weights_sha256(prepared, "embedding", repr(prepared.prepare))
    return Embedder(prepared, EmbedderInfo(begin.name, digest, sum(p.numel() for p in prepared.parameters())))


def gallery(known: Embedder, images: Sequence[Tensor], labels: Sequence[int], names: Sequence[str]) -> Classifier:
    """A classifier: an image is of the identity whose picture in the gallery is nearest, as in one-shot recognition (Koch et al. 2015).

    images: (3, H, W) in [0, 1]; labels: the identity of each, an index of `names`. The score of an identity is minus the distance to the
    nearest of its pictures; softmax of these is no calibrated probability. UserError where an identity has no picture.
    """
    missing = [name for i, name in enumerate(names) if i not in labels]
    if missing:
        raise UserError(f"the gallery has no picture of {', '.join(missing)}; give at least one of each of the {len(names)}")
    device = next(known.module.parameters()).device
    with torch.no_grad():
        vectors = torch.cat([known.raw(image[None].to(device)).values for image in images])
    network = Nearest(known.module, vectors, torch.tensor(labels, device=device), len(names))
    return classifier(network, name=f"gallery({known.info.name})", classes=Labels(tuple(names)), weights=known.info.weights_sha256)


class Nearest(nn.Module):
    """(N, 3, H, W) -> (N, identities): minus the distance to the nearest known vector of each."""

    vectors: Tensor
    labels: Tensor

    def __init__(self, twin: Prepared, vectors: Tensor, labels: Tensor, identities: int) -> None:
        super().__init__()
        self.twin, self.identities = twin, identities
        self.register_buffer("vectors", vectors)
        self.register_buffer("labels", labels)

    def forward(self, images: Tensor) -> Tensor:
        """Differentiable but where two pictures are equally near."""
        asked = self.twin(images)
        pairs = asked.repeat_interleave(len(self.vectors), dim=0), self.vectors.repeat(len(asked), 1)
        far = _twins(self.twin).between(*pairs).view(len(asked), len(self.vectors))
        return torch.stack([-far[:, self.labels == i].amin(dim=1) for i in range(self.identities)], dim=1)


def _twins(prepared: Prepared) -> Twins:
    network: Any = prepared.net
    twins: Twins = network
    return twins
