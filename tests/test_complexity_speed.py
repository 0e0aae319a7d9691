"""The table of images a second: a row a model, quartiles of given times, and what failed said."""

from __future__ import annotations

import json
import re

import pytest
import torch
from click.testing import CliRunner

from robustbench_cv.catalogue import MODELS
from robustbench_cv.cli import cli
from robustbench_cv.models.complexity import latency, speed

SMALL = [("lenet5", "lenet5"), ("unet", "unet(width=2)"), ("none", "no-such-model"), ("siamese", "siamese(width=2, input_size=80)")]


def test_median_and_quartiles_are_those_of_the_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of 1 to 9 ms behind one that is not counted: quartiles 3 and 7, median 5; a batch of 4 in 5 ms is 800 images a second."""
    times = iter([0.5, *(k / 1000 for k in (5, 1, 9, 2, 8, 3, 7, 4, 6))])
    monkeypatch.setattr(latency, "_time", lambda call, device: next(times))
    found = latency.measure(lambda: None, 4, torch.device("cpu"), runs=9)
    assert found.runs == 9
    assert found.median_seconds == pytest.approx(0.005)
    assert found.interquartile_range_seconds == pytest.approx(0.004)
    assert found.images_per_second == pytest.approx(800)


def test_every_model_has_a_row_and_what_failed_its_reason() -> None:
    found = list(speed.speeds(SMALL, (32, 48), batch=2, runs=3, seconds=0))
    assert [row.name for row in found] == [name for name, _ in SMALL]
    assert [row.task for row in found] == ["classification", "segmentation", "", "embedding"]
    timed = [row.latency for row in found if row.latency is not None]
    assert [(t.batch, t.runs, t.device) for t in timed] == [(2, 3, "cpu")] * 3
    assert found[2].latency is None
    assert "no model named 'no-such-model'" in found[2].note
    table = speed.rows(found)
    assert {len(row) for row in table} == {7}
    assert [row[-1] for row in table[1:]] == [f"{row.latency.images_per_second:.4g}" if row.latency else "" for row in found]
    lines = speed.markdown(table).splitlines()
    assert lines[0].startswith("| model | task | parameters | median, ms | interquartile range, ms |")
    assert re.fullmatch(r"\|( -{3}:? \|)+", lines[1])
    assert len(lines) == 2 + len(SMALL)


def test_every_architecture_that_states_a_size_is_asked_for() -> None:
    entries = MODELS.entries().values()
    assert {name for name, _ in speed.specs(entries)} == {e.name for e in entries if "parameters" in e.facts}
    assert dict(speed.specs(entries, "embedding", reduced=True))["siamese"] == "siamese(width=2, input_size=80)"
    assert {name for name, _ in speed.specs(entries, "embedding")} == {"facenet", "siamese"}


def test_the_command_prints_the_table() -> None:
    short = ["speed", "--task", "embedding", "--reduced", "--device", "cpu", "--input", "80", "--runs", "3", "--seconds", "0"]
    runner = CliRunner()
    printed = runner.invoke(cli, [*short, "--markdown"])
    assert printed.exit_code == 0
    assert re.findall(r"^\| (facenet|siamese) \| embedding \| 0\.\d\d M \|", printed.stdout, re.MULTILINE) == ["facenet", "siamese"]
    rows = json.loads(runner.invoke(cli, [*short, "--json"]).stdout)
    assert [row["latency"]["runs"] for row in rows] == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["speed", "--device", "meta"], "nothing can be computed on it"),
        (["speed", "--task", "speech", "--device", "cpu"], "no architecture is for 'speech'"),
        (["profile"], "Missing argument 'NAME'"),
    ],
)
def test_what_cannot_be_asked_is_said(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
