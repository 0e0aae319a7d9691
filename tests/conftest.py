"""Before any test: workers share the cores one thread each, and nothing reaches for a model hub."""

import os
import re
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
        "test_context_reports",
        "test_explanations_in_runs",
        "test_comments_and_cards",
        "test_hard_negatives",
        "test_imagenet9",
        "test_incremental",
        "test_init",
        "test_joined_runs",
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


LONG_CASES = (
    "test_cell_timeout.py::test_a_cell_that_hangs",
    "test_checks_families.py::test_images_turned_without_their_annotations_are_found",
    "test_fixes.py::test_a_model_of_ones_own_is_mended_by_a_line_at_the_top_of_raw[detection",
    "test_runner.py::test_killed_at_any_moment_the_same_command_ends_in_the_same_bytes",
    "test_adversary_decision.py::test_it_comes_nearer_than_fading_noise[detection]",
    "test_adversary_decision.py::test_tiles",
    "test_adversary_gradient_estimation.py::test_a_detector_without_a_gradient_loses_its_objects",
    "test_adversary_gradient_estimation.py::test_tiles",
    "test_checks_real.py::test_bundled_models_are_right_and_their_mistakes_are_named[unet.scenes]",
    "test_checks_real.py::test_bundled_models_are_right_and_their_mistakes_are_named[yolov3-small.scenes]",
    "test_checks_real.py::test_untrained_models_are_bad_and_not_wrong",
    "test_context_index.py::test_what_reads_the_object_is_near_0_and_what_reads_the_context_near_1[detection]",
    "test_context_measures.py::test_the_background_gap_is_that_of_its_two_conditions",
    "test_corruptions.py::test_the_suite",
    "test_docs.py::test_python_in_documents_runs[run-folder.md-0",
    "test_docs.py::test_python_in_documents_runs[suites.md-0",
    "test_honesty_runs.py::test_bundled_models_under_sound_attacks_accuse_nobody",
    "test_reports.py::test_published_twice_the_bytes_are_equal",
    "test_reports_honesty.py::test_names_of_models_are_no_formulas_in_any_csv_and_obey_nothing",
    "test_weights.py::test_the_cards_metrics_come_out_again[unet.scenes]",
    "test_weights.py::test_the_cards_metrics_come_out_again[yolov3-small.scenes]",
)
"""Cases of other files that take ten seconds and more; each has shorter sisters that stay."""

MANY_QUERIES = re.compile(r"laws/test_attacks\.py::.*\[(nes|spsa|square|hop-skip-jump|dag)(-vanish|-pixels)?-(detection|segmentation)\]")
"""Laws of attacks that ask detectors and segmenters hundreds of times; the same attacks on classifiers stay."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        long = any(case in item.nodeid for case in LONG_CASES) or MANY_QUERIES.search(item.nodeid)
        if long or Path(str(item.fspath)).stem in WHOLE_RUNS:
            item.add_marker(pytest.mark.slow)
