"""What is tried on the samples that an attack did not break: other attacks within the same budget, each of which should do no better.

Their cost is bounded: on n survivors, SURVIVORS at most, of an attack of T steps it is about 2 T + T (another loss) + T (another budget)
+ T (a surrogate) gradients and QUERIES + DRAWS forward passes a survivor, for segmenters and detectors T gradients more (the same attack
once more), and nothing where every sample is broken.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor

from robustbench_cv.adversary.attack import Attack, run
from robustbench_cv.adversary.constraints.lp import L2, Linf
from robustbench_cv.adversary.gradient_transforms import chain, scale, steepest
from robustbench_cv.adversary.objective import indifferent
from robustbench_cv.adversary.objectives.classification import margin
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.optimizers.ascent import Ascent, RandomSteps
from robustbench_cv.adversary.optimizers.random_search import RandomDraws
from robustbench_cv.adversary.problem import Problem
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.checks.checked_attack import DEFAULT, Attacked
from robustbench_cv.errors import NotApplicable
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxPrediction, BoxTarget, Logits, Model

SURVIVORS = 8
"""Survivors that are tried, unless a user asks for another number (project choice)."""

DRAWS = 20
"""Random draws at the full radius of the ball (project choice; I6 asks for 10 000 where an evaluation rests on this test alone)."""

QUERIES = {"classification": 300, "segmentation": 100, "detection": 50}
"""Forward passes of the gradient-free search by task (project choice: AutoAttack's Square takes 5 000)."""

LONGER = 20
"""Steps that the longer attack takes at least; else twice the attack's own (I5)."""

UNBOUNDED = 0.5
"""L-infinity radius at which any image can become grey (I3)."""


class Tried(NamedTuple):
    """What another attack did to the survivors: how many of n it broke, in words what it was.

    again: how many the very same attack breaks from another random start, where a criterion of degree (half of the pixels, ten boxes)
    makes some samples a matter of luck; 0 for classifiers, of which every break counts.
    """

    how: str
    broken: int
    n: int
    again: int = 0

    @property
    def beats(self) -> bool:
        """Two more of the survivors, or one of fewer than five: a single one of many may lie on the border (project choice)."""
        return self.broken - self.again >= (2 if self.n >= 5 else 1)

    def __str__(self) -> str:
        luck = f" (the same attack once more: {self.again})" if self.again else ""
        return f"{self.how} breaks {self.broken} of {self.n} survivors{luck}"


@dataclass(frozen=True)
class _RandomSearch(Optimizer):
    """Accepts a random window of random signs where the value rises: the idea of Square Attack (Andriushchenko et al., ECCV 2020) without
    its schedule: the window's share of the image falls as 1/sqrt(step) from a half (project choice). One forward pass a step.
    """

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> Tensor:
        return problem.value(theta)

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        tried = problem.project(theta + 2 * problem.radius * problem.steepest(self._windows(problem, theta)))
        values = problem.value(tried)
        better = values > state
        chosen = torch.where(better.reshape(-1, *[1] * (theta.dim() - 1)), tried, theta)
        return chosen, torch.where(better, values, state)

    def _windows(self, problem: Problem[Any, Any], theta: Tensor) -> Tensor:
        noise = problem.victim.noise.fork(f"step {problem.step}")
        height, width = theta.shape[-2:]
        side = math.sqrt(0.5 / math.sqrt(problem.step + 1))
        h, w = max(1, round(side * height)), max(1, round(side * width))
        spots = noise.uniform((2,), theta.device)
        top, left = (spots[:, 0] * (height - h + 1)).long(), (spots[:, 1] * (width - w + 1)).long()
        rows, columns = torch.arange(height, device=theta.device), torch.arange(width, device=theta.device)
        inside_rows = (rows >= top[:, None]) & (rows < top[:, None] + h)
        inside_columns = (columns >= left[:, None]) & (columns < left[:, None] + w)
        window = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
        signs = noise.fork("signs").normal((theta.shape[1], 1, 1), theta.device).sign()
        return (signs * window).to(theta)


def longer(subject: Attacked) -> Tried | None:
    """The same attack with twice the steps, of the step size that its author chose."""
    steps = subject.argument("steps")
    if subject.lone is None or not isinstance(steps, int) or steps < 1:
        return None
    count = max(2 * steps, LONGER)
    return _try_attack(subject, f"{count} steps", subject.variant(steps=count, alpha=DEFAULT))


def _other_loss(subject: Attacked) -> Tried | None:
    """A loss that scores of any scale leave a gradient: the logits' margin over their spread."""
    loss = subject.argument("loss")
    if subject.task != "classification" or loss not in ("ce", "cross-entropy"):
        return None
    name = "dlr" if len(subject.model.info.classes) > 2 else "margin"
    changes = {"loss": name, "alpha": DEFAULT}
    return _try_attack(subject, f"the {name.upper() if name == 'dlr' else name} loss", subject.variant(**changes))


def _one_step(subject: Attacked) -> Tried | None:
    """A single step of the whole budget from the clean image (I1)."""
    if subject.norm is None or subject.argument("steps") in (None, 0, 1):
        return None
    radius = subject.norm.radius
    return _try_attack(subject, "a single step", subject.variant(steps=1, alpha=radius, random_start=False, restarts=1))


def _unbounded_attack(subject: Attacked) -> Tried | None:
    """The same attack in a ball in which any image can become any other's grey."""
    steps = subject.argument("steps")
    if subject.norm is None or subject.argument("eps") is None or not isinstance(steps, int) or not _grey_would_do(subject):
        return None
    size = subject.survivors[0].image.numel()
    radius = UNBOUNDED if isinstance(subject.norm, Linf) else UNBOUNDED * math.sqrt(size)
    count = max(steps, LONGER)
    step = 2.5 * radius / count
    attack = subject.variant(eps=radius, alpha=step, gamma=step, steps=count)
    return _try_attack(subject, f"a radius of {radius:.3g}", attack)


def _grey_would_do(subject: Attacked) -> bool:
    """Whether an image without anything in it meets the criterion: not one that asks for boxes, of another class or where nothing is.

    Nor one of more than half of the pixels: the one class that it has then may be theirs (project choice).
    """
    if subject.task != "detection":
        return subject.task == "classification" or subject.attack.success.threshold <= 0.5
    nothing = BoxPrediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    lost = BoxTarget.of(torch.tensor([[0.0, 0.0, 8.0, 8.0]]), torch.tensor([0]))
    return bool(subject.attack.success([nothing], [lost])[0])


def noise(subject: Attacked) -> Tried | None:
    """Random signs of the full radius; random points of what is no picture, such as angles and places."""
    part = _bounded_part(subject)
    if part is None:
        return None
    if not part.constraint.theta_is_picture:
        drawn = replace(
            part, name="guess", objective=indifferent(), optimizer=RandomDraws(), steps=DRAWS, restarts=1, start="clean", keep="first"
        )
        return _try_attack(subject, f"a random guess ({DRAWS} draws)", drawn)
    attack = replace(
        part, name="noise", objective=indifferent(), optimizer=RandomSteps(), steps=1, restarts=DRAWS, start="random", keep="last"
    )
    return _try_attack(subject, f"random noise ({DRAWS} draws)", attack)


def _black_box(subject: Attacked) -> Tried | None:
    """A search that sees scores only, of pictures."""
    part = _bounded_part(subject)
    if part is None or not part.constraint.theta_is_picture:
        return None
    queries = QUERIES[subject.task]
    square = _square(subject, queries)
    if square is not None:
        return _try_attack(subject, f"Square Attack ({queries} queries)", square)
    objective = margin() if part.accepts is Logits else part.objective
    keep: Any = "first" if part.accepts is Logits else "worst"
    attack = replace(
        part, name="random-search", objective=objective, optimizer=_RandomSearch(), steps=queries, restarts=1, start="edge", keep=keep
    )
    return _try_attack(subject, f"random search ({queries} queries)", attack)


def _white_box(subject: Attacked) -> Tried | None:
    """Of an attack that uses no gradient: projected gradient ascent in the same ball."""
    part = _bounded_part(subject)
    if part is None or subject.norm is None or subject.backwards > 0:
        return None
    move = chain(steepest(subject.norm), scale(2.5 * subject.norm.radius / LONGER))
    keep: Any = "first" if subject.task == "classification" else "worst"
    attack = replace(part, name="ascent", optimizer=Ascent(move), steps=LONGER, restarts=1, start="random", keep=keep)
    try:
        return _try_attack(subject, f"gradient ascent ({LONGER} steps)", attack)
    except NotApplicable:
        return None


def _square(subject: Attacked, queries: int) -> Any:
    """The registered Square Attack in the same ball, where there is one."""
    if subject.task != "classification" or "square" not in ATTACKS.names() or subject.norm is None:
        return None
    parameters = inspect.signature(ATTACKS.factory("square")).parameters
    count = next((name for name in ("queries", "steps") if name in parameters), None)
    if count is None or "eps" not in parameters:
        return None
    norm = "l2" if isinstance(subject.norm, L2) else "linf"
    more = {"norm": norm} if "norm" in parameters else {}
    return ATTACKS.build("square", eps=subject.norm.radius, **{count: queries}, **more) if more or norm == "linf" else None


def transfer(subject: Attacked) -> Tried | None:
    """What the same attack makes for another model of the run."""
    if not subject.others or not hasattr(subject.attack, "search"):
        return None
    other = subject.others[0]
    try:
        broken = subject.breaks_by_transfer(other)
    except NotApplicable:
        # RAP has nothing to follow on a detector without proposals.
        return None
    return Tried(f"the same attack on {other.model.info.name}, transferred", int(broken.sum()), len(broken), _again(subject))


PROBES: Mapping[str, Callable[[Attacked], Tried | None]] = {
    "longer": longer,
    "other loss": _other_loss,
    "one step": _one_step,
    "noise": noise,
    "black box": _black_box,
    "white box": _white_box,
    "transfer": transfer,
    "unbounded": _unbounded_attack,
}


def _try_attack(subject: Attacked, how: str, attack: Any) -> Tried | None:
    if attack is None:
        return None
    broken = subject.breaks(attack)
    return Tried(how, int(broken.sum()), len(broken), _again(subject))


def _again(subject: Attacked) -> int:
    """How many survivors the same attack breaks when it starts elsewhere."""
    if subject.task == "classification":
        return 0
    broken: int = subject.measure_once("again", lambda s: int(s.breaks(s.attack).sum()))
    return broken


def _bounded_part(subject: Attacked) -> Attack[Any, Any] | None:
    """What to borrow aim, criterion and budget from."""
    part = subject.parts[0] if subject.parts else None
    return None if part is None or not 0 < part.constraint.radius < math.inf else replace(part, view=None, views=1)


@dataclass(frozen=True)
class Trace:
    """How the attack went on n survivors, all in one figure each.

    reach: the largest step times the number of steps, over the radius. late: the median of the steps' sizes in the last third, over the
    radius. rose: share of the survivors whose objective ended higher than it began. rising: share of them that gained over a tenth of
    their whole gain in the last tenth of the steps. None where the attack has too few steps, or no ball, to say.
    """

    steps: int
    reach: float | None
    late: float | None
    rose: float
    rising: float


class _Course(NamedTuple):
    """How a search went on n samples. values (3, n): the objective at the first iterate, nine tenths through, and at the last.

    moves (steps, n): the size of every step; (0, n) where there is no distance to take it in.
    """

    values: Tensor
    moves: Tensor


class _Noted(NamedTuple):
    """The inner optimizer's state; iterates so far that are looked at again; moves, each (N,)."""

    inner: Any
    iterates: tuple[Tensor, ...] = ()
    moves: tuple[Tensor, ...] = ()


@dataclass(frozen=True, eq=False)
class _Recorder(Optimizer):
    """An optimizer whose course is handed to `report` at its last step: what is noted until then is part of its state.

    The last iterate is projected whether the inner optimizer's may stray (DeepFool, Carlini and Wagner) or not: a feasible one stays.
    """

    inner: Optimizer
    distance: Callable[[Tensor, Tensor], Tensor] | None
    report: Callable[[_Course], None]
    may_leave_ball: ClassVar[bool] = True

    def init(self, problem: Problem[Any, Any], theta: Tensor) -> _Noted:
        return _Noted(self.inner.init(problem, theta))

    def step(self, problem: Problem[Any, Any], theta: Tensor, state: _Noted) -> tuple[Tensor, _Noted]:
        iterates, moves = state.iterates, state.moves
        if problem.step in (0, problem.steps - max(1, problem.steps // 10)):
            iterates = (*iterates, theta)
        after, inner = self.inner.step(problem, theta, state.inner)
        if self.distance is not None:
            moves = (*moves, self.distance(theta, after).detach().cpu())
        if problem.is_last_step:
            first, late = iterates[0], iterates[-1]
            # All with the last step's objective: some change as the attack goes on.
            values = torch.stack([problem.value(t).cpu() for t in (first, late, after)])
            self.report(_Course(values, torch.stack(moves) if moves else torch.zeros(0, len(theta))))
        return after, _Noted(inner, iterates, moves)


def trace(subject: Attacked) -> Trace | None:
    """Runs the attack once more, to its last step whatever breaks; None for attacks that are no single search of this library's engine."""
    attack = subject.lone
    if attack is None or attack.steps < 1 or attack.objective.name == "none":
        return None
    region = subject.norm
    courses: list[_Course] = []
    for chunk in subject.chunks(subject.survivors):
        recorder = _Recorder(attack.optimizer, region.measure if region is not None else None, courses.append)
        recorded = replace(attack, optimizer=recorder, restarts=1, keep="last")
        images = torch.stack([s.image for s in chunk]).to(subject.device)
        streams = Noise(subject.seed, tuple(s.id for s in chunk), "trace")
        run(recorded, cast("Model[Any]", subject.model), images, [s.target for s in chunk], streams)
    if not courses:
        return None
    values, moves = (torch.cat(columns, dim=1) for columns in zip(*courses, strict=True))
    return _of_course(moves, values, attack.steps, region.radius if region is not None else None)


def _of_course(moves: Tensor, values: Tensor, steps: int, radius: float | None) -> Trace:
    first, late, last = values
    gain, recent = last - first, last - late
    rising = (gain > 0) & (recent > 0.1 * gain)
    if radius is None or len(moves) == 0:
        return Trace(steps, None, None, float((gain > 0).float().mean()), float(rising.float().mean()))
    reach = float(moves.amax()) * steps / radius
    last_third = moves[-max(1, steps // 3) :]
    return Trace(
        steps,
        reach,
        float(last_third.median()) / radius if steps >= 3 else None,
        float((gain > 0).float().mean()),
        float(rising.float().mean()),
    )
