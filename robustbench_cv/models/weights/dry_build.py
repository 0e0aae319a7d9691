"""A network that a file from elsewhere describes, tried on the meta device first: wrong or huge sizes are an error, not a full memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError

SPARE = 2
"""How many times the numbers of its file a network may have: more, and the two are not of each other (project choice)."""


def require_buildable(build: Callable[[], nn.Module], stored: Mapping[str, Tensor], what: str) -> None:
    """UserError, naming `what` (the file and the network), where `build` fails or makes far more numbers than the file holds."""
    try:
        with torch.device("meta"):
            network = build()
    except UserError as error:
        raise UserError(f"{what}, which cannot be built: {error}") from error
    except (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError, MemoryError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{what}, which cannot be built: {reason}") from error
    count, held = (sum(tensor.numel() for tensor in state.values()) for state in (network.state_dict(), stored))
    if count > SPARE * held:
        raise UserError(f"{what}, which has {count:,} numbers where the file holds {held:,}")
