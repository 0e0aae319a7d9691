"""Recipes of the bundled weights, the loop that runs them, and `train`, which makes a weights file with its card of one."""

from robustbench_cv.training.train import train

__all__ = ["train"]
