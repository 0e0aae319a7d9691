"""SegFormers of transformers: from a published model, or from a configuration with random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.sources.extras import need
from robustbench_cv.models.sources.offline import missing_weights, reachable
from robustbench_cv.models.weights.start import parse_size
from robustbench_cv.types import Labels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What SegFormers were trained with."""


def segformer_model(
    name: str,
    *,
    configuration: dict[str, Any] | None = None,
    title: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: int = 0,
    input_size: int | str = "",
) -> Segmenter:
    """A SegFormer: the published model `name` ("nvidia/segformer-b0-finetuned-ade-512-512"), or `configuration` with random weights.

    name: on the hub, or "" for `configuration` (arguments of transformers' SegformerConfig). title: its name in tables (default `name`).
    checkpoint: a weights file for the configuration. classes: "a,b,c" or a text file, else those of the published model. input_size: the
    side or 'WxH' to which images are scaled (default: 512x512 for a published model as it was trained, else as they are). UserError where
    transformers is not installed, and for a model that is neither in the cache nor to be downloaded.
    """
    what = title or name
    library: Any = need("huggingface", what)
    given = class_names(classes) if classes else None
    if name:
        network, names, size = _published(library, name)
    else:
        count = num_classes or (len(given) if given else 150)
        network, names, size = _random(library, configuration or {}, count), Labels.numbered(count).names, None
    if checkpoint:
        load_checkpoint(network, checkpoint, what)
    if given and len(given) != len(names):
        raise UserError(f"{what}: {len(given)} class names for {len(names)} outputs; give one for each, in the weights' order")
    return segmenter(
        Scores(network),
        name=what if name or checkpoint else f"{what} (random weights)",
        classes=Labels(given or names),
        mean=MEAN,
        std=STD,
        input_size=parse_size(input_size) or size,
        weights=name,
    )


class Scores(nn.Module):
    """(N, 3, H, W) -> (N, classes, ceil(H / 4), ceil(W / 4)): what transformers' segmenters keep under "logits"."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every fourth pixel."""
        scores: Tensor = self.network(pixel_values=x).logits
        return scores


def _random(library: Any, configuration: dict[str, Any], classes: int) -> nn.Module:
    # A fixed seed, so that random weights are the same in every process and a run on them can be resumed.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: nn.Module = library.SegformerForSemanticSegmentation(library.SegformerConfig(num_labels=classes, **configuration))
    return made


def _published(library: Any, name: str) -> tuple[nn.Module, tuple[str, ...], tuple[int, int]]:
    """The network, its class names and the size (h, w) at which it was evaluated."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE

    url, folder = f"{ENDPOINT}/{name}", f"{HF_HUB_CACHE} (as `hf download {name}` lays it out there)"
    cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    if not cached and not reachable(url):
        raise missing_weights(name, url, folder, "no network")
    try:
        network: Any = library.SegformerForSemanticSegmentation.from_pretrained(name, local_files_only=cached)
        prepare: Any = library.AutoImageProcessor.from_pretrained(name, local_files_only=cached)
    except OSError as error:
        raise missing_weights(name, url, folder, str(error).split("\n", maxsplit=1)[0]) from error
    names = tuple(str(network.config.id2label[i]) for i in range(network.config.num_labels))
    size = prepare.size
    return network, _distinct(names), (int(size["height"]), int(size["width"]))


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names, a number after those that come again: classes are matched by name."""
    return tuple(name if names.index(name) == i else f"{name} ({i})" for i, name in enumerate(names))
