"""What the adversary raises: for classifiers, segmenters and detectors, and those of one paper."""
