"""SegFormers of transformers: from a published model, or from a configuration with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.optional_import import need
from robustbench_cv.models.sources.offline import missing_weights, reachable
from robustbench_cv.models.weights.initial_weights import parse_size
from robustbench_cv.recorded_reads import record_read
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
    """A SegFormer: the published model `name` ("nvidia/segformer-b0-finetuned-ade-512-512"), or `configuration`, random.

    name: on the hub, a folder, or "" for `configuration` (arguments of transformers' SegformerConfig). title: its name in tables (default
    `name`). checkpoint: a weights file for the configuration. classes: "a,b,c" or a text file, else those of the published model.
    input_size: the side or 'WxH' to which images are scaled (default: as the model was published, else as they are). UserError where
    transformers is not installed, and for a model that is neither in the cache nor to be downloaded.
    """
    what = title or name
    library: Any = need("huggingface", what)
    given = class_names(classes) if classes else None
    if name:
        made = _published_files(library, name)
    else:
        count = num_classes or (len(given) if given else 150)
        made = Published(_random(library, configuration or {}, count), Labels.numbered(count).names)
    if checkpoint:
        load_checkpoint(made.network, checkpoint, what)
    if given and len(given) != len(made.names):
        raise UserError(f"{what}: {len(given)} class names for {len(made.names)} outputs; give one for each, in the weights' order")
    return segmenter(
        Scores(made.network),
        name=what if name or checkpoint else f"{what} (random weights)",
        classes=Labels(given or made.names),
        mean=made.mean,
        std=made.std,
        input_size=parse_size(input_size) or made.size,
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


class Published(NamedTuple):
    """A published network, its class names, and how it was evaluated: size (h, w), mean and deviation of [0, 1] pixels."""

    network: nn.Module
    names: tuple[str, ...]
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD


def _published_files(library: Any, name: str) -> Published:
    """Only safetensors are read, and no code of a repository runs."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE

    record_read(None)  # the library reads what it finds in its cache
    url, folder = f"{ENDPOINT}/{name}", f"{HF_HUB_CACHE} (as `hf download {name}` lays it out there)"
    here = Path(name).is_dir() or isinstance(try_to_load_from_cache(name, "config.json"), str)
    if not here and not reachable(url):
        raise missing_weights(name, url, folder, "no network")
    try:
        network: Any = library.SegformerForSemanticSegmentation.from_pretrained(name, local_files_only=here, use_safetensors=True)
    except OSError as error:
        raise missing_weights(name, url, folder, str(error).split("\n", maxsplit=1)[0]) from error
    try:
        prepare: Any = library.SegformerImageProcessor.from_pretrained(name, local_files_only=here)
    except OSError:  # it says nothing of its preparation: then it is what the class does
        prepare = library.SegformerImageProcessor()
    names = tuple(str(network.config.id2label[i]) for i in range(network.config.num_labels))
    size = (int(prepare.size["height"]), int(prepare.size["width"]))
    return Published(network, _distinct(names), size, tuple(prepare.image_mean), tuple(prepare.image_std))


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names, a number after those that come again: classes are matched by name."""
    return tuple(name if names.index(name) == i else f"{name} ({i})" for i, name in enumerate(names))
