"""The three tasks that a model can have."""

from __future__ import annotations

from typing import Literal

Task = Literal["classification", "segmentation", "detection"]


TASKS: tuple[Task, ...] = ("classification", "segmentation", "detection")
