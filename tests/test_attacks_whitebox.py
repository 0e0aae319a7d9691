"""The boundary attacks against closed forms, and AutoAttack's parts against another implementation, plain loops and published numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.adversary import Attack, Ensemble, Linf, aim_of, run
from robustbench_cv.adversary.combinators.targeted import Targeted
from robustbench_cv.adversary.constraints.hyperplane_projection import project_onto_hyperplane
from robustbench_cv.adversary.objectives.classification import RankedWrongClasses, targeted_dlr, targeted_margin
from robustbench_cv.adversary.optimizers.square import BLOCK, area_at, bump
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import ABSENT, ClassTarget, Logits
from tests.adversary_models import TinyClassifier, classifier, images, info, linear, noise, targets

ORDER = {"linf": torch.inf, "l2": 2, "l1": 1}
DUAL = {"linf": 1, "l2": 2, "l1": torch.inf}


def logits_of(model: TinyClassifier) -> nn.Module:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.anchor = nn.Parameter(torch.zeros(()), requires_grad=False)

        def forward(self, x: Tensor) -> Tensor:
            return model.raw(x).values

    return Network().eval()


# ---- the way to a plane ------------------------------------------------------------------------------------------------


def by_bisection(norm: str, t: Tensor, w: Tensor, gap: float) -> Tensor:
    """One sample's shortest way, from its form: L2 d = -lam w, Linf d = -lam sign(w), cut to the box; L1 one coordinate after another."""
    w = w if gap >= 0 else -w
    if norm == "l1":
        d, need = torch.zeros_like(t), abs(gap)
        for i in w.abs().argsort(descending=True)[: int((w != 0).sum())].tolist():
            way = min(need / abs(float(w[i])), float(t[i] if w[i] > 0 else 1 - t[i]))
            d[i], need = -way * w[i].sign(), need - way * abs(float(w[i]))
        return d
    pace = w if norm == "l2" else w.sign()

    def cut(lam: float) -> Tensor:
        return (t - lam * pace).clamp(0, 1) - t

    low, high = 0.0, 1e6
    for _ in range(200):
        lam = (low + high) / 2
        low, high = (low, lam) if abs(gap) + float((w * cut(lam)).sum()) <= 0 else (lam, high)
    return cut(high)


@pytest.mark.parametrize("norm", list(ORDER))
@pytest.mark.parametrize("reach", [0.01, 0.3, 0.8, 3.0], ids=lambda r: f"{r} of the way there is")
def test_the_way_to_a_plane_is_the_shortest_inside_the_box(norm: str, reach: float) -> None:
    points, normals = images(6).double(), noise(6).normal((3, 16, 16)).double()
    normals[0, :, :8] = 0
    rooms = torch.where(normals > 0, points, 1 - points)
    most = (normals.abs() * rooms).flatten(1).sum(1)
    gaps = reach * most * torch.tensor([1.0, -1, 1, -1, 1, -1])
    # Against the sign of the gap the room is on the other side.
    other = (normals.abs() * torch.where(normals < 0, points, 1 - points)).flatten(1).sum(1)
    gaps = torch.where(gaps > 0, gaps, -reach * other)
    d = project_onto_hyperplane(norm, points, normals, gaps)
    left = gaps + (normals * d).flatten(1).sum(1)
    assert (points + d).min() >= -1e-12
    assert (points + d).max() <= 1 + 1e-12
    if reach < 1:
        torch.testing.assert_close(left, torch.zeros(6).double(), atol=1e-8, rtol=0)
    else:
        assert (left.abs() > 0).all()
    for i in range(6):
        expected = by_bisection(norm, points[i].flatten(), normals[i].flatten(), float(gaps[i]))
        ours, best = (torch.linalg.vector_norm(v, ord=ORDER[norm]) for v in (d[i].flatten(), expected))
        torch.testing.assert_close(ours, best, atol=1e-7, rtol=1e-6)


# ---- distances to a linear model's boundary ----------------------------------------------------------------------------


def near_boundaries() -> tuple[TinyClassifier, Tensor, Any]:
    """A linear model and grey images so close to its boundaries that no wall is in the way."""
    model = linear(1.0)
    x0 = 0.5 + 0.02 * noise(8).normal((3, 16, 16)).clamp(-3, 3)
    return model, x0, targets(model, x0)


def distances(model: TinyClassifier, x0: Tensor, truth: Any, norm: str) -> Tensor:
    """min over wrong classes of (z_y - z_k) / |w_y - w_k|_dual."""
    weights = next(model.module.parameters()).detach()
    logits = model.raw(x0).values.detach()
    every = []
    for i, target in enumerate(truth):
        others = [k for k in range(logits.shape[1]) if k != target.label]
        steepness = [torch.linalg.vector_norm(weights[target.label] - weights[k], ord=DUAL[norm]) for k in others]
        every.append(min((logits[i, target.label] - logits[i, k]) / s for k, s in zip(others, steepness, strict=True)))
    return torch.stack(every)


@pytest.mark.parametrize(
    ("spec", "norm", "slack"),
    [
        ("fab(eps=None, steps=30)", "linf", 1.02),
        ("fab(norm='l2', eps=None, steps=30)", "l2", 1.02),
        ("fab(norm='l1', eps=None, steps=30)", "l1", 1.03),
        ("fab-t(norm='l2', eps=None, steps=30, targets=1)", "l2", 1.6),
        ("deepfool(steps=20)", "l2", 1.12),
        ("deepfool(norm='linf', steps=20)", "linf", 1.12),
        ("cw-l2(steps=100)", "l2", 1.35),
    ],
)
def test_the_smallest_change_of_a_linear_model_is_its_distance(spec: str, norm: str, slack: float) -> None:
    model, x0, truth = near_boundaries()
    expected = distances(model, x0, truth, norm)
    result = run(ATTACKS.build(spec), model, x0, truth, noise(8))
    assert result.success.all()
    ratio = result.size / expected
    assert (ratio > 1 - 1e-3).all()
    assert (ratio < slack).all()


def test_a_bound_keeps_the_changes_inside_it_and_hands_back_the_others_clean() -> None:
    model, x0, truth = near_boundaries()
    expected = distances(model, x0, truth, "l2")
    bound = float(expected.median()) * 1.02
    for spec in (f"deepfool(eps={bound})", f"fab(norm='l2', eps={bound}, steps=30)"):
        result = run(ATTACKS.build(spec), model, x0, truth, noise(8))
        assert torch.equal(result.success, expected * 1.05 < bound) or int(result.success.sum()) in (4, 5)
        assert (result.size[result.success] <= bound).all()
    untouched = run(ATTACKS.build(f"deepfool(eps={bound})"), model, x0, truth, noise(8))
    assert torch.equal(untouched.images[~untouched.success], x0[~untouched.success])
    assert (untouched.size[~untouched.success] == 0).all()


def test_boundary_attacks_settle_a_misclassified_image_as_it_is() -> None:
    model, x0 = classifier(), images(4)
    wrong: list[Any] = [ClassTarget((t.label + 1) % 5) for t in targets(model, x0)]
    for spec in ("deepfool", "fab-t", "apgd-t", "autoattack", "cw-l2"):
        result = run(ATTACKS.build(spec), model, x0, wrong, noise(4))
        assert result.success.all()
        assert torch.equal(result.images, x0)
        assert (result.size == 0).all()
        assert (result.forwards <= 2).all()


def carlini_wagner(model: TinyClassifier, x0: Tensor, label: int, steps: int, searches: int, weight: float) -> list[tuple[Tensor, bool]]:
    """Every image that the attack sees of one sample, and whether it breaks it: the paper's loop, to the last step."""
    w0, low, high, seen = ((2 * x0 - 1) * 0.999999).atanh(), 0.0, 1e10, []
    for _ in range(searches):
        w = w0.clone().requires_grad_()
        adam, reached = torch.optim.Adam([w], lr=0.01), False
        for step in range(steps):
            x = (w.tanh() + 1) / 2
            z = model.raw(x).values[0]
            rest = z.clone().index_fill(0, torch.tensor([label]), -torch.inf).max()
            adam.zero_grad()
            ((x - x0).square().sum() + weight * (z[label] - rest).clamp(min=0)).backward()
            adam.step()
            reached |= bool(z.argmax() != label)
            seen.append((x0 if step == 0 else x.detach(), bool(z.argmax() != label)))
        low, high = (low, min(high, weight)) if reached else (max(low, weight), high)
        weight = (low + high) / 2 if high < 1e9 else weight * 10
    return seen


def test_carlini_wagner_is_the_plain_loop_where_nothing_ends_early() -> None:
    model, x0, truth = near_boundaries()
    result = run(ATTACKS.build("cw-l2(steps=20, searches=4, weight=0.01, abort_early=False)"), model, x0, truth, noise(8))
    for i in range(3):
        seen = carlini_wagner(model, x0[i : i + 1], truth[i].label, 20, 4, 0.01)
        expected = min(float((x - x0[i]).norm()) for x, broken in seen if broken)
        assert float(result.size[i]) == pytest.approx(expected, rel=1e-3)
    assert (result.forwards == 80).all()


def test_a_stalled_search_ends_for_its_own_sample_alone_and_costs_no_size() -> None:
    model, x0, truth = near_boundaries()
    spec = "cw-l2(steps=200, searches=2, weight=10.0{more})"
    whole = run(ATTACKS.build(spec.format(more=", abort_early=False")), model, x0, truth, noise(8))
    result = run(ATTACKS.build(spec.format(more="")), model, x0, truth, noise(8))
    assert result.success.all()
    assert (result.size <= whole.size * 1.005).all()
    assert (result.forwards < 400).any()
    assert len(set(result.forwards.tolist())) > 1
    for i in (0, 5):
        alone = run(ATTACKS.build(spec.format(more="")), model, x0[i : i + 1], truth[i : i + 1], noise(8).select([i]))
        assert int(alone.forwards[0]) == int(result.forwards[i])
        torch.testing.assert_close(alone.size[0], result.size[i], rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", ["Linf", "L2", "L1"])
def test_fab_takes_the_same_path_as_torchattacks(norm: str) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    model, x0 = classifier(gain=1.0), images(12)
    truth = targets(model, x0)
    labels = torch.tensor([t.label for t in truth])
    theirs = torchattacks.FAB(logits_of(model), norm=norm, eps=10.0, steps=15, n_classes=5)
    theirs.set_device("cpu")
    far = theirs.attack_single_run(x0, labels, use_rand_start=False)
    ours = run(ATTACKS.build(f"fab(norm='{norm.lower()}', eps=None, steps=15)"), model, x0, truth, noise(12))
    assert ours.success.all()
    size = torch.linalg.vector_norm((far - x0).flatten(1), ord=ORDER[norm.lower()], dim=1)
    # Never farther but for rounding: its projections sum in another order.
    assert (ours.size <= size * 1.03).all()
    assert ((ours.size / size - 1).abs() < 1e-3).float().mean() >= 0.8


# ---- targets -----------------------------------------------------------------------------------------------------------


def test_the_reference_of_a_part_ranks_the_wrong_classes() -> None:
    model, x0 = classifier(), images(3)
    truth = [ClassTarget(1), ClassTarget(ABSENT), ClassTarget(4)]
    (part, *_) = ATTACKS.build("apgd-t(steps=3)").parts
    aim = aim_of(part, model, x0, truth)
    order = model.raw(x0).values.argsort(dim=1, descending=True)
    assert list(aim.skipped) == [1]
    for i in (0, 2):
        assert aim.goals[i] == RankedWrongClasses(truth[i].label, tuple(k for k in order[i].tolist() if k != truth[i].label))
    assert aim.references == truth


def test_targeted_losses_are_their_formulas() -> None:
    logits = Logits(torch.tensor([[1.0, 5.0, 3.0, 2.0, -1.0], [4.0, 0.0, 1.0, 3.0, 2.0]]))
    goals: Any = [RankedWrongClasses(1, (2, 3, 0, 4)), RankedWrongClasses(0, (3, 4, 2, 1))]
    assert targeted_margin(0)(logits, goals).tolist() == [-2.0, -1.0]
    assert targeted_margin(2)(logits, goals).tolist() == [-4.0, -3.0]
    torch.testing.assert_close(targeted_dlr(1)(logits, goals), torch.tensor([-3 / (5 - 1.5), -2 / (4 - 1.5)]))
    three: Any = [RankedWrongClasses(0, (1, 2))]
    torch.testing.assert_close(targeted_dlr(1)(Logits(torch.tensor([[4.0, 2.0, 0.0]])), three), torch.tensor([-1.0]))
    two: Any = [RankedWrongClasses(0, (1,))]
    assert targeted_dlr(0)(Logits(torch.tensor([[4.0, 1.0]])), two).tolist() == [-3.0]


@dataclass(frozen=True)
class GivenStart(Linf):
    """Linf whose edge is the point that another implementation drew."""

    drawn: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))

    def edge(self, x0: Tensor, streams: Noise) -> Tensor:
        return self.drawn


@pytest.mark.parametrize("rank", [0, 2])
def test_apgd_t_takes_the_same_path_as_torchattacks(rank: int) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    model = classifier(gain=1.0)
    model.module.double()
    x0, eps = images(12).double(), 3 / 255
    truth = targets(model, x0)
    theirs = torchattacks.APGDT(logits_of(model), eps=eps, steps=30, n_classes=5, rho=0.75)
    theirs.set_device("cpu")
    theirs.target_class = rank + 2
    with torch.random.fork_rng():
        torch.manual_seed(3)
        draw = 2 * torch.rand(x0.shape) - 1
        start = (x0 + eps * draw / draw.flatten(1).abs().amax(1).reshape(-1, 1, 1, 1)).clamp(0, 1)
        torch.manual_seed(3)
        _, robust, _, _ = theirs.attack_single_run(x0, torch.tensor([t.label for t in truth]))
    assert robust.any()
    assert not robust.all()
    built = ATTACKS.build(f"apgd-t(eps={eps}, steps=30)").parts[rank]
    attack = Targeted("one", (dataclasses.replace(built, constraint=GivenStart(eps, start), keep="worst"),))
    result = run(attack, model, x0, truth, noise(12))
    assert torch.equal(result.success, ~robust)


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("version", ["standard", "plus", "rand"])
def test_autoattack_works_with_few_classes(classes: int, version: str) -> None:
    model, x0 = classifier(gain=1.0, classes=classes), images(6)
    truth = targets(model, x0)
    attack = ATTACKS.build(f"autoattack(eps=6/255, version='{version}', steps=5, queries=20)")
    result = run(attack, model, x0, truth, noise(6))
    plain = run(ATTACKS.build("pgd(eps=6/255, steps=5)"), model, x0, truth, noise(6))
    assert result.success.sum() >= plain.success.sum() > 0


# ---- AutoAttack --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "order", "restarts", "targets_"),
    [
        ("", ["clean", "apgd-ce", "apgd-t", "fab-t", "square"], 1, 9),
        ("norm='l2', eps=0.5", ["clean", "apgd-ce", "apgd-t", "fab-t", "square"], 1, 9),
        ("norm='l1', eps=12.0", ["clean", "apgd-ce", "apgd-t", "fab-t", "square"], 5, 5),
        ("version='plus'", ["clean", "apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"], 5, 9),
        ("version='rand'", ["clean", "apgd-ce", "apgd-dlr"], 1, 0),
    ],
)
def test_autoattack_is_composed_as_the_reference(arguments: str, order: list[str], restarts: int, targets_: int) -> None:
    attack = ATTACKS.build(f"autoattack({arguments})")
    parts: dict[str, Any] = {part.name: part for part in attack.parts}
    assert list(parts) == order
    assert parts["apgd-ce"].restarts == restarts
    assert parts["apgd-ce"].steps == 100
    assert parts["apgd-ce"].views == (20 if "rand" in arguments else 1)
    if targets_:
        assert len(parts["apgd-t"].parts) == targets_
        assert len(parts["fab-t"].parts) == 9
        assert parts["square"].steps == 5000
        assert parts["square"].optimizer.rescale is False
    if "plus" in arguments:
        assert isinstance(parts["fab"], Ensemble)
        assert len(parts["fab"].parts) == 5
        assert [part.optimizer.halfway for part in parts["fab"].parts] == [False, True, True, True, True]


def test_autoattack_is_the_worst_case_and_later_parts_see_survivors_only() -> None:
    model, x0 = classifier(gain=1.0), images(24)
    truth = targets(model, x0)
    spec = "eps=3/255, steps=10"
    result = run(ATTACKS.build(f"autoattack({spec}, queries=40)"), model, x0, truth, noise(24))
    first = run(ATTACKS.build(f"apgd-ce({spec})"), model, x0, truth, noise(24))
    assert result.success.any()
    assert not result.success.all()
    assert result.success.sum() >= first.success.sum()
    # The clean look, APGD, four targets of APGD-T and FAB-T with a clean look each, Square; and a last look of each part.
    robust = result.forwards[~result.success]
    assert (robust == 1 + 12 + (1 + 4 * 12) + (1 + 4 * 21) + 42).all()
    assert (result.forwards[result.success] < robust[0]).all()
    assert (result.backwards[~result.success] == 10 + 4 * 10 + 4 * 10).all()


@pytest.mark.slow
def test_the_reference_breaks_the_same_samples() -> None:
    torchattacks = pytest.importorskip("torchattacks")
    model, x0, eps = classifier(gain=1.0), images(24), 3 / 255
    truth = targets(model, x0)
    labels = torch.tensor([t.label for t in truth])
    theirs = torchattacks.AutoAttack(logits_of(model), eps=eps, n_classes=5, seed=0)
    # Square's 5,000 queries change nothing here and take most of the time.
    theirs._autoattack.attacks[-1].n_queries = 20
    theirs._autoattack.attacks[0].steps = 20
    with torch.random.fork_rng():
        broken = model.raw(theirs(x0, labels)).values.argmax(1) != labels
    ours = run(ATTACKS.build(f"autoattack(eps={eps}, queries=50)"), model, x0, truth, noise(24))
    assert broken.any()
    assert not broken.all()
    assert (broken & ~ours.success).sum() <= 1
    assert (ours.success & ~broken).sum() <= 1


# ---- Square ------------------------------------------------------------------------------------------------------------


def test_square_sizes_follow_the_published_schedule() -> None:
    steps = (0, 10, 11, 50, 51, 200, 201, 500, 501, 1000, 1001, 2000, 2001, 4000, 4001, 4999)
    assert [1 / area_at(i, 5000, 1.0, False) for i in steps] == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32, 64, 64, 128, 128]
    # Stretched from 10,000: query 51 of 1,000 is 510 there.
    assert area_at(51, 1000, 0.8, True) == 0.8 / 16
    assert area_at(5, 1000, 0.8, True) == 0.8 / 2


@dataclass(eq=False)
class Recorder(TinyClassifier):
    """Keeps what it is shown, and prefers its class by one whatever it sees."""

    def raw(self, images: Tensor, /) -> Logits:
        self.module.shown.append(images.detach().clone())  # type: ignore[operator, union-attr]
        return Logits(torch.tensor([[1.0, 0.0, -1.0]]).repeat(len(images), 1) + 0 * images.flatten(1).sum(1, keepdim=True))


def recorder() -> Recorder:
    module = nn.Linear(1, 1)
    module.shown = []  # type: ignore[assignment]
    return Recorder(module, info("recorder", "classification", 3))


def test_square_shows_stripes_and_then_one_square_at_a_time() -> None:
    model, x0, eps = recorder(), images(3).clamp(0.2, 0.8), 0.05
    run(ATTACKS.build(f"square(eps={eps}, queries={BLOCK + 40}, rescale=False)"), model, x0, [ClassTarget(0)] * 3, noise(3))
    shown: Any = model.module.shown
    stripes = shown[0] - x0
    torch.testing.assert_close(stripes.abs(), torch.full_like(x0, eps))
    torch.testing.assert_close(stripes, stripes[:, :, :1].expand_as(stripes))
    places = set()
    for step in range(BLOCK + 40):
        changed = (shown[step + 1] - shown[0]).abs() > 1e-6
        side = round((area_at(step, BLOCK + 40, 0.8, False) * 256) ** 0.5)
        for i in range(3):
            square = changed[i].any(0)
            rows, columns = square.any(1).nonzero()[:, 0], square.any(0).nonzero()[:, 0]
            if len(rows):
                assert int(rows[-1] - rows[0]) < side
                assert int(columns[-1] - columns[0]) < side
                places.add((i, int(rows[0]), int(columns[0])))
            torch.testing.assert_close((shown[step + 1][i] - x0[i]).abs(), torch.full_like(x0[i], eps))
    # Each sample has places of its own, to the last row and column.
    assert len(places) > 100
    assert len(shown) == BLOCK + 40 + 1 + 1


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_windows_use_the_whole_radius_and_move_two_at_a_time(norm: str) -> None:
    model, x0, eps = recorder(), images(3).clamp(0.3, 0.7), 0.8
    run(ATTACKS.build(f"square(norm='{norm}', eps={eps}, queries=60)"), model, x0, [ClassTarget(0)] * 3, noise(3))
    shown: Any = model.module.shown
    for step in range(61):
        size = torch.linalg.vector_norm((shown[step] - x0).flatten(1), ord=ORDER[norm], dim=1)
        assert (size <= eps + 1e-6).all()
        assert (size > 0.95 * eps).all()
    window = bump(7, norm)
    torch.testing.assert_close(torch.linalg.vector_norm(window, ord=ORDER[norm]), torch.tensor(1.0))
    assert (window[:3] >= 0).all()
    assert (window[3:] <= 0).all()


# ---- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("autoattack(eps=8)", "8/255"),
        ("autoattack(version='custom')", "'standard', 'plus' or 'rand'"),
        ("fab(eps=None, restarts=2)", "give eps"),
        ("fab-t(targets=0)", "targets=0"),
        ("square(area=2.0)", "area=2.0"),
        ("cw-l2(searches=0)", "searches=0"),
        ("deepfool(norm='l1')", "'l2' or 'linf'"),
    ],
)
def test_bad_arguments_are_refused_with_the_way_out(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ATTACKS.build(spec)


def test_steps_too_short_for_the_budget_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="cannot use its own budget"):
        ATTACKS.build("bim(eps=8/255, steps=3)")


def test_a_model_without_gradient_is_told_which_attacks_need_none() -> None:
    class Detached(TinyClassifier):
        def raw(self, images: Tensor, /) -> Logits:
            return Logits(super().raw(images).values.detach())

    model = Detached(classifier().module, classifier().info)
    for spec in ("apgd-t", "fab", "deepfool", "cw-l2", "bim"):
        with pytest.raises(NotApplicable, match=r"gives none to its input; attacks that need none: .*square"):
            run(ATTACKS.build(spec), model, images(2), targets(model, images(2)), noise(2))
    found = run(ATTACKS.build("square(queries=5)"), model, images(2), targets(model, images(2)), noise(2))
    assert isinstance(ATTACKS.build("square"), Attack)
    assert found.backwards.tolist() == [0, 0]
