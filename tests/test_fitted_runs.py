"""Attacks that are fitted first, in runs: once, resumed, shared between conditions, re-applied from their file, never on judged samples."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
import torch
from PIL import Image

from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.catalogue import ATTACKS, CHECKS
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import AfterRun
from robustbench_cv.errors import UserError
from robustbench_cv.results import Results
from robustbench_cv.runner.plan import Options, make_plan
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from tests.test_runner import records_of, write_data, write_model

PATCH = "smallest=0.3, largest=0.4, side=6, limit=16, steps=6, batch=8, alpha=0.2"


def suite_of(model: str, data: str, *attacks: str | Condition) -> Suite:
    conditions = (CLEAN, *(a if isinstance(a, Condition) else Condition(f"attack {i}", attack=a) for i, a in enumerate(attacks)))
    return Suite("fitted", 1, (Track("classification", (model,), (data,), conditions, ("top-1",)),), reports=("main-table", "checks"))


def run(suite: Suite, out: Path, limit: int | None = 100) -> Results:
    return run_suite(suite, out, Options(limit=limit, strength=0)).results


def artefacts(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted((out / "artefacts").rglob("*")) if p.is_file()}


def pixels(png: Path) -> numpy.ndarray:
    with Image.open(png) as picture:
        return numpy.array(picture)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return write_model(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> str:
    return write_data(tmp_path)


def test_one_fit_serves_every_shard_and_condition_and_is_never_repeated(model: str, data: str, tmp_path: Path) -> None:
    suite = suite_of(
        model, data, f"adversarial-patch({PATCH})", Condition("control", attack=f"adversarial-patch({PATCH})", judged="shuffled")
    )
    results = run(suite, tmp_path / "a")
    kept = artefacts(tmp_path / "a")
    assert sorted(Path(name).name for name in kept) == ["adversarial-patch.json", "adversarial-patch.png"]
    clean, attacked = (results.estimate(results.groups()[0], name, "top-1") for name in ("clean", "attack 0"))
    assert attacked.value < clean.value  # type: ignore[operator]
    assert len({p.read_bytes() for p in (tmp_path / "a" / "images").rglob("exact.safetensors")}) == 3  # clean, patched, shuffled
    cost = results.cost(results.groups()[0], "attack 0")
    assert cost is not None
    assert (cost.forwards, cost.backwards, cost.radius) == (1, 0, 0.4)
    times = [p.stat().st_mtime_ns for p in (tmp_path / "a").rglob("*") if p.is_file()]
    run(suite, tmp_path / "a")
    assert [p.stat().st_mtime_ns for p in (tmp_path / "a").rglob("*") if p.is_file()] == times
    # Killed after the fit: the cells that are left take it from the folder.
    for part in list((tmp_path / "a" / "records").rglob("*.parquet")):
        part.unlink()
    run(suite, tmp_path / "a")
    run(suite, tmp_path / "b")
    assert artefacts(tmp_path / "a") == artefacts(tmp_path / "b") == kept
    assert records_of(tmp_path / "a") == records_of(tmp_path / "b")


def test_a_model_without_a_gradient_is_not_applicable_and_the_run_goes_on(data: str, tmp_path: Path) -> None:
    model = write_model(tmp_path, before="x = x.detach()")
    results = run(suite_of(model, data, f"adversarial-patch({PATCH})", "noise(eps=0.1)"), tmp_path / "out")
    group = results.groups()[0]
    statuses = {name: set(results.rows(group, name).column("status").to_pylist()) for name in ("clean", "attack 0", "attack 1")}
    assert statuses == {"clean": {"ok"}, "attack 0": {"not-applicable"}, "attack 1": {"ok"}}
    assert results.estimate(group, "attack 0", "top-1").value is None


def test_the_record_says_what_it_was_made_of(model: str, data: str, tmp_path: Path) -> None:
    results = run(suite_of(model, data, f"adversarial-patch({PATCH})"), tmp_path / "out")
    record = json.loads(next(v for k, v in artefacts(tmp_path / "out").items() if k.endswith(".json")))
    assert record["samples"] == len(record["ids"]) == 16
    assert not set(record["ids"]) & set(results.records["sample"])
    assert record["seed"] == 0
    assert record["model"] == "tiny"
    assert record["surface"]["largest"] == 0.4
    assert record["backwards"] == 6 * 8
    assert record["objective"] == "cross-entropy capped at 9"
    png = next(p for p in (tmp_path / "out" / "artefacts").rglob("*.png"))
    assert pixels(png).shape == (6, 6, 3)


def test_a_file_is_applied_as_it_was_fitted(model: str, data: str, tmp_path: Path) -> None:
    first = run(suite_of(model, data, f"adversarial-patch({PATCH})"), tmp_path / "first")
    png = next(p for p in (tmp_path / "first" / "artefacts").rglob("*.png"))
    again = run(suite_of(model, data, f"adversarial-patch(file={str(png)!r})"), tmp_path / "again")
    assert not (tmp_path / "again" / "artefacts").exists()
    columns = ["condition", "sample", "evidence", "attack"]
    assert first.records[columns].to_dict("records") == again.records[columns].to_dict("records")

    def keys() -> list[str]:
        plan = make_plan(suite_of(model, data, f"adversarial-patch(file={str(png)!r})"), Options(limit=100))
        return [c.row.key for c in plan.cells if c.condition.attack]

    before = keys()
    Image.fromarray(255 - pixels(png)).save(png)
    assert not set(before) & set(keys())


def test_s34_stops_a_fit_on_judged_samples(model: str, data: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"S34: attack 'adversarial-patch' is fitted on samples that it would be judged on: .*and \d+ more"):
        make_plan(suite_of(model, data, f"adversarial-patch({PATCH}, fit={data!r})"), Options(limit=100))
    with pytest.raises(UserError, match="this run judges on all of"):
        make_plan(suite_of(model, data, f"adversarial-patch({PATCH})"), Options())
    run(suite_of(model, data, f"adversarial-patch({PATCH})"), tmp_path / "out", limit=140)
    png = next(p for p in (tmp_path / "out" / "artefacts").rglob("*.png"))
    with pytest.raises(UserError, match="S34"):
        make_plan(suite_of(model, data, f"adversarial-patch(file={str(png)!r})"), Options())
    # A picture whose history nobody knows cannot be checked.
    png.with_suffix(".json").unlink()
    make_plan(suite_of(model, data, f"adversarial-patch(file={str(png)!r})"), Options())


def test_a_change_refits_exactly_where_it_matters(model: str, data: str, tmp_path: Path) -> None:
    def key(more: str = "", judged: Any = "sampled", **options: object) -> str:
        condition = Condition("patch", attack=f"adversarial-patch({PATCH}{more})", judged=judged)
        plan = make_plan(suite_of(model, data, condition), Options(**{"limit": 100, **options}))  # type: ignore[arg-type]
        (fit,) = {c.fit.key for c in plan.cells if c.fit is not None}
        return fit

    base = key()
    assert key(judged="shuffled") == key(judged="plain") == base
    other = write_data(tmp_path, seed=1)
    changed = [key(", rotation=10"), key(f", fit={other!r}"), key(seed=1)]
    assert len({base, *changed}) == 4
    write_model(tmp_path, after="scores = scores + 0")
    assert key() != base


def test_scenes_are_fitted_on_their_train_split() -> None:
    track = Track("classification", ("lenet5.scenes",), ("scenes",), (Condition("u", attack="universal(limit=8)"),), ("top-1",))
    plan = make_plan(Suite("fitted", 1, (track,)), Options(limit=4))
    fit = plan.cells[0].fit
    assert fit is not None
    assert fit.data is not None
    assert fit.data.name == "scenes-train-b80"
    assert len(fit.indices) == 8


def test_wrong_files_are_refused(model: str, data: str, tmp_path: Path) -> None:
    run(suite_of(model, data, f"adversarial-patch({PATCH})"), tmp_path / "out")
    png = next(p for p in (tmp_path / "out" / "artefacts").rglob("*.png"))
    with pytest.raises(UserError, match="fitted as 'adversarial-patch'"):
        ATTACKS.build(f"dpatch(file={str(png)!r})")
    with pytest.raises(UserError, match="target=''"):
        ATTACKS.build(f"adversarial-patch(target='red', file={str(png)!r})")
    with pytest.raises(UserError, match="exact values"):
        ATTACKS.build(f"universal(file={str(png)!r})")
    with pytest.raises(UserError, match="cannot read"):
        ATTACKS.build("adversarial-patch(file='/nowhere.png')")
    text = tmp_path / "text.png"
    text.write_text("no picture")
    with pytest.raises(UserError, match="no picture"):
        ATTACKS.build(f"adversarial-patch(file={str(text)!r})")
    record = json.loads(png.with_suffix(".json").read_text())
    png.with_suffix(".json").write_bytes(msgspec.json.encode(record | {"surface": {"kind": "pasted"}}))
    with pytest.raises(UserError, match="does not say where"):
        ATTACKS.build(f"adversarial-patch(file={str(png)!r})")
    png.with_suffix(".json").write_text("{}")
    with pytest.raises(UserError, match="not the record"):
        ATTACKS.build(f"adversarial-patch(file={str(png)!r})")


def test_any_picture_serves_as_a_patch(tmp_path: Path) -> None:
    Image.fromarray(numpy.full((9, 9, 3), 51, numpy.uint8)).save(tmp_path / "mine.png")
    attack = ATTACKS.build(f"adversarial-patch(file={str(tmp_path / 'mine.png')!r})")
    assert isinstance(attack, UniversalAttack)
    assert attack.theta is not None
    torch.testing.assert_close(attack.theta, torch.full((3, 9, 9), 0.2))


def test_training_arguments_are_checked() -> None:
    with pytest.raises(UserError, match="batch=0"):
        ATTACKS.build("universal(batch=0)")
    with pytest.raises(UserError, match="'predictions'"):
        ATTACKS.build("universal(loss_against='moon')")
    with pytest.raises(UserError, match="10/255"):
        ATTACKS.build("universal(eps=10)")


def test_the_check_reads_what_was_kept(model: str, data: str, tmp_path: Path) -> None:
    results = run(suite_of(model, data, f"adversarial-patch({PATCH})"), tmp_path / "out")

    def said(folder_results: Results) -> Finding:
        (finding,) = CHECKS.build("s34-fit-overlap")(AfterRun(folder_results, {}))
        assert isinstance(finding, Finding)
        return finding

    assert said(results).verdict == "pass"
    assert "16 samples fitted on, 100 judged, none in both" in said(results).evidence
    record = next((tmp_path / "out" / "artefacts").rglob("*.json"))
    content = json.loads(record.read_text())
    judged = results.records["sample"].iloc[0]
    for of_another in ({"aim": {"target": "red"}}, {"weights_sha256": "0" * 64}, {"model": "another"}):
        other = record.parent.parent / "another" / record.name
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(msgspec.json.encode(content | of_another | {"ids": [judged]}))
        assert said(results).verdict == "pass", "the ids of another fit are not this one's"
        other.unlink()
    record.write_bytes(msgspec.json.encode(content | {"ids": [*content["ids"], judged]}))
    assert said(results).verdict == "stop"
    assert judged in said(results).evidence
    record.unlink()
    assert said(results).verdict == "warn"
    clean = dataclasses.replace(results, run=msgspec.structs.replace(results.run, tracks=()))
    assert said(clean).verdict == "not applicable"


def test_pictures_are_of_samples_that_were_attacked(model: str, data: str, tmp_path: Path) -> None:
    results = run(suite_of(model, data, f"adversarial-patch({PATCH}, target='dark')"), tmp_path / "out", limit=24)
    rows = results.records[results.records.condition == "attack 0"].set_index("sample")
    assert list(rows.index) == list(results.records[results.records.condition == "clean"]["sample"])
    assert (rows.reason == "this image shows a dark").any()
    shown = [p for p in results.pictures() if p.condition == "attack 0"]
    assert len(shown) == 8
    for picture in shown:
        assert rows.reason[picture.sample] == ""
        assert (pixels(picture.before) != pixels(picture.after)).any()


def test_only_what_is_fitted_beforehand_can_be_judged_plain_or_shuffled(model: str, data: str) -> None:
    with pytest.raises(UserError, match=r"judged='plain' is for what is fitted beforehand.*pgd\(\) searches on each sample"):
        make_plan(suite_of(model, data, Condition("pgd", attack="pgd()", judged="plain")), Options(limit=100))
