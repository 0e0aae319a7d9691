"""Learning from proposals: which of them are objects, the losses of region-based networks, and what R-CNN fits after the last step.

A pool with proposals holds them as further rows of its truths, labelled PROPOSAL, so that augmentation takes them along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.boxes import iou
from robustbench_cv.models.detectors import localisation_regression
from robustbench_cv.models.detectors.fast_rcnn import DEVIATIONS, FastRCNN
from robustbench_cv.models.detectors.region_based.box_coding import encode
from robustbench_cv.models.detectors.region_based.detector import Propose
from robustbench_cv.models.detectors.region_based.linear_svm import LinearScores
from robustbench_cv.models.detectors.region_based.roi_pooling import warp_regions
from robustbench_cv.models.detectors.sliding_window import WINDOW, windows
from robustbench_cv.models.trainable import Objects
from robustbench_cv.training import loop
from robustbench_cv.training.loop import Run, Watch
from robustbench_cv.training.progress import bar
from robustbench_cv.training.recipe import Fit
from robustbench_cv.training.svm import fit_svm
from robustbench_cv.training.training_set import NOTHING, TrainingSet

PROPOSAL = -2
"""Label of a row that is a proposal."""

FOREGROUND = 0.5
"""IoU from which a proposal counts as the object."""

NORM = 20.0
"""Mean norm of the features that the linear SVMs are fitted on, as in R-CNN's published code."""


def _with_proposals(pool: TrainingSet, propose: Propose) -> TrainingSet:
    """The pool with every image's proposals after its objects."""
    rows = []
    with bar("proposing regions", len(pool)) as advance:
        for done, image in enumerate(pool.images):
            boxes = propose(image.float() / 255)
            rows.append(F.pad(boxes, (0, 1), value=PROPOSAL))
            advance(done + 1, len(pool), "")
    stacked = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=NOTHING)
    return replace(pool, truths=torch.cat([pool.truths, stacked], dim=1))


@dataclass(frozen=True, eq=False)
class Regions:
    """Some boxes of each image: boxes a list of (K, 4) px; over all of them in order, label (P,) -1 = background; of the object that
    each overlaps most: kind (P,) its label, truth (P, 4) its box, overlap (P,) the IoU.
    """

    boxes: list[Tensor]
    label: Tensor
    kind: Tensor
    truth: Tensor
    overlap: Tensor


def match_regions(truths: Tensor) -> Regions:
    """Every object and every proposal of a batch of rows (N, M, 5), with the object that it overlaps most."""
    boxes, best_objects, overlaps = [], [], []
    for rows in truths:
        own = rows[(rows[:, 4] != NOTHING) & (rows[:, 4] != PROPOSAL)]
        regions = rows[rows[:, 4] != NOTHING][:, :4]
        overlap, best = iou(regions, own[:, :4]).max(1) if len(own) else (regions.new_zeros(len(regions)), None)
        chosen = own[best] if best is not None else regions.new_full((len(regions), 5), NOTHING)
        boxes.append(regions)
        best_objects.append(chosen)
        overlaps.append(overlap)
    best_of, overlap = torch.cat(best_objects), torch.cat(overlaps)
    kind = best_of[:, 4].long()
    return Regions(boxes, torch.where(overlap >= FOREGROUND, kind, -1), kind, best_of[:, :4], overlap)


def sample_regions(truths: Tensor, count: int, share: float) -> Regions:
    """At most `count` random regions an image, at most `share` of them objects; the rest overlaps no object by FOREGROUND.

    Draws from torch's global generator, which the loop seeds.
    """
    every = match_regions(truths)
    keep, start = [], 0
    for boxes in every.boxes:
        label = every.label[start : start + len(boxes)]
        objects, rest = (label >= 0).nonzero()[:, 0], (label < 0).nonzero()[:, 0]
        objects = objects[torch.randperm(len(objects))[: round(count * share)]]
        keep.append(torch.cat([objects, rest[torch.randperm(len(rest))[: count - len(objects)]]]) + start)
        start += len(boxes)
    together = torch.cat(keep)
    kept = torch.split(torch.cat(every.boxes)[together], [len(k) for k in keep])
    return Regions(list(kept), every.label[together], every.kind[together], every.truth[together], every.overlap[together])


def fast_rcnn_loss(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy over background and classes plus smooth L1 of the object's own class' correction: mean over 64 regions an image.

    Girshick, ICCV 2015, equations 1-3; a quarter of the regions are objects. Deviation: background is all that overlaps less than 0.5.
    """
    assert isinstance(network, FastRCNN)
    regions = sample_regions(truths, 64, 0.25)
    kinds, corrections = (t.float() for t in network.heads(images, regions.boxes))
    loss = F.cross_entropy(kinds, regions.label + 1)
    objects = (regions.label >= 0).nonzero()[:, 0]
    wanted = encode(torch.cat(regions.boxes)[objects], regions.truth[objects]) / regions.truth.new_tensor(DEVIATIONS)
    predicted = corrections[objects, regions.label[objects] + 1]
    return loss + F.smooth_l1_loss(predicted, wanted, reduction="sum") / max(1, len(regions.label))


class _RegionFeatures(Protocol):
    """A network whose last layers are linear SVMs: R-CNN and SPP-net."""

    scores: LinearScores
    corrections: nn.Linear

    def features(self, images: Tensor, proposals: list[Tensor], /) -> tuple[Tensor, Tensor]: ...


class _FineTuned(nn.Module):
    """The network with the softmax layer that it is fine-tuned under and that is thrown away after."""

    def __init__(self, network: nn.Module, classes: int) -> None:
        super().__init__()
        self.network = network
        self.kinds = nn.Linear(cast(_RegionFeatures, network).scores.machines.in_features, classes + 1)

    def forward(self, images: Tensor, proposals: list[Tensor]) -> Tensor:
        """Scores (P, 1 + classes) before softmax; background first."""
        scores: Tensor = self.kinds(cast(_RegionFeatures, self.network).features(images, proposals)[1])
        return scores


def fine_tuning_loss(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy over background and classes on 32 regions an image, at most a quarter of them objects (R-CNN, section 2.3)."""
    regions = sample_regions(truths, 32, 0.25)
    return F.cross_entropy(network(images, regions.boxes).float(), regions.label + 1)


def fit_on_proposals(propose: Propose) -> Fit:
    """A fitting procedure: gradient descent on images with their proposals."""

    def fit(network: nn.Module, pool: TrainingSet, run: Run, watch: Watch) -> None:
        loop.fit(network, _with_proposals(pool, propose), run, watch)

    return fit


def fit_rcnn(propose: Propose, images: int) -> Fit:
    """A fitting procedure: fine-tune under softmax, then fit linear SVMs and box regressions to the first `images` images."""

    def fit(network: nn.Module, pool: TrainingSet, run: Run, watch: Watch) -> None:
        pool = _with_proposals(pool, propose)
        with torch.random.fork_rng():
            torch.manual_seed(run.seed)
            tuned = _FineTuned(network, len(pool.labels))
        loop.fit(tuned, pool, run, watch)
        read = _read_features(network, pool, run, images)
        _fit_scores(cast(_RegionFeatures, network).scores, read)
        _fit_corrections(cast(_RegionFeatures, network).corrections, read)

    return fit


@dataclass(frozen=True, eq=False)
class Read:
    """Features of regions: shown (P, D) the last maps, hidden (P, F), boxes (P, 4), their matches, is_truth (P,) bool."""

    shown: Tensor
    hidden: Tensor
    boxes: Tensor
    regions: Regions
    is_truth: Tensor


def _read_features(network: nn.Module, pool: TrainingSet, run: Run, images: int) -> Read:
    """Of every object and proposal of the first `images` images, in eval mode."""
    parts: list[tuple[Tensor, Tensor]] = []
    count = min(images, len(pool))
    network.eval()
    with torch.no_grad(), bar("reading features", count) as advance:
        for start in range(0, count, 8):
            x = pool.images[start : start + 8].to(run.device).float() / 255
            if run.mean is not None and run.std is not None:
                x = (x - x.new_tensor(run.mean)[:, None, None]) / x.new_tensor(run.std)[:, None, None]
            boxes = [b.to(run.device) for b in match_regions(pool.truths[start : min(start + 8, count)]).boxes]
            shown, hidden = cast(_RegionFeatures, network).features(x[: count - start], boxes)
            parts.append((shown.half().cpu(), hidden.float().cpu()))
            advance(min(start + 8, count), count, "")
    truths = pool.truths[:count]
    regions = match_regions(truths)
    is_truth = torch.cat([(rows[rows[:, 4] != NOTHING][:, 4] != PROPOSAL) for rows in truths])
    return Read(torch.cat([s for s, _ in parts]), torch.cat([h for _, h in parts]), torch.cat(regions.boxes), regions, is_truth)


def _fit_scores(scores: LinearScores, read: Read) -> None:
    """One linear SVM a class: the objects themselves against all regions that overlap no object of the class by 0.3, hard negatives mined.

    Deviations from R-CNN: squared hinge loss; an overlap with an object of another class counts as none.
    """
    scale = NORM / read.hidden.norm(dim=1).mean()
    features = read.hidden * scale
    with torch.no_grad():
        scores.scale.copy_(scale)
        for c in range(scores.machines.out_features):
            same = read.regions.kind == c
            negative = ~same | (read.regions.overlap < 0.3)
            svm = fit_svm(features[read.is_truth & same], features[negative], cost=1e-3, positive_weight=2.0, bias_feature=10.0)
            scores.machines.weight[c], scores.machines.bias[c] = svm.weight, svm.bias


def _fit_corrections(corrections: nn.Linear, read: Read) -> None:
    """Ridge regressions (1000) from the last maps to the corrections of regions that overlap an object by 0.6, a class at a time."""
    classes = corrections.out_features // 4
    with torch.no_grad():
        for c in range(classes):
            near = (read.regions.label == c) & (read.regions.overlap >= 0.6) & ~read.is_truth
            if not near.any():
                corrections.weight[4 * c : 4 * c + 4], corrections.bias[4 * c : 4 * c + 4] = 0, 0
                continue
            wanted = encode(read.boxes[near], read.regions.truth[near])
            weight, bias = ridge(read.shown[near].float(), wanted, 1000.0)
            corrections.weight[4 * c : 4 * c + 4], corrections.bias[4 * c : 4 * c + 4] = weight, bias


def ridge(inputs: Tensor, targets: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """(weight (T, D), bias (T,)) that lower |inputs weight^T + bias - targets|^2 + strength |weight|^2, inputs (n, D), targets (n, T).

    Solved in the smaller of n and D dimensions.
    """
    x, y = inputs.double(), targets.double()
    middle, mean = x.mean(0), y.mean(0)
    x, y = x - middle, y - mean
    if len(x) < x.shape[1]:
        weight = torch.linalg.solve(x @ x.T + strength * torch.eye(len(x), dtype=x.dtype), y).T @ x
    else:
        weight = torch.linalg.solve(x.T @ x + strength * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y).T
    return weight.float(), (mean - weight @ middle).float()


def window_loss(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """Cross-entropy over background and classes on windows: at most 8 an image that overlap an object by 0.5, and the half that the network
    takes most for an object among 32 that overlap none by 0.35.
    """
    places = windows(images.shape[-1])
    rows = [r[r[:, 4] != NOTHING] for r in truths]
    boxes, labels = [], []
    for own in rows:
        overlap, best = (
            iou(places, own[:, :4]).max(1) if len(own) else (places.new_zeros(len(places)), places.new_zeros(len(places)).long())
        )
        objects, rest = (overlap >= FOREGROUND).nonzero()[:, 0], (overlap < 0.35).nonzero()[:, 0]
        objects = objects[torch.randperm(len(objects))[:8]]
        rest = rest[torch.randperm(len(rest))[:32]]
        boxes.append(places[torch.cat([objects, rest])])
        labels.append(torch.cat([own[best[objects], 4].long() + 1 if len(own) else objects, torch.zeros_like(rest)]))
    scores = network(warp_regions(images, boxes, WINDOW, 0)).float().flatten(1)
    label = torch.cat(labels)
    losses = F.cross_entropy(scores, label, reduction="none")
    hardest = losses[label == 0].topk(min(16 * len(images), int((label == 0).sum()))).values
    return torch.cat([losses[label > 0], hardest]).mean()


def one_box_loss(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """That of localisation as regression, from rows (N, M, 5)."""
    rows = [r[r[:, 4] != NOTHING] for r in truths]
    return localisation_regression.one_box_loss(network, images, [Objects(r[:, :4], r[:, 4].long()) for r in rows])
