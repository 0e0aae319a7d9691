"""Regions of an image and what detectors do with them: where to look, how to cut out, how to read features, how to place a box."""
