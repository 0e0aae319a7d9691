"""Embedders: losses and triplets against plain loops, verification against a count by hand, sizes of the papers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from robustbench_cv.models.embedders.facenet import FaceNet, semi_hard, triplet_loss
from robustbench_cv.models.embedders.siamese import Siamese, contrastive_loss
from robustbench_cv.models.embedders.verification import apart, distance, judge, threshold_at, verify


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_verification_is_the_count_by_hand() -> None:
    """Ten pairs of different ones; at most one in five may be accepted: the third nearest, 0.9, is the threshold.

    Of the same, 0.1 0.5 0.8 lie below it and 0.9 1.4 do not; of the others 0.4 and 0.7 do: 3/5, 2/10, (3 + 8)/15.
    """
    same = torch.tensor([0.1, 0.5, 0.8, 0.9, 1.4])
    different = torch.tensor([1.7, 0.4, 0.9, 2.0, 1.1, 0.7, 3.0, 1.3, 2.2, 1.9])
    assert threshold_at(0.2, different) == pytest.approx(0.9)
    found = verify(torch.cat([same, different]), torch.arange(15) < 5, 0.2)
    assert found == pytest.approx((0.9, 3 / 5, 2 / 10, 11 / 15))


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.05, 0.29, 0.5, 0.99, 1.0])
def test_the_threshold_is_the_largest_that_keeps_the_rate(rate: float) -> None:
    different = (seeded(100).abs() * 4).round() / 4  # many equal distances
    found = threshold_at(rate, different)
    candidates = [*sorted(set(different.tolist())), math.inf]
    kept = [t for t in candidates if sum(d < t for d in different.tolist()) <= rate * 100 + 1e-9]
    assert found == max(kept)


def test_pairs_that_cannot_be_judged_are_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, not 2"):
        threshold_at(2, torch.ones(3))
    with pytest.raises(ValueError, match="at least one pair"):
        threshold_at(0.1, torch.ones(0))
    with pytest.raises(ValueError, match="pairs of the same and"):
        judge(torch.ones(3), torch.ones(3, dtype=torch.bool), 0.5)


def test_distances_are_squared_and_euclidean() -> None:
    a, b = seeded(4, 3), seeded(4, 3, seed=1)
    plainly = [sum((p - q) ** 2 for p, q in zip(x, y, strict=True)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    torch.testing.assert_close(distance(a, b), torch.tensor(plainly))
    torch.testing.assert_close(apart(a, b).diagonal(), torch.tensor(plainly))


def test_the_triplet_loss_is_its_equation() -> None:
    a, p, n = (seeded(6, 4, seed=seed) for seed in range(3))
    expected = [max(0.0, float((x - y).square().sum() - (x - z).square().sum()) + 0.2) for x, y, z in zip(a, p, n, strict=True)]
    found = triplet_loss(a, p, n)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    assert 0 < (found == 0).sum() < 6


def test_semi_hard_triplets_are_those_of_the_obvious_loop() -> None:
    points, labels = seeded(12, 2) * 0.4, torch.arange(12) % 3
    expected = []
    for a in range(12):
        for p in range(12):
            if a == p or labels[a] != labels[p]:
                continue
            limit = float((points[a] - points[p]).square().sum())
            gaps = {n: float((points[a] - points[n]).square().sum()) for n in range(12) if labels[n] != labels[a]}
            semi = {n: gap for n, gap in gaps.items() if limit < gap < limit + 0.2}
            if semi:
                expected.append([a, p, min(semi, key=semi.__getitem__)])
    assert semi_hard(points, labels).tolist() == expected
    assert 5 < len(expected) < 36


def test_the_contrastive_loss_is_its_equation() -> None:
    a, b, same = seeded(6, 2), seeded(6, 2, seed=1), torch.arange(6) < 3
    expected = []
    for x, y, alike in zip(a, b, same.tolist(), strict=True):
        length = math.dist(x.tolist(), y.tolist())
        expected.append((length if alike else max(0.0, 2 - length)) ** 2 / 2)
    assert contrastive_loss(a, b, same, margin=2.0).tolist() == pytest.approx(expected, rel=1e-5)


def test_embeddings_of_facenet_have_length_one() -> None:
    net = FaceNet(16, width=4).eval()
    x = seeded(3, 3, 64, 64).requires_grad_()
    found = net(x)
    assert found.shape == (3, 16)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))
    found[0].sum().backward()
    assert x.grad is not None
    assert x.grad[0].abs().sum() > 0


def test_a_siamese_network_has_the_papers_size_and_no_first_picture() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in Siamese(channels=1).parameters()) == 38_951_745
    net = Siamese(size=(80, 80), width=2).eval()
    a, b = seeded(2, 3, 80, 80), seeded(2, 3, 80, 80, seed=1)
    torch.testing.assert_close(net(a, b), net(b, a))
    torch.testing.assert_close(net(a, a), net.output.bias.expand(2))


def test_a_few_steps_on_triplets_tell_identities_apart() -> None:
    """Three identities, each a tint with noise: from a chance-like start to a clean separation."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = FaceNet(8, width=4).train()
    labels = torch.arange(12) % 3
    images = seeded(12, 3, 64, 64) * 0.3
    images[torch.arange(12), labels] += 1.0
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    pairs = torch.combinations(torch.arange(12))
    same = labels[pairs[:, 0]] == labels[pairs[:, 1]]
    for _ in range(12):
        embeddings = net(images)
        chosen = semi_hard(embeddings.detach(), labels)
        if len(chosen) == 0:
            break
        loss = triplet_loss(*(embeddings[chosen[:, i]] for i in range(3))).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    embeddings = net(images).detach()
    assert verify(distance(embeddings[pairs[:, 0]], embeddings[pairs[:, 1]]), same, 0.0).true_accept > 0.95
