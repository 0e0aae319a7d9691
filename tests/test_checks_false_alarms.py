"""Models that are merely bad, and readings that differ by luck, accuse nobody: at most one study in a hundred may stop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from robustbench_cv.catalogue import CHECKS, DATASETS
from robustbench_cv.checks.check import Preflight
from robustbench_cv.checks.compare_readings import Quality, best, beyond_chance, compare, compare_finely
from robustbench_cv.checks.doctor import examine
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.models.build import build
from robustbench_cv.types import BoxPrediction, BoxTarget, Candidates, ClassPrediction, ClassTarget, Labels, Logits, ModelInfo, Sample

N = 64


def _guesses(rng: numpy.random.Generator, truth: numpy.ndarray, classes: int, accuracy: float) -> Quality:
    """Independent answers: right with a probability, else any class; how sure is unrelated."""
    said = numpy.where(rng.random(N) < accuracy, truth, rng.integers(classes, size=N))
    skill = beyond_chance([(torch.from_numpy(truth), torch.from_numpy(said))], N)
    return Quality((said == truth).astype(float), rng.random(N), skill)


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_eight_readings_that_differ_by_luck_seldom_stop(classes: int, accuracy: float) -> None:
    stops, studies = 0, 400
    for seed in range(studies):
        rng = numpy.random.default_rng(seed)
        truth = rng.integers(classes, size=N)
        declared = _guesses(rng, truth, classes, accuracy)
        found = best([compare(str(k), declared, _guesses(rng, truth, classes, accuracy)) for k in range(8)])
        stops += found is not None and found.verdict == "stop"
    assert stops < 0.01 * studies


def test_a_reading_that_is_truly_better_is_found_among_eight() -> None:
    found = 0
    for seed in range(100):
        rng = numpy.random.default_rng(seed)
        truth = rng.integers(10, size=N)
        declared = _guesses(rng, truth, 10, 0.4)
        readings = [_guesses(rng, truth, 10, 0.4 if k else 0.9) for k in range(8)]
        better = best([compare(str(k), declared, q) for k, q in enumerate(readings)])
        found += better is not None and better.name == "0"
    assert found >= 99


def test_being_surer_is_not_being_more_right() -> None:
    right = numpy.arange(N) % 4 > 0
    declared, surer = Quality(right.astype(float), 0.9 * right, 0.7), Quality(right.astype(float), 0.95 * right, 0.7)
    assert compare("stretched", declared, surer).p == 1.0
    assert compare_finely("swapped", declared, surer).p < 1e-6
    assert compare_finely("swapped", declared, surer).verdict == "pass"


@pytest.mark.parametrize("classes", [2, 5])
def test_a_constant_answer_knows_nothing_however_often_it_is_right(classes: int) -> None:
    rng = numpy.random.default_rng(0)
    truth = numpy.where(rng.random(N) < 0.9, 1, rng.integers(classes, size=N))
    constant = [numpy.full(N, k) for k in (0, 1)]
    skill = [beyond_chance([(torch.from_numpy(truth), torch.from_numpy(c))], N) for c in constant]
    wrong, lucky = (Quality((c == truth).astype(float), (c == truth).astype(float), s) for c, s in zip(constant, skill, strict=True))
    comparison = compare("lucky", wrong, lucky)
    assert comparison.p < 1e-6
    assert comparison.gain > 0.5
    assert comparison.verdict == "pass"


def test_skill_is_kappa_less_two_standard_errors() -> None:
    truth, said = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0]), torch.tensor([0, 0, 1, 2, 2, 2, 0, 0])
    agreed, chance = 6 / 8, (3 * 4 + 2 * 1 + 3 * 3) / 64
    assert beyond_chance([(truth, said)], 8) == pytest.approx((agreed - chance) / (1 - chance) - 2 * (chance / (8 * (1 - chance))) ** 0.5)
    alike = [(truth, said)] * 40
    assert beyond_chance(alike, 40) == pytest.approx((agreed - chance) / (1 - chance))
    halves = [(truth[:3], said[:3]), (truth[3:], said[3:])]
    error = (2 * ((3 - agreed * 3) ** 2 + (3 - agreed * 5) ** 2)) ** 0.5 / 8
    assert beyond_chance(halves, 2) == pytest.approx((agreed - chance - 2 * error) / (1 - chance))
    assert beyond_chance([(truth, torch.full((8,), -1))], 8) < 0.05


@dataclass(eq=False)
class Guessing:
    """Answers at random, anew every time that it is asked."""

    info: ModelInfo
    generator: torch.Generator
    answer: Callable[[Tensor, torch.Generator], Logits | Candidates] = field(kw_only=True)

    def raw(self, images: Tensor, /) -> Logits | Candidates:
        return self.answer(images, self.generator)

    def decode(self, raw: Logits | Candidates, /) -> list[ClassPrediction] | list[BoxPrediction]:
        if isinstance(raw, Logits):
            return [ClassPrediction(p) for p in raw.values.softmax(1)]
        scores, labels = raw.log_score.exp().max(2)
        return [BoxPrediction(b[:, 0], *v) for b, *v in zip(raw.boxes, scores, labels, strict=True)]


def _stops(check: str, subject: Preflight) -> int:
    return CHECKS.build(check)(subject).verdict == "stop"


@pytest.mark.parametrize("classes", [2, 4, 10])
@pytest.mark.parametrize("frequent", [0.0, 0.7])
def test_a_guessing_classifier_is_not_accused(classes: int, frequent: float) -> None:
    stops = {"s02-normalisation": 0, "s19-class-order": 0, "s21-channels": 0}
    studies = 40
    for seed in range(studies):
        rng = numpy.random.default_rng(seed)
        labels = numpy.where(rng.random(N) < frequent, 0, rng.integers(classes, size=N))
        samples = [Sample(str(i), torch.rand(3, 2, 2), ClassTarget(int(label))) for i, label in enumerate(labels)]
        lean = 3 * torch.from_numpy(rng.normal(size=classes)).float()

        def answer(x: Tensor, g: torch.Generator, lean: Tensor = lean, classes: int = classes) -> Logits:
            return Logits(3 * torch.randn(len(x), classes, generator=g) + lean)

        info = ModelInfo(name="guessing", task="classification", classes=Labels.numbered(classes), weights_sha256="0" * 64)
        model = Guessing(info, torch.Generator().manual_seed(seed), answer=answer)
        subject = Preflight(model, "classification", samples)  # type: ignore[arg-type]
        for check in stops:
            stops[check] += _stops(check, subject)
    assert stops == dict.fromkeys(stops, 0)


@pytest.mark.parametrize("size", [0.2, 0.5, 0.9])
def test_a_guessing_detector_is_not_accused(size: float) -> None:
    """Boxes anywhere, about as large as the objects: small ones, middling ones, nearly the image."""
    stops = {"s19-class-order": 0, "s21-channels": 0, "s22-boxes": 0}
    studies = 8
    for seed in range(studies):
        generator = torch.Generator().manual_seed(seed)

        def boxes(n: int, k: int, g: torch.Generator = generator) -> Tensor:
            side = 50 * (size * (0.5 + torch.rand(n, k, 2, generator=g))).clamp(max=1)
            low = torch.rand(n, k, 2, generator=g) * (50 - side)
            return torch.cat([low, low + side], 2)

        def answer(x: Tensor, g: torch.Generator, boxes: Callable[[int, int], Tensor] = boxes) -> Candidates:
            score = torch.rand(len(x), 15, 5, generator=g).sort(dim=1, descending=True).values
            return Candidates(boxes(len(x), 15)[:, :, None], score.log(), torch.ones(len(x), 15, dtype=torch.bool))

        truth = [BoxTarget.of(b, torch.randint(5, (len(b),), generator=generator)) for b in boxes(N, 2)]
        samples = [Sample(str(i), torch.zeros(3, 50, 50), t) for i, t in enumerate(truth)]
        info = ModelInfo(name="guessing", task="detection", classes=Labels.numbered(5), weights_sha256="0" * 64)
        subject = Preflight(Guessing(info, generator, answer=answer), "detection", samples)  # type: ignore[arg-type]
        for check in stops:
            stops[check] += _stops(check, subject)
    assert stops == dict.fromkeys(stops, 0)


@pytest.mark.parametrize("rounding", [True, False])
def test_a_branch_that_rounding_decides_is_not_a_leak_between_images(rounding: bool) -> None:
    """The same jump with the batch's size: only in float32, as where a pooling switch hangs on the last bit, or in any format."""

    def answer(x: Tensor, _: torch.Generator) -> Logits:
        unit = torch.finfo(x.dtype).eps if rounding else torch.finfo(torch.float32).eps
        values = torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1) * 5
        values[:, 1] -= 0.1 * float(len(x) * unit > 2.5 * torch.finfo(torch.float32).eps)
        return Logits(values)

    samples = [Sample(str(i), torch.rand(3, 4, 4), ClassTarget(0)) for i in range(8)]
    info = ModelInfo(name="switching", task="classification", classes=Labels.numbered(2), weights_sha256="0" * 64)
    model = Guessing(info, torch.Generator(), answer=answer)
    finding = CHECKS.build("s07-batch")(Preflight(model, "classification", samples))  # type: ignore[arg-type]
    assert finding.verdict == ("pass" if rounding else "stop")
    assert ("float64" in finding.evidence) is rounding


def _heavy(*specs: str) -> list[Any]:
    return [pytest.param(spec, marks=pytest.mark.slow) for spec in specs]


SOUND = [
    *("lenet5.scenes", "mobilenet-v2-mini.scenes", "shufflenet-v1.scenes", "faster-rcnn-fpn-small.scenes", "ssd300.scenes"),
    *_heavy("cifar-resnet20.scenes", "alexnet-original.scenes", "densenet-mini.scenes", "googlenet.scenes", "seresnet-mini.scenes"),
    *_heavy("network-in-network-cifar.scenes", "cifar-resnet20.scenes-hardened", "unet.scenes", "segnet.scenes", "pspnet.scenes"),
    *_heavy("deeplabv3plus.scenes", "fcn8s.scenes", "deconvnet.scenes", "yolov3-small.scenes", "retinanet-small.scenes"),
    *_heavy("retinanet-small.scenes-hardened", "faster-rcnn-small.scenes", "mask-rcnn-small.scenes", "fast-rcnn.scenes"),
    *_heavy("sliding-window.scenes", "localisation-regression.scenes"),
]


@pytest.mark.parametrize("spec", SOUND)
def test_no_check_accuses_a_bundled_model(spec: str) -> None:
    model = build(spec)
    data = DATASETS.build("scenes(samples=64)", task=model.info.task)
    findings = examine(model, data, ClassMap.match(data.labels, model.info.classes), range(len(data)))
    assert [f for f in findings if f.verdict in ("stop", "warn")] == []
