"""Own classifiers, faithful to their papers."""
