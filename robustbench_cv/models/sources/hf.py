"""Detectors and SegFormers of transformers: from the hub, from a folder, or a published design with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from robustbench_cv.arguments import ClassCount, Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.optional_import import need
from robustbench_cv.models.sources.hf_detection import ImageProcessor, hf_detector
from robustbench_cv.models.sources.hf_segmentation import segformer_model
from robustbench_cv.models.sources.offline import reachable
from robustbench_cv.recorded_reads import record_read
from robustbench_cv.types import AnyModel

FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
"""What a published model is made of; the last may be missing."""


@model()
def hf(
    name: str,
    *,
    pretrained: bool = False,
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt = 0,
    threshold: Fraction = 0.001,
    operating_score: Fraction = 0.5,
) -> AnyModel:
    """A model of the hub or of a folder: hf:facebook/detr-resnet-50(pretrained=True), hf:/data/my-detr(pretrained=True).

    name: on the hub, or a folder with config.json (and model.safetensors, preprocessor_config.json). pretrained: with its weights; without
    them and a checkpoint file the weights are random, from a fixed seed, and the name says so. classes: "a,b,c" or a text file, else those
    of the configuration. num_classes: for random weights. input_size: px of the short side that the network sees. threshold: the least
    score decode keeps; operating_score: from where a box counts as reported. Only safetensors are read, and no code of a repository runs.
    UserError where transformers is not installed, for a model that is neither here nor to be downloaded, and for other kinds of models.
    """
    what = f"hf:{name}"
    library: Any = need("huggingface", what)
    if pretrained and checkpoint:
        raise UserError(f"{what}: give pretrained=True or checkpoint, not both")
    place = _locate(name, ("config.json", "model.safetensors") if pretrained else ("config.json",))
    config = library.AutoConfig.from_pretrained(place.name, local_files_only=place.here)
    if config.model_type == "segformer" and pretrained:
        return segformer_model(name, classes=classes, input_size=input_size or "")
    if type(config) not in library.AutoModelForObjectDetection._model_mapping:
        raise UserError(f"{what} is a {config.model_type!r}, not an object detector; of segmenters, SegFormers with pretrained=True serve")
    given = class_names(classes) if classes else None
    count = num_classes or (len(given) if given else 0)
    if count and not pretrained and count != config.num_labels:
        config.num_labels = count
    title = name if pretrained or checkpoint else f"{name} (random weights)"
    network = _load(library, config, place, what) if pretrained else random_weights(library.AutoModelForObjectDetection.from_config, config)
    if checkpoint:
        load_checkpoint(network, checkpoint, what)
    sight = _sight(place, config.model_type, input_size)
    return hf_detector(network, title, given, sight, threshold, operating_score, weights=name if pretrained else "")


class Place(NamedTuple):
    """Where a model is: its name or folder, and whether every file that is needed is on this machine."""

    name: str
    here: bool


def _locate(name: str, wanted: tuple[str, ...]) -> Place:
    """UserError, naming the first missing file and where it belongs, where it is neither here nor to be downloaded."""
    folder = Path(name).expanduser()
    record_read(None)  # the library reads what it finds there
    if folder.is_dir():
        missing = [file for file in wanted if not (folder / file).is_file()]
        if missing:
            raise UserError(f"hf:{name}: the folder has no {missing[0]}; a model is {', '.join(FILES)}, as save_pretrained() writes them")
        return Place(str(folder), True)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE
    from huggingface_hub.errors import HFValidationError

    try:
        missing = [file for file in wanted if not isinstance(try_to_load_from_cache(name, file), str)]
    except HFValidationError as error:
        raise UserError(
            f"hf:{name} is neither a folder (looked from {Path.cwd()}) nor a name of the hub such as facebook/detr-resnet-50"
        ) from error
    if missing and not reachable(ENDPOINT):
        raise UserError(
            f"hf:{name}: its {missing[0]} is not on this machine and cannot be downloaded (no network). Where there is one, get "
            f"{ENDPOINT}/{name}/resolve/main/{missing[0]} (of {', '.join(FILES)}) into a folder and write hf:FOLDER"
            f"{'(pretrained=True)' * ('model.safetensors' in wanted)}; or run `hf download {name}` there and bring {HF_HUB_CACHE}"
        )
    return Place(name, not missing)


def _load(library: Any, config: Any, place: Place, what: str) -> nn.Module:
    _own_backbone_only(config)
    try:
        network: nn.Module = library.AutoModelForObjectDetection.from_pretrained(
            place.name, config=config, local_files_only=place.here, use_safetensors=True
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{what}: its weights cannot be read ({str(error).splitlines()[0]})") from error
    return network


def random_weights(build: Any, config: Any) -> nn.Module:
    """A network of a configuration, its parameters random, the same every time; nothing is downloaded for its backbone."""
    _own_backbone_only(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = build(config)
    return network


def _own_backbone_only(config: Any) -> None:
    """A detector's file holds its backbone too; without this, transformers fetches another one for it first."""
    for part in (config, getattr(config, "backbone_config", None)):
        if part is not None and part is not None and getattr(part, "use_pretrained_backbone", False):
            part.use_pretrained_backbone = False


def _sight(place: Place, kind: str, input_size: int) -> ImageProcessor:
    """How the model sees images: what its preprocessor_config.json says, else what its kind was published with."""
    from huggingface_hub import try_to_load_from_cache

    path = Path(place.name) / "preprocessor_config.json"
    if not path.is_file():
        cached = try_to_load_from_cache(place.name, "preprocessor_config.json") if not Path(place.name).is_dir() else None
        path = Path(cached) if isinstance(cached, str) else path
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return ImageProcessor.of(said, kind, input_size)
