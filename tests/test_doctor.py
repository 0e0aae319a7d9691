"""One mistake at a time, planted in a right model or right data of each task: the doctor names it, and accuses nothing else."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import FunctionType
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks import s01_range
from robustbench_cv.checks.check import Preflight
from robustbench_cv.checks.check_declarations import check_names
from robustbench_cv.checks.doctor import examine
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.tasks import Task
from robustbench_cv.types import BoxPrediction, BoxTarget, Candidates, ClassTarget, Labels, ModelInfo, Prediction, Sample
from tests.checked_models import CLASSES, GROUND, Colours, Listed, Tiny, normalise, samples, with_boxes

TASKS: tuple[Task, ...] = ("classification", "segmentation", "detection")
LABELLERS: tuple[Task, ...] = ("classification", "segmentation")


def doctor(model: Any, found: Sequence[Sample]) -> dict[str, Finding]:
    """Findings by id."""
    data = Listed(found, model.info.task, model.info.classes)
    findings = examine(model, data, ClassMap.match(data.labels, model.info.classes), range(len(found)))
    return {f.check: f for f in findings}


def stops(findings: dict[str, Finding]) -> list[str]:
    return [id_ for id_, f in findings.items() if f.verdict == "stop"]


def accused(findings: dict[str, Finding]) -> list[str]:
    return [id_ for id_, f in findings.items() if f.verdict in ("stop", "warn")]


@pytest.mark.parametrize("task", TASKS)
def test_a_right_model_on_right_data_passes_everything(task: Task) -> None:
    findings = doctor(Tiny(task), samples(task))
    assert len(findings) == len(check_names("before"))
    assert {f.verdict for f in findings.values()} <= {"pass", "not applicable"}
    assert {f.model for f in findings.values()} == {f"tiny {task}"}
    assert {f.dataset for f in findings.values()} == {"listed"}
    of_others = {
        "classification": ["S22", "S23", "S25", "S27", "S39"],
        "segmentation": ["S22", "S23", "S25", "S38", "S39"],
        "detection": ["S27", "S38"],
    }
    assert [id_ for id_, f in findings.items() if f.verdict == "not applicable"] == of_others[task]


WRONG_INPUT: dict[str, tuple[dict[str, Callable[[Tensor], Tensor]], str, str]] = {
    "normalised twice": ({"before": normalise}, "S02", "only once"),
    "normalised in the loader's manner as well": ({"before": lambda x: (x - 0.5) / 0.5}, "S02", "mean and std of 0.5 only once"),
    "never normalised": ({"prepare": lambda x: x}, "S02", "normalise with ImageNet's mean and std inside the model"),
    "multiplied by 255": ({"before": lambda x: x * 255}, "S02", "do not multiply by 255"),
    "divided by 255 once more": ({"before": lambda x: x / 255}, "S02", "drop the division"),
    "BGR": ({"before": lambda x: x.flip(1)}, "S21", "flip the channels"),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mistake", WRONG_INPUT)
def test_a_wrong_input_is_named(task: Task, mistake: str) -> None:
    wrong, id_, remedy = WRONG_INPUT[mistake]
    findings = doctor(Tiny(task, **cast(Any, wrong)), samples(task))
    assert accused(findings) == [id_]
    assert next(iter(findings)) == id_, "what to mend comes first"
    assert findings[id_].gain is not None
    assert findings[id_].gain >= 0.05
    assert re.search(remedy, findings[id_].remedy), findings[id_].remedy


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("shift", "remedy"), [(1, "1 too high.*subtract 1"), (-1, "1 too low.*add 1")])
def test_shifted_classes_are_named(task: Task, shift: int, remedy: str) -> None:
    findings = doctor(Tiny(task, after=lambda s: s.roll(shift, 1)), samples(task))
    assert accused(findings) == ["S19"]
    assert re.search(remedy, findings["S19"].remedy)


@pytest.mark.parametrize("task", TASKS)
def test_classes_in_another_order_are_named_with_their_meaning(task: Task) -> None:
    names = CLASSES.names[:GROUND] if task == "detection" else CLASSES.names
    order = [3, 5, 1, 0, 4, 2, 6][: len(names)]
    findings = doctor(Tiny(task, after=lambda s: s[:, order]), samples(task))
    assert accused(findings) == ["S19"]
    # index 0 now holds the score of class 3
    assert "'brick' means 'sand'" in findings["S19"].remedy
    assert "'grass'" not in findings["S19"].remedy


@pytest.mark.parametrize("task", LABELLERS)
def test_probabilities_are_not_logits(task: Task) -> None:
    findings = doctor(Tiny(task, after=lambda s: s.softmax(1)), samples(task))
    assert stops(findings) == ["S04"]
    assert "before softmax" in findings["S04"].remedy
    assert doctor(Tiny(task, after=lambda s: s.sigmoid()), samples(task))["S04"].verdict == "warn"
    logs = doctor(Tiny(task, after=lambda s: s.log_softmax(1)), samples(task))
    assert logs["S04"].verdict == "note"
    assert accused(logs) == []


@pytest.mark.parametrize("scale", ["probability", "logit"])
def test_a_detectors_scores_are_logarithms(scale: str) -> None:
    def after(log_score: Tensor) -> Tensor:
        return log_score.exp() if scale == "probability" else log_score.exp().clamp(1e-6, 1 - 1e-6).logit()

    class Own(Tiny):
        def decode(self, raw: Any, /) -> list[Prediction]:
            back = raw.log_score.log() if scale == "probability" else F.logsigmoid(raw.log_score)
            return super().decode(replace(raw, log_score=back))

    findings = doctor(Own("detection", after=after), samples("detection"))
    assert "S04" in stops(findings)
    assert set(stops(findings)) <= {"S04", "S12"}, "decode() that does not read log_score as a logarithm is a second path as well"
    assert "logsigmoid" in findings["S04"].remedy


class Live(nn.Module):
    """The right scores, with something alive before them."""

    def __init__(self, alive: nn.Module) -> None:
        super().__init__()
        self.alive, self.colours = alive, Colours()

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.colours(self.alive(x)))


class AlwaysDropped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.1, training=True)


class BatchStatistics(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - 0.5 * x.mean((0, 2, 3), keepdim=True)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return x


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sub_(0.01) if not x.requires_grad else x - 0.01


MODES: dict[str, tuple[Callable[[], nn.Module], str, str]] = {
    "train mode": (lambda: Live(nn.Dropout(0.1)).train(), "S05", r"\.eval\(\)"),
    "one module in train mode": (lambda: _one_training(Live(nn.BatchNorm2d(3)).eval()), "S05", r"\.eval\(\)"),
    "live dropout": (lambda: Live(AlwaysDropped()).eval(), "S08", "dropout"),
    "batch statistics": (lambda: Live(BatchStatistics()).eval(), "S07", "rest of its batch"),
    "batch norm without running statistics": (lambda: Live(nn.BatchNorm2d(3, track_running_stats=False)).eval(), "S07", "running"),
    "a counted buffer": (lambda: Live(Counting()).eval(), "S06", "without updating"),
    "images changed in place": (lambda: Live(InPlace()).eval(), "S06", "never write into the images"),
}


def _one_training(module: Live) -> nn.Module:
    module.alive.train()
    return module


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mistake", MODES)
def test_a_model_that_is_not_frozen_is_named(task: Task, mistake: str) -> None:
    make, id_, remedy = MODES[mistake]
    same = mistake == "images changed in place"
    model = Tiny(task, module=make().requires_grad_(False), **({"prepare": lambda x: x} if same else {}))
    kept = {k: v.clone() for k, v in model.module.state_dict().items()}
    findings = doctor(model, samples(task, 16))
    assert stops(findings) == [id_]
    assert re.search(remedy, findings[id_].remedy)
    untried = [f for f in findings.values() if f.evidence == f"not tried, since {id_} says stop"]
    tried = {"S05": 2, "S06": 3, "S08": 4, "S07": 5}[id_]
    assert len(untried) == len(check_names("before")) - tried, "nothing that predicts means anything before that is mended"
    if "train mode" in mistake:
        assert all(torch.equal(kept[k], v) for k, v in model.module.state_dict().items())


@pytest.mark.parametrize("task", TASKS)
def test_decoding_something_else_than_raw_is_a_second_path(task: Task) -> None:
    class Cheating(Tiny):
        """Predicts from its own memory of the images, as a wrapper with a preprocessing of its own would."""

        def raw(self, images: Tensor, /) -> Any:
            raw = super().raw(images)
            self.seen = super().raw((images * 0.3 + 0.1 * images.flip(1)).detach())
            return raw

        def decode(self, raw: Any, /) -> list[Prediction]:
            return super().decode(self.seen)

    findings = doctor(Cheating(task), samples(task))
    assert "S12" in stops(findings)
    assert "second path" in findings["S12"].remedy


@pytest.mark.parametrize("task", TASKS)
def test_doing_something_else_when_gradients_are_recorded_is_named(task: Task) -> None:
    model = Tiny(task, before=lambda x: x * 0.9 if x.requires_grad else x)
    findings = doctor(model, samples(task))
    assert stops(findings) == ["S12"]
    assert "another function" in findings["S12"].remedy


class Backwards(torch.autograd.Function):
    """The identity with the opposite gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return -grad


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("before", "verdict", "words"),
    [
        (lambda x: x.detach(), "warn", "no gradient reaches the image"),
        (lambda x: (x * 255).round() / 255, "warn", "every gradient is exactly zero"),
        (lambda x: x + ((x * 255).round() / 255 - x).detach(), "pass", "the gradient's sign in 16 of 16 directions"),
        (lambda x: Backwards.apply(x), "stop", "the gradient's sign in 0 of 16 directions"),
    ],
    ids=["detached", "rounded", "rounded with a straight-through gradient", "a gradient that misleads"],
)
def test_what_stands_between_image_and_gradient_is_named(task: Task, before: Callable[[Tensor], Tensor], verdict: str, words: str) -> None:
    findings = doctor(Tiny(task, before=before), samples(task))
    assert findings["S09"].verdict == verdict
    assert words in findings["S09"].evidence
    assert accused(findings) == (["S09"] if verdict != "pass" else [])


WRONG_IMAGES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "pixels in 0-255": (lambda x: (x * 255).round(), "divide by 255"),
    "bytes": (lambda x: (x * 255).byte(), "float RGB"),
    "normalised already": (normalise, "normalise inside the model"),
    "divided by 255 twice": (lambda x: x / 255, "divide once"),
    "NaN": (lambda x: x.masked_fill(x > 0.7, torch.nan), "mend the images"),
    "gray": (lambda x: x[:1], "RGB"),
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mistake", WRONG_IMAGES)
def test_wrong_images_are_named_before_any_model_is_blamed(task: Task, mistake: str) -> None:
    change, remedy = WRONG_IMAGES[mistake]
    findings = doctor(Tiny(task), [replace(s, image=change(s.image)) for s in samples(task)])
    assert stops(findings) == ["S01"]
    assert remedy in findings["S01"].remedy
    assert {f.verdict for id_, f in findings.items() if id_ != "S01"} == {"not applicable"}


def _xywh(b: Tensor, h: int, w: int) -> Tensor:
    return torch.cat([b[:, :2], b[:, 2:] - b[:, :2]], 1)


def _centred(b: Tensor, h: int, w: int) -> Tensor:
    return torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1)


def _swapped(b: Tensor, h: int, w: int) -> Tensor:
    return b[:, [1, 0, 3, 2]]


def _shares(b: Tensor, h: int, w: int) -> Tensor:
    return b / b.new_tensor([w, h, w, h])


def _yolo(b: Tensor, h: int, w: int) -> Tensor:
    return _centred(_shares(b, h, w), h, w)


BOXES = {
    "x, y, width, height": _xywh,
    "centre x, centre y, width, height": _centred,
    "y1, x1, y2, x2": _swapped,
    "x1, y1, x2, y2 as shares of the image": _shares,
    "centre x, centre y, width, height as shares of the image": _yolo,
}


@pytest.mark.parametrize("side", ["data", "model"])
@pytest.mark.parametrize("reading", BOXES)
def test_misread_boxes_are_named_with_their_side(side: str, reading: str) -> None:
    right = samples("detection")
    model = Tiny("detection", boxes=BOXES[reading]) if side == "model" else Tiny("detection")
    findings = doctor(model, with_boxes(right, BOXES[reading]) if side == "data" else right)
    assert accused(findings) == ["S22"]
    assert findings["S22"].remedy.startswith(f"the {side}'s boxes are {reading}: give boxes as x1, y1, x2, y2")


def test_swapped_axes_of_square_images_may_be_either_sides() -> None:
    square = samples("detection", height=36)
    findings = doctor(Tiny("detection", boxes=_swapped), square)
    assert accused(findings) == ["S22"]
    assert "either" in findings["S22"].remedy
    assert "data" in findings["S22"].remedy
    assert "model" in findings["S22"].remedy


class Blind(Tiny):
    """Detects nothing."""

    def raw(self, images: Tensor, /) -> Any:
        raw = cast(Candidates, super().raw(images))
        return replace(raw, log_score=raw.log_score - 20)


@pytest.mark.parametrize("reading", ["x, y, width, height", "centre x, centre y, width, height as shares of the image"])
def test_impossible_boxes_of_the_data_are_found_without_the_models_help(reading: str) -> None:
    findings = doctor(Blind("detection"), with_boxes(samples("detection"), BOXES[reading]))
    assert stops(findings) == ["S22"]
    assert reading in findings["S22"].remedy


def test_one_box_outside_its_image_stops() -> None:
    right = samples("detection")
    assert isinstance(right[3].target, BoxTarget)
    moved = BoxTarget.of(right[3].target.boxes + torch.tensor([0, 30.0, 0, 30]), right[3].target.labels)
    findings = doctor(Tiny("detection"), [*right[:3], replace(right[3], target=moved), *right[4:]])
    assert stops(findings) == ["S22"]
    assert "1 of 64" in findings["S22"].evidence
    assert "detection-3" in findings["S22"].evidence


def test_a_blind_detector_is_not_accused() -> None:
    assert stops(doctor(Blind("detection"), samples("detection"))) == []


def test_a_blind_detector_is_said_to_be_blind_and_passes_nothing_that_compares_its_boxes() -> None:
    for data in (samples("detection"), [*samples("detection", 32), *_empty(32)]):
        findings = doctor(Blind("detection"), data)
        assert accused(findings) == ["S00"]
        assert next(iter(findings)) == "S00", "at the top"
        assert (findings["S00"].verdict, findings["S00"].code) == ("warn", "no-skill")
        assert re.match(r"none of \d+ annotated objects in \d+ images is found; 0 boxes reach", findings["S00"].evidence)
        assert {findings[id_].verdict for id_ in ("S02", "S19", "S21", "S25")} == {"not applicable"}
        assert "the model reports no box" in findings["S22"].evidence
        assert "no box was decoded" in findings["S12"].evidence


def _empty(count: int) -> list[Sample]:
    """Images without an object, on which reporting nothing is right."""
    nothing = BoxTarget.of(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    return [replace(s, id=f"empty-{i}", target=nothing) for i, s in enumerate(samples("detection", count))]


def test_a_detector_without_a_single_candidate_gives_nothing_to_compare() -> None:
    class Silent(Tiny):
        def raw(self, images: Tensor, /) -> Any:
            raw = cast(Candidates, super().raw(images))
            return replace(raw, valid=torch.zeros_like(raw.valid))

        def decode(self, raw: Any, /) -> list[Prediction]:
            return [BoxPrediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)) for _ in raw.boxes]

    findings = doctor(Silent("detection"), samples("detection", 16))
    compared = ("S02", "S04", "S07", "S08", "S09", "S12", "S19", "S21", "S25")
    assert {id_: findings[id_].verdict for id_ in compared} == dict.fromkeys(compared, "not applicable")
    assert accused(findings) == ["S00"]


@pytest.mark.parametrize("task", LABELLERS)
def test_a_constant_answer_is_said_to_be_no_better_than_chance(task: Task) -> None:
    findings = doctor(Tiny(task, after=lambda s: s * 1e-9 + torch.eye(7)[0].reshape(1, 7, *[1] * (s.ndim - 2))), samples(task))
    assert accused(findings) == ["S00"]
    assert "no better than chance" in findings["S00"].evidence
    assert {findings[id_].verdict for id_ in ("S02", "S19", "S21")} == {"not applicable"}


def test_samples_of_one_class_tell_nothing_of_skill() -> None:
    one = [s for s in samples("classification", 200) if isinstance(s.target, ClassTarget) and s.target.label == 2]
    assert len(one) >= 16
    findings = doctor(Tiny("classification"), one)
    assert findings["S00"].verdict == "not applicable"
    assert "one class" in findings["S00"].evidence
    assert accused(findings) == []


@dataclass(frozen=True, eq=False)
class Oracle:
    """Reports every object of the sample whose number is the image's first value."""

    targets: Sequence[BoxTarget]
    info = ModelInfo(name="oracle", task="detection", classes=Labels(("cell", "vessel")), weights_sha256="0" * 64, operating_score=0.25)

    def raw(self, images: Tensor, /) -> Candidates:
        chosen = [self.targets[round(float(i[0, 0, 0]) * 255)] for i in images]
        most = max(len(t.boxes) for t in chosen)
        boxes, valid = torch.zeros(len(images), most, 1, 4), torch.zeros(len(images), most, dtype=torch.bool)
        scores = torch.full((len(images), most, 2), -9.0)
        for k, target in enumerate(chosen):
            n = len(target.boxes)
            boxes[k, :n, 0], valid[k, :n] = target.boxes, True
            scores[k, torch.arange(n), target.labels] = -0.1
        return Candidates(boxes, scores + 0.01 * images.mean(), valid)

    def decode(self, raw: Any, /) -> list[Prediction]:
        best = [s[v].exp().max(1) for s, v in zip(raw.log_score.detach(), raw.valid, strict=True)]
        return [BoxPrediction(b[v, 0], *s) for b, v, s in zip(raw.boxes, raw.valid, best, strict=True)]


@pytest.mark.parametrize(("counts", "verdict"), [((150, 0), "note"), ((101, 40), "note"), ((100, 100), "pass"), ((60, 60), "pass")])
def test_more_objects_than_average_precision_counts_are_noted_and_nobody_is_accused(counts: tuple[int, int], verdict: str) -> None:
    labels = torch.tensor([0] * counts[0] + [1] * counts[1])
    places = torch.arange(len(labels))
    corners = torch.stack([places % 20 * 11, places // 20 * 11], 1).float()
    crowded = BoxTarget.of(torch.cat([corners, corners + 9], 1), labels)
    few = BoxTarget.of(torch.tensor([[20.0, 30, 90, 80]]), torch.tensor([0]))
    targets = [crowded, few, few]
    found = [Sample(f"s{i}", torch.full((3, 160, 224), i / 255), t) for i, t in enumerate(targets)]
    finding = CHECKS.build("s22-boxes")(Preflight(Oracle(targets), "detection", found))
    assert finding.verdict == verdict
    if verdict == "note":
        assert finding.code == "detections-capped"
        assert f"1 of 3 images hold more than 100 objects of one class, up to {counts[0]} ('cell')" in finding.evidence


def test_a_perfect_detectors_average_precision_under_the_cap_is_pycocotools() -> None:
    """150 objects of one class in an image: 0.673 with COCO's 100 detections."""
    places = torch.arange(150)
    corners = torch.stack([places % 15 * 20 + 5, places // 15 * 22 + 5], 1).float()
    few = BoxTarget.of(torch.tensor([[50.0, 60, 130, 120]]), torch.tensor([0]))
    targets = [BoxTarget.of(torch.cat([corners, corners + 12], 1), torch.zeros(150, dtype=torch.int64)), few, few]
    found = [Sample(f"s{i}", torch.full((3, 240, 320), i / 255), t) for i, t in enumerate(targets)]
    assert "scores AP 0.673 here" in CHECKS.build("s22-boxes")(Preflight(Oracle(targets), "detection", found)).evidence


def test_hallucinated_classes_are_noted() -> None:
    found = [s for s in samples("detection", 128) if 0 not in s.target.labels.tolist()]  # type: ignore[union-attr]
    model = Tiny("detection", after=lambda s: torch.cat([s[:, :1].clamp(min=-0.2), s[:, 1:]], 1))
    findings = doctor(model, found)
    assert findings["S25"].verdict == "note"
    assert "hallucination-rate" in findings["S25"].remedy


@pytest.mark.parametrize("task", TASKS)
def test_outputs_that_are_not_finite_warn_and_accuse_nobody(task: Task) -> None:
    def after(scores: Tensor) -> Tensor:
        odd = (10 * scores.flatten(1).sum(1)).floor() % 2 == 0
        return torch.where(odd.reshape(-1, *[1] * (scores.ndim - 1)), torch.nan, scores)

    findings = doctor(Tiny(task, after=after), samples(task))
    assert findings["S04"].verdict == "warn"
    assert "NaN" in findings["S04"].evidence


class Own(Exception):
    """A user's own."""


@pytest.mark.parametrize(
    "kind", [RuntimeError, ValueError, TypeError, IndexError, AssertionError, AttributeError, KeyError, ZeroDivisionError, OSError, Own]
)
def test_a_model_that_raises_is_a_finding(kind: type[Exception]) -> None:
    class Raising(Tiny):
        def raw(self, images: Tensor, /) -> Any:
            raise kind("only 224 x 224, please\nlong story")

    findings = doctor(Raising("classification"), samples("classification"))
    assert stops(findings) == ["S05"], "once, not once a check"
    said = re.escape(str(kind("only 224 x 224, please\nlong story")).splitlines()[0])
    assert re.search(rf"the model raised {kind.__name__}: {said} \(test_doctor\.py, line ", findings["S05"].evidence)


def test_a_bug_of_a_check_is_not_the_models_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(subject: Preflight) -> Finding:
        return subject.samples[len(subject.samples)].missing  # type: ignore[attr-defined,no-any-return]

    # A function of a module of checks, as far as its traceback tells.
    ours = FunctionType(broken.__code__, vars(s01_range), "broken")
    monkeypatch.setattr(s01_range, "_examine", ours)
    findings = doctor(Tiny("classification"), samples("classification"))
    assert accused(findings) == ["S01"]
    assert findings["S01"].verdict == "warn"
    assert findings["S01"].evidence.startswith("the check itself raised IndexError: list index out of range")
    assert "report it" in findings["S01"].remedy


def test_a_gradient_that_hidden_weights_alone_have_is_none() -> None:
    hidden = torch.ones((), requires_grad=True)
    findings = doctor(Tiny("classification", before=Tensor.detach, after=lambda scores: scores * hidden), samples("classification"))
    assert findings["S09"].verdict == "warn"
    assert "no gradient reaches the image" in findings["S09"].evidence


def test_samples_of_several_sizes_are_predicted_in_their_order() -> None:
    for task in TASKS:
        mixed = [s for pair in zip(samples(task, 20), samples(task, 20, seed=1, height=36), strict=True) for s in pair]
        assert accused(doctor(Tiny(task), mixed)) == []


def test_two_faults_are_told_one_after_the_other() -> None:
    findings = doctor(Tiny("classification", before=normalise, after=lambda s: s.softmax(1)), samples("classification"))
    assert sorted(stops(findings)) == ["S02", "S04"]


def test_no_readable_sample_is_a_stop() -> None:
    findings = doctor(Tiny("classification"), [])
    assert stops(findings) == ["S01"]
