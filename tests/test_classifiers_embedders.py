"""Embedders: losses and triplets against plain loops, verification against a count by hand, sizes of the papers, galleries."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv import adversary
from robustbench_cv.api import examine_specs, run
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.complexity.profile import count
from robustbench_cv.models.embedders.embedder import Embedder, gallery
from robustbench_cv.models.embedders.facenet import FaceNet, Root, semi_hard, triplet_loss
from robustbench_cv.models.embedders.siamese import Siamese, contrastive_loss
from robustbench_cv.models.embedders.verification import apart, distance, judge, threshold_at, verify
from robustbench_cv.models.weights.description import Description, write
from robustbench_cv.noise import Noise
from robustbench_cv.types import ClassTarget, Logits, predict
from tests.laws.test_models import NAMED, state

EMBEDDERS = ["facenet(width=8, dimension=16, input_size=64)", "siamese(width=2, input_size=80)"]


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
    a, b = net(seeded(2, 3, 80, 80)), net(seeded(2, 3, 80, 80, seed=1))
    torch.testing.assert_close(net.between(a, b), net.between(b, a))
    torch.testing.assert_close(net.between(a, a), -net.output.bias.expand(2))
    expected = [
        -net.output.bias.item() - sum(w * abs(p - q) for w, p, q in zip(net.output.weight[0].tolist(), x, y, strict=True))
        for x, y in zip(a.tolist(), b.tolist(), strict=True)
    ]
    assert net.between(a, b).tolist() == pytest.approx(expected, abs=1e-5)


def test_one_channel_is_brightness() -> None:
    net = Siamese(channels=1, size=(80, 80), width=2).eval()
    x = seeded(1, 3, 80, 80)
    grey = (0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2])[:, None].expand(1, 3, 80, 80)
    torch.testing.assert_close(net(x), net(grey))


PUBLISHED = [164, 228, 398, 545, 595, 654, 722, 717, 1600, 1600]
"""Thousands of parameters of the modules 3a-5b, table 2 of the paper."""


def test_facenet_is_the_papers_second_network() -> None:
    """Table 2: parameters of each module and in all, 7.5 M, and 1.6 G multiply-adds, which the paper calls FLOPS; sides of 28, 14, 7."""
    model: Any = build("facenet", device="meta")
    modules = model.module.net.modules_3a_to_5b
    found = [sum(p.numel() for p in module.parameters()) / 1e3 for module in modules]
    assert found[:8] == pytest.approx(PUBLISHED[:8], abs=0.6)
    assert [round(n, -2) for n in found[8:]] == PUBLISHED[8:]
    assert round(model.info.parameters / 1e6, 1) == 7.5
    seen = count(model, torch.zeros(3, 224, 224))
    assert round(seen.macs / 1e9, 1) == 1.6
    sides = [next(x.outputs[1:] for x in seen.layers if f"modules_3a_to_5b.{i}.branches.0" in x.module) for i in range(10)]
    assert [side[1] for side in sides] == [28, 28, 28, 14, 14, 14, 14, 14, 7, 7]


def test_pooling_by_the_root_is_the_length_of_each_window() -> None:
    x = seeded(1, 1, 4, 5)
    padded = F.pad(x, (1, 1, 1, 1))
    expected = [[float(padded[0, 0, i : i + 3, j : j + 3].norm()) for j in range(5)] for i in range(4)]
    torch.testing.assert_close(Root()(x)[0, 0], torch.tensor(expected))
    zeros = torch.zeros(1, 1, 3, 3, requires_grad=True)
    Root()(zeros).sum().backward()
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()


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


# --- by name ---------------------------------------------------------------------------------------------------------------------------


def test_every_embedder_that_is_listed_is_held_to_these_laws() -> None:
    assert {spec.partition("(")[0] for spec in EMBEDDERS} == {n for n, entry in NAMED.items() if entry.facts["task"] == "embedding"}
    assert all(NAMED[name].facts["reduced"] in spec for spec in EMBEDDERS for name in [spec.partition("(")[0]])


@pytest.mark.parametrize("spec", EMBEDDERS)
def test_an_embedder_by_name_keeps_the_laws_of_models(spec: str) -> None:
    """The gradient reaches every image, rows stand alone, decoding is of the raw output, nothing changes."""
    model: Any = build(spec)
    before = state(model)
    x = seeded(3, 3, 46, 62).clamp(0, 1).requires_grad_()
    raw = model.raw(x)
    model.distance(raw, type(raw)(raw.values.flip(0))).sum().backward()
    assert x.grad is not None
    # The second image was compared with itself.
    assert [bool(g.abs().max() > 0) for g in x.grad] == [True, False, True]
    torch.testing.assert_close(model.raw(x[1:2]).values[0], raw.values[1])
    assert all(torch.equal(a, b) for a, b in zip(model.decode(raw), raw.values, strict=True))
    assert state(model) == before
    assert len(model.info.classes) == 0
    assert model.info.parameters == sum(p.numel() for p in model.module.parameters())
    with pytest.raises(ValueError, match="float images"):
        model.raw(torch.rand(1, 1, 46, 62))


def test_weights_of_an_embedder_go_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(7)
        net = FaceNet(16, width=8)
    write(path, net, Description(architecture="facenet", classes=(), input_size=(64, 64), arguments={"width": 8, "dimension": 16}), bits=32)
    model: Any = build(f"facenet(checkpoint={str(path)!r})")
    x = seeded(2, 3, 64, 64).clamp(0, 1)
    torch.testing.assert_close(model.raw(x).values, net.eval()(x))
    with pytest.raises(UserError, match=r"written with width=8, not 4"):
        build(f"facenet(checkpoint={str(path)!r}, width=4)")


def tinted(identity: int, seed: int) -> Tensor:
    image = seeded(3, 48, 48, seed=seed).abs() * 0.1
    image[identity] += 0.6
    return image.clamp(0, 1)


@pytest.mark.parametrize("spec", EMBEDDERS)
def test_a_gallery_classifies_by_the_nearest_picture(spec: str) -> None:
    known: Any = build(spec)
    assert isinstance(known, Embedder)
    shown = [tinted(i, seed) for i in range(3) for seed in (0, 1)]
    model = gallery(known, shown, [0, 0, 1, 1, 2, 2], ("red", "green", "blue"))
    asked = torch.stack([tinted(i, 9) for i in (2, 0, 1)])
    vectors, pictures = known.raw(asked).values, known.raw(torch.stack(shown)).values
    for row, vector in zip(model.raw(asked).values.tolist(), vectors, strict=True):
        far = [float(known.module.net.between(vector[None], picture[None])) for picture in pictures]
        assert row == pytest.approx([-min(far[2 * i : 2 * i + 2]) for i in range(3)], abs=1e-5)
    with pytest.raises(UserError, match="no picture of green; give at least one of each of the 3"):
        gallery(known, shown[:2], [0, 2], ("red", "green", "blue"))


def test_a_gallery_of_an_embedder_is_attacked_like_any_classifier() -> None:
    known: Any = build(EMBEDDERS[0])
    model = gallery(known, [tinted(i, 0) for i in range(3)], [0, 1, 2], ("red", "green", "blue"))
    images = torch.stack([tinted(i, 5) for i in range(3)])
    assert isinstance(model.raw(images), Logits)
    assert [p.label for p in predict(model, images)] == [0, 1, 2]
    found = adversary.run(
        ATTACKS.build("pgd(eps=0.5, steps=20)"), model, images, [ClassTarget(i) for i in range(3)], Noise(0, ("a", "b", "c"))
    )
    assert found.success.any()


def test_a_gallery_by_name_is_of_the_first_pictures_of_each_class() -> None:
    model: Any = build(f"gallery(embedder='{EMBEDDERS[0]}', data='scenes(split=\"train\", samples=60, size=48)', shots=1)")
    assert len(model.info.classes) == 10
    assert len(model.module.net.vectors) == 10
    with pytest.raises(UserError, match="lenet5 is for classification, a gallery needs an embedder"):
        build("gallery:lenet5")
    with pytest.raises(UserError, match="shots=0 must be a whole number from 1"):
        build("gallery(embedder='siamese(width=2)', shots=0)")


def test_suites_checks_and_attacks_send_an_embedder_to_a_gallery(tmp_path: Path) -> None:
    images, targets = torch.rand(1, 3, 64, 64), [ClassTarget(0)]
    attack: Any = ATTACKS.build("pgd(steps=1)")
    for call in (
        lambda: run("quick", models=[EMBEDDERS[0]], limit=2, out=tmp_path),
        lambda: examine_specs(EMBEDDERS[0], "scenes(samples=2)"),
        lambda: adversary.run(attack, build(EMBEDDERS[0]), images, targets, Noise(0, ("a",))),
    ):
        with pytest.raises(UserError, match=r"facenet is an embedder: .* gallery:facenet makes a classifier of it"):
            call()
