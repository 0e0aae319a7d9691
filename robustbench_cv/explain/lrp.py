"""Layer-wise relevance propagation: the score handed back layer by layer, to each input what it contributed.

Bach et al., PLoS ONE 2015, https://doi.org/10.1371/journal.pone.0130140. In the form of Montavon et al., "Layer-Wise Relevance
Propagation: An Overview", 2019, https://doi.org/10.1007/978-3-030-28954-6_10, section 10.3.2: each layer's forward pass is rewritten
so that its value stays and gradient times input is the rule. Sums, concatenations and pooling then need no rule of their own.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.errors import UserError
from robustbench_cv.explain.gradient import input_gradient
from robustbench_cv.explain.preprocessing_mean import preprocessing_mean
from robustbench_cv.explain.targets import Explained, score_of
from robustbench_cv.models.batch_norm_folding import fold_batch_norms
from robustbench_cv.types import AnyModel, HasModule, Model

EPSILON = 1e-6
CURVED = (nn.SiLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.ELU, nn.Softplus)
"""Activations through which relevance passes as it is. Those that ReLU is one of (positively homogeneous) do so by themselves."""

REFUSED = (nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm, nn.MultiheadAttention, nn.RNNBase)
RULES = ("z-plus", "epsilon")


def lrp(model: AnyModel, explained: Explained, image: Tensor, *, rule: str = "z-plus") -> Tensor:
    """Relevance of the logit, summed over channels: (H, W), signed.

    rule: of convolutions, "z-plus" (alpha 1, beta 0) or "epsilon"; linear layers always have epsilon (as Montavon et al. advise for the
    upper layers). Batch norms are folded into their convolutions first, in a copy; one that cannot be stays an affine layer, whose
    offset keeps its share. Pixels count from the model's own mean colour. Where two maps are multiplied (squeeze and
    excitation), both get the whole relevance. UserError for networks with other normalisations or
    attention, of which these rules know nothing.
    """
    if rule not in RULES:
        raise UserError(f"no rule named {rule!r}; choose one of {list(RULES)}")
    with torch.enable_grad():
        twin = _rewritten(model, image[None], rule)
        slope = input_gradient(score_of(twin, explained, "logit"), image[None], model.info.name)[0]
    return (slope * (image - preprocessing_mean(model).to(image))).sum(dim=0).float().cpu()


def _rewritten(model: AnyModel, probe: Tensor, rule: str) -> AnyModel:
    """A copy of the model that computes the same, whose gradient times input is relevance."""
    fields: set[str] = {f.name for f in dataclasses.fields(cast(Any, model))} if dataclasses.is_dataclass(model) else set()
    if not isinstance(model, HasModule) or "module" not in fields:
        raise UserError(f"{model.info.name} shows no torch module to copy, which LRP rewrites; use --method occlusion")
    refused = sorted({type(m).__name__ for m in model.module.modules() if isinstance(m, REFUSED)})
    layers = [m for m in model.module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    if refused or not layers:
        why = f"has {', '.join(refused)}" if refused else "has no convolution and no linear layer"
        raise UserError(f"{model.info.name} {why}, for which LRP has no rule here; use --method integrated-gradients or occlusion")
    module = copy.deepcopy(model.module)
    twin = cast("Model[Any]", dataclasses.replace(cast(Any, model), module=module))
    with torch.no_grad():
        fold_batch_norms(module, lambda: twin.raw(probe))
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.register_forward_hook(_positive if rule == "z-plus" else _stabilised)
        elif isinstance(part, nn.Linear):
            part.register_forward_hook(_stabilised)
        elif isinstance(part, CURVED):
            part.register_forward_hook(_passed_through)
    return twin


def _with_slope_of(value: Tensor, surrogate: Tensor) -> Tensor:
    """The value, with the surrogate's gradient."""
    return value.detach() + surrogate - surrogate.detach()


def _ratio(value: Tensor, by: Tensor) -> Tensor:
    return (value / (by + EPSILON * torch.where(by >= 0, 1.0, -1.0))).detach()


def _stabilised(_: nn.Module, __: object, output: Tensor) -> Tensor:
    """LRP-epsilon: what comes back is divided by the output plus epsilon, the bias keeps its share."""
    return _with_slope_of(output, output * _ratio(output, output))


def _positive(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """z-plus: only what adds to the output gets relevance, in proportion; the bias none. Of inputs of either sign."""
    x = inputs[0]
    apply = _linear_map(module)
    weight = cast(Tensor, module.weight)
    adding = apply(x.clamp(min=0), weight.clamp(min=0)) + apply(x.clamp(max=0), weight.clamp(max=0))
    return _with_slope_of(output, adding * _ratio(output, adding))


def _linear_map(module: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The layer without its bias, as a function of input and weight."""
    m = cast(Any, module)
    if isinstance(module, nn.ConvTranspose2d):
        return lambda x, w: F.conv_transpose2d(x, w, None, m.stride, m.padding, m.output_padding, m.groups, m.dilation)
    return lambda x, w: m._conv_forward(x, w, None)


def _passed_through(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return _with_slope_of(output, inputs[0] * _ratio(output, inputs[0]))
