"""Warm curves: never weaker than each budget alone, sample by sample, cheaper, and the same bytes after a kill."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from robustbench_cv.errors import UserError
from robustbench_cv.results import Results
from robustbench_cv.run_folder import file_name
from robustbench_cv.runner.plan import Options, make_plan
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from tests.test_runner import records_of, run, write_data, write_model

LEVELS = (0.02, 0.04, 0.08, 0.12)
SHELL = "x = x - 0.5 * torch.exp(-((x.mean((1, 2, 3), keepdim=True) - 0.68) / 0.008) ** 2)"
"""Bright images a little darker are taken for dark ones; still darker, they are bright again."""


def suite_of(tmp_path: Path, *, warm: bool, attack: str = "pgd(eps={}, steps=3)", before: str = "pass") -> Suite:
    curve = [Condition(f"at {e}", attack=attack.format(e), severity=e, curve="pgd", warm=warm) for e in LEVELS]
    track = Track("classification", (write_model(tmp_path, before=before),), (write_data(tmp_path),), (CLEAN, *curve), ("top-1",))
    return Suite("curve", 1, (track,), reports=("budget-curve",), strength=0)


def broken(results: Results, condition: str) -> set[str]:
    made = results.broken(results.groups()[0], condition)
    return set(made.ids.filter(made.values).to_pylist())


@pytest.mark.parametrize("before", ["pass", SHELL])
def test_a_warm_budget_breaks_what_it_breaks_alone_and_what_smaller_ones_broke(tmp_path: Path, before: str) -> None:
    cold, warm = (run(suite_of(tmp_path, warm=w, before=before), tmp_path / str(w)).results for w in (False, True))
    group, so_far = cold.groups()[0], set[str]()
    for e in LEVELS:
        so_far |= broken(cold, f"at {e}")
        assert broken(warm, f"at {e}") == so_far
        evidence = warm.evidence(group, f"at {e}", "top-1").to_dict()
        assert {s for s, right in evidence.items() if not right} == so_far, "each is judged on an image that breaks it"
        cost = warm.cost(group, f"at {e}")
        assert cost is not None
        assert (cost.radius, cost.size <= e + 1e-6) == (pytest.approx(e), True)
    assert 0 < len(so_far) < 150
    if before == SHELL:
        assert broken(warm, "at 0.08") > broken(cold, "at 0.08"), "alone, coarse steps jump over what fine ones find"


def test_what_is_taken_over_is_not_searched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    from robustbench_cv.runner import attack_search

    whole = attack_search.run_attack
    monkeypatch.setattr(
        attack_search,
        "run_attack",
        lambda attack, model, images, *more: searched.append(len(images)) or whole(attack, model, images, *more),
    )
    results = run(suite_of(tmp_path, warm=True), tmp_path / "out").results
    counts = [len(broken(results, f"at {e}")) for e in LEVELS[:-1]]
    # The four that are shown are searched at each budget, for their images.
    assert sum(searched) <= 4 * 150 - sum(counts) + 4 * 3
    assert sum(searched) < 4 * 150


def test_killed_between_two_budgets_it_ends_in_the_same_bytes(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, warm=True)
    run(suite, tmp_path / "a")
    run(suite, tmp_path / "b")
    for name in ("at 0.04", "at 0.12"):
        for path in (tmp_path / "b" / "records").rglob(f"{file_name(name)}/*.parquet"):
            path.unlink()
    run(suite, tmp_path / "b")
    assert records_of(tmp_path / "a") == records_of(tmp_path / "b")


def test_a_change_of_the_smallest_budget_redoes_the_whole_curve(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, warm=True)
    track = suite.tracks[0]
    first = msgspec.structs.replace(track.conditions[1], attack="pgd(eps=0.01, steps=3)")
    other = msgspec.structs.replace(suite, tracks=(msgspec.structs.replace(track, conditions=(CLEAN, first, *track.conditions[2:])),))
    keys = [{c.row.condition: c.row.key for c in make_plan(s, Options(limit=8)).cells} for s in (suite, other)]
    assert {name for name in keys[0] if keys[0][name] != keys[1][name]} == {f"at {e}" for e in LEVELS}


def test_a_shown_sample_that_only_a_smaller_budget_broke_loses_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its record is the smaller budget's; the image of this search does not break it, and would say otherwise."""
    monkeypatch.setattr("robustbench_cv.runner.plan.PICTURES", 20)
    cold, warm = (run(suite_of(tmp_path, warm=w, before=SHELL), tmp_path / str(w), limit=20).results for w in (False, True))
    shown = [{p.sample for p in results.pictures() if p.condition == "at 0.08"} for results in (cold, warm)]
    taken_over = broken(warm, "at 0.08") - broken(cold, "at 0.08")
    assert shown[0] & taken_over, "some of the shown ones are lost alone"
    assert shown[1] == shown[0] - taken_over


def test_another_attack_or_budget_order_takes_nothing_over(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, warm=True)
    track = suite.tracks[0]
    other = Condition("more steps", attack="pgd(eps=0.12, steps=4)", warm=True)
    falling = (CLEAN, *reversed(track.conditions[1:]), other)
    plan = make_plan(msgspec.structs.replace(suite, tracks=(msgspec.structs.replace(track, conditions=falling),)), Options(limit=8))
    assert [c.base for c in plan.cells] == [None] * len(plan.cells)


@pytest.mark.parametrize(
    ("task", "attack", "words"),
    [
        ("segmentation", "seg-pgd(eps=0.1, steps=2)", "goes on after a sample counts as broken"),
        ("classification", "rotation-translation(draws=2)", "no ball of one radius"),
        ("classification", "patch(area=0.04, steps=2)", "no ball of one radius"),
    ],
)
def test_where_it_could_weaken_an_attack_it_is_refused(task: str, attack: str, words: str) -> None:
    model = {"classification": "lenet5.scenes", "segmentation": "unet.scenes"}[task]
    conditions = (CLEAN, Condition("one", attack=attack, severity=0.1, curve="c", warm=True))
    metric = {"classification": "top-1", "segmentation": "miou"}[task]
    suite = Suite("bad", 1, (Track(task, (model,), ("scenes",), conditions, (metric,), 4),))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=words):
        make_plan(suite, Options())


def test_records_of_a_warm_run_name_their_own_condition(tmp_path: Path) -> None:
    run(suite_of(tmp_path, warm=True), tmp_path / "out", limit=40)
    records = Results.open(tmp_path / "out").records
    counts = records.groupby("condition").size().to_dict()
    assert counts == dict.fromkeys(("clean", *(f"at {e}" for e in LEVELS)), 40)
