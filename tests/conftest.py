"""Before any test: workers share the cores one thread each, and nothing reaches for a model hub."""

import os
from collections.abc import Iterator

import pytest

from robustbench_cv.runner.memory import keep_freed_memory

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
keep_freed_memory()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A training is the same bytes again on one thread, and small networks are faster there."""
    import torch  # after the settings above

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
