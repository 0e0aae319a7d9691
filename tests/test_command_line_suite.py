"""Attacks and edits that are typed make a suite of their own, and a path or a name in the wrong place is answered with the line to type."""

from pathlib import Path

import pytest

from robustbench_cv.bare_paths import data_hint, model_hint
from robustbench_cv.catalogue import ATTACKS, DATASETS, MODELS
from robustbench_cv.cli import main
from robustbench_cv.command_line_suite import suite_of
from robustbench_cv.errors import UserError
from robustbench_cv.suite import CLEAN
from robustbench_cv.suite_files import check_specs, find_suite


def test_every_attack_meets_every_budget_on_a_curve_of_its_own() -> None:
    (track,) = suite_of(["pgd(steps=3)", "fgsm"], budgets=["1/255", "8/255"]).tracks
    assert [(c.name, c.severity, c.curve) for c in track.conditions[1:]] == [
        ("pgd(steps=3) 1/255", 1 / 255, "pgd(steps=3)"),
        ("pgd(steps=3) 8/255", 8 / 255, "pgd(steps=3)"),
        ("fgsm 1/255", 1 / 255, "fgsm"),
        ("fgsm 8/255", 8 / 255, "fgsm"),
    ]
    built = [ATTACKS.build(c.attack or "") for c in track.conditions[1:]]
    assert [attack.constraint.radius for attack in built] == pytest.approx([1 / 255, 8 / 255] * 2)
    assert [attack.steps for attack in built[:2]] == [3, 3]


def test_a_budget_inside_a_spec_is_kept_whatever_else_is_given() -> None:
    (track,) = suite_of(["pgd(eps=2/255)", "fgsm"], budgets=["8/255"]).tracks
    assert [(c.name, c.severity) for c in track.conditions[1:]] == [("pgd 2/255", 2 / 255), ("fgsm 8/255", 8 / 255)]


def test_attacks_choose_the_tasks_and_edits_go_into_each() -> None:
    both = suite_of(["pgd", "tog-vanish", "noise"], ["remove()"]).tracks
    assert {t.task: [c.name for c in t.conditions] for t in both} == {
        "classification": ["clean", "pgd", "noise", "remove()"],
        "detection": ["clean", "tog-vanish", "noise", "remove()"],
    }
    assert len(suite_of(["noise"]).tracks) == len(suite_of([], ["remove()"]).tracks) == 3
    assert all(t.conditions[0] == CLEAN for t in both)


@pytest.mark.parametrize("suite", [suite_of(["autoattack"], budgets=["1/255"]), suite_of([], ["occlude(share=0.5)", "remove()"])])
def test_a_suite_from_the_command_line_is_a_suite_like_any_other(suite: object) -> None:
    check_specs(suite)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["pdg"],), "did you mean 'pgd'"),
        ((["dpatch"], [], ["8/255"]), "attack 'dpatch' takes no eps"),
        ((["pgd"], [], ["8"]), "write eps=8/255"),
        ((["pgd"], [], ["big"]), "--eps 'big' is no budget"),
        ((["pgd"], [], ["True"]), "is no budget"),
        ((["remove()"],), r"is no attack but an intervention: write --condition remove"),
        (([], ["pgd"]), "is no intervention but an attack: write --attack pgd"),
        (([], ["remov()"]), "did you mean 'remove'"),
        ((["pgd(step=3)"],), r"takes no 'step'; it takes pgd\(norm='linf', eps=8/255, steps=40"),
    ],
)
def test_what_makes_no_suite_is_refused(arguments: tuple[list[str], ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        suite_of(*arguments)


def test_long_specs_have_names_that_files_can_bear() -> None:
    source = "a" * 200
    (track, *_) = suite_of([f"transfer(source='{source}', attack='mi-fgsm(eps=8/255)')"]).tracks
    assert len(track.conditions[1].name) == 100


def test_a_suite_that_is_an_attack_is_answered_with_the_command() -> None:
    with pytest.raises(UserError, match=r"robustbench-cv run --attack 'autoattack\(eps=1/255\)' --model MODEL --data DATA"):
        find_suite("autoattack(eps=1/255)")
    with pytest.raises(UserError, match=r"it is an intervention.*run --condition occlude"):
        find_suite("occlude")


def test_a_suites_arguments_are_spoken_of_as_they_are_written() -> None:
    with pytest.raises(UserError) as refused:
        find_suite("linf(epsilon=8/255)")
    assert str(refused.value) == "suite 'linf' takes no 'epsilon'; it takes linf(eps=8/255, steps=40, samples=200)"


FOLDERS = {
    "cat/1.png": "folder",
    "annotations/instances.json": "coco",
    "JPEGImages/1.jpg": "voc",
    "leftImg8bit/val/x.png": "cityscapes",
    "data.yaml": "yolo",
    "masks/1.png": "masks",
    "data_batch_1": "cifar",
}


@pytest.mark.parametrize("inside", FOLDERS)
def test_data_at_a_path_is_answered_with_the_prefix_that_its_files_suggest(inside: str, tmp_path: Path) -> None:
    (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / inside).touch()
    with pytest.raises(UserError, match=f"is a path and names no format: write {FOLDERS[inside]}:{tmp_path}"):
        DATASETS.check(str(tmp_path))


def test_names_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_hint("scens") == model_hint("resnet5O") == model_hint("lenet5.scens") == ""
    (tmp_path / "scenes").mkdir()
    DATASETS.check("scenes")  # a name that is registered stays one
    with pytest.raises(UserError, match="did you mean 'scenes'"):
        DATASETS.check("scens")
    with pytest.raises(UserError, match=r"write finetuned:mine\.safetensors"):
        MODELS.check("mine.safetensors")
    with pytest.raises(UserError, match=r"write ultralytics:runs/best\.pt"):
        MODELS.check("runs/best.pt")


def test_one_command_makes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "--attack", "pgd(steps=2)", "--eps", "1/255", "--eps", "8/255", "--condition", "occlude(share=0.5)"]
    more = ["--model", "lenet5.scenes", "--limit", "3", "--strength", "0", "--device", "cpu", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as done:
        main([*command, *more])
    out = capsys.readouterr().out
    assert done.value.code in (0, 4), out
    for name in ("pgd(steps=2) 1/255", "pgd(steps=2) 8/255", "occlude(share=0.5)"):
        assert name in out


@pytest.mark.parametrize(
    ("attacks", "edits", "name"),
    [
        (["pgd", "pgd(steps=3)"], [], "pgd"),
        (["torchattacks:PGD"], ["remove(fill='blur')"], "pgd-remove"),
        ([], ["grayscale()", "rotate()", "fog()", "snow()", "frost()"], "grayscale-rotate-fog-and-2-more"),
    ],
)
def test_a_suite_is_named_after_what_was_typed(attacks: list[str], edits: list[str], name: str) -> None:
    assert suite_of(attacks, edits).name == name
