"""Classical detectors against independent ones: HOG as a plain loop, machines as scikit-learn fits them, part models on planted parts."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.boxes import iou
from robustbench_cv.models.detectors.deformable.hog import hog, mirror_filters
from robustbench_cv.models.detectors.deformable.network import Mixtures, PartModels, Shape, features, window_boxes
from robustbench_cv.models.detectors.sliding_window import STRIDE, WINDOW, WindowClassifier, scaled_sizes, windows
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.training.dpm import Effort, Place, class_only, fit_part_models, vector
from robustbench_cv.training.loop import Run
from robustbench_cv.training.region_based import ridge
from robustbench_cv.training.scenes_classical import scenes_dpm
from robustbench_cv.training.svm import fit_svm, objective, solve
from robustbench_cv.training.training_set import TrainingSet
from robustbench_cv.types import Labels

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def hog_by_loops(image: numpy.ndarray, cell: int) -> numpy.ndarray:
    """(3, H, W) in [0, 1] -> (32, h - 2, w - 2), a pixel and a block at a time."""
    x = image.astype(float) * 255
    height, width = x.shape[1] // cell, x.shape[2] // cell
    votes = numpy.zeros((18, height, width))
    for r in range(1, x.shape[1] - 1):
        for c in range(1, x.shape[2] - 1):
            steps = [(x[k, r, c + 1] - x[k, r, c - 1], x[k, r + 1, c] - x[k, r - 1, c]) for k in range(3)]
            dx, dy = max(steps, key=lambda s: s[0] ** 2 + s[1] ** 2)
            along = [dx * math.cos(o * math.pi / 9) + dy * math.sin(o * math.pi / 9) for o in range(9)]
            direction = int(numpy.argmax([*along, *(-a for a in along)]))
            y, z = (r + 0.5) / cell - 0.5, (c + 0.5) / cell - 0.5
            for i in (math.floor(y), math.floor(y) + 1):
                for j in (math.floor(z), math.floor(z) + 1):
                    if 0 <= i < height and 0 <= j < width:
                        votes[direction, i, j] += math.hypot(dx, dy) * (1 - abs(y - i)) * (1 - abs(z - j))
    energy = ((votes[:9] + votes[9:]) ** 2).sum(0)
    out = numpy.zeros((32, height - 2, width - 2))
    for i in range(1, height - 1):
        for j in range(1, width - 1):
            for k, (up, left) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):
                block = energy[i - up : i - up + 2, j - left : j - left + 2].sum()
                clipped = numpy.minimum(votes[:, i, j] / math.sqrt(block + 1e-4), 0.2)
                out[:18, i - 1, j - 1] += clipped / 2
                out[18:27, i - 1, j - 1] += numpy.minimum((votes[:9, i, j] + votes[9:, i, j]) / math.sqrt(block + 1e-4), 0.2) / 2
                out[27 + k, i - 1, j - 1] = 0.2357 * clipped.sum()
    return out


@pytest.mark.parametrize("cell", [4, 8])
def test_hog_equals_the_plain_loop(cell: int) -> None:
    image = F.interpolate(seeded(1, 3, 7, 9), (4 * cell, 6 * cell), mode="bilinear")
    found = hog(image.double(), cell)[0]
    torch.testing.assert_close(found, torch.from_numpy(hog_by_loops(image[0].numpy(), cell)), atol=1e-5, rtol=1e-5)


def test_a_mirrored_filter_sees_in_the_mirrored_image_what_the_filter_saw() -> None:
    image = F.interpolate(seeded(1, 3, 9, 11), (40, 48), mode="bilinear").double()
    torch.testing.assert_close(hog(image.flip(-1), 8), mirror_filters(hog(image, 8)))


# --- machines --------------------------------------------------------------------------------------------------------------------


def clouds(count: int = 60, dims: int = 5) -> tuple[Tensor, Tensor]:
    noise = torch.randn(2, count, dims, generator=torch.Generator().manual_seed(0))
    return noise[0] + 0.7, noise[1] - 0.3


def test_a_machine_is_scikit_learn_s() -> None:
    svm = pytest.importorskip("sklearn.svm", reason="the extra 'classical' is not installed")
    positive, negative = clouds()
    found = solve(positive, negative, cost=0.1, positive_weight=2.0, bias_feature=10.0)
    other = svm.LinearSVC(C=0.1, class_weight={1: 2.0}, intercept_scaling=10.0, tol=1e-8, max_iter=100_000)
    other.fit(torch.cat([positive, negative]).numpy(), [1] * 60 + [-1] * 60)
    torch.testing.assert_close(found.weight, torch.from_numpy(other.coef_[0]).float(), atol=1e-3, rtol=1e-3)
    assert float(found.bias) == pytest.approx(float(other.intercept_[0]), abs=1e-3)


def test_mined_negatives_lower_the_loss_on_all_of_them() -> None:
    """The cache begins with easy ones; the objective over every negative must come down to that of no cache at all."""
    pytest.importorskip("scipy", reason="the extra 'classical' is not installed")
    positive, _ = clouds()
    easy, hard = clouds(400)[1] - 4, clouds(40)[1]
    negative = torch.cat([easy, hard])

    def loss(rounds: int) -> float:
        svm = fit_svm(positive, negative, cost=0.1, first=20, rounds=rounds)
        x, y = torch.cat([positive, negative]).double().numpy(), numpy.r_[numpy.ones(60), -numpy.ones(440)]
        w = numpy.r_[svm.weight.double().numpy(), float(svm.bias)]
        return objective(w, x, y, numpy.full(500, 0.1), 1.0)[0]

    everything = solve(positive, negative, 0.1)
    torch.testing.assert_close(fit_svm(positive, negative, cost=0.1, first=20).weight, everything.weight, atol=1e-2, rtol=1e-2)
    assert loss(8) < 0.9 * loss(1)


def test_bounds_hold_and_no_positives_mean_no() -> None:
    pytest.importorskip("scipy", reason="the extra 'classical' is not installed")
    positive, negative = clouds()
    lowest = torch.tensor([-math.inf, -math.inf, 2.0, -math.inf, -math.inf])
    assert float(solve(positive, negative, 0.1, lowest=lowest).weight[2]) >= 2 - 1e-6
    assert (fit_svm(positive[:0], negative, cost=1.0).margins(negative) == -1).all()


@pytest.mark.parametrize("count", [5, 40])
def test_ridge_is_where_its_gradient_is_zero(count: int) -> None:
    x, y = seeded(count, 12), seeded(count, 4, seed=1)
    weight, bias = ridge(x, y, 3.0)
    wrong = x @ weight.T + bias - y
    torch.testing.assert_close(wrong.T @ x + 3 * weight, torch.zeros_like(weight), atol=1e-4, rtol=0)
    torch.testing.assert_close(wrong.sum(0), torch.zeros(4), atol=1e-4, rtol=0)


# --- windows ---------------------------------------------------------------------------------------------------------------------


def test_one_pass_says_what_every_window_cut_out_would() -> None:
    network = WindowClassifier(3, 4).eval()
    image = seeded(1, 3, 56, 49)
    with torch.no_grad():
        together = network(image)
        for i in range(together.shape[2]):
            for j in range(together.shape[3]):
                cut = image[:, :, i * STRIDE : i * STRIDE + WINDOW, j * STRIDE : j * STRIDE + WINDOW]
                torch.testing.assert_close(together[:, :, i, j], network(cut)[:, :, 0, 0], atol=1e-5, rtol=1e-4)
    assert together.shape[2:] == (4, 3)


def test_windows_are_as_many_as_the_classifier_s_outputs_and_inside_the_image() -> None:
    boxes = windows(96)
    counts = [((h - WINDOW) // STRIDE + 1) * ((w - WINDOW) // STRIDE + 1) for h, w in scaled_sizes(96)]
    assert len(boxes) == sum(counts)
    assert float(boxes.min()) >= 0
    assert float(boxes.max()) <= 96 + 1e-3


# --- part models -----------------------------------------------------------------------------------------------------------------

SHAPE = Shape(components=1, root=5, parts=2, part=3, cell=4, octave=2)


def random_mixtures() -> Mixtures:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        mixtures = Mixtures(2, SHAPE)
    mixtures.springs.data = seeded(2, 2, 4, seed=5) * 0.02
    mixtures.anchors.copy_(torch.tensor([[[0, 1], [5, 6]], [[3, 2], [7, 0]]]))
    return mixtures.requires_grad_(False)


@pytest.mark.parametrize("mirror", [False, True])
def test_a_score_is_linear_in_what_the_machine_is_fitted_on(mirror: bool) -> None:
    """Weights times the placement's features are its score: else latent training would fit another model than the one that runs."""
    alone = class_only(random_mixtures(), 1).requires_grad_(False)
    coarse, fine = features(seeded(1, 3, 64, 64), 16, alone)
    scores = alone.score(coarse, fine)[0]
    weights = torch.cat([alone.root.flatten(), alone.parts.flatten(), alone.springs.flatten()])
    for y, x in [(0, 0), (3, 7), (scores.shape[1] - 1, scores.shape[2] - 1)]:
        found = vector(alone, Place(mirror, 16, y, x, 0.0), coarse, fine) @ weights + alone.bias[0]
        assert float(found) == pytest.approx(float(scores[int(mirror), y, x]), abs=1e-4)


def test_boxes_lie_where_their_windows_do() -> None:
    mixtures = random_mixtures()
    mixtures.sizes.copy_(torch.tensor([[5, 5], [2, 5]]))
    boxes = window_boxes(mixtures, 16, 64)
    scores = mixtures.score(*features(seeded(1, 3, 64, 64), 16, mixtures))
    assert boxes.shape[:3] == scores.shape[1:]
    # pad of 2 cells and a dropped one: the window at place (2, 2) begins at the image's cell 1
    assert boxes[0, 2, 2].tolist() == [4, 4, 24, 24]
    assert boxes[1, 2, 2].tolist() == [4, 8, 24, 16]


def planted(count: int = 24) -> TrainingSet:
    """Two discs, one above the other, the lower one shifted at random: an object with parts that move. Every second image has none."""
    rng = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    images, truths = [], []
    for i in range(count):
        image = torch.rand(64, 64, generator=rng) * 0.15 + 0.3
        top, left, sway = (int(v) for v in torch.randint(0, 20, (3,), generator=rng))
        top, left, sway = top + 8, left + 12, sway % 5 - 2
        if i % 2 == 0:
            image[((y - top - 7) ** 2 + (x - left - 12) ** 2) < 30] = 0.9
            image[((y - top - 19) ** 2 + (x - left - 12 - sway) ** 2) < 30] = 0.9
        images.append((image * 255).to(torch.uint8).expand(3, 64, 64))
        truths.append([[left, top, left + 24, top + 26, 0.0 if i % 2 == 0 else -1.0]])
    return TrainingSet(Labels(("pair",)), torch.stack(images), torch.tensor(truths).float(), "planted")


def test_latent_training_finds_planted_parts() -> None:
    pytest.importorskip("scipy", reason="the extra 'classical' is not installed")
    pool = planted()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mixtures = Mixtures(1, Shape(components=1, root=6, parts=2, part=4, cell=4, octave=2))
    margins: list[float] = []
    run = Run(recipe=scenes_dpm(), epochs=1, seed=0)
    fit_part_models(Effort(objects=10, backgrounds=10, hardest=10, rounds=2))(mixtures, pool, run, lambda d, t, v: margins.append(v))
    assert len(margins) == 3
    assert margins[-1] > 0.2
    assert (mixtures.springs[..., [0, 2]] >= 0.01 - 1e-6).all()
    rows = mixtures.anchors[0, :, 0].sort().values
    assert int(rows[1] - rows[0]) >= 3, "one part for each disc"
    model = PartModels(mixtures.requires_grad_(False)).eval()
    frame = Letterbox(64, 64, 64)
    hits, scores = 0, []
    for image, truth in zip(pool.images[20:], pool.truths[20:], strict=True):
        with torch.no_grad():
            found = model(image[None].float() / 255, frame)
        best = int(found.log_score[0, :, 0].argmax())
        scores.append(float(found.log_score[0, best, 0]))
        hits += int(float(iou(found.boxes[0, best], truth[:, :4])) > 0.5 and float(truth[0, 4]) == 0)
    assert hits == 2
    assert min(scores[::2]) > max(scores[1::2])
