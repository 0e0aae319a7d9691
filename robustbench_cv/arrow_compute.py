"""Arrow's compute functions, which pyarrow makes as it is imported, so that no type checker can see them."""

from __future__ import annotations

import importlib
from typing import Any

compute: Any = importlib.import_module("pyarrow.compute")
