"""The objective as a function of theta: an optimizer's only door to the model, so that it can count, judge and keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, Literal

import torch
from torch import Tensor

from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.criteria import Success
from robustbench_cv.adversary.objective import G, Objective
from robustbench_cv.adversary.random_views import View
from robustbench_cv.adversary.victim import SearchResult, Victim, no_gradient, non_finite, require_raw, sizes_within_budget
from robustbench_cv.noise import Noise
from robustbench_cv.types import R

Keep = Literal["last", "worst", "first", "nearest"]
Start = Literal["clean", "random", "edge"]


class Problem(Generic[R, G]):
    """One search's view of the samples that it still works on. step is the loop's; everything else changes through the methods only.

    Nothing leaves the device while keep="last". Otherwise every forward pass is decoded, whose output the objective has used already;
    with a view the objective sees other images than are judged, and each evaluation costs one more forward pass.
    """

    def __init__(
        self,
        name: str,
        victim: Victim[R, G],
        objective: Objective[R, G],
        success: Success,
        constraint: Constraint,
        steps: int,
        keep: Keep,
        view: View | None = None,
        views: int = 1,
        may_leave_ball: bool = False,
    ) -> None:
        self.victim: Victim[R, G] = victim
        self.x0 = victim.x0
        self.radius = constraint.radius
        self.step = 0
        self.steps = steps
        self._name, self._success, self._keep = name, success, keep
        self._view, self._views, self._strays = view, views, may_leave_ball
        self._evaluations = 0
        self._objective: Objective[R, G] = objective
        self._constraint = constraint.place(victim.x0, victim.references, victim.noise.fork("place"))
        self._bounds = self._constraint.bounds(victim.x0)
        n = len(self.x0)
        self._found = SearchResult.of_clean_images(self.x0)
        self._index = torch.arange(n)
        self._forwards = self._backwards = 0
        self._zero_grads = torch.zeros(n, dtype=torch.int64, device=self.x0.device)
        self._unusable = torch.zeros(n, dtype=torch.bool, device=self.x0.device)
        self._best: Tensor | None = None
        self._degree = torch.full((n,), -1.0)
        self._size = torch.full((n,), torch.inf)
        self._retired = torch.zeros(n, dtype=torch.bool)
        self._broken_now = torch.zeros(n, dtype=torch.bool)

    @property
    def is_last_step(self) -> bool:
        return self.step == self.steps - 1

    @property
    def broken_samples(self) -> Tensor:
        """bool (N,): whether the theta evaluated last breaks its sample, within the radius or not. Not with keep="last"."""
        return self._broken_now.to(self.x0.device)

    @property
    def won(self) -> Tensor:
        """bool (N,): whether the theta kept so far, within the radius, breaks its sample. Not with keep="last"."""
        return (self._degree >= self._success.threshold).to(self.x0.device)

    def start(self, how: Start, purpose: str = "start") -> Tensor:
        """Where the search begins; under another purpose an independent point, for searches that hold several."""
        noise = self.victim.noise.fork(purpose)
        if how == "edge":
            return self._constraint.edge(self.x0, noise)
        return self._constraint.start(self.x0, noise if how == "random" else None)

    def project(self, theta: Tensor) -> Tensor:
        return self._constraint.project(self.x0, theta) if self._bounds is None else theta.clamp(*self._bounds)

    def move_theta(self, theta: Tensor, move: Tensor) -> Tensor:
        """project(theta + move), in one new tensor where projecting is a clamp."""
        there = theta + move
        return self.project(there) if self._bounds is None else torch.clamp(there, *self._bounds, out=there)

    def steepest(self, grad: Tensor) -> Tensor:
        return self._constraint.steepest(grad)

    def measure(self, theta: Tensor) -> Tensor:
        """How far theta's images are from the clean ones: (N,), in units of radius."""
        return self._constraint.measure(self.x0, self._constraint.apply(self.x0, theta))

    def retire(self, done: Tensor) -> None:
        """Samples, bool (N,), that have nothing left to search for: they leave the batch at the end of this step."""
        self._retired |= done.cpu()

    def value(self, theta: Tensor) -> Tensor:
        """(N,), without a gradient."""
        with torch.no_grad():
            images = self._constraint.apply(self.x0, theta)
            raws = [self._raw(view(images)) for view in self._looks()]
            values = self._mean([self._score(raw) for raw in raws])
        self._see(theta, values.isfinite(), raws[-1])
        return values

    def value_and_grad(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) and the gradient of each sample's value by its theta. NotApplicable where the model lets no gradient through."""
        leaf = theta.detach().requires_grad_()
        raws: list[R] = []
        each: list[Tensor] = []
        grads: list[Tensor] = []
        for view in self._looks():
            # One view at a time, so that memory holds the graph of one.
            with torch.enable_grad():
                raw = self._raw(view(self._constraint.apply(self.x0, leaf)))
                scores = self._score(raw)
                # Rows are independent, so the sum's gradient holds each sample's own.
                grads.append(self._gradient(scores, leaf))
            each.append(scores.detach())
            raws = [raw]
            self._backwards += 1
        values, grad = self._mean(each), self._mean(grads)
        peaks = _peaks(grad.flatten(1))
        self._zero_grads += peaks == 0
        self._unusable |= ~peaks.isfinite()
        self._see(theta, values.isfinite(), raws[-1])
        return values, grad

    def value_and_grads(self, theta: Tensor, scores: Callable[[R, Sequence[G]], Tensor]) -> tuple[Tensor, Tensor]:
        """Several numbers of each sample, (N, K), and the gradient of each by theta, (N, K, ...): one forward pass and K backward.

        scores: (raw, goals) -> (N, K), in the place of the objective. Without a view.
        """
        leaf = theta.detach().requires_grad_()
        with torch.enable_grad():
            raw = self._raw(self._constraint.apply(self.x0, leaf))
            values = scores(raw, self.victim.goals)
            columns = values.unbind(dim=1)
            each = [self._gradient(column, leaf, retain_graph=column is not columns[-1]) for column in columns]
        grads, values = torch.stack(each, dim=1), values.detach()
        self._backwards += len(each)
        peaks = _peaks(grads.flatten(2))
        self._zero_grads += (peaks == 0).sum(dim=1)
        self._unusable |= ~peaks.isfinite().all(dim=1)
        self._see(theta, values.isfinite().all(dim=1), raw)
        return values, grads

    def release(self) -> Tensor | None:
        """Let go of retired samples and, with keep="first", of those that are broken and those on which the model broke down.

        Rows (int64, on the CPU) of those that search on, to be picked from theta and the optimizer's state; None where all do.
        """
        if self._best is None:
            return None
        over = self._retired
        if self._keep == "first":
            over = over | (self._degree >= self._success.threshold) | self._unusable.cpu()
        if not bool(over.any()):
            return None
        released_rows = self._report(self._best, self._degree, torch.full((len(over),), self._forwards))
        gone, on = over.nonzero()[:, 0], (~over).nonzero()[:, 0]
        self._found.merge(self._index[gone], released_rows.select(gone))
        self._narrow(on)
        return on

    def finish(self, theta: Tensor) -> SearchResult:
        """Judge what is not judged yet, check the images against the constraint, and hand over all samples.

        A kept iterate was judged by the very forward pass that its objective came from; only the final iterate of samples that none broke
        needs a pass of its own.
        """
        if len(self._index):
            self._found.merge(self._index, self._conclude(theta))
        return self._found

    def _conclude(self, theta: Tensor) -> SearchResult:
        theta = _where(self._unusable, self.start("clean"), self.project(theta) if self._strays else theta)
        degree, forwards = self._degree.clone(), torch.full((len(theta),), self._forwards)
        survivors = (degree < self._success.threshold).nonzero()[:, 0]
        kept_before = torch.ones(len(theta), dtype=torch.bool)
        if len(survivors):
            rows = survivors.to(theta.device)
            last = self._judge(self._constraint.apply(self.x0, theta)[rows].detach(), survivors)
            degree[survivors] = torch.maximum(last, degree[survivors])
            forwards[survivors] += 1
            kept_before[survivors] = last < self._degree[survivors]
        if self._best is not None:
            theta = _where(kept_before.to(theta.device) & ~self._unusable, self._best, theta)
        return self._report(theta, degree, forwards)

    def _report(self, theta: Tensor, degree: Tensor, forwards: Tensor) -> SearchResult:
        """What has become of the samples at hand, if theta is where they end."""
        broken = self._unusable.cpu()
        nothing = self._unusable
        if self._keep == "nearest":
            nothing = nothing | (degree < self._success.threshold).to(nothing.device)
        images = _where(nothing, self.x0, self._constraint.apply(self.x0, theta).detach())
        return SearchResult(
            images=images,
            degree=(degree * ~nothing.cpu()).masked_fill(broken, 0.0),
            size=sizes_within_budget(self._name, self._constraint.size(self.x0, theta).where(~nothing, 0.0), self.radius, images),
            forwards=forwards,
            backwards=torch.full_like(forwards, self._backwards),
            zero_grads=self._zero_grads.cpu(),
            non_finite=broken,
        )

    def _narrow(self, index: Tensor) -> None:
        """Go on with some of the samples at hand."""
        here = index.to(self.x0.device)
        self.victim = self.victim.select(index)
        self.x0 = self.victim.x0
        self._constraint = self._constraint.select(here)
        self._bounds = self._constraint.bounds(self.x0)
        self._index, self._degree, self._size = self._index[index], self._degree[index], self._size[index]
        self._retired, self._broken_now = self._retired[index], self._broken_now[index]
        self._zero_grads, self._unusable = self._zero_grads[here], self._unusable[here]
        self._best = None if self._best is None else self._best[here]

    def _raw(self, images: Tensor) -> R:
        self._forwards += 1
        raw: R = self.victim.model.raw(images)
        require_raw(self._name, self._objective.accepts, raw)
        return raw

    def _looks(self) -> list[Callable[[Tensor], Tensor]]:
        """How this evaluation sees the images: as they are, or each of `views` times through the view, drawn anew."""
        view = self._view
        if view is None:
            return [lambda images: images]
        noises = [self.victim.noise.fork(f"view {self._evaluations}.{i}") for i in range(self._views)]
        self._evaluations += 1
        return [partial(_through, view, noise) for noise in noises]

    def _mean(self, each: list[Tensor]) -> Tensor:
        return each[0] if len(each) == 1 else torch.stack(each).mean(dim=0)

    def _score(self, raw: R) -> Tensor:
        values: Tensor = self._objective(raw, self.victim.goals, self.step / max(self.steps, 1))
        return values

    def _gradient(self, scores: Tensor, leaf: Tensor, *, retain_graph: bool = False) -> Tensor:
        """Of the sum of scores (N,) by theta. NotApplicable where none reaches it, also where only weights of the model ask for one."""
        gradient = None
        if scores.requires_grad:
            (gradient,) = torch.autograd.grad(scores.sum(), leaf, retain_graph=retain_graph, allow_unused=True)
        if gradient is None:
            raise no_gradient(self._name, self.victim.model.info.name, self._objective.accepts)
        return gradient

    def _see(self, theta: Tensor, finite: Tensor, raw: R) -> None:
        self._unusable |= ~finite
        if self._keep == "last":
            return
        if self._view is not None:
            with torch.no_grad():
                raw = self._raw(self._constraint.apply(self.x0, theta))
        degree = self.victim.judge(self._success, raw)
        self._broken_now = degree >= self._success.threshold
        # Not worse rather than better: of several misclassified iterates APGD returns the last.
        better = degree >= self._degree
        if self._strays or self._keep == "nearest":
            size = self.measure(theta).float().cpu()
            degree = degree.masked_fill(size > self.radius, -1.0)
            better = degree >= self._degree
            if self._keep == "nearest":
                better &= (degree > self._degree) | (size < self._size)
            self._size = torch.where(better, size, self._size)
        self._best = theta if self._best is None or bool(better.all()) else _where(better.to(theta.device), theta, self._best)
        self._degree = torch.maximum(degree, self._degree)

    def _judge(self, images: Tensor, index: Tensor) -> Tensor:
        """Degree of success of final images of some of the samples, from a forward pass of their own."""
        with torch.no_grad():
            raw: R = self.victim.model.raw(images)
        require_raw(self._name, self._objective.accepts, raw)
        self._unusable[index.to(images.device)] |= non_finite(raw).to(images.device)
        return self.victim.select(index).judge(self._success, raw)


def _through(view: View, noise: Noise, images: Tensor) -> Tensor:
    return view(images, noise)


def _peaks(values: Tensor) -> Tensor:
    """Largest magnitudes along the last dimension, NaN where one is. The norm of infinite order says the same in ten times the time."""
    return torch.maximum(values.amax(dim=-1), -values.amin(dim=-1))


def _where(mask: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """Rows of `yes` where the mask (N,) holds, of `no` elsewhere."""
    return torch.where(mask.reshape(-1, *[1] * (yes.dim() - 1)), yes, no)
