"""Files of predictions as people and enemies write them: read as what they say, or refused with the place and the way out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.cli import main
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.scoring.prediction_forms import task_of
from robustbench_cv.scoring.predictions import read_predictions
from robustbench_cv.scoring.reading import Read, Reading
from robustbench_cv.scoring.render import render
from robustbench_cv.scoring.sample_names import names_of
from robustbench_cv.scoring.score_request import score
from robustbench_cv.types import BoxPrediction, ClassPrediction, Dataset, Labels

SIDE = 32


def save_image(path: Path, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.full((SIDE, SIDE, 3), value, numpy.uint8)).save(path)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Three images with a box each, of categories 3 and 7."""
    names = ["000000000139.jpg", "b.jpg", "c.jpg"]
    for k, name in enumerate(names):
        save_image(tmp_path / "coco" / "images" / name, 40 + k)
    content = {
        "images": [{"id": 139 if k == 0 else k, "file_name": name, "width": SIDE, "height": SIDE} for k, name in enumerate(names)],
        "annotations": [
            {"id": k, "image_id": 139 if k == 0 else k, "category_id": 3 if k else 7, "bbox": [4, 4, 16, 16], "area": 256, "iscrowd": 0}
            for k in range(3)
        ],
        "categories": [{"id": 3, "name": "car"}, {"id": 7, "name": "boat"}],
    }
    (tmp_path / "coco" / "instances.json").write_text(json.dumps(content))
    return tmp_path / "coco"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("cat/a.png", "cat/b.png", "dog/c.png"):
        save_image(tmp_path / "photos" / name, len(name) * 7 + ord(name[-5]))
    return tmp_path / "photos"


def detection(image: Any = 139, label: Any = 7, box: Any = (4, 4, 16, 16), said: Any = 0.9) -> dict[str, Any]:
    return {"image_id": image, "category_id": label, "bbox": box, "score": said}


ALL = [detection(), detection(1, 3), detection(2, 3)]


def read(dataset: Dataset, path: Path, **how: Any) -> Read:
    return read_predictions(path, dataset.task, Reading(dataset=dataset, names=names_of(dataset), **how))


def written(folder: Path, text: str | list[Any], name: str = "p.json") -> Path:
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def test_coco_results_are_read_by_the_categories_of_the_data(coco: Path, tmp_path: Path) -> None:
    data = DATASETS.build(f"coco:{coco}")
    found = read(data, written(tmp_path, [*ALL, detection(said=0.95, box=[-9, 0, 5, 5])]))
    said = found.answers.of(data.ids[0], SIDE, SIDE)
    assert isinstance(said, BoxPrediction)
    assert said.scores.tolist() == pytest.approx([0.95, 0.9])
    assert said.boxes.tolist() == [[-9, 0, -4, 5], [4, 4, 20, 20]]
    assert [data.labels.names[k] for k in said.labels] == ["boat", "boat"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([detection(label=1)], r"entry 0: category_id 1 is none of the data's \(3, 7\)"),
        ([*ALL, detection(said=97.0)], r"entry 3: score 97 is outside \[0, 1\].*divide percents by 100"),
        ([detection(box=[20, 20, -4, 4])], "entry 0: .* negative width or height; write x, y, width, height"),
        ([detection(box=[0, 0, 1e30, 4])], "beyond 1e"),
        (
            [detection(box=[0, 0, 4])],
            r"entry 0: bbox is \[0,0,4\], and must be four numbers: x, y, width, height in pixels \(entries count from 0\)",
        ),
        ([*ALL, {"image_id": 1, "category_id": 3, "bbox": [0, 0, 4, 4]}], "entry 3: it has no 'score', which is a number from 0 to 1"),
        ([*ALL, detection(box=[0, 0, 4, "w"])], "entry 3: bbox is .*, and must be four numbers"),
        ([{**detection(), "score": "high"}], 'entry 0: score is "high", and must be a number from 0 to 1'),
        ([detection(), [1, 2]], r"entry 1: \[1,2\] is no detection, which is an object with 'image_id'"),
        ("5", "is not COCO results: .* it is no list"),
        ([detection(image="../../etc/passwd")], "predictions of 1 image that 'coco' does not hold, such as '../../etc/passwd'"),
        ([{**detection(), "category": "Car"}], "no class is called 'Car'; did you mean 'car'?"),
        ([{**detection(), "category": "car"}, detection()], "entry 1 names no category, and entry 0 does"),
        ({"images": [], "annotations": []}, "looks like a file of annotations"),
        ('[{"image_id": 139, "category_id": 7, "bbox": [1, 2, 3, 4], "score": NaN}]', "NaN at line 1, column 69 is no JSON number"),
        ('[{"image_id": 139, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 1e999}]', "1e999 at line 1"),
        ('[{"image_id": 139, "image_id": 1, "score": 1}]', "holds the key 'image_id' twice"),
        ("[" * 100_000, "is nested too deeply|not valid JSON"),
        ('[{"image_id": 139,', "is the file complete"),
    ],
)
def test_what_is_no_detection_of_the_data_is_refused(coco: Path, tmp_path: Path, entries: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"(?s){message}"):
        read(DATASETS.build(f"coco:{coco}"), written(tmp_path, entries))


def test_extra_predictions_are_counted_where_they_are_to_be_passed_over(coco: Path, tmp_path: Path) -> None:
    data = DATASETS.build(f"coco:{coco}")
    found = read(data, written(tmp_path, [*ALL, detection(image=9)]), ignore_extra=True)
    assert found.samples == frozenset(data.ids)
    assert "predictions of 1 image that coco does not hold are passed over" in found.notes[0]
    with pytest.raises(UserError, match="does not hold"):  # none at all is of these data
        read(data, written(tmp_path, [detection(image=9)]), ignore_extra=True)


def test_numbers_of_classes_that_nothing_explains_are_not_guessed(tmp_path: Path) -> None:
    save_image(tmp_path / "y" / "images" / "7.jpg")
    (tmp_path / "y" / "labels").mkdir()
    (tmp_path / "y" / "labels" / "7.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (tmp_path / "y" / "data.yaml").write_text("path: .\nval: images\nnames: [car, boat]\n")
    data = DATASETS.build(f"yolo:{tmp_path / 'y'}")
    file = written(tmp_path, [detection(image=7, label=1)])
    with pytest.raises(UserError, match="--first-category 0 or --first-category 1"):
        read(data, file)
    for first, label in ((0, 1), (1, 0)):
        said = read(data, file, first_category=first).answers.of(data.ids[0], SIDE, SIDE)
        assert isinstance(said, BoxPrediction)
        assert said.labels.tolist() == [label]
    labels = tmp_path / "labels"
    labels.mkdir()
    written(labels, "1 0.5 0.5 0.25 0.5 0.5\n0 0.5 0.5 1 1 0.75\n", "7.txt")
    said = read(data, labels).answers.of(data.ids[0], 40, 80)
    assert isinstance(said, BoxPrediction)
    assert said.boxes.tolist() == [[0, 0, 80, 40], [30, 10, 50, 30]]
    assert said.labels.tolist() == [0, 1]
    for line, message in (
        ("1 0.5 0.5 0.25 0.5", r"7.txt, line 1: five numbers are a box without a confidence.*save_conf=True"),
        ("5 0.5 0.5 0.25 0.5 0.5", "class 5 is not one of the 2"),
        ("1 320 240 64 48 0.5", "shares of the image's sides, not pixels"),
        ("1 0.5 0.5 0.25 nan 0.5", "holds NaN or infinity"),
        ("1 0.5 0.5 0.25 0.5 50", r"confidence 50 is outside \[0, 1\]"),
    ):
        written(labels, line, "7.txt")
        with pytest.raises(UserError, match=message):
            read(data, labels)


def test_class_scores_are_read_by_name_and_as_what_the_user_says(photos: Path, tmp_path: Path) -> None:
    data = DATASETS.build(f"folder:{photos}")
    file = written(tmp_path, "id,dog,cat\ncat/a.png,0.25,0.75\nb.png,0.1,0.9\nc,0.6,0.4\n", "s.csv")
    with pytest.raises(UserError, match="--scores probabilities or --scores logits; which they are is never guessed"):
        read(data, file)
    found = read(data, file, scores="probabilities")
    assert found.classes == Labels(("dog", "cat"))
    assert found.samples == frozenset(data.ids)
    said = found.answers.of(data.ids[0], SIDE, SIDE)
    assert isinstance(said, ClassPrediction)
    assert said.probs.tolist() == [0.25, 0.75]
    named = written(tmp_path, file.read_text().replace("id,", "file,", 1), "f.csv")
    renamed = read(data, named, scores="probabilities").answers.of(data.ids[0], SIDE, SIDE)
    assert isinstance(renamed, ClassPrediction)
    assert renamed.probs.tolist() == [0.25, 0.75]
    as_logits = read(data, file, scores="logits").answers.of(data.ids[0], SIDE, SIDE)
    assert isinstance(as_logits, ClassPrediction)
    assert as_logits.probs.tolist() == pytest.approx([1 / (1 + numpy.exp(0.5)), 1 / (1 + numpy.exp(-0.5))])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat,dog\n", "its first line is `id` and a column for each class, or `id,label`"),
        ("id,cat,cat\na.png,1,0\n", "names 'cat' more than once"),
        ("id,cat,dog\na.png,nan,1\n", "line 2: cat is 'nan', which is no finite number"),
        ("id,cat,dog\na.png,0.5,0.5\nb.png,0.5\n", "line 3: 2 cells, and line 1 names 3 columns|line 3: dog is ''"),
        ("id,cat,dog\na.png,7.5,-2\n", r"7.5 is no probability; are these logits \(--scores logits\)"),
        ("id,cat,dog\na.png,7.5,-2\n", "If they are percents, divide them by 100"),
        (
            "id,cat,dog\na.png,2,98\nb.png,50,50.2\n",
            "2 is no probability: every line sums to about 100, so these look like percents; divide",
        ),
        ("id,cat,dog\na.png,0.9,0.9\n", "line 2: the probabilities sum to 1.8, not to 1"),
        (
            "id,cat\na.png,1\nb.png,0.98\n",
            "line 1 has no column for the class 'dog', and the probabilities of line 3 sum to 0.98, not to 1",
        ),
        ("id,fox\na.png,0.98\n", "line 2: the probabilities sum to 0.98, not to 1; scores of classes"),
        ("id,cat,dog\na.png,1,0\ncat/a.png,1,0\n", "line 3: 'cat/a.png' is the image of line 2 again"),
        ("id,cat,dog\n../../x.png,1,0\n", "does not hold, such as '../../x.png'"),
        ("", "begins with ''"),
    ],
)
def test_what_is_no_table_of_class_scores_is_refused(photos: Path, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(DATASETS.build(f"folder:{photos}"), written(tmp_path, text, "s.csv"), scores="probabilities")


def test_labels_alone_give_accuracy_and_nothing_more(photos: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "id,label\na.png,cat\nb.png,dog\nc.png,dog\n", "s.csv")
    results = score(file, f"folder:{photos}", out=tmp_path / "run", name="elsewhere")
    (group,) = results.groups()
    assert results.estimate(group, "clean", "top-1").value == pytest.approx(2 / 3)
    named = written(tmp_path, file.read_text().replace("id,", "file,", 1), "f.csv")  # the first line of render's classes.csv
    assert read(DATASETS.build(f"folder:{photos}"), named).kind == "labels of 2 classes, without scores"
    assert results.metrics("classification") == ["top-1", "hallucination-rate"]
    with pytest.raises(UserError, match="'label-probability' asks for more than the answer"):
        score(file, f"folder:{photos}", out=tmp_path / "other", metrics=["label-probability"])
    with pytest.raises(UserError, match="no class is called 'Cat'; did you mean 'cat'"):
        score(written(tmp_path, "id,label\na.png,Cat\n", "u.csv"), f"folder:{photos}", out=tmp_path / "other")


def test_a_sample_without_an_answer_is_a_mistake_or_a_failure_never_a_number(photos: Path, tmp_path: Path) -> None:
    file = written(tmp_path, "id,label\na.png,cat\nb.png,cat\n", "s.csv")
    with pytest.raises(UserError, match=r"1 of 3 samples, such as 'photos/dog/c.png', have no prediction"):
        score(file, f"folder:{photos}", out=tmp_path / "run")
    results = score(file, f"folder:{photos}", out=tmp_path / "run", missing="failed")
    (group,) = results.groups()
    estimate = results.estimate(group, "clean", "top-1")
    assert (estimate.n, estimate.failed, estimate.all_wrong, estimate.all_right) == (2, 1, pytest.approx(2 / 3), 1.0)
    rows = results.records.set_index("sample")
    assert rows.loc["photos/dog/c.png", "reason_code"] == "no-prediction"


def test_images_without_detections_count_as_empty_unless_hardly_any_has_one(coco: Path, tmp_path: Path) -> None:
    data = f"coco:{coco}"
    results = score(written(tmp_path, ALL[:2]), data, out=tmp_path / "run", metrics=["ap50"])
    (group,) = results.groups()
    assert results.estimate(group, "clean", "ap50").n == 3
    assert any("1 of 3 samples" in note and "count as images in which nothing was found" in note for note in results.run.notes)
    with pytest.raises(UserError, match=r"2 of 3 samples.*is the file whole"):
        score(written(tmp_path, ALL[:1]), data, out=tmp_path / "other")
    meant = score(written(tmp_path, []), data, out=tmp_path / "none", metrics=["ap50"], missing="empty")
    assert meant.estimate(meant.groups()[0], "clean", "ap50").value == 0


def test_a_rendered_part_of_the_data_is_scored_as_that_part(coco: Path, tmp_path: Path) -> None:
    """What answers as the annotations beside the rendered images say is perfect, by their numbers."""
    folder = render("brightness(severity=1)", f"coco:{coco}", tmp_path / "bright", limit=2)
    truth = json.loads((folder.folder / "instances.json").read_text())
    assert {one["id"] for one in truth["categories"]} == {3, 7}
    said = [detection(a["image_id"], a["category_id"], a["bbox"]) for a in truth["annotations"]]
    results = score(written(tmp_path, said), rendered=folder.folder, out=tmp_path / "run", metrics=["ap50"])
    (group,) = results.groups()
    estimate = results.estimate(group, "brightness(severity=1)", "ap50")
    assert (estimate.value, estimate.n) == (pytest.approx(1), 2)
    assert results.conditions("detection", "clean") == []


def test_predicted_masks_have_the_size_of_the_image_and_indices_of_classes(tmp_path: Path) -> None:
    root = tmp_path / "seg"
    save_image(root / "images" / "a.png")
    (root / "classes.txt").write_text("road\nsky\n")
    for folder, values in (("masks", [0, 1]), ("said", [0, 255])):
        (root / folder).mkdir()
        Image.fromarray(numpy.repeat(numpy.array([values], numpy.uint8), SIDE // 2, 1).repeat(SIDE, 0)).save(root / folder / "a.png")
    results = score(root / "said", f"masks:{root}", out=tmp_path / "run", metrics=["pixel-accuracy", "miou"])
    (group,) = results.groups()
    # The half without a class is wrong.
    assert results.estimate(group, "clean", "pixel-accuracy").value == 0.5
    Image.fromarray(numpy.full((SIDE, SIDE), 9, numpy.uint8)).save(root / "said" / "a.png")
    with pytest.raises(BadSample, match="holds the index 9, and there are 2 classes"):
        score(root / "said", f"masks:{root}", out=tmp_path / "run")
    Image.fromarray(numpy.zeros((4, SIDE), numpy.uint8)).save(root / "said" / "a.png")
    with pytest.raises(BadSample, match="has 32 x 4 pixels, and the image 32 x 32"):
        score(root / "said", f"masks:{root}", out=tmp_path / "run")


def test_a_name_that_several_images_have_is_refused(tmp_path: Path) -> None:
    for name in ("cat/a.png", "dog/a.png"):
        save_image(tmp_path / "twins" / name)
    data = DATASETS.build(f"folder:{tmp_path / 'twins'}")
    assert names_of(data).find("dog/a.png") == "twins/dog/a.png"
    with pytest.raises(UserError, match=r"'a.png' is the name of several samples"):
        names_of(data).find("a.png")


def test_what_lies_there_says_which_task_it_is_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        task_of(tmp_path / "nothing.json")
    with pytest.raises(UserError, match="neither text files nor masks"):
        task_of(tmp_path)
    with pytest.raises(UserError, match=r"is no file of predictions that is read"):
        task_of(written(tmp_path, "x", "model.pt"))


def test_predictions_that_are_not_there_are_told_before_torch_is_loaded(tmp_path: Path) -> None:
    code = "import sys; from robustbench_cv.cli import _run; print(_run(sys.argv[1:]), 'torch' in sys.modules)"
    typed = ["score", "--predictions", "nowhere.json", "--data", "scenes", "--out", "run"]
    done = subprocess.run([sys.executable, "-c", code, *typed], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]
    assert "nowhere.json does not exist; give COCO results" in done.stderr


def test_the_command_prints_the_table_and_a_gate_decides_its_exit_code(
    coco: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, ALL)
    common = ["score", "--predictions", str(file), "--data", f"coco:{coco}", "--metric", "ap50", "--name", "closed"]
    with pytest.raises(SystemExit) as done:
        main([*common, "--out", str(tmp_path / "run"), "--at-least", "ap50=0.5"])
    assert done.value.code in (0, 3)
    said = capsys.readouterr().out
    assert "COCO results, 3 detections; 3 of 3 samples have a prediction" in said
    assert "\ncondition " in said, "a plain table"
    assert "<sub>" not in said
    verdict = {0: "exit code 0: pass", 3: "exit code 3: a gate is inconclusive"}[done.value.code]
    assert verdict in said
    assert "1 of 1 gates pass" in said or "gate inconclusive: ap50 under clean of closed on " in said
    assert (tmp_path / "run" / "report" / "index.html").is_file()
    assert (tmp_path / "run" / "junit.xml").is_file()
    with pytest.raises(SystemExit) as done:
        main([*common, "--out", str(tmp_path / "run2"), "--predictions", "pgd(eps=8/255)=x.json"])
    assert done.value.code == 2
    assert "pgd is an attack" in capsys.readouterr().err
    with pytest.raises(SystemExit) as done:
        main([*common, "--out", str(tmp_path / "run3"), "--predictions", f"clean={tmp_path / 'gone.json'}"])
    assert done.value.code == 2
    refused = capsys.readouterr()
    assert "gone.json" in refused.err
    assert refused.out == "", "what is not begun is not announced"
    assert not (tmp_path / "run3").exists()
    with pytest.raises(SystemExit) as done:
        main([*common, "--out", str(tmp_path / "run"), "--at-least", "ap50=1"])
    said = capsys.readouterr().out
    assert done.value.code in (1, 3)
    assert "gate " in said
    assert ": ap50 under clean of closed on coco ≥ 1 (" in said
