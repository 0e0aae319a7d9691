"""The colour that a model's own normalisation makes zero."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_cv.models.preprocessing import Preprocessing
from robustbench_cv.types import AnyModel, HasModule


def preprocessing_mean(model: AnyModel) -> Tensor:
    """(3, 1, 1) in [0, 1]; black for a model that normalises nothing, or does so where nobody can see it."""
    parts = model.module.modules() if isinstance(model, HasModule) else ()
    means = [part.mean for part in parts if isinstance(part, Preprocessing) and part.mean is not None]
    return means[0].detach().cpu().reshape(3, 1, 1) if means else torch.zeros(3, 1, 1)
