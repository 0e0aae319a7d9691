"""Libraries that are installed only on demand: imported, or named in an error that says how to get them."""

from __future__ import annotations

import importlib
from types import ModuleType

from robustbench_cv.code_lookups import Lookup, record_lookup
from robustbench_cv.errors import UserError

PACKAGES = {
    "classical": "skimage",
    "segmentation": "segmentation_models_pytorch",
    "huggingface": "transformers",
    "datasets": "datasets",
    "ray": "ray",
    "ultralytics": "ultralytics",
}
"""What each extra of robustbench-cv brings for models and data."""


def need(extra: str, what: str) -> ModuleType:
    """The package of an extra. UserError, with the command that installs it, where it is not there."""
    package = PACKAGES[extra]
    record_lookup(Lookup("package", package))
    import torch

    try:
        with torch.device("cpu"):  # what a package makes on import is not of the device that some model is built on
            return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise UserError(f"{what} needs {package}, which is not installed: pip install 'robustbench-cv[{extra}]'") from error
