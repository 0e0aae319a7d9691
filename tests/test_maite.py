"""The MAITE protocols, both ways: what a toy in their form says is what ours says, and what ours says is in their form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import robustbench_cv as rb
from robustbench_cv.catalogue import DATASETS
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.maite import as_maite_dataset, as_maite_model, dataset_from_maite, model_from_maite
from robustbench_cv.models.build import build
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import BoxPrediction, BoxTarget, ClassPrediction, ClassTarget, predict

TOY = '''
"""In MAITE's form, with nothing of this package: is an image bright or dark, and where does it shine?"""
from dataclasses import dataclass
import numpy as np


class Classifier:
    metadata = {"id": "toy-classifier", "index2label": {0: "dark", 1: "bright"}}

    def __call__(self, batch):
        bright = [float(np.asarray(image).mean()) / 255 for image in batch]
        return [np.array([1 - b, b], dtype=np.float32) for b in bright]


@dataclass
class Target:
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


class Data:
    metadata = {"id": "toy-data", "index2label": {0: "dark", 1: "bright"}}

    def __len__(self):
        return 12

    def __getitem__(self, index):
        image = np.full((3, 16, 16), 20 + 20 * index, dtype=np.uint8)
        return image, np.eye(2)[int(index >= 6)], {"id": f"shot {index}"}

    def get_metadata(self, index):
        return {"id": f"shot {index}"}
'''


@dataclass
class Target:
    boxes: Any
    labels: Any
    scores: Any


class Detector:
    """A box of the left half, and none of an image that is black."""

    metadata = {"id": "halves", "index2label": {0: "left", 1: "right"}}  # noqa: RUF012

    def __call__(self, batch: Sequence[Any]) -> list[Target]:
        made = []
        for image in batch:
            height, width = image.shape[1:]
            n = int(float(image.max()) > 0)
            boxes = numpy.array([[0, 0, width / 2, height], [width / 2, 0, width, height]], dtype=numpy.float32)[: 2 * n]
            made.append(Target(boxes, numpy.array([0, 1])[: 2 * n], numpy.array([[0.25, 0.5], [0.125, 0.75]])[: 2 * n]))
        return made


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_and_data_of_theirs_go_through_a_whole_run(toy: Path) -> None:
    track = Track(
        "classification",
        ("maite:toy.py:Classifier(task='classification', scale=255, scores='probabilities')",),
        ("maite:toy.py:Data(scale=255)",),
        (CLEAN, Condition("dimmer", ("brightness(severity=5)",))),
        ("top-1", "label-probability"),
    )
    results = rb.run(Suite("theirs", 1, (track,), strength=0, reports=("main-table",)), out=toy / "run")
    (group,) = results.groups()
    assert (group.model, group.dataset) == ("toy-classifier", "toy-data")
    # Grey 120 of 255 is dark and 140 bright, where the classes change.
    assert results.estimate(group, "clean", "top-1").value == 1
    expected = numpy.mean([(g if g >= 140 else 255 - g) / 255 for g in range(20, 260, 20)])
    assert results.estimate(group, "clean", "label-probability").value == pytest.approx(expected, abs=1e-6)
    assert "toy-data/shot 3" in set(results.records["sample"])


def test_scores_are_what_the_caller_says_and_nothing_is_guessed(toy: Path) -> None:
    image = torch.full((1, 3, 8, 8), 0.75)
    said = predict(build("maite:toy.py:Classifier(task='classification', scale=255, scores='probabilities')"), image)[0]
    assert isinstance(said, ClassPrediction)
    assert said.probs.tolist() == pytest.approx([0.25, 0.75], abs=1e-6)
    said = predict(build("maite:toy.py:Classifier(task='classification', scale=255, scores='logits')"), image)[0]
    assert isinstance(said, ClassPrediction)
    assert said.probs.tolist() == pytest.approx(torch.tensor([0.25, 0.75]).softmax(0).tolist(), abs=1e-6)
    with pytest.raises(UserError, match="say scores='probabilities' or 'logits'"):
        build("maite:toy.py:Classifier(task='classification', scale=255)")
    with pytest.raises(UserError, match="scale"):
        build("maite:toy.py:Classifier(task='classification')")


def test_a_detector_of_theirs_says_the_same_boxes() -> None:
    model = model_from_maite(Detector(), "detection", scale=1)
    images = torch.stack([torch.ones(3, 8, 12), torch.zeros(3, 8, 12)])
    two, none = predict(model, images)
    assert isinstance(two, BoxPrediction)
    assert isinstance(none, BoxPrediction)
    assert two.labels.tolist() == [1, 0]
    assert two.scores.tolist() == pytest.approx([0.75, 0.25])
    assert two.boxes.tolist() == [[6, 0, 12, 8], [0, 0, 6, 8]]
    assert none.boxes.shape == (0, 4)


def test_models_of_ours_answer_in_their_form_as_they_answer_here() -> None:
    for spec, task in (("lenet5.scenes", "classification"), ("yolov3-small.scenes", "detection")):
        model, data = build(spec), DATASETS.build("scenes(samples=2)", task=task)
        theirs = as_maite_model(model)
        assert theirs.metadata["index2label"] == dict(enumerate(model.info.classes.names))
        said = theirs([data[i].image.numpy() for i in range(2)])
        for i, target in enumerate(said):
            (own,) = predict(model, data[i].image[None])
            if isinstance(own, BoxPrediction):
                assert (target.boxes == own.boxes.numpy()).all()
                assert (target.labels == own.labels.numpy()).all()
                assert (target.scores == own.scores.numpy()).all()
            else:
                assert isinstance(own, ClassPrediction)
                assert (target == own.probs.numpy()).all()
        # And back again: the same answers through both adapters.
        again = model_from_maite(theirs, task, scale=1, scores="probabilities")
        there, back = predict(model, data[0].image[None])[0], predict(again, data[0].image[None])[0]
        if isinstance(there, ClassPrediction) and isinstance(back, ClassPrediction):
            torch.testing.assert_close(there.probs, back.probs)
        if isinstance(there, BoxPrediction) and isinstance(back, BoxPrediction):
            torch.testing.assert_close(there.boxes, back.boxes)
    with pytest.raises(UserError, match=r"in \[0, 1\]; one is \(3, 8, 8\)"):
        as_maite_model(build("lenet5.scenes"))([numpy.full((3, 8, 8), 200, numpy.uint8)])


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_data_come_back_as_they_were(task: Any) -> None:
    data = DATASETS.build("scenes(samples=3)", task=task)
    theirs = as_maite_dataset(data)
    assert len(theirs) == 3
    assert theirs[1][2] == {"id": data.ids[1]}
    back = dataset_from_maite(theirs, task, scale=1, name="back")
    assert back.labels == data.labels
    assert list(back.ids) == [f"back/{id_}" for id_ in data.ids]
    one, other = data[1], back[1]
    assert (one.image == other.image).all()
    if isinstance(one.target, ClassTarget) and isinstance(other.target, ClassTarget):
        assert one.target.label == other.target.label
    if isinstance(one.target, BoxTarget) and isinstance(other.target, BoxTarget):
        assert (one.target.boxes == other.target.boxes).all()
        assert (one.target.labels == other.target.labels).all()
    assert back.fingerprint(0) != back.fingerprint(1)


def test_what_their_protocols_leave_open_is_refused_where_it_does_not_fit(toy: Path) -> None:
    with pytest.raises(BadSample, match="pixels from 20 to 20, and white is said to be 1"):
        _ = DATASETS.build("maite:toy.py:Data(scale=1)")[0]
    with pytest.raises(UserError, match="names no classes"):
        model_from_maite(type("Nameless", (Detector,), {"metadata": {"id": "x"}})(), "detection", scale=1)
    with pytest.raises(UserError, match="none for segmentation"):
        model_from_maite(Detector(), "segmentation", scale=1)
    with pytest.raises(UserError, match="is a segmenter"):
        as_maite_model(build("unet.scenes"))


def test_their_own_protocols_accept_what_is_made_for_them() -> None:
    protocols = pytest.importorskip("maite.protocols.object_detection", reason="the package maite is not installed")
    data = as_maite_dataset(DATASETS.build("scenes(samples=1)", task="detection"))
    model = as_maite_model(build("yolov3-small.scenes"))
    assert isinstance(data, protocols.Dataset)
    assert isinstance(model, protocols.Model)
    # An alias of their protocol with further conditions, which isinstance cannot take.
    assert isinstance(model([data[0][0]])[0], protocols.ObjectDetectionTarget.__origin__)
