"""Weights that no package carries: trained by their recipe when somebody first asks for them, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from robustbench_cv.bundled_weights import FOLDER, cache
from robustbench_cv.catalogue import RECIPES
from robustbench_cv.code_lookups import unrecorded_lookups
from robustbench_cv.models import build as models
from robustbench_cv.registry import Spec
from robustbench_cv.terminal import say
from robustbench_cv.training.train import train
from robustbench_cv.types import AnyModel


def build(spec: str | Spec, *, device: str | torch.device = "cpu", **more: Any) -> AnyModel:
    """The model that a spec names, as models.build.build makes it; "alexnet.scenes" is trained first where nobody has done so yet.

    The recipe that names the model trains it, into the cache folder ($ROBUSTBENCH_CV_CACHE, else ~/.cache/robustbench-cv), with a
    progress bar; interrupted, the next call goes on.
    """
    parsed = Spec.parse(spec) if isinstance(spec, str) else spec
    wanted = str(Spec(parsed.name))
    recipe = next((entry.name for entry in RECIPES.entries().values() if "." in wanted and entry.facts.get("model") == wanted), None)
    if recipe is not None and not any((folder / f"{wanted}.safetensors").is_file() for folder in (FOLDER, cache())):
        with unrecorded_lookups():
            _train(recipe, cache() / f"{wanted}.safetensors")
    return models.build(spec, device=device, **more)


def _train(recipe: str, path: Path) -> None:
    say(f"{path.stem} is trained on first use, by the recipe {recipe}, into {path}", err=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    train(recipe, out=path)
