"""Any segmenter of segmentation_models_pytorch on any of its encoders, and on any timm model that serves as one."""

from __future__ import annotations

import difflib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import NonNegativeInt, PositiveInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Segmenter, segmenter
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.labels import class_names
from robustbench_cv.models.optional_import import need
from robustbench_cv.models.sources.offline import missing_weights, reachable
from robustbench_cv.models.weights.initial_weights import parse_size
from robustbench_cv.recorded_reads import record_read
from robustbench_cv.types import Labels

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation that most encoders were trained with, and that random ones take too."""


@model(library="segmentation_models_pytorch")
def smp(
    name: str,
    *,
    encoder: str = "resnet34",
    encoder_weights: str | None = None,
    checkpoint: str | None = None,
    classes: str | None = None,
    num_classes: PositiveInt | None = None,
    input_size: NonNegativeInt | str = "",
) -> Segmenter:
    """A segmenter of segmentation_models_pytorch: smp:Unet(encoder='resnet34', encoder_weights='imagenet', classes='sky,road').

    name: its architecture (Unet, UnetPlusPlus, MAnet, Linknet, FPN, PSPNet, DeepLabV3, DeepLabV3Plus, PAN, UPerNet, Segformer, DPT).
    encoder: one of its encoders, or 'tu-NAME' for a timm model. encoder_weights: the library's name for published ones ('imagenet'); only
    the encoder is trained then, and the model's name says so. checkpoint: a file with all weights. Without both, random weights from a
    fixed seed. classes: "a,b,c" or a text file; num_classes where names are not known (default 2). input_size: the side or 'WxH' to which
    images are scaled; default as they are, padded by their own edge to what the encoder's stride divides. The normalisation is the
    encoder's own. UserError for unknown names, for weights that are neither here nor to be downloaded, and where the library is missing.
    """
    library: Any = need("segmentation", f"smp:{name}")
    given = class_names(classes) if classes else Labels.numbered(num_classes or 2).names
    if num_classes and len(given) != num_classes:
        raise UserError(f"smp:{name}: {len(given)} class names for num_classes={num_classes}; leave num_classes out")
    _check(library, name, encoder, encoder_weights)
    network = _build(library, name, encoder, encoder_weights, len(given), parse_size(input_size))
    if checkpoint:
        load_checkpoint(network, checkpoint, f"smp:{name}")
    mean, std = _statistics(library, encoder, encoder_weights)
    state = "" if checkpoint else " (random weights)" if encoder_weights is None else f" (only the encoder trained: {encoder_weights})"
    return segmenter(
        Padded(network, LEAST_PX.get(name.lower(), 1)),
        name=f"{name} {encoder}{state}",
        classes=Labels(given),
        mean=mean,
        std=std,
        input_size=parse_size(input_size),
        weights=encoder_weights or "",
    )


LEAST_PX = {"pan": 128}
"""The shortest side that an architecture can see: PAN halves its deepest map, of stride 16, three times more."""


class Padded(nn.Module):
    """(N, 3, H, W) -> (N, classes, H, W), any H and W: padded by its own edge to what the network's stride divides, and cut back.

    least: the shortest side that the network can see, px; smaller images are padded to it.
    """

    def __init__(self, network: nn.Module, least: int = 1) -> None:
        super().__init__()
        self.network, self.least = network, least
        encoder: Any = network.encoder
        self.stride = max(32, int(encoder.output_stride))

    def forward(self, x: Tensor) -> Tensor:
        """Class scores of every pixel."""
        height, width = x.shape[-2:]
        down, across = (max(self.least - side, -side % self.stride) for side in (height, width))
        x = F.pad(x, (0, across, 0, down), mode="replicate")
        scores: Tensor = self.network(x)
        return scores[..., :height, :width]


def _check(library: Any, name: str, encoder: str, weights: str | None) -> None:
    """The library's own errors list every name it has; ours, the closest."""
    _require_known(f"smp:{name}", "architecture", name.lower(), library.MODEL_ARCHITECTURES_MAPPING)
    if encoder.startswith("tu-"):
        from timm import is_model, list_models

        if not is_model(encoder.removeprefix("tu-")):
            _require_known(f"smp:{name}", "timm encoder", encoder.removeprefix("tu-"), dict.fromkeys(list_models()))
        return
    encoders = library.encoders.encoders
    _require_known(f"smp:{name}", "encoder", encoder, encoders)
    if weights is not None:
        _require_known(f"smp:{name}", f"weights of {encoder}", weights, encoders[encoder]["pretrained_settings"])


def _require_known(model: str, what: str, name: str, names: Any) -> None:
    if name in names:
        return
    close = difflib.get_close_matches(name, list(names), n=3) or (list(names) if len(names) < 20 else [])
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    raise UserError(f"{model}: segmentation_models_pytorch has no {what} {name!r}{hint}")


def _build(library: Any, name: str, encoder: str, weights: str | None, classes: int, size: tuple[int, int] | None) -> nn.Module:
    options: dict[str, Any] = {"encoder_name": encoder, "encoder_weights": None, "classes": classes}
    if weights is not None:
        record_read(None)  # the library reads what it finds in its cache
        options["encoder_weights"] = weights if not encoder.startswith("tu-") else True
        _downloadable(library, encoder, weights)
    if name.lower() == "dpt" and size is not None:
        options["dynamic_img_size"] = True
    # A fixed seed, so that random weights are the same in every process and a run on them can be resumed.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            network: nn.Module = library.create_model(name.lower(), **options)
        except OSError as error:
            origin = _origin(*_repository(library, encoder, weights or ""))
            raise missing_weights(f"smp encoder {encoder}", *origin, str(error).split("\n", maxsplit=1)[0]) from error
        except (TypeError, ValueError) as error:
            raise UserError(f"smp:{name} cannot stand on {encoder!r}: {str(error).splitlines()[0]}") from error
    return network


def _downloadable(library: Any, encoder: str, weights: str) -> None:
    """UserError where published weights are neither in the cache nor to be had."""
    from huggingface_hub import try_to_load_from_cache

    repository, revision = _repository(library, encoder, weights)
    cached_file = try_to_load_from_cache(repository, "model.safetensors", revision=revision)
    url, folder = _origin(repository, revision)
    if not isinstance(cached_file, str) and not reachable(url):
        raise missing_weights(f"smp encoder {encoder}", url, folder, "no network")


def _repository(library: Any, encoder: str, weights: str) -> tuple[str, str]:
    """Where the hub keeps an encoder's weights: repository and revision. UserError for a timm model that has none there."""
    if not encoder.startswith("tu-"):
        settings = library.encoders.encoders[encoder]["pretrained_settings"][weights]
        return settings["repo_id"], settings["revision"]
    from timm import get_pretrained_cfg

    config = get_pretrained_cfg(encoder.removeprefix("tu-"))
    if config is None or not config.hf_hub_id:
        raise UserError(f"timm has no weights for {encoder.removeprefix('tu-')!r}; leave encoder_weights out for random ones")
    return str(config.hf_hub_id), "main"


def _origin(repository: str, revision: str) -> tuple[str, str]:
    """Where weights are published, and the folder in which they are looked for."""
    from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE

    folder = f"{HF_HUB_CACHE} (as `hf download {repository} --revision {revision}` lays it out there)"
    return f"{ENDPOINT}/{repository}/resolve/{revision}/model.safetensors", folder


def _statistics(library: Any, encoder: str, weights: str | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of [0, 1] pixels with which an encoder was trained. UserError for encoders that take another range or BGR."""
    if weights is None:
        return IMAGENET
    parameters = library.encoders.get_preprocessing_params(encoder, pretrained=weights)
    if parameters["input_space"] != "RGB":
        raise UserError(f"the encoder {encoder!r} takes {parameters['input_space']} images, which this source does not; choose another")
    top = parameters["input_range"][1]
    return tuple(v / top for v in parameters["mean"]), tuple(v / top for v in parameters["std"])
