"""The robustness benchmark for computer vision whose numbers defend themselves."""

__version__ = "0.1.0"
