"""The former name of `detector_adapter`, which users' own detectors import: it goes after one release."""

from __future__ import annotations

import warnings

from robustbench_cv.models.detector_adapter import Detector as Detector
from robustbench_cv.models.detector_adapter import detector as detector

warnings.warn(
    "robustbench_cv.models.detect is robustbench_cv.models.detector_adapter now; this name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)
