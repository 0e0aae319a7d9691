"""A run on a Ray cluster of two nodes, one of which is killed in the middle: the same bytes as one process writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from robustbench_cv.errors import UserError
from robustbench_cv.python_files import load_file
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite

ray = pytest.importorskip("ray")
executors = load_file(Path(__file__).parent / "test_executors.py")
data = executors.data

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own, of sockets and processes that it lets go
]


@pytest.fixture
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield made
    ray.shutdown()  # type: ignore[no-untyped-call,unused-ignore]
    made.shutdown()


def test_a_node_that_is_killed_loses_nothing(cluster: Any, data: str, tmp_path: Path) -> None:
    slow = executors.write_model(tmp_path, before="import time; time.sleep(0.05)")
    suite = executors.suite_of((slow, executors.write_model(tmp_path, "other")), data)
    run_suite(suite, tmp_path / "one", Options())
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    killed: list[int] = []

    def kill_one() -> None:
        records = tmp_path / "two" / "records"
        while len(list(records.rglob("*.parquet"))) < 2:
            time.sleep(0.05)
        killed.append(len(list(records.rglob("*.parquet"))))
        cluster.remove_node(nodes[0], allow_graceful=False)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    options = Options(workers=2, executor="ray", address=cluster.address)
    outcome = run_suite(suite, tmp_path / "two", options)
    killer.join(10)
    assert killed
    assert killed[0] < len(outcome.results.run.cells)
    assert executors.files_of(tmp_path / "one") == executors.files_of(tmp_path / "two")


def test_where_no_cluster_answers_it_is_said(data: str, tmp_path: Path) -> None:
    suite = executors.suite_of((executors.write_model(tmp_path),), data)
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        run_suite(suite, tmp_path / "out", Options(workers=2, executor="ray", address="127.0.0.1:1"))
