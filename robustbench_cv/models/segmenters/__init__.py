"""Own segmenters, faithful to their papers."""
