"""A model that was fine-tuned here: the file says which network it is, for which classes, at which size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import refreshed
from robustbench_cv.models.checkpoint import load_into, read_state
from robustbench_cv.models.transfer_learning.replace_head import for_classes, with_input
from robustbench_cv.models.weights.description import read_description
from robustbench_cv.registry import Spec
from robustbench_cv.types import AnyModel, Labels


@model()
def finetuned(path: str) -> AnyModel:
    """What `robustbench-cv train --finetune` wrote: finetuned:FILE.safetensors.

    UserError where there is no such file, where it does not say what it is, or where its tensors do not fit.
    """
    state = read_state(path)
    found = read_description(Path(path))
    if found is None:
        raise UserError(f"{path} does not say what network it holds; finetuned: reads what `robustbench-cv train --finetune` wrote")
    made: Any = for_classes(Spec.parse(found.architecture), Labels(found.classes))
    load_into(made.module, state.tensors, f"{found.architecture}, {path}")
    finished: AnyModel = refreshed(with_input(made, found), f"{found.architecture} fine-tuned ({Path(path).stem})")
    return finished
