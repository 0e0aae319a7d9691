"""Linear support vector machines with hard-negative mining. Felzenszwalb, Girshick, McAllester, Ramanan, PAMI 2010, section 4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustbench_cv.errors import UserError


@dataclass(frozen=True, eq=False)
class LinearSVM:
    """A margin weight . x + bias: weight (D,), bias ()."""

    weight: Tensor
    bias: Tensor

    def margins(self, features: Tensor) -> Tensor:
        """(n, D) -> (n,)."""
        return features @ self.weight + self.bias


def fit_svm(
    positive: Tensor,
    negative: Tensor,
    *,
    cost: float,
    positive_weight: float = 1.0,
    bias_feature: float = 1.0,
    lowest: Tensor | None = None,
    first: int = 5000,
    rounds: int = 8,
) -> LinearSVM:
    """Trained on all positives and a cache of negatives, which starts with `first` and takes in what violates the margin until none does.

    cost: of the summed loss. bias_feature: the constant input whose weight is the bias, so how little the bias is regularised.
    lowest: bounds of the weights from below, (D,). Without positives the SVM always says -1.
    """
    if not len(positive):
        return LinearSVM(positive.new_zeros(positive.shape[1]), positive.new_tensor(-1.0))
    cached = torch.zeros(len(negative), dtype=torch.bool)
    cached[:: max(1, len(negative) // first)] = True
    svm = None
    for _ in range(rounds):
        svm = solve(positive, negative[cached], cost, positive_weight=positive_weight, bias_feature=bias_feature, lowest=lowest, begin=svm)
        margin = svm.margins(negative)
        hard = (margin > -1) & ~cached
        if not hard.any():
            break
        cached = hard | (cached & (margin > -1.2))  # what is far on its side cannot change the solution soon
    assert svm is not None
    return svm


def solve(
    positive: Tensor,
    negative: Tensor,
    cost: float,
    positive_weight: float = 1.0,
    bias_feature: float = 1.0,
    lowest: Tensor | None = None,
    begin: LinearSVM | None = None,
) -> LinearSVM:
    """The minimum of |w|^2 / 2 + cost sum of (weighted) squared hinge losses, by L-BFGS-B. UserError where scipy is missing."""
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise UserError("fitting support vector machines needs scipy: pip install 'robustbench-cv[classical]'") from error
    x = torch.cat([positive, negative]).double().numpy()
    y = numpy.r_[numpy.ones(len(positive)), -numpy.ones(len(negative))]
    weights = cost * numpy.where(y > 0, positive_weight, 1.0)
    w0 = numpy.zeros(x.shape[1] + 1)
    if begin is not None:
        w0[:-1], w0[-1] = begin.weight.double().numpy(), float(begin.bias) / bias_feature
    bounds = None if lowest is None else [(float(v) if v > -numpy.inf else None, None) for v in [*lowest.tolist(), -numpy.inf]]
    done = minimize(objective, w0, args=(x, y, weights, bias_feature), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300})
    return LinearSVM(torch.from_numpy(done.x[:-1]).float(), torch.tensor(done.x[-1] * bias_feature, dtype=torch.float32))


def objective(w: NDArray[Any], x: NDArray[Any], y: NDArray[Any], weights: NDArray[Any], bias_feature: float) -> tuple[float, NDArray[Any]]:
    """Value and gradient in w (D + 1,), the last the bias' weight."""
    short = numpy.maximum(0, 1 - y * (x @ w[:-1] + bias_feature * w[-1]))
    pull = -2 * weights * short * y
    slope = w + numpy.r_[x.T @ pull, bias_feature * pull.sum()]
    return 0.5 * float(w @ w) + float(weights @ short**2), slope
