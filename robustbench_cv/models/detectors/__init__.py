"""Own detectors, faithful to their papers."""
