"""Deformable part models: the features, the springs, the pyramid of scores."""
