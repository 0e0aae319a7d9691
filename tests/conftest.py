"""Before any test: workers share the cores one thread each, and nothing reaches for a model hub."""

import os
from collections.abc import Iterator
from pathlib import Path

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


WHOLE_RUNS = frozenset(
    (
        "test_hardening_report",
        "test_bench",
        "test_ci_examples",
        "test_context_compatibility",
        "test_explanations_in_runs",
        "test_hand_outs",
        "test_hard_negatives",
        "test_imagenet9",
        "test_incremental",
        "test_init",
        "test_joined",
        "test_maite",
        "test_occlusion",
        "test_page",
        "test_paper",
        "test_pytest_plugin",
        "test_run_reports",
        "test_scoring",
        "test_scoring_files",
        "test_transplant",
        "test_tutorials",
    )
)
"""Files whose tests are whole runs, or a browser: minutes together, so they are marked slow (`uv run pytest -m slow`)."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(str(item.fspath)).stem in WHOLE_RUNS:
            item.add_marker(pytest.mark.slow)
