"""Before any test: workers share the cores one thread each, and nothing reaches for a model hub."""

import os

from robustbench_cv.runner.memory import keep_freed_memory

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
keep_freed_memory()
