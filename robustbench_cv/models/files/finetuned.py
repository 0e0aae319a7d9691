"""A model that was fine-tuned here: the file says which network it is, for which classes, at which size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import with_new_hash
from robustbench_cv.models.checkpoint import load_into, read_state
from robustbench_cv.models.transfer_learning.replace_head import for_classes, with_input
from robustbench_cv.models.weights.description import read_description
from robustbench_cv.models.weights.dry_build import require_buildable
from robustbench_cv.models.weights.self_contained import self_contained
from robustbench_cv.registry import Spec
from robustbench_cv.types import AnyModel, Labels


@model()
def finetuned(path: str, *, architecture: str = "") -> AnyModel:
    """What `robustbench-cv finetune` wrote: finetuned:FILE.safetensors.

    architecture: spec of the network where it is one that a file may not name, since building it runs code or reads other files:
    finetuned:FILE.safetensors(architecture='my.py:build'). UserError where there is no such file, where it does not say what it is or
    names such a network by itself, and where its tensors do not fit.
    """
    state = read_state(path)
    said = read_description(Path(path))
    if said is None:
        raise UserError(f"{path} does not say what network it holds; finetuned: reads what `robustbench-cv finetune` wrote")
    spec = Spec.parse(architecture) if architecture else self_contained(said.architecture, Path(path))
    classes = Labels(said.classes)
    if not architecture:
        require_buildable(lambda: _network(spec, classes), state.tensors, f"{path} says that its network is {spec}")
    made: Any = for_classes(spec, classes)
    load_into(made.module, state.tensors, f"{spec}, {path}")
    finished: AnyModel = with_new_hash(with_input(made, said), f"{spec} fine-tuned ({Path(path).stem})")
    return finished


def _network(spec: Spec, classes: Labels) -> nn.Module:
    made: Any = for_classes(spec, classes, "meta")
    network: nn.Module = made.module
    return network
