"""What a report is made of: tables, charts and galleries, and the function of the results that makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.film_strips import Gallery
from robustbench_cv.rendering.tables import Table
from robustbench_cv.results import Results

Item: TypeAlias = Table | Chart | Gallery

Report: TypeAlias = Callable[[Results], Item | Sequence[Item]]
"""What a report's factory returns: results in, one item or several out."""
