"""A model's own predictions, scored from files, give the numbers of its run to the last digit: as they are, and on edited images."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest
import torch
from PIL import Image

import robustbench_cv as rb
from robustbench_cv.catalogue import DATASETS
from robustbench_cv.compare import compare
from robustbench_cv.data.images import read_image
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.predictions import to_coco
from robustbench_cv.results import Group, Results
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.scoring.render import render
from robustbench_cv.scoring.rendered import pixels_of, pixels_sha256
from robustbench_cv.scoring.score_request import score
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import BoxPrediction, predict

N = 8
DATA = f"scenes(samples={N})"
NOISE = "pixelate(severity=2)"
GONE = "remove(what='random-class')"
CONDITIONS = (CLEAN, Condition("coarse", (NOISE,)), Condition("gone", (GONE,)))


def track(task: Any, model: str, *metrics: str, conditions: tuple[Condition, ...] = CONDITIONS) -> Track:
    return Track(task, (model,), (DATA,), conditions, metrics)


SUITE = Suite(
    "tiny",
    1,
    (
        track("classification", "lenet5.scenes", "top-1", "label-probability", conditions=(CLEAN, CONDITIONS[1])),
        track("segmentation", "unet.scenes", "miou", "pixel-accuracy", "hallucination-rate"),
        track("detection", "yolov3-small.scenes", "ap", "ap50", "hallucination-rate", "fabricated-per-image"),
    ),
    strength=0,
    reports=("main-table",),
)


Runs = Callable[[str], Results]


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The run of a task, made once."""

    @functools.cache
    def make(task: str) -> Results:
        tracks = tuple(track for track in SUITE.tracks if track.task == task)
        return rb.run(msgspec.structs.replace(SUITE, tracks=tracks), out=tmp_path_factory.mktemp("run"), save_predictions=True)

    return make


def saved(run: Results, group: Group) -> dict[str, Path]:
    """What a model said in its run, by the spec of the condition."""
    assert run.folder is not None
    suffix = {"classification": ".csv", "segmentation": "", "detection": ".json"}[group.task]
    paths = {}
    for condition in run.conditions(group.task):
        path = RunFolder(run.folder).predictions(group.model, group.dataset, condition.name)
        paths[condition.interventions[0] if condition.interventions else "clean"] = path.with_name(path.name.removesuffix(".json") + suffix)
    return paths


def scored(run: Results, group: Group, out: Path, paths: Mapping[str, Path] | None = None, **more: Any) -> Results:
    how = {"scores": "probabilities"} if group.task == "classification" else {}
    return score(paths or saved(run, group), DATA, metrics=run.metrics(group.task), out=out, **how, **more)


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
def test_own_predictions_give_the_numbers_of_the_run(task: str, run_of: Runs, tmp_path: Path) -> None:
    run = run_of(task)
    (group,) = run.groups()
    again = scored(run, group, tmp_path)
    other = again.groups()[0]
    compared = 0
    for condition in run.conditions(group.task):
        name = condition.interventions[0] if condition.interventions else "clean"
        for metric in run.metrics(group.task):
            estimate = run.estimate(group, condition.name, metric)
            assert again.estimate(other, name, metric) == estimate
            compared += estimate.low is not None
            if condition.kind == "intervention":
                assert again.effect(other, name, metric) == run.effect(group, condition.name, metric)
    assert compared >= 4
    assert [c.kind for c in again.conditions(other.task)] == [c.kind for c in run.conditions(group.task)]


def test_what_needs_the_model_is_not_applicable_and_the_rest_is_checked(run_of: Runs, tmp_path: Path) -> None:
    run = run_of("detection")
    (group,) = run.groups()
    findings = {f.check: f for f in scored(run, group, tmp_path).findings}
    assert {name for name, f in findings.items() if f.verdict == "pass"} >= {"S00", "S22", "S01"}
    for name in ("S07", "S08", "S12"):
        assert findings[name].verdict == "not applicable"
        assert "only this model's predictions" in findings[name].evidence


def test_two_scored_runs_are_compared_sample_by_sample(run_of: Runs, tmp_path: Path) -> None:
    run = run_of("classification")
    (group,) = run.groups()
    clean = saved(run, group)["clean"]
    lines = clean.read_text().splitlines()
    # Every answer is turned round: the most probable class becomes the least probable one.
    wrong = [lines[0]]
    for line in lines[1:]:
        id_, *probs = line.split(",")
        values = [float(p) for p in probs]
        swapped = values.copy()
        best, worst = int(numpy.argmax(values)), int(numpy.argmin(values))
        swapped[best], swapped[worst] = values[worst], values[best]
        wrong.append(",".join([id_, *map(repr, swapped)]))
    worse = tmp_path / "worse.csv"
    worse.write_text("\n".join(wrong))
    base = score(clean, DATA, scores="probabilities", metrics=["top-1"], out=tmp_path / "base")
    new = score(worse, DATA, scores="probabilities", metrics=["top-1"], out=tmp_path / "new")
    made = compare(base, new)
    right = base.estimate(base.groups()[0], "clean", "top-1").value
    assert right is not None
    assert len(made.rows[0].broken) == round(right * N) > 0
    assert made.outcome == "regression"
    assert compare(base, base).outcome == "pass"


def test_edited_images_that_are_predicted_elsewhere_give_the_numbers_of_the_run(run_of: Runs, tmp_path: Path) -> None:
    """The model sees PNG files alone; pixelated images lose nothing in 8 bits."""
    folder = render(NOISE, DATA, tmp_path / "images", task="detection")
    assert folder.manifest.rounding == 0
    run = run_of("detection")
    (group,) = run.groups()
    model = build(group.model)
    entries: list[dict[str, Any]] = []
    for image in folder.manifest.images:
        (said,) = predict(model, read_image(folder.folder / image.file)[None])
        assert isinstance(said, BoxPrediction)
        # As COCO's annotations beside the images number them: categories from 1.
        for one in to_coco("", said, model.info.classes.names):
            entries.append({"image_id": image.image_id, "category_id": one["category_id"] + 1, "bbox": one["bbox"], "score": one["score"]})
    file = tmp_path / "elsewhere.json"
    file.write_text(json.dumps(entries))
    clean = saved(run, group)["clean"]
    more: dict[str, Any] = {"metrics": run.metrics("detection"), "out": tmp_path / "scored"}
    # The clean file names classes, the other one numbers them: each is read as it is.
    again = score({"clean": clean, NOISE: file}, rendered=folder.folder, first_category=1, **more)
    assert again.run.seed == folder.manifest.seed
    for metric in run.metrics("detection"):
        # Predicted one by one instead of in a batch, boxes may differ by rounding.
        ours, theirs = again.estimate(again.groups()[0], NOISE, metric), run.estimate(group, "coarse", metric)
        assert ours.value == pytest.approx(theirs.value, abs=1e-6)
        assert ours.n == theirs.n


def test_a_rendered_folder_shows_what_the_run_shows(tmp_path: Path) -> None:
    folder = render(GONE, DATA, tmp_path / "gone", task="segmentation", limit=4)
    assert len(DATASETS.build(f"masks:{folder.folder}", task="segmentation")) == len(folder.manifest.images) == 4
    for image in folder.manifest.images:
        assert pixels_sha256(pixels_of(folder.folder / image.file)) == image.pixels_sha256
        with Image.open(folder.folder / "masks" / image.file.removeprefix("images/")) as mask:
            assert mask.size == (image.width, image.height)
    first = {path.name: path.read_bytes() for path in folder.folder.rglob("*.png")}
    render(GONE, DATA, tmp_path / "gone", task="segmentation", limit=4)
    assert first == {path.name: path.read_bytes() for path in folder.folder.rglob("*.png")}
    all_of_them, other = (render(GONE, DATA, tmp_path / f"{seed}", task="segmentation", limit=8, seed=seed) for seed in (0, 7))
    assert {i.pixels_sha256 for i in folder.manifest.images} <= {i.pixels_sha256 for i in all_of_them.manifest.images}
    assert other.manifest.images != all_of_them.manifest.images  # some images leave a choice of classes


def test_values_between_grey_levels_are_rounded_and_the_manifest_says_by_how_much(tmp_path: Path) -> None:
    manifest = render("occlude(share=0.5)", DATA, tmp_path / "covered", task="classification", limit=2).manifest
    assert 0 < manifest.rounding <= 0.5 / 255 + 1e-6
    assert (tmp_path / "covered" / "classes.csv").read_text().splitlines()[0] == "file,label"


def test_an_attack_cannot_be_rendered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pgd is an attack: its images are searched for on the model itself"):
        render("pgd(eps=8/255)", DATA, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_data_that_changed_since_they_were_rendered_are_refused(tmp_path: Path) -> None:
    folder = render("clean", DATA, tmp_path / "images", task="segmentation", limit=2)
    masks = tmp_path / "masks"
    masks.mkdir()
    for image in folder.manifest.images:
        Image.fromarray(numpy.zeros((image.height, image.width), numpy.uint8)).save(masks / Path(image.file).name)
    with pytest.raises(UserError, match=r"is not among the data.*render the images again"):
        score(masks, "scenes(samples=2, size=64)", rendered=folder.folder, out=tmp_path / "out", missing="failed")


def test_corners_survive_as_width_and_height() -> None:
    """x + width is x2 again for every float: added in single precision it is not."""
    corners = torch.rand(2000, 4, generator=torch.Generator().manual_seed(0)) * 700
    boxes = torch.cat([torch.minimum(corners[:, :2], corners[:, 2:]), torch.maximum(corners[:, :2], corners[:, 2:])], 1)
    entries = to_coco("a", BoxPrediction(boxes, torch.ones(2000), torch.zeros(2000, dtype=torch.int64)), ["car"])
    back = numpy.array([[x, y, x + w, y + h] for x, y, w, h in (e["bbox"] for e in entries)]).astype(numpy.float32)
    assert (back == boxes.numpy()).all()
    single = numpy.float32(boxes[:, 0]) + numpy.float32(boxes[:, 2] - boxes[:, 0])
    assert (single != boxes[:, 2].numpy()).any()
