"""The step size of projected gradient attacks where the user names none, and a warning where one cannot reach the budget."""

from __future__ import annotations

import math
import warnings

from robustbench_cv.adversary.constraints.lp import Ball, Linf, require_pixel_units
from robustbench_cv.errors import UserError


def require_step(region: Ball, alpha: float | None, steps: int, reach: float = 2.5) -> float:
    """The step size: alpha, or where it is None the one with which `steps` steps go `reach` times the radius. Warns of too short a way."""
    if alpha is None:
        return reach * region.radius / max(steps, 1)
    if isinstance(region, Linf):
        require_pixel_units("alpha", alpha)
    elif not 0 <= alpha < math.inf:
        raise UserError(f"alpha={alpha!r} must be a length from 0 up")
    if steps and steps * alpha < region.radius < math.inf:
        share, enough = steps * alpha / region.radius, reach * region.radius / steps
        warnings.warn(
            f"{steps} steps of alpha={alpha:.4g} go at most {share:.0%} of the radius {region.radius:.4g}: "
            f"the attack cannot use its own budget; write alpha={enough:.4g}, or more steps",
            stacklevel=3,
        )
    return alpha
