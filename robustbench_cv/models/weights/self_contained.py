"""Whether the network that a weights file names can be built from what is installed alone: no file, no download, no code of anyone's.

What comes with weights never names code to run; only what the user types does.
"""

from __future__ import annotations

import re
from pathlib import Path

from robustbench_cv.catalogue import MODELS
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Scalar, Spec

FROM_ELSEWHERE = ("weights", "pretrained", "checkpoint", "key", "classes", "num_classes", "encoder_weights", "trust", "data", "embedder")
"""Arguments that fetch something, or that the file says otherwise."""

FILE_SUFFIXES = (".py", ".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".cfg", ".weights", ".yaml", ".yml", ".json", ".txt")

PLAIN = re.compile(r"[\w.+-]+")
"""A name of a network, of an encoder or of an operator; not a path and not an address."""


def self_contained(architecture: str, file: Path) -> Spec:
    """The spec that a weights file names as its network. UserError where that is no network of this package or of a library it adapts."""
    reason, spec = _read(architecture)
    if spec is None or reason:
        raise UserError(
            f"{file} says that its network is {_shorten(architecture)}, {reason}: a weights file may name an architecture of this "
            "package or of a library (timm:, torchvision:, smp:, ultralytics:), and never a file, a download or code. "
            f"If you trust that network, name it yourself: finetuned:{file}(architecture='...')"
        )
    return spec


def is_self_contained(spec: Spec) -> bool:
    """Whether a weights file may name this network."""
    return not _objection(spec)


def _read(architecture: str) -> tuple[str, Spec | None]:
    try:
        spec = Spec.parse(architecture)
    except UserError:
        return "which is no spec", None
    return _objection(spec), spec


def _objection(spec: Spec) -> str:
    """Why a file may not name a network; empty where it may."""
    entry = MODELS.entries().get(spec.name.replace("_", "-"))
    if spec.name.endswith(".py") or (spec.target or "").endswith(".py"):
        return "which is code"
    if entry is None or entry.path is not None or not entry.module.startswith("robustbench_cv."):
        return "which is not registered in this package"
    if "parameters" not in entry.facts and not entry.facts.get("library"):
        return "which reads files of its own"
    fetched = sorted(name for name in FROM_ELSEWHERE if spec.args.get(name))
    if fetched:
        return f"with {fetched[0]}={spec.args[fetched[0]]!r}"
    if any(not _is_plain(value) for value in (spec.target, *spec.args.values())):
        return "which names a file or an address"
    return ""


def _is_plain(value: Scalar) -> bool:
    return not isinstance(value, str) or value == "" or (PLAIN.fullmatch(value) is not None and not value.lower().endswith(FILE_SUFFIXES))


def _shorten(text: str, most: int = 80) -> str:
    return repr(text if len(text) <= most else text[:most] + "…")
