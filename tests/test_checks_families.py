"""The checks that search a family of changes: each finds plants that none of its members was written for, and leaves sound models alone."""

import functools
import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.catalogue import CHECKS, DATASETS
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.box_frames import Frame
from robustbench_cv.checks.check import Answer, Preflight
from robustbench_cv.checks.class_orders import Said, assign, known_orders, learned_order
from robustbench_cv.checks.doctor import draw
from robustbench_cv.checks.input_geometry import SYMMETRIES, resize
from robustbench_cv.checks.pixel_value_maps import IMAGENET, rgb_to_ycbcr, ycbcr_to_rgb
from robustbench_cv.metrics.paired_tests import mcnemar, sign_flips
from robustbench_cv.models.build import build
from robustbench_cv.types import (
    BoxPrediction,
    Candidates,
    ClassPrediction,
    ClassTarget,
    Labels,
    Logits,
    MaskPrediction,
    ModelInfo,
    PixelLogits,
    Prediction,
    Sample,
)
from tests.checked_models import Tiny, samples
from tests.docs_checks import PAGE, page

CLASSIFIER, SEGMENTER, DETECTOR = "cifar-resnet20.scenes", "unet.scenes", "yolov3-small.scenes"

Change = Callable[[Any], Any]


def same(x: Any) -> Any:
    return x


@dataclass(eq=False)
class Planted:
    """A model with something done to its images, to its scores or to its predictions."""

    model: Any
    before: Change = same
    after: Change = same
    said: Change = same

    @property
    def info(self) -> ModelInfo:
        return self.model.info  # type: ignore[no-any-return]

    def raw(self, images: Tensor, /) -> Any:
        raw = self.model.raw(self.before(images))
        return raw if isinstance(raw, Candidates) else type(raw)(self.after(raw.values))

    def decode(self, raw: Any, /) -> list[Prediction]:
        return [self.said(p) for p in self.model.decode(raw)]


@functools.cache
def built(spec: str) -> Any:
    return build(spec)


@functools.cache
def scenes(task: str, count: int = 64) -> list[Sample]:
    data = DATASETS.build(f"scenes(samples={count})", task=task)
    return [data[i] for i in range(count)]


@functools.cache
def clean(spec: str) -> list[Prediction]:
    model = built(spec)
    return list(Preflight(model, model.info.task, scenes(model.info.task)).clean_predictions)


def finding(check: str, spec: str, found: Sequence[Sample] | None = None, said: Change | None = None, **planted: Change) -> Finding:
    """Of one check on a bundled model. said: what is done to its predictions, which are then not computed again."""
    model = built(spec)
    known = [] if said is None else [Answer(said(p), is_finite=True) for p in clean(spec)]
    subject = Preflight(Planted(model, **planted), model.info.task, found or scenes(model.info.task), known=known)
    return CHECKS.build(check)(subject)  # type: ignore[no-any-return]


SOUND = [
    *((check, CLASSIFIER) for check in ("s01-range", "s02-normalisation", "s19-class-order", "s21-channels", "s37-input-geometry")),
    *((check, CLASSIFIER) for check in ("s04-probabilities", "s08-randomness", "s12-same-function", "s38-denied-labels")),
    *((check, SEGMENTER) for check in ("s27-mask-frame",)),
    *((check, DETECTOR) for check in ("s22-boxes", "s23-reported", "s19-class-order", "s39-unannotated")),
]


@pytest.mark.parametrize(("check", "spec"), SOUND)
def test_sound_models_pass(check: str, spec: str) -> None:
    assert finding(check, spec).verdict == "pass"


WRONG_INPUT: dict[str, tuple[Change, str, str]] = {
    "centred, not divided": (lambda x: (x - 0.45) / 1.0 * 0.23 + 0.45, "s02-normalisation", "divide by the std|double|normalise"),
    "three times as bright": (lambda x: x * 2.6, "s02-normalisation", "halve the pixels|divide|twice|only once"),
    "a cube root": (lambda x: x.clamp(min=0) ** (1 / 3), "s02-normalisation", "drop the square root"),
    "negative and normalised": (lambda x: 1 - x, "s02-normalisation", "1 - x"),
    "YCbCr": (rgb_to_ycbcr, "s21-channels", "convert YCbCr"),
    "turned by 270 degrees": (lambda x: x.rot90(3, (-2, -1)), "s37-input-geometry", "read the axes"),
}


@pytest.mark.parametrize("mistake", WRONG_INPUT)
def test_wrong_inputs_of_a_classifier_are_named(mistake: str) -> None:
    before, check, remedy = WRONG_INPUT[mistake]
    found = finding(check, CLASSIFIER, before=before)
    assert found.verdict == "stop", found
    assert found.gain is not None
    assert found.gain >= 0.05
    assert re.search(remedy, found.remedy), found.remedy


@pytest.mark.parametrize("order", [(1, 2, 0), (1, 0, 2)])
def test_channels_in_any_order_are_named(order: tuple[int, ...]) -> None:
    found = samples("classification")
    model: Any = Tiny("classification", before=lambda x: x[:, list(order)])
    seen = CHECKS.build("s21-channels")(Preflight(model, "classification", found))
    undone = [order.index(i) for i in range(3)]
    assert seen.verdict == "stop", seen
    assert f"x[:, {undone}]" in seen.remedy


class Stripes:
    """Tells stripes of 4, 8 or 16 pixels by their power at these periods, in images of any size."""

    info = ModelInfo(name="stripes", task="classification", classes=Labels.numbered(3), weights_sha256="0" * 64)

    def raw(self, images: Tensor, /) -> Logits:
        rows = images.mean((1, 2)) - images.mean((1, 2, 3))[:, None]
        place = torch.arange(rows.shape[1])
        waves = [torch.stack([(2 * math.pi * place / p).sin(), (2 * math.pi * place / p).cos()]) for p in (4, 8, 16)]
        return Logits(torch.stack([(rows @ w.T).norm(dim=1) for w in waves], 1))

    def decode(self, raw: Logits, /) -> list[Prediction]:
        return [ClassPrediction(p) for p in raw.values.softmax(1)]


def striped(count: int = 64) -> list[Sample]:
    rng, found = numpy.random.default_rng(0), []
    for i in range(count):
        label, phase = int(rng.integers(3)), float(rng.uniform(0, 6))
        wave = numpy.sin(2 * math.pi * numpy.arange(64) / (4, 8, 16)[label] + phase)
        found.append(Sample(str(i), torch.from_numpy(0.5 + 0.4 * wave).float().expand(3, 64, 64), ClassTarget(label)))
    return found


def test_images_at_another_size_are_named() -> None:
    check, right = CHECKS.build("s37-input-geometry"), striped()
    assert check(Preflight(Stripes(), "classification", right)).verdict == "pass"
    for planted, words in ((2.0, "about 0.5 times"), (0.75, "about 1.33 times")):
        other = [replace(s, image=resize(s.image[None], planted)[0]) for s in right]
        seen = check(Preflight(Stripes(), "classification", other))
        assert seen.verdict == "stop", seen
        assert words in seen.remedy


def test_a_classifier_that_resizes_images_to_another_size_than_its_own_is_named() -> None:
    class Resizing(Stripes):
        def __init__(self, side: int) -> None:
            self.side, self.first = side, torch.nn.Conv2d(3, 3, 1, groups=3, bias=False).requires_grad_(False)
            self.first.weight.fill_(1.0)

        def raw(self, images: Tensor, /) -> Logits:
            return super().raw(self.first(F.interpolate(images, (self.side, self.side), mode="bilinear", align_corners=False)))

    check, right = CHECKS.build("s37-input-geometry"), striped()
    assert check(Preflight(Resizing(64), "classification", right)).verdict == "pass"
    seen = check(Preflight(Resizing(128), "classification", right))
    assert seen.verdict == "stop", seen
    assert "about 0.5 times" in seen.remedy


@pytest.mark.parametrize("of_channels", [(0.299, 0.587, 0.114), (0.0, 1.0, 0.0)])
def test_a_colour_blind_model_is_noted(of_channels: tuple[float, ...]) -> None:
    weights = torch.tensor(of_channels)[:, None, None]
    found = finding("s21-channels", CLASSIFIER, before=lambda x: (x * weights).sum(1, keepdim=True).expand_as(x))
    assert found.verdict == "note"
    assert "grey" in found.evidence


def test_images_turned_without_their_annotations_are_found() -> None:
    for spec, turned in ((SEGMENTER, "upside down"), (DETECTOR, "mirrored left to right")):
        symmetry = SYMMETRIES[turned]
        found = [replace(s, image=symmetry(s.image)) for s in scenes(built(spec).info.task)]
        seen = finding("s37-input-geometry", spec, found[:24])
        assert seen.verdict == "stop", seen
        assert turned in seen.evidence


@pytest.mark.parametrize("name", SYMMETRIES)
def test_a_symmetry_moves_boxes_as_it_moves_pixels_and_its_inverse_undoes_it(name: str) -> None:
    symmetry, height, width = SYMMETRIES[name], 7, 11
    image = torch.rand(3, height, width)
    turned = symmetry(image)
    assert torch.equal(symmetry.inverse(turned), image)
    box = torch.tensor([[2.0, 1, 6, 4]])
    x1, y1, x2, y2 = symmetry.boxes(box, height, width)[0].int().tolist()
    assert sorted(turned[:, y1:y2, x1:x2].flatten().tolist()) == sorted(image[:, 1:4, 2:6].flatten().tolist())
    back = symmetry.inverse.boxes(symmetry.boxes(box, height, width), *turned.shape[-2:])
    torch.testing.assert_close(back, box)


def _of_these(x: Tensor) -> Tensor:
    known = {float(s.image.double().mean()) for s in scenes("classification")}
    if not {float(image.double().mean()) for image in x} <= known:
        raise ValueError("another image")
    return x


def _of_one_size(x: Tensor) -> Tensor:
    if x.shape[-2:] != scenes("classification")[0].image.shape[-2:]:
        raise ValueError("another size")
    return x


def test_what_the_model_refuses_is_not_said_to_be_no_better() -> None:
    assert finding("s02-normalisation", CLASSIFIER).verdict == "pass"
    found = finding("s02-normalisation", CLASSIFIER, before=_of_these)
    assert (found.verdict, "none could be tried" in found.evidence) == ("not applicable", True), found.evidence
    found = finding("s37-input-geometry", CLASSIFIER, before=_of_one_size)
    assert (found.verdict, "on 4 more the model raises" in found.evidence) == ("pass", True), found.evidence


def test_colour_spaces_undo_each_other() -> None:
    x = torch.rand(2, 3, 5, 5)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(x)), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(IMAGENET.undo(IMAGENET.normalise(x)), x)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (lambda v: v.softmax(1) * 7 - 2, "scaled or shifted"),
        (lambda v: 1 - v.softmax(1), "negated"),
        (lambda v: (v.softmax(1) + 0.01).log(), r"log\(p"),
        (lambda v: v.softmax(1).double().clamp(1e-9, 1 - 1e-9).logit().float(), "one-against-rest"),
        (lambda v: v.argsort(1).argsort(1).float(), "ranks"),
    ],
)
def test_disguised_probabilities_are_named(after: Change, words: str) -> None:
    found = finding("s04-probabilities", CLASSIFIER, after=after)
    assert found.verdict == "stop"
    assert re.search(words, found.evidence), found.evidence


@pytest.mark.parametrize(
    ("after", "verdict", "words"), [(lambda v: torch.tanh(3 * v), "warn", "a tanh"), (lambda v: 1000 * v, "note", "in the median")]
)
def test_scores_without_a_usable_gradient_are_told(after: Change, verdict: str, words: str) -> None:
    found = finding("s04-probabilities", CLASSIFIER, after=after)
    assert (found.verdict, words in found.evidence) == (verdict, True), found.evidence


def test_cosines_are_no_tanh() -> None:
    assert finding("s04-probabilities", CLASSIFIER, after=lambda v: v / v.norm(dim=1, keepdim=True)).verdict == "pass"


def test_rounded_scores_are_not_taken_for_memory() -> None:
    found = finding("s12-same-function", CLASSIFIER, after=lambda v: (100 * v.softmax(1)).round())
    assert found.verdict == "pass", found.evidence


def test_centred_logits_are_no_probabilities() -> None:
    assert finding("s04-probabilities", CLASSIFIER, after=lambda v: v - v.mean(1, keepdim=True)).verdict == "pass"


@pytest.mark.parametrize("kind", ["two exchanged", "three in a ring", "reversed", "rotated by four"])
def test_other_class_orders_are_named_whatever_the_order_of_the_samples(kind: str) -> None:
    k = len(built(CLASSIFIER).info.classes)
    own = list(range(k))
    order = {
        "two exchanged": [1, 0, *own[2:]],
        "three in a ring": [2, 0, 1, *own[3:]],
        "reversed": own[::-1],
        "rotated by four": own[4:] + own[:4],
    }[kind]
    by_class = sorted(scenes("classification"), key=lambda s: s.target.label if isinstance(s.target, ClassTarget) else 0)
    for found in (by_class, by_class[::2] + by_class[1::2]):
        seen = finding("s19-class-order", CLASSIFIER, found, after=lambda v: v[:, order])
        assert seen.verdict == "stop", seen


def test_an_assignment_costs_least() -> None:
    rng = numpy.random.default_rng(0)
    for n in (1, 2, 5, 6):
        cost = rng.normal(size=(n, n))
        least = min(sum(cost[i, p[i]] for i in range(n)) for p in itertools.permutations(range(n)))
        assert cost[numpy.arange(n), assign(cost)].sum() == pytest.approx(least)


def test_orders_that_are_learned_keep_names_that_little_speaks_against() -> None:
    pairs = [Said(0, 1)] * 9 + [Said(1, 0)] * 9 + [Said(2, 3)] + [Said(3, 3)] * 5
    assert learned_order(pairs, 5).tolist() == [1, 0, 2, 3, 4]
    assert known_orders([str(i) for i in range(12)])["+1"].tolist() == [*range(1, 12), 0]
    assert "the data's class numbers are sorted as text (0, 1, 10, 11, ...)" in known_orders([f"{i:02d}" for i in range(12)])


def _moved(p: BoxPrediction, change: Callable[[Tensor], Tensor]) -> BoxPrediction:
    return replace(p, boxes=change(p.boxes), masks=None)


FRAMES: dict[str, Callable[[Tensor], Tensor]] = {
    "of a larger input": lambda b: b * 4.33,
    "of another aspect": lambda b: b * b.new_tensor([2, 0.6, 2, 0.6]),
    "upside down": lambda b: torch.stack([b[:, 0], 96 - b[:, 3], b[:, 2], 96 - b[:, 1]], 1),
    "three pixels up": lambda b: b - b.new_tensor([0, 3, 0, 3]),
    "cropped by a tenth": lambda b: (b - 9.6) / 0.8,
    "sides halved about their centres": lambda b: _grown(b, 0.5),
    "sides grown about their centres": lambda b: _grown(b, 1.5),
    "a larger input, sides halved": lambda b: _grown(b, 0.5) * 2.5 + 7,
}


def _grown(b: Tensor, by: float) -> Tensor:
    centre, half = (b[:, :2] + b[:, 2:]) / 2, (b[:, 2:] - b[:, :2]) / 2
    return torch.cat([centre - by * half, centre + by * half], 1)


@pytest.mark.parametrize("frame", FRAMES)
def test_boxes_in_another_frame_are_named_with_scale_and_offset(frame: str) -> None:
    seen = finding("s22-boxes", DETECTOR, said=lambda p: _moved(p, FRAMES[frame]))
    assert seen.verdict == "stop", seen
    assert "x' = " in seen.remedy
    assert ("about their centres" in seen.remedy) == ("sides" in frame), seen


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (1, 3, 0, 2)])
def test_coordinates_in_any_order_are_named(order: tuple[int, ...]) -> None:
    seen = finding("s22-boxes", DETECTOR, said=lambda p: _moved(p, lambda b: b[:, list(order)]))
    assert seen.verdict == "stop", seen
    assert {(0, 2, 1, 3): "x1, x2, y1, y2", (1, 3, 0, 2): "y1, y2, x1, x2"}[order] in seen.remedy
    assert seen.fix is not None
    boxes = torch.rand(5, 4)[:, list(order)]
    names: dict[str, Any] = {"boxes": boxes}
    exec(seen.fix.line, names)
    assert torch.equal(names["boxes"][:, list(order)], boxes)


def test_a_frame_and_its_code_do_the_same() -> None:
    frame = Frame(torch.tensor([2.0, 0.5]), torch.tensor([3.0, -1.0]), False, torch.tensor([2.0, 1.5]))
    said = torch.rand(4, 4).sort(1).values * 50
    names: dict[str, Any] = {"boxes": said, "torch": torch}
    exec(frame.code, names)
    torch.testing.assert_close(names["boxes"], frame(said, 96, 96))


def test_label_maps_that_are_shifted_or_coarse_are_named() -> None:
    def coarse(p: Any) -> MaskPrediction:
        return MaskPrediction(p.labels[2::4, 2::4].repeat_interleave(4, 0).repeat_interleave(4, 1))

    shifted = finding("s27-mask-frame", SEGMENTER, said=lambda p: MaskPrediction(p.labels.roll((-2, 5), (0, 1))))
    assert (shifted.verdict, "+2 px down and -5 px right fit" in shifted.evidence) == ("stop", True), shifted
    blocks = finding("s27-mask-frame", SEGMENTER, said=coarse)
    assert (blocks.verdict, "4 x 4" in blocks.evidence) == ("warn", True), blocks
    small = finding("s27-mask-frame", SEGMENTER, said=lambda p: MaskPrediction(p.labels[::2, ::2]))
    assert small.verdict == "stop"
    one = finding("s27-mask-frame", SEGMENTER, said=lambda p: MaskPrediction(p.labels.roll((0, 1), (0, 1))))
    assert (one.verdict, "+0 px down and -1 px right fit" in one.evidence) == ("stop", True), one


@pytest.mark.slow
def test_a_shift_by_one_pixel_of_a_coarse_segmenter_is_told() -> None:
    assert finding("s27-mask-frame", "fcn8s.scenes").verdict == "pass"
    for by in ((0, 1), (1, 0), (-1, 0)):
        seen = finding("s27-mask-frame", "fcn8s.scenes", said=lambda p, by=by: MaskPrediction(p.labels.roll(by, (0, 1))))  # type: ignore[misc]
        assert seen.verdict in ("note", "warn", "stop"), seen
        assert f"{-by[0]:+d} px down and {-by[1]:+d} px right fit" in seen.evidence


def test_a_map_that_leans_aside_without_a_sharp_best_place_is_told() -> None:
    """A rounded curve of fit: maps blurred by a vote over 9 px hardly change when they move by one."""

    def blurred(p: Any) -> Tensor:
        votes = F.one_hot(p.labels, 22).permute(2, 0, 1)[None].float()
        return F.avg_pool2d(votes, 9, 1, 4).argmax(1)[0]

    sound = finding("s27-mask-frame", SEGMENTER, said=lambda p: MaskPrediction(blurred(p)))
    assert sound.verdict in ("pass", "note"), sound
    for by in ((0, 1), (-1, 0)):
        seen = finding("s27-mask-frame", SEGMENTER, said=lambda p, by=by: MaskPrediction(blurred(p).roll(by, (0, 1))))  # type: ignore[misc]
        assert seen.verdict in ("note", "warn", "stop"), seen
        assert f"{by[0]:+d} px down and {by[1]:+d} px right of the image" in seen.remedy, seen


def test_scores_between_far_points_are_noted_and_finer_ones_are_not() -> None:
    class Coarse(Planted):
        side = 8

        def raw(self, images: Tensor, /) -> Any:
            values = self.model.raw(images).values
            return PixelLogits(F.interpolate(F.avg_pool2d(values, self.side), values.shape[-2:], mode="bilinear", align_corners=False))

    model = Coarse(built(SEGMENTER))
    for side, verdict in ((16, "note"), (8, "note"), (4, "pass")):
        model.side = side
        known = [Answer(p, is_finite=True) for p in clean(SEGMENTER)]
        seen = CHECKS.build("s27-mask-frame")(Preflight(model, "segmentation", scenes("segmentation"), known=known))
        assert (seen.verdict, f"1/{side} of the resolution" in seen.evidence) == (verdict, verdict == "note"), seen


def test_objects_that_nobody_annotated_are_noted_with_their_images() -> None:
    rng = numpy.random.default_rng(0)

    def thinned(target: Any) -> Any:
        kept = torch.from_numpy(numpy.flatnonzero(rng.random(len(target.boxes)) < 0.5))
        return target.select(kept)

    found = [replace(s, target=thinned(s.target)) for s in scenes("detection")]
    seen = finding("s39-unannotated", DETECTOR, found, said=same)
    assert seen.verdict == "note", seen
    assert "may lack their annotation" in seen.remedy
    nothing = finding("s39-unannotated", DETECTOR, said=lambda p: p.select(torch.zeros(0, dtype=torch.int64)))
    assert nothing.verdict == "not applicable"


REPORTED: dict[str, tuple[Change, str]] = {
    "cut at 0.4": (lambda p: p.select(p.scores >= 0.4), "scores from"),
    "the best two": (lambda p: p.select(torch.arange(min(2, len(p.scores)))), "get 2 boxes"),
    "every box twice": (lambda p: p.select(torch.arange(len(p.scores)).repeat_interleave(2)), "repeat a surer one"),
    "a score nobody reaches": (lambda p: replace(p, scores=p.scores * 0.1), "0 of .* boxes reach"),
}


@pytest.mark.parametrize("mistake", REPORTED)
def test_what_a_detector_holds_back_is_named(mistake: str) -> None:
    said, words = REPORTED[mistake]
    seen = finding("s23-reported", DETECTOR, said=said)
    assert seen.verdict == "warn", seen
    assert re.search(words, seen.evidence), seen


def test_unused_range_is_named() -> None:
    half = [replace(s, image=(s.image * 255).round() / 510) for s in scenes("classification")]
    assert "divided by 2 x 255" in finding("s01-range", CLASSIFIER, half).evidence
    twelve = [replace(s, image=(s.image * 4095).round() / 65535) for s in scenes("classification")]
    seen = finding("s01-range", CLASSIFIER, twelve)
    assert (seen.verdict, "12 bits" in seen.evidence) == ("warn", True)
    night = [replace(s, image=(s.image * 100).round() / 255) for s in scenes("classification")]
    assert finding("s01-range", CLASSIFIER, night).verdict == "pass"


def test_many_wrong_labels_are_noted_with_the_samples() -> None:
    rng = numpy.random.default_rng(0)
    k = len(built(CLASSIFIER).info.classes)
    found = [
        replace(s, target=ClassTarget((s.target.label + 1) % k)) if rng.random() < 0.4 and isinstance(s.target, ClassTarget) else s
        for s in scenes("classification")
    ]
    seen = finding("s38-denied-labels", CLASSIFIER, found)
    assert seen.verdict == "note", seen


def test_a_model_that_changes_its_mind_is_stopped() -> None:
    calls = [0]

    def seldom(v: Tensor) -> Tensor:
        calls[0] += 1
        return v.roll(1, 1) if calls[0] % 9 == 8 else v

    seen = finding("s08-randomness", CLASSIFIER, after=seldom)
    assert seen.verdict == "stop", seen


def test_a_model_that_answers_from_memory_is_stopped() -> None:
    memory: dict[int, Tensor] = {}
    model = built(CLASSIFIER)

    class Remembering(Planted):
        def raw(self, images: Tensor, /) -> Any:
            keys = [round(float(x.detach().mean()) * 20) for x in images]
            new = [i for i, key in enumerate(keys) if key not in memory]
            if new:
                memory.update((keys[i], v) for i, v in zip(new, model.raw(images[new]).values, strict=True))
            return Logits(torch.stack([memory[key] for key in keys]) + 0 * images.sum())

    seen = CHECKS.build("s12-same-function")(Preflight(Remembering(model), "classification", scenes("classification")))
    assert (seen.verdict, "to the last bit" in seen.evidence) == ("stop", True), seen


def test_sign_flips_are_the_sign_test_for_equal_sizes_and_weigh_sizes_otherwise() -> None:
    assert sign_flips([1.0] * 9 + [-1.0] * 2 + [0.0] * 5) == pytest.approx(mcnemar(9, 2).one_sided)
    assert sign_flips([1.0] * 5 + [-0.01] * 5) < 0.05 < sign_flips([0.01] * 5 + [-1.0] * 2)
    rng = numpy.random.default_rng(0)
    assert sum(sign_flips(rng.normal(0, 0.2, 40).clip(-1, 1).tolist()) < 0.05 for _ in range(400)) < 36


def test_samples_are_drawn_without_a_pattern_and_from_everywhere() -> None:
    first, later = draw(range(10_000))
    assert (len(first), len(later)) == (64, 448)
    assert not set(first) & set(later)
    gaps = numpy.diff(sorted(first + later))
    assert gaps.max() < 45
    assert 0.35 < numpy.mean(numpy.array(first) % 2) < 0.65
    assert draw(range(10_000)) == (first, later)
    assert draw(range(20)) == (list(range(20)), [])


def test_the_page_of_checks_is_that_of_the_code() -> None:
    assert PAGE.read_text() == page(), "python -m tests.docs_checks writes it"
    assert len(set(re.findall(r"^\| ([SD]\d\d) \|", page(), re.MULTILINE))) > 20
