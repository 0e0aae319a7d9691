"""Baseline files: they give the verdict of the run that they were made from, and say what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pyarrow.parquet
import pytest

from robustbench_cv import baselines
from robustbench_cv.baselines import open_results, read_baseline, write_baseline
from robustbench_cv.compare import compare
from robustbench_cv.errors import UserError
from robustbench_cv.rendering.comparison import table, verdict, write
from robustbench_cv.results import Results
from tests import synthetic_results as synthetic
from tests.test_compare import flags, run


@pytest.fixture
def three_tasks() -> Results:
    """Every task, with controls, failed samples and a check that stops one condition."""
    return synthetic.make(n=24)


def _answering_otherwise(results: Results) -> Results:
    """The same run with other weights, whose answer to each sample is the one to the sample before."""
    frame = results.records
    for _, rows in frame.groupby(["task", "model", "condition"]):
        answered = rows.index[rows["status"] == "ok"]
        frame.loc[answered, "evidence"] = list(frame.loc[answered, "evidence"].iloc[1:]) + list(frame.loc[answered, "evidence"].iloc[:1])
    models = tuple(msgspec.structs.replace(m, weights_sha256="other") for m in results.run.models)
    return replace(synthetic.with_records(results, frame), run=msgspec.structs.replace(results.run, models=models))


def test_a_file_gives_the_verdict_of_its_run(three_tasks: Results, tmp_path: Path) -> None:
    other = _answering_otherwise(three_tasks)
    sides = [three_tasks, other]
    files = [read_baseline(write_baseline(side, tmp_path / f"{i}.parquet").path) for i, side in enumerate(sides)]
    every = tuple({m.name for track in three_tasks.run.tracks for m in track.metrics})
    for metrics in ((), every):
        expected = compare(*sides, metrics=metrics)
        assert len(expected.rows) > 10
        for base, new in ((files[0], files[1]), (files[0], other), (three_tasks, files[1])):
            made = compare(base, new, metrics=metrics)
            assert table(made).to_csv() == table(expected).to_csv()
            assert table(made).to_markdown() == table(expected).to_markdown()
            assert verdict(made) == verdict(expected)
            assert [(row.broken, row.mended) for row in made.rows] == [(row.broken, row.mended) for row in expected.rows]


def test_the_samples_that_moved_come_with_the_pictures_that_were_kept(three_tasks: Results, tmp_path: Path) -> None:
    new = _answering_otherwise(synthetic.make(tmp_path, n=24))
    _, _, samples = write(compare(three_tasks, new), tmp_path / "out")
    shown = [path for row in json.loads(samples.read_text()) for path in row["pictures"].values()]
    assert shown
    assert all(Path(path).is_file() for path in shown)


def test_what_is_refused_of_runs_is_refused_of_files(three_tasks: Results, tmp_path: Path) -> None:
    file = read_baseline(write_baseline(three_tasks, tmp_path / "b.parquet").path)
    other = replace(three_tasks, run=msgspec.structs.replace(three_tasks.run, version=2, seed=8))
    said = []
    for base in (three_tasks, file):
        with pytest.raises(UserError) as refused:
            compare(base, other)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert "24 samples" in said[0].splitlines()[-1]


def test_the_same_records_are_the_same_bytes_and_small(tmp_path: Path) -> None:
    made = run({"clean": flags(1800, 200), "fog": flags(1500, 500)})
    data = tuple(msgspec.structs.replace(d, spec="folder:/home/ada/images") for d in made.run.datasets)
    later = replace(made, run=msgspec.structs.replace(made.run, created="2031-01-01", command="another", notes=("a note",), datasets=data))
    first, second = (write_baseline(one, tmp_path / f"{i}.parquet").path for i, one in enumerate((made, later)))
    assert first.read_bytes() == second.read_bytes()
    assert b"/home/ada" not in second.read_bytes()
    assert first.stat().st_size < 40_000
    before = first.stat().st_mtime_ns
    write_baseline(made, first)
    assert first.stat().st_mtime_ns == before


def test_a_run_that_lacks_records_is_no_baseline_unless_a_check_stopped_it(tmp_path: Path) -> None:
    made = run({"clean": flags(9, 1)})
    short = replace(
        made, run=msgspec.structs.replace(made.run, datasets=tuple(msgspec.structs.replace(d, n=11) for d in made.run.datasets))
    )
    with pytest.raises(UserError, match="not finished: resnet-small on scenes lacks records"):
        write_baseline(short, tmp_path / "b.parquet")
    stop = replace(synthetic.STOP, model="resnet-small", condition="")
    written = write_baseline(replace(short, findings=(stop,)), tmp_path / "b.parquet")
    assert [group.model for group in written.stopped] == ["resnet-small"]
    assert [row.outcome for row in compare(read_baseline(written.path), made).rows] == ["inconclusive"]


def _retold(path: Path, old: bytes, new: bytes) -> None:
    """The file with other words beside the same records."""
    file = pyarrow.parquet.ParquetFile(path)
    told, content = file.metadata.metadata[baselines._TOLD], file.read()
    assert old in told
    with pyarrow.parquet.ParquetWriter(path, content.schema) as writer:
        writer.write_table(content)
        writer.add_key_value_metadata({baselines._TOLD: told.replace(old, new)})


def _without_samples(path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).drop_columns(["sample"]), path)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: _retold(path, b'{"version":1,', b'{"version":9,'), r"baseline of version 9 .*reads version 1: upgrade"),
        (lambda path: _retold(path, b'{"version":1,', b'{"version":0,'), "of version 0 .*robustbench-cv baseline RUN"),
        (lambda path: _retold(path, b'"seed":7', b'"seed":9'), "is damaged"),
        (lambda path: _retold(path, b'"suite"', b'"siute"'), "is damaged"),
        (_without_samples, "is no baseline, or is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-200]), "is no baseline, or is damaged"),
        (lambda path: path.write_text("model,score\n"), "is no baseline, or is damaged"),
        (lambda path: path.write_bytes(b""), "is no baseline, or is damaged"),
        (lambda path: pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), path), "is no baseline, or is damaged"),
        (lambda path: path.unlink(), "there is no run folder and no baseline file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(harm: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    path = write_baseline(run({"clean": flags(90, 10)}), tmp_path / "b.parquet").path
    harm(path)
    with pytest.raises(UserError, match=said) as refused:
        open_results(path)
    assert str(path) in str(refused.value)


def test_a_flipped_byte_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = write_baseline(run({"clean": flags(90, 10)}), tmp_path / "b.parquet").path
    whole, expected = path.read_bytes(), read_baseline(path)
    noticed = 0
    for at in range(0, len(whole), 61):
        path.write_bytes(bytes([*whole[:at], whole[at] ^ 0x55, *whole[at + 1 :]]))
        try:
            found = read_baseline(path)
        except UserError:
            noticed += 1
        else:
            assert (found.run, found.findings) == (expected.run, expected.findings)
            assert found.records.equals(expected.records)
    assert noticed > len(whole) / 61 / 3


def test_a_file_names_no_code_to_run(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('ran')\n")
    made = run({"clean": flags(90, 10)})
    track = made.run.tracks[0]
    metric = msgspec.structs.replace(track.metrics[0], name=f"{tmp_path / 'mine.py'}:metric")
    track = msgspec.structs.replace(track, metrics=(metric, *track.metrics[1:]))
    path = write_baseline(replace(made, run=msgspec.structs.replace(made.run, tracks=(track,))), tmp_path / "b.parquet").path
    with pytest.raises(UserError, match="results never do"):
        compare(read_baseline(path), read_baseline(path))
