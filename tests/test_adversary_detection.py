"""Attacks on detectors beyond TOG's first three: their losses against loops over candidates, and what they do to real detectors."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary import Linf, run
from robustbench_cv.adversary.attack_references import Clean
from robustbench_cv.adversary.criteria import reported_predictions
from robustbench_cv.adversary.objectives.daedalus import ImageFrame, small_and_sure
from robustbench_cv.adversary.objectives.dag import AdversarialBoxLabels, adversarial_box_labels, boxes_to_other_classes
from robustbench_cv.adversary.objectives.detection import untargeted_loss
from robustbench_cv.adversary.objectives.rap import ConfidentProposals, break_proposals, over_channel_lengths
from robustbench_cv.adversary.optimizers.tog import tog_step
from robustbench_cv.boxes import iou
from robustbench_cv.catalogue import ATTACKS, DATASETS, MODELS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.models.build import build
from robustbench_cv.types import BoxPrediction, BoxTarget, Candidates, Proposals, predict
from tests.adversary_models import detector, images, noise, targets

GENERATOR = torch.Generator().manual_seed(3)
P = torch.rand(1, 5, 3, generator=GENERATOR, dtype=torch.float64) * 0.8 + 0.1
BOXES = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 9], [30, 30, 40, 40], [33, 30, 43, 40], [60, 60, 64, 64]], dtype=torch.float64)
OBJECTS = BoxTarget.of(torch.tensor([[0.0, 0, 10, 10], [30, 30, 40, 40]]), torch.tensor([1, 0]))


def seen(p: Tensor = P, per_class: bool = False) -> Candidates:
    """Five candidates, the last one padding; with per_class each class has its own box, a pixel further right."""
    boxes = BOXES[None, :, None]
    if per_class:
        boxes = torch.cat([boxes + torch.tensor([float(c), 0, c, 0]) for c in range(3)], dim=2)
    return Candidates(boxes, p.log(), torch.tensor([[True, True, True, True, False]]))


def test_untargeted_is_minus_the_likelihood_of_what_was_seen_and_the_shift_of_its_boxes() -> None:
    expected = 0.0
    for k in range(4):
        overlaps = [float(iou(BOXES[k : k + 1].float(), box[None])) for box in OBJECTS.boxes]
        on = [m for m, overlap in enumerate(overlaps) if overlap >= 0.5]
        for m in on:
            y = int(OBJECTS.labels[m])
            expected -= math.log(float(P[0, k, y])) + sum(math.log(1 - float(P[0, k, c])) for c in range(3) if c != y)
            expected += float((((BOXES[k] - OBJECTS.boxes[m]) / 10) ** 2).sum())
        if not on:
            expected -= math.log(1 - float(P[0, k].max()))
    assert float(untargeted_loss()(seen(), [OBJECTS])) == pytest.approx(expected)


def test_dag_raises_the_other_class_of_candidates_that_still_see_their_object() -> None:
    p = P.clone()
    p[0, 1, 1] = 0.05
    goal = AdversarialBoxLabels(OBJECTS, torch.tensor([2, 1]))
    # Candidate 1 sees class 1 no more; 4 is padding; the boxes of 0 and of 2 and 3 overlap the two objects.
    expected = sum(math.log(float(p[0, k, b])) - math.log(float(p[0, k, a])) for k, a, b in ((0, 1, 2), (2, 0, 1), (3, 0, 1)))
    assert float(boxes_to_other_classes()(seen(p), [goal])) == pytest.approx(expected)  # type: ignore[list-item]


def test_dag_reads_the_box_of_the_objects_own_class() -> None:
    goal = AdversarialBoxLabels(OBJECTS.select(torch.tensor([0])), torch.tensor([2]))
    raw = seen(per_class=True)
    far = raw.boxes.clone()
    far[:, :, 1] += 50
    nothing = boxes_to_other_classes()(Candidates(far, raw.log_score, raw.valid), [goal])  # type: ignore[list-item]
    assert float(nothing) == 0.0
    assert float(boxes_to_other_classes()(raw, [goal])) != 0.0  # type: ignore[list-item]


def test_dag_and_its_other_class_need_two_classes() -> None:
    model = detector(classes=3)
    x0 = images(2)
    aim = adversarial_box_labels(Clean(model, x0, targets(model, x0), "dag", Candidates))
    assert all(((g.objects.labels + 1) % 3 == g.wanted).all() for g in aim.goals)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="at least 2 classes"):
        run(ATTACKS.build("dag"), detector(classes=1), x0, targets(detector(classes=1), x0), noise(2))


def test_daedalus_wants_every_candidate_sure_and_small() -> None:
    unsure = sum((1 - float(P[0, k].max())) ** 2 for k in range(4)) / 4
    large = sum(((float(BOXES[k, 2] - BOXES[k, 0])) * float(BOXES[k, 3] - BOXES[k, 1]) / 2000) ** 2 for k in range(4)) / 4
    assert float(small_and_sure()(seen(), [ImageFrame(2000)])) == pytest.approx(-unsure - large)  # type: ignore[list-item]


def test_daedalus_leaves_more_and_smaller_boxes() -> None:
    model, x0 = detector(), images(6)
    truth = targets(model, x0)
    result = run(ATTACKS.build("daedalus(steps=10, eps=16/255)"), model, x0, truth, noise(6))
    with torch.no_grad():
        before, after = model.decode(model.raw(x0)), model.decode(model.raw(result.images))
    counts = [sum(int((p.scores >= 0.25).sum()) for p in found) for found in (before, after)]  # type: ignore[union-attr]
    assert counts[1] > 1.5 * counts[0]


def test_rap_is_the_papers_loss_over_the_proposals_at_objects() -> None:
    logit = torch.tensor([[2.0, -1.0, 0.5, -9.0, 3.0]], dtype=torch.float64)
    offsets = torch.randn(1, 5, 4, generator=GENERATOR, dtype=torch.float64)
    clean = torch.randn(5, 4, generator=GENERATOR, dtype=torch.float64)
    raw = Candidates(BOXES[None, :, None], P.log(), torch.ones(1, 5).bool(), proposals=Proposals(BOXES[None], logit, offsets))
    # The fourth is no proposal (probability below 0.01), the fifth lies on nothing.
    at = [0, 1, 2]
    surprise = sum(-math.log(1 - 1 / (1 + math.exp(-float(logit[0, k])))) for k in at) / 3
    shift = sum(abs(float(offsets[0, k, d] - clean[k, d])) for k in at for d in range(4)) / 12
    value = break_proposals()(raw, [ConfidentProposals(OBJECTS, clean)])  # type: ignore[list-item]
    assert float(value) == pytest.approx(-0.5 * surprise - 0.5 * math.exp(-shift))


def test_rap_steps_have_one_length_in_each_channel() -> None:
    change = over_channel_lengths()
    moved, _ = change.update(torch.randn(2, 3, 4, 4, generator=GENERATOR), change.init(torch.zeros(2, 3, 4, 4)))
    torch.testing.assert_close(torch.linalg.vector_norm(moved, dim=(2, 3)), torch.ones(2, 3))


def test_rap_names_what_a_detector_without_proposals_lacks() -> None:
    model, x0 = detector(), images(2)
    with pytest.raises(NotApplicable, match=r"'tiny detector' shows none .* one-stage"):
        run(ATTACKS.build("rap(steps=1)"), model, x0, targets(model, x0), noise(2))


def test_proposals_are_the_networks_own() -> None:
    """What raw() shows of the first stage, and what it makes of it, are the region proposal network's."""
    model: Any = MODELS.build("faster-rcnn-small(input_size=64, num_classes=3)")
    x = torch.rand(2, 3, 64, 64, generator=GENERATOR)
    with torch.no_grad():
        raw = model.raw(x)
        inner, _ = model.module.transform(list(x))
        features = model.module.backbone(inner.tensors)
        chosen, _ = model.module.rpn(inner, features)
        logits = torch.cat([o.permute(0, 2, 3, 1).reshape(2, -1) for o in model.module.rpn.head(list(features.values()))[0]], dim=1)
    assert raw.valid.sum(dim=1).tolist() == [len(c) for c in chosen]
    torch.testing.assert_close(raw.proposals.logit, logits)
    assert raw.proposals.boxes.shape == raw.proposals.offsets.shape == (2, logits.shape[1], 4)
    # Every chosen proposal is one of the anchors' boxes, cut to the image.
    cut = raw.proposals.boxes[0].clamp(0, 64)
    assert ((chosen[0][:, None] - cut[None]).abs().amax(dim=2).amin(dim=1) < 1e-3).all()


@pytest.mark.parametrize("spec", ["rap(steps=12)", "tog-untargeted", "dag(eps=8/255, steps=12, gamma=4/255)"])
def test_they_lose_what_a_trained_two_stage_detector_reports_and_noise_does_not(spec: str) -> None:
    model: Any = build("faster-rcnn-fpn-small.scenes")
    data = DATASETS.build("scenes(task='detection')")
    samples = [data[i] for i in range(4)]
    x0, truth = torch.stack([s.image for s in samples]), [s.target for s in samples]
    attack = ATTACKS.build(spec)
    result = run(attack, model, x0, truth, noise(4))
    with torch.no_grad():
        signs = torch.randint(0, 2, x0.shape, generator=GENERATOR) * 2 - 1
        blind = reported_predictions(model.decode(model.raw((x0 + 8 / 255 * signs).clamp(0, 1))), model.info.operating_score)
    aim = attack.reference(Clean(model, x0, truth, spec, Candidates))
    control = attack.success.degree(blind, aim.references)
    served = [i for i in range(4) if i not in result.skipped]
    assert result.degree[served].mean() > control[served].mean() + 0.3


def test_togs_step_without_a_memory_is_the_papers() -> None:
    move = tog_step(Linf(8 / 255), None, 10, 0.0)
    state = move.init(torch.zeros(2, 3, 4, 4))
    for _ in range(2):
        grad = torch.randn(2, 3, 4, 4, generator=GENERATOR)
        moved, state = move.update(grad, state)
        torch.testing.assert_close(moved, 2 / 255 * grad.sign())


@pytest.mark.parametrize(("steps", "expected"), [(20, 2 / 255), (10, 2 / 255), (5, 4 / 255), (1, 20 / 255)])
def test_few_steps_of_tog_are_longer_so_that_they_reach_the_edge(steps: int, expected: float) -> None:
    move = tog_step(Linf(8 / 255), None, steps, 1.0)
    grad = torch.ones(1, 1, 2, 2)
    assert float(move.update(grad, move.init(grad))[0].amax()) == pytest.approx(expected)


def test_tog_vanish_leaves_a_two_stage_detector_little_even_below_the_reported_score() -> None:
    """What its log odds, momentum and number of steps are for: average precision counts boxes of any score."""
    model: Any = build("faster-rcnn-fpn-small.scenes")
    data = DATASETS.build("scenes(task='detection')")
    samples = [data[i] for i in range(8)]
    x0, truth = torch.stack([s.image for s in samples]), [cast(BoxTarget, s.target) for s in samples]

    def found(images: Tensor) -> float:
        hits = [
            ((iou(p.boxes, t.boxes) >= 0.5) & (p.labels[:, None] == t.labels)).any(dim=0)
            for p, t in zip(cast("list[BoxPrediction]", predict(model, images)), truth, strict=True)
        ]
        return float(torch.cat(hits).float().mean())

    ours, papers = (
        run(ATTACKS.build(spec), model, x0, truth, noise(8)) for spec in ("tog-vanish", "tog-vanish(steps=10, decay=0, odds=0)")
    )
    assert found(x0) > 0.9
    assert found(ours.images) < 0.5 * found(papers.images)
    assert found(ours.images) < 0.25


def test_tog_fabricate_makes_a_one_stage_detector_report_more_than_the_papers_loss_does() -> None:
    model: Any = build("yolov3-small.scenes")
    data = DATASETS.build("scenes(task='detection')")
    samples = [data[i] for i in range(3)]
    x0, truth = torch.stack([s.image for s in samples]), [s.target for s in samples]
    specs = ("tog-fabricate(steps=12)", "tog-fabricate(steps=12, decay=0, sure=0)")
    found = [reported_predictions(predict(model, run(ATTACKS.build(spec), model, x0, truth, noise(3)).images), 0.25) for spec in specs]
    ours, papers = (sum(len(cast(BoxPrediction, p).scores) for p in each) for each in found)
    assert ours > 1.5 * papers
