"""Maps against slow and obvious ones, their measures on maps made by hand, and a model that is right for a wrong reason."""

from __future__ import annotations

import copy
import csv
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.api import explain
from robustbench_cv.cli import main
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.explain.clever_hans import judge
from robustbench_cv.explain.concentration import (
    area_share,
    pointing_chance,
    pointing_game,
    relevance_mass,
    relevance_rank,
    scaled_tolerance,
)
from robustbench_cv.explain.explained_object import MainObject, answer, main_object
from robustbench_cv.explain.grad_cam import grad_cam
from robustbench_cv.explain.gradient import gradient, input_gradient
from robustbench_cv.explain.insertion_deletion import area, blurred, curve, insertion_deletion
from robustbench_cv.explain.integrated_gradients import integrate, integrated_gradients
from robustbench_cv.explain.lrp import lrp
from robustbench_cv.explain.methods import METHODS, build_method
from robustbench_cv.explain.occlusion import occlusion
from robustbench_cv.explain.survey import explain_sample, rows_of, survey
from robustbench_cv.explain.targets import ClassScore, DetectionScore, RegionScore, score_of
from robustbench_cv.interventions.slide_patch import positions
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.build import build
from robustbench_cv.rendering.explanations import Explanations, write
from robustbench_cv.tasks import Task
from robustbench_cv.types import (
    BoxPrediction,
    BoxTarget,
    Candidates,
    ClassPrediction,
    ClassTarget,
    Labels,
    Logits,
    MaskPrediction,
    MaskTarget,
    ModelInfo,
    PixelLogits,
    Sample,
)


class Net(nn.Module):
    """A small convolutional network with a residual sum, bias-free, so that relevance is conserved."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.head = nn.Linear(6, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = nn.functional.max_pool2d(x + self.second(x).relu(), 2)
        return self.head(x.mean(dim=(2, 3)))


def tiny(net: nn.Module | None = None, classes: int = 3) -> Classifier:
    torch.manual_seed(0)
    return classifier(net if net is not None else Net(), name="tiny", classes=Labels.numbered(classes))


def picture(height: int = 12, width: int = 10, seed: int = 1) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


# What is explained.


def test_a_class_is_scored_by_probability_or_logit() -> None:
    raw = Logits(torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 0.0]]))
    assert ClassScore(1).of(raw, "logit").tolist() == [2.0, 0.0]
    torch.testing.assert_close(ClassScore(1).of(raw, "probability"), raw.values.softmax(1)[:, 1])


def test_a_region_is_scored_by_the_mean_over_its_pixels() -> None:
    values = torch.randn(2, 3, 4, 5)
    region = torch.zeros(4, 5, dtype=torch.bool)
    region[1, 2] = region[3, 4] = True
    found = RegionScore(2, region).of(PixelLogits(values), "logit")
    torch.testing.assert_close(found, (values[:, 2, 1, 2] + values[:, 2, 3, 4]) / 2)
    with pytest.raises(ValueError, match="without a pixel"):
        RegionScore(2, region & False).of(PixelLogits(values), "logit")


def test_a_detection_is_scored_by_the_best_valid_candidate_that_overlaps_it() -> None:
    boxes = torch.tensor([[[0.0, 0, 4, 4], [0, 0, 4, 3], [0, 0, 4, 4], [8, 8, 9, 9]]])[:, :, None]
    probability = torch.tensor([[[0.2, 0.9], [0.6, 0.1], [0.95, 0.9], [0.99, 0.9]]])
    raw = Candidates(boxes, probability.log(), torch.tensor([[True, True, False, True]]))
    here = DetectionScore(0, torch.tensor([0.0, 0, 4, 4]))
    torch.testing.assert_close(here.of(raw, "probability"), torch.tensor([0.6]))
    torch.testing.assert_close(here.of(raw, "logit"), torch.tensor([0.6]).logit())
    nowhere = DetectionScore(0, torch.tensor([20.0, 20, 24, 24]))
    assert nowhere.of(raw, "probability").tolist() == [0.0]
    assert nowhere.of(raw, "logit").isfinite().all()


def test_a_detection_without_a_candidate_has_a_finite_gradient() -> None:
    log_score = torch.zeros(1, 1, 1, requires_grad=True)
    raw = Candidates(torch.tensor([[[[0.0, 0, 4, 4]]]]), log_score - 1, torch.ones(1, 1, dtype=torch.bool))
    value = DetectionScore(0, torch.tensor([20.0, 20, 24, 24])).of(raw, "probability")
    (slope,) = torch.autograd.grad(value.sum(), log_score)
    assert slope.tolist() == [[[0.0]]]


# Occlusion.


@pytest.mark.parametrize(("side", "stride", "batch"), [(3, 2, 64), (4, 3, 5), (2, 5, 1)])
def test_an_occlusion_map_is_that_of_a_slow_loop(side: int, stride: int, batch: int) -> None:
    model, image, explained = tiny(), picture(), ClassScore(1)
    score = score_of(model, explained, "probability")
    covering: dict[tuple[int, int], list[float]] = {}
    for at in positions(12, 10, side, stride):
        hidden = image.clone()
        hidden[:, at.top : at.bottom, at.left : at.right] = 0.5
        drop = float(score(image[None])[0] - score(hidden[None])[0])
        for y in range(at.top, at.bottom):
            for x in range(at.left, at.right):
                covering.setdefault((y, x), []).append(drop)
    slow = torch.tensor([[sum(covering.get((y, x), [0])) / len(covering.get((y, x), [0])) for x in range(10)] for y in range(12)])
    found = occlusion(model, explained, image, side=side, stride=stride, batch_size=batch)
    torch.testing.assert_close(found, slow, atol=1e-6, rtol=1e-4)
    assert found.abs().max() > 1e-4


def test_occlusion_takes_any_fill_and_refuses_nonsense() -> None:
    model, image = tiny(), picture()
    maps = [occlusion(model, ClassScore(0), image, side=4, stride=4, fill=fill) for fill in ("gray", "black", "mean")]
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps[0], maps[2])
    with pytest.raises(UserError, match="no fill named 'pink'"):
        occlusion(model, ClassScore(0), image, fill="pink")
    with pytest.raises(UserError, match="side=0"):
        occlusion(model, ClassScore(0), image, side=0)


# Gradients.


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 3 * 2, 2)).double()
    model, image = tiny(net, 2), picture(5, 4).double()
    slope = torch.zeros_like(image)
    for index in torch.cartesian_prod(*map(torch.arange, image.shape)).tolist():
        step = torch.zeros_like(image)
        step[tuple(index)] = 1e-5
        slope[tuple(index)] = (model.raw((image + step)[None]).values[0, 1] - model.raw((image - step)[None]).values[0, 1]) / 2e-5
    torch.testing.assert_close(input_gradient(score_of(model, ClassScore(1), "logit"), image[None], "tiny")[0], slope, atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(gradient(model, ClassScore(1), image), slope.abs().amax(0).float())


@pytest.mark.parametrize("baseline", ["black", "gray"])
def test_integrated_gradients_add_up_to_the_difference(baseline: str) -> None:
    model, image = tiny(), picture()
    start = torch.full_like(image, {"black": 0.0, "gray": 0.5}[baseline])
    score = score_of(model, ClassScore(2), "probability")
    difference = float(score(image[None])[0] - score(start[None])[0])
    found = integrate(score, image, start, 400)
    assert found.difference == pytest.approx(difference)
    assert float(found.map.sum()) == pytest.approx(difference, abs=1e-3 * abs(difference))
    assert float(integrated_gradients(model, ClassScore(2), image, baseline=baseline).sum()) == pytest.approx(difference, rel=0.05)
    rough = integrate(score, image, start, 7, batch_size=3).map  # batches add nothing and lose nothing
    torch.testing.assert_close(rough, integrate(score, image, start, 7, batch_size=7).map)


def test_integrated_gradients_of_a_linear_model_are_weight_times_input() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
    model, image = tiny(net, 2), picture(4, 4)
    weight = net[1].weight[0].reshape(3, 4, 4)  # type: ignore[index]
    found = integrate(score_of(model, ClassScore(0), "logit"), image, torch.zeros_like(image), 1).map
    torch.testing.assert_close(found, (weight * image).sum(0))


def test_a_sum_that_misses_the_difference_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Cliff(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = torch.sigmoid(4000 * (x.mean(dim=(1, 2, 3)) - 0.4))
            return torch.stack([4 * z, 0 * z], dim=1)

    image = torch.full((3, 4, 4), 0.9)
    integrated_gradients(tiny(Cliff(), 2), ClassScore(0), image, steps=2, most=4)
    assert "miss the score's difference" in caplog.text


def test_a_model_without_a_gradient_is_sent_to_occlusion() -> None:
    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach().mean(dim=(2, 3))

    model = tiny(Rounded())
    for method in ("gradient", "integrated-gradients"):
        with pytest.raises(UserError, match="occlusion"):
            build_method(method)(model, ClassScore(0), picture())
    assert occlusion(model, ClassScore(0), picture(), side=4, stride=4).any()


# Grad-CAM.


def by_hand() -> Classifier:
    """One convolution of two maps (red, green); class 0 is the mean of red minus half the mean of green."""
    conv = nn.Conv2d(3, 2, 1, bias=False)
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]])[:, :, None, None])
        head.weight.copy_(torch.tensor([[1.0, -0.5], [0, 0]]))
    return tiny(nn.Sequential(conv, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head), 2)


def test_grad_cam_of_a_net_that_can_be_computed_by_hand() -> None:
    image = torch.tensor([[[1.0, 0.0], [0.5, 0.2]], [[0.0, 1.0], [0.4, 0.0]], [[0.3, 0.3], [0.3, 0.3]]])
    # A weight is the mean gradient: the head's, over 4 pixels, where the ReLU lets it through: 3 of 4 reds, 2 of 4 greens.
    expected = (3 / 4 * 1.0 / 4 * image[0] - 2 / 4 * 0.5 / 4 * image[1]).relu()
    torch.testing.assert_close(grad_cam(by_hand(), ClassScore(0), image), expected)
    torch.testing.assert_close(grad_cam(by_hand(), ClassScore(0), image, layer="net.0"), expected)
    assert not grad_cam(by_hand(), ClassScore(1), image).any()  # nothing asks for any map


def test_grad_cam_takes_the_coarsest_maps_that_matter() -> None:
    model, image = build("unet.scenes"), picture(32, 32)
    explained = RegionScore(3, torch.ones(32, 32, dtype=torch.bool))
    found = grad_cam(model, explained, image)
    assert found.shape == (32, 32)
    named = dict(model.module.named_modules())  # type: ignore[union-attr]
    assert any(torch.equal(found, grad_cam(model, explained, image, layer=name)) for name, m in named.items() if isinstance(m, nn.Conv2d))


def test_grad_cam_says_what_it_cannot_do() -> None:
    image = picture(4, 4)
    with pytest.raises(UserError, match="has no convolution"):
        grad_cam(tiny(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), 2), ClassScore(0), image)
    with pytest.raises(UserError, match=r"no layer 'net\.frist'; did you mean 'net\.first'"):
        grad_cam(tiny(), ClassScore(0), image, layer="net.frist")
    with pytest.raises(UserError, match="gives no map"):
        grad_cam(tiny(), ClassScore(0), image, layer="net.head")


# Relevance propagation.


@pytest.mark.parametrize("rule", ["z-plus", "epsilon"])
def test_relevance_is_conserved_where_there_is_no_bias(rule: str) -> None:
    model, image = tiny(), picture()
    label = int(model.raw(image[None]).values[0].argmax())
    found = lrp(model, ClassScore(label), image, rule=rule)
    assert float(found.sum()) == pytest.approx(float(model.raw(image[None]).values[0, label]), rel=1e-3)


def test_epsilon_is_gradient_times_input_and_z_plus_is_the_formula() -> None:
    model, image = tiny(), picture()
    slope = input_gradient(score_of(model, ClassScore(0), "logit"), image[None], "tiny")[0]
    torch.testing.assert_close(lrp(model, ClassScore(0), image, rule="epsilon"), (slope * image).sum(0), atol=1e-4, rtol=1e-3)

    one = tiny(nn.Sequential(nn.Conv2d(3, 1, 4, bias=False), nn.Flatten(), nn.Linear(1, 2, bias=False)), 2)
    image = picture(4, 4)
    weight = one.module.net[0].weight[0]  # type: ignore[index]
    parts = image * weight.clamp(min=0)
    expected = parts / parts.sum() * one.raw(image[None]).values[0, 1]
    torch.testing.assert_close(lrp(one, ClassScore(1), image), expected.sum(0), atol=1e-5, rtol=1e-3)


def test_relevance_of_a_bundled_network_leaves_it_as_it_was() -> None:
    model, image = build("cifar-resnet20.scenes"), picture(32, 32)
    before = model.raw(image[None])
    assert isinstance(before, Logits)
    assert lrp(model, ClassScore(3), image).isfinite().all()
    after = model.raw(image[None])
    assert isinstance(after, Logits)
    assert torch.equal(before.values, after.values)


def test_relevance_is_refused_where_there_is_no_rule() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(UserError, match="has GroupNorm, for which LRP has no rule"):
        lrp(tiny(net, 2), ClassScore(0), picture())
    with pytest.raises(UserError, match="no rule named 'gamma'"):
        lrp(tiny(), ClassScore(0), picture(), rule="gamma")


# Beside another implementation: uv run --with captum pytest tests/test_explain.py -k captum


def test_maps_of_a_bundled_network_are_captums() -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed: uv run --with captum pytest ...")
    model, image, explained = build("cifar-resnet20.scenes"), picture(32, 32), ClassScore(7)
    assert isinstance(model, Classifier)
    layer = model.module.net.layer3[2].conv2  # type: ignore[index,union-attr]

    def probability(x: Tensor) -> Tensor:
        return model.raw(x).values.softmax(1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum sets requires_grad, and says so
        saliency = attr.Saliency(model.module).attribute(image[None], target=7)[0]
        path = attr.IntegratedGradients(probability).attribute(image[None], image[None] * 0, target=7, n_steps=32, method="riemann_middle")[
            0
        ]
        cam = attr.LayerGradCam(model.module, layer).attribute(image[None], target=7, relu_attributions=True)
    torch.testing.assert_close(gradient(model, explained, image), saliency.amax(0))
    torch.testing.assert_close(integrate(score_of(model, explained, "probability"), image, image * 0, 32).map, path.sum(0))
    scaled = nn.functional.interpolate(cam, (32, 32), mode="bilinear")[0, 0].detach()
    torch.testing.assert_close(grad_cam(model, explained, image), scaled)


@pytest.mark.parametrize("rule", ["epsilon", "z-plus"])
def test_relevance_is_captums(rule: str) -> None:
    attr = pytest.importorskip("captum.attr", reason="captum is not installed: uv run --with captum pytest ...")
    rules = importlib.import_module("captum.attr._utils.lrp_rules")
    torch.manual_seed(0)
    net = Plain().eval()
    for part in (net.first, net.second):
        part.rule = rules.EpsilonRule(epsilon=1e-6) if rule == "epsilon" else rules.Alpha1_Beta0_Rule(set_bias_to_zero=True)
    net.head.rule = rules.EpsilonRule(epsilon=1e-6)
    image = picture(20, 20)
    found = lrp(tiny(copy.deepcopy(net), 5), ClassScore(2), image, rule=rule)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = attr.LRP(net).attribute(image[None], target=2)[0].sum(0).detach()
    torch.testing.assert_close(found, expected, atol=1e-4 * float(found.abs().max()), rtol=1e-3)


class Plain(nn.Module):
    """Each layer a module, used once: what captum's LRP takes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.pool = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)
        self.second, self.relu_2, self.head = nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Linear(8 * 49, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu_2(self.second(self.pool(self.relu(self.first(x))))).flatten(1))


# Methods by name.


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("spec", ["cifar-resnet20.scenes", "unet.scenes", "yolov3-small.scenes"])
def test_every_method_maps_every_task(name: str, spec: str) -> None:
    model, image = build(spec), picture(32, 48)
    explained = {
        "classification": ClassScore(2),
        "segmentation": RegionScore(2, torch.ones(32, 48, dtype=torch.bool)),
        "detection": DetectionScore(2, torch.tensor([8.0, 8, 24, 24])),
    }[model.info.task]
    found = build_method("occlusion(side=16, stride=16)" if name == "occlusion" else name)(model, explained, image)
    assert found.shape == (32, 48)
    assert found.dtype == torch.float32
    assert found.isfinite().all()


def test_methods_are_looked_up_and_their_arguments_checked() -> None:
    with pytest.raises(UserError, match="no method named 'oclusion'; did you mean 'occlusion'"):
        build_method("oclusion")
    with pytest.raises(UserError, match="occlusion takes no argument 'size'; it takes side, stride, fill"):
        build_method("occlusion(size=3)")
    with pytest.raises(UserError, match="side='x' must be int"):
        build_method("occlusion(side='x')")


# Concentration.


def test_mass_and_rank_on_maps_made_by_hand() -> None:
    mask = torch.zeros(2, 3, dtype=torch.bool)
    mask[0, 0] = mask[0, 1] = True
    heat = torch.tensor([[4.0, -8.0, 2.0], [1.0, 1.0, -3.0]])
    assert relevance_mass(heat, mask) == pytest.approx(4 / 8)  # negative relevance counts in neither sum
    assert relevance_rank(heat, mask) == pytest.approx(1 / 2)  # the two highest are (0, 0) and (0, 2)
    assert relevance_mass(mask.float(), mask) == relevance_rank(mask.float(), mask) == 1.0
    assert relevance_mass(torch.ones(2, 3), mask) == pytest.approx(area_share(mask)) == pytest.approx(1 / 3)
    for measure in (relevance_mass, relevance_rank, pointing_game):
        with pytest.raises(NotApplicable, match="nowhere positive"):
            measure(-heat.abs(), mask)
    with pytest.raises(NotApplicable, match="no visible pixel"):
        relevance_rank(heat, mask & False)


@pytest.mark.parametrize(("distance", "hit"), [(0, True), (14, True), (15, False), (16, False)])
def test_the_pointing_game_is_hit_strictly_within_its_tolerance(distance: int, hit: bool) -> None:
    mask, heat = torch.zeros(40, 40, dtype=torch.bool), torch.zeros(40, 40)
    mask[:, 5] = True
    heat[20, 5 + distance] = 1
    assert pointing_game(heat, mask) is hit
    assert pointing_game(heat, mask, tolerance_px=distance + 1)


def test_chance_is_the_share_of_all_peaks_that_would_hit() -> None:
    mask = torch.zeros(14, 11, dtype=torch.bool)
    mask[3:5, 2] = mask[9, 8] = True
    for tolerance in (0.5, 2, 3.5, 5):
        peaks = torch.eye(mask.numel()).view(-1, *mask.shape)
        hits = [pointing_game(heat, mask, tolerance) for heat in peaks]
        assert pointing_chance(mask, tolerance) == pytest.approx(sum(hits) / len(hits))
    assert pointing_chance(torch.zeros(4, 4)) == 0


def test_the_tolerance_counts_in_the_plane_and_can_be_scaled() -> None:
    mask, heat = torch.zeros(40, 40, dtype=torch.bool), torch.zeros(40, 40)
    mask[0, 0] = heat[9, 12] = True  # 15 px away: 9, 12, 15
    assert not pointing_game(heat, mask)
    assert pointing_game(heat, mask, 15.01)
    assert (scaled_tolerance(224, 300), scaled_tolerance(112, 300), scaled_tolerance(4, 4)) == (15, 8, 1)


# Insertion and deletion.


def test_the_area_under_a_curve() -> None:
    assert area(torch.tensor([1.0, 0.5, 0.0])) == 0.5
    assert area(torch.tensor([1.0, 1.0])) == 1.0
    assert area(torch.tensor([0.0, 0.0, 0.0, 3.0])) == pytest.approx(0.5)


def test_a_curve_changes_the_most_relevant_pixels_first() -> None:
    heat = torch.tensor([[0.1, 0.4], [0.3, 0.2], [-1.0, 0.0]])
    start, end = torch.ones(3, 3, 2), torch.zeros(3, 3, 2)
    seen: list[Tensor] = []

    def score(images: Tensor) -> Tensor:
        seen.extend(images[:, 0])
        return images.mean(dim=(1, 2, 3))

    scores = curve(score, start, end, heat, step=4, batch_size=2)
    assert len(scores) == 3  # ceil(6 / 4) steps, and both ends
    torch.testing.assert_close(scores, torch.tensor([1, 2 / 6, 0], dtype=torch.float64))
    assert seen[1].tolist() == [[0, 0], [0, 0], [1, 1]]
    assert len(curve(score, start, end, heat, step=1)) == 7
    with pytest.raises(UserError, match="step=0"):
        curve(score, start, end, heat, step=0)


def test_steps_are_the_papers_at_its_size() -> None:
    scores = curve(lambda x: x.mean(dim=(1, 2, 3)), torch.ones(3, 224, 224), torch.zeros(3, 224, 224), torch.rand(224, 224))
    assert len(scores) == 29
    torch.testing.assert_close(scores[0] - scores[1], torch.tensor(1792 / 224**2, dtype=torch.float64), atol=1e-6, rtol=1e-4)


def test_equal_pixels_are_not_taken_row_by_row() -> None:
    first = curve(lambda x: x[:, 0, :5].mean(dim=(1, 2)), torch.ones(3, 10, 10), torch.zeros(3, 10, 10), torch.zeros(10, 10), step=50)
    assert 0.2 < float(first[1]) < 0.8
    again = curve(lambda x: x[:, 0, :5].mean(dim=(1, 2)), torch.ones(3, 10, 10), torch.zeros(3, 10, 10), torch.zeros(10, 10), step=50)
    assert torch.equal(first, again)


def test_a_right_map_beats_its_reverse() -> None:
    image, mask = torch.full((3, 8, 8), 0.2), torch.zeros(8, 8, dtype=torch.bool)
    mask[2:5, 2:5] = True
    image[:, mask] = 1.0
    model = tiny(Reader(lambda x: x[:, 0, 2:5, 2:5].mean(dim=(1, 2))), 2)
    good, bad = (insertion_deletion(model, ClassScore(1), image, sign * mask.float()) for sign in (1, -1))
    assert good.insertion > bad.insertion + 0.2
    assert good.deletion < bad.deletion - 0.2


def test_the_blur_keeps_the_mean_colour_and_is_padded_with_it() -> None:
    mean = torch.tensor([0.2, 0.4, 0.6])[:, None, None]
    flat = mean.expand(3, 20, 20)
    torch.testing.assert_close(blurred(flat, mean), flat)
    soft = blurred(torch.ones(3, 30, 30), mean)
    torch.testing.assert_close(soft[:, 15, 15], torch.ones(3))
    assert (soft[:, 0, 0] < 0.9).all()


# What of a sample is explained.

INFO = {task: ModelInfo("m", task, Labels(("a", "b")), "0" * 64) for task in ("classification", "segmentation", "detection")}


def test_the_main_object_of_each_task() -> None:
    mask = torch.zeros(6, 6, dtype=torch.bool)
    mask[1:3, 1:3] = True
    image = torch.zeros(3, 6, 6)
    assert main_object(Sample("s", image, ClassTarget(1), {"object": mask})).label == 1
    with pytest.raises(NotApplicable, match="no region 'object'"):
        main_object(Sample("s", image, ClassTarget(1)))
    with pytest.raises(NotApplicable, match="shows no object"):
        main_object(Sample("s", image, ClassTarget(-1), {"object": mask}))

    found = main_object(Sample("s", image, MaskTarget(mask.long()), {"class:car": mask, "class:sky": ~mask}))
    assert found.label == 1
    assert torch.equal(found.mask, mask)

    boxes = BoxTarget.of(
        torch.tensor([[0.0, 0, 6, 6], [0, 0, 2, 2], [0, 0, 4, 4]]), torch.tensor([0, 1, 1]), torch.tensor([True, False, False])
    )
    found = main_object(Sample("s", image, boxes))
    assert (found.label, found.number, int(found.mask.sum())) == (1, 2, 16)
    with pytest.raises(NotApplicable, match="no annotated object"):
        main_object(Sample("s", image, boxes.select(torch.tensor([True, False, False]))))


def test_the_answer_is_the_models_own() -> None:
    mask = torch.zeros(6, 6, dtype=torch.bool)
    mask[:2, :2] = True
    image, main_ = torch.zeros(3, 6, 6), MainObject(1, mask, 0)
    of_class = answer(ClassPrediction(torch.tensor([0.8, 0.2])), main_, Sample("s", image, ClassTarget(1)), INFO["classification"])
    assert (of_class.is_right, of_class.says, of_class.explained) == (False, "a 0.80", ClassScore(0))

    labels = mask.long()
    labels[0, 0] = 0
    of_pixels = answer(MaskPrediction(labels), main_, Sample("s", image, MaskTarget(mask.long())), INFO["segmentation"])
    assert (of_pixels.is_right, of_pixels.says) == (True, "b on 75 % of it")

    target = BoxTarget.of(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([1]))
    sample = Sample("s", image, target)
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [4, 4, 6, 6]])
    found = answer(BoxPrediction(boxes, torch.tensor([0.9, 0.5, 0.4]), torch.tensor([0, 1, 1])), main_, sample, INFO["detection"])
    assert (found.is_right, found.says) == (True, "b 0.50")
    none = answer(BoxPrediction(boxes[2:], torch.tensor([0.9]), torch.tensor([1])), main_, sample, INFO["detection"])
    assert (none.explained, none.is_right) == (None, False)
    unsure = answer(BoxPrediction(boxes[1:2], torch.tensor([0.2]), torch.tensor([1])), main_, sample, INFO["detection"])
    assert unsure.explained is None


# Clever Hans.


def test_the_flag_needs_high_accuracy_and_no_excess() -> None:
    area_ = [0.1 + 0.001 * (i % 5) for i in range(30)]
    at_chance = [a + (0.02 if i % 2 else -0.02) for i, a in enumerate(area_)]
    assert judge(at_chance, area_, 0.95).verdict == "flagged"
    assert judge([0.0] * 30, area_, 0.95).verdict == "flagged"  # the interval lies below 0
    assert judge(at_chance, area_, 0.8).verdict == "no"  # not above 80 %
    assert judge([a + 0.3 + 0.01 * (i % 3) for i, a in enumerate(area_)], area_, 1.0).verdict == "no"
    little = judge([a + 0.02 + 0.001 * (i % 3) for i, a in enumerate(area_)], area_, 1.0)
    assert (little.verdict, little.excess.value is not None and little.excess.value < 0.05) == ("no", True)
    assert judge([0.1], [0.1], 1.0).verdict == "undecided"
    assert judge([], [], 0.0).verdict == "undecided"


class Reader(nn.Module):
    """Two classes, by a number of each image that is compared with 0.5."""

    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        z = 12 * (self.read(x) - 0.5)
        return torch.stack([-z, z], dim=1)


def watermark(x: Tensor) -> Tensor:
    """How red the lower right corner is."""
    return x[:, 0, -4:, -4:].mean(dim=(1, 2))


@dataclass(frozen=True)
class Marked:
    """Objects of two classes (dark and bright green squares). Every bright one has a red mark in the corner, as if from one archive."""

    name: str = "marked"
    task: Task = "classification"
    labels: Labels = field(default_factory=lambda: Labels(("dark", "bright")))
    count: int = 16

    @property
    def ids(self) -> list[str]:
        return [f"marked/{i}" for i in range(self.count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> Sample:
        label = index % 2
        image = torch.full((3, 28, 28), 0.3) + 0.02 * picture(28, 28, seed=index)
        top, left = 2 + index % 5, 3 + index % 7
        mask = torch.zeros(28, 28, dtype=torch.bool)
        mask[top : top + 7, left : left + 7] = True
        image[1, mask] = 0.9 if label else 0.05
        if label:
            image[0, -4:, -4:] = 0.95
        return Sample(self.ids[index], image, ClassTarget(label), {"object": mask})

    def fingerprint(self, index: int, /) -> str:
        return str(index)


@pytest.mark.parametrize("method", ["occlusion(side=4, stride=2)", "occlusion(side=4, stride=2, fill='black')", "gradient", "lrp"])
def test_a_model_that_reads_the_watermark_is_flagged_and_one_that_reads_the_object_is_not(method: str) -> None:
    data = Marked()
    identity = ClassMap.match(data.labels, data.labels)
    hans, honest = (classifier(net, name="m", classes=data.labels) for net in (corner_net(), object_net()))
    rows = survey(hans, data, identity, build_method(method), range(len(data))).rows
    bright = next(row for row in rows if row.label == 1)
    assert bright.accuracy.value == 1.0
    assert bright.mass.value is not None
    assert bright.mass.value < 0.05
    assert bright.clever_hans.verdict == "flagged"

    rows = survey(honest, data, identity, build_method(method), range(len(data))).rows
    bright = next(row for row in rows if row.label == 1)
    assert bright.accuracy.value == 1.0
    assert bright.mass.value is not None
    assert bright.mass.value > 0.5
    assert bright.clever_hans.verdict == "no"


def corner_net() -> nn.Module:
    """The watermark reader out of layers, so that LRP has something to rewrite."""
    weight = torch.zeros(2, 3, 28, 28)
    weight[0, 0, -4:, -4:], weight[1, 0, -4:, -4:] = -12 / 16, 12 / 16
    return _one_convolution(weight, torch.tensor([6.0, -6.0]))


def object_net() -> nn.Module:
    """The object reader out of layers: the greenest place, by a convolution and a maximum."""
    conv, head = nn.Conv2d(3, 1, 5, bias=False), nn.Linear(1, 2)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 1] = 1 / 25
        head.weight.copy_(torch.tensor([[-12.0], [12.0]]))
        head.bias.copy_(torch.tensor([6.0, -6.0]))
    return nn.Sequential(conv, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head)


def _one_convolution(weight: Tensor, bias: Tensor) -> nn.Module:
    conv = nn.Conv2d(3, 2, 28)
    with torch.no_grad():
        conv.weight.copy_(weight)
        conv.bias.copy_(bias)  # type: ignore[union-attr]
    return nn.Sequential(conv, nn.Flatten())


@dataclass(frozen=True)
class TwoBoxes:
    """A detector of three classes that reports a surer box of class 2 on every box of class 0."""

    info: ModelInfo = field(default_factory=lambda: ModelInfo("two boxes", "detection", Labels(("dark", "bright", "bird")), "0" * 64))

    def raw(self, images: Tensor, /) -> Candidates:
        boxes = torch.tensor([[2.0, 2, 20, 20], [2, 2, 20, 20]])[None, :, None].repeat(len(images), 1, 1, 1)
        log_score = torch.tensor([[0.6, 0.1, 0.1], [0.1, 0.1, 0.9]]).log().repeat(len(images), 1, 1) + 0 * images.mean()
        return Candidates(boxes, log_score, torch.ones(boxes.shape[:2], dtype=torch.bool))

    def decode(self, raw: Candidates, /) -> list[BoxPrediction]:
        return [BoxPrediction(b[:, 0], s.amax(1).exp(), s.argmax(1)) for b, s in zip(raw.boxes, raw.log_score.detach(), strict=True)]


def test_boxes_of_classes_that_the_data_lacks_are_passed_over() -> None:
    model, data = TwoBoxes(), Labels(("dark", "bright"))
    target = BoxTarget.of(torch.tensor([[2.0, 2, 20, 20]]), torch.tensor([1]))
    sample, method = Sample("s", picture(24, 24), target), build_method("occlusion(side=8, stride=8)")
    case = explain_sample(model, sample, method, ClassMap.match(data, model.info.classes))
    assert case.answer.says == "dark 0.60"
    every = explain_sample(model, sample, method, ClassMap.match(model.info.classes, model.info.classes))
    assert every.answer.says == "bird 0.90"


def test_wrong_answers_are_explained_but_not_scored() -> None:
    data = Marked(count=4)
    always = classifier(Reader(lambda x: 0.6 + 0.1 * watermark(x)), name="always 1", classes=data.labels)
    found = survey(always, data, ClassMap.match(data.labels, data.labels), build_method("gradient"), range(4))
    assert [case.mass is None for case in found.cases] == [True, False, True, False]
    assert all(case.relevance is not None and case.areas is not None for case in found.cases)
    dark = found.rows[0]
    assert (dark.accuracy.value, dark.mass.value, dark.clever_hans.verdict) == (0.0, None, "undecided")
    assert list(rows_of([])) == []


# The command.


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert isinstance(done.value.code, int)
    return done.value.code


@pytest.mark.parametrize(
    ("model", "method"),
    [("cifar-resnet20.scenes", "occlusion(stride=12)"), ("unet.scenes", "gradient"), ("yolov3-small.scenes", "grad-cam")],
)
def test_the_command_from_model_to_page(model: str, method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "maps"
    command = ("explain", "--model", model, "--data", "scenes", "--method", method, "--samples", "2", "--out", str(out), "--device", "cpu")
    assert call(*command) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"writes {out}/: explain.csv")
    assert "Clever Hans" in printed
    assert str(out / "index.html") in printed
    rows = list(csv.DictReader((out / "explain.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[-1]["class"] == "all"
    assert rows[-1]["n"] == "2"
    assert 0 <= float(rows[-1]["area share"]) <= 1
    pictures = sorted((out / "pictures").glob("*.png"))
    assert len(pictures) == 2
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 2
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert call(*command) == 0
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == times  # the same again writes nothing


def test_names_are_escaped_on_the_page(tmp_path: Path) -> None:
    data = Marked(count=2)
    labels = Labels(("<b>dark</b>", "$bright"))
    model = classifier(Reader(watermark), name="<script>alert(1)</script>", classes=labels)
    found = survey(model, data, ClassMap.match(labels, labels), build_method("gradient"), range(2))
    write(Explanations(found, "gradient", model.info.name, "<i>data", labels, "15 px"), tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "<b>dark" not in page
    assert "&lt;b&gt;dark&lt;/b&gt;" in page


def test_data_without_masks_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy

    numpy.savez(tmp_path / "d.npz", images=numpy.zeros((10, 32, 32, 3), numpy.uint8), labels=numpy.arange(10))
    data = f"npz:{tmp_path / 'd.npz'}"
    with pytest.raises(UserError, match="no sample to explain: the sample has no region 'object'"):
        explain("cifar-resnet20.scenes", data, samples=2, device="cpu")
    assert call("explain", "--model", "cifar-resnet20.scenes", "--data", "scenes", "--method", "grad-cma") == 2
    assert "did you mean 'grad-cam'" in capsys.readouterr().err


def test_models_of_anyone_can_be_explained_from_python() -> None:
    found = explain(build("cifar-resnet20.scenes"), "scenes(samples=8, size=48)", "gradient", samples=3, tolerance=None, device="cpu")
    assert len(found.survey.cases) == 3
    assert list(found.table().frame["class"])[-1] == "all"
