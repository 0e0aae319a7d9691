"""How the adversary searches: from one theta to the next. Optimizers keep nothing on themselves; gradient-free ones fit as well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from robustbench_cv.adversary.gradient_transforms import State
from robustbench_cv.adversary.problem import Problem


class Optimizer(ABC):
    """init() once, then step() `problem.steps` times, the loop counting in problem.step. State holds one row a sample (see `rows`).

    may_leave_ball: its iterates may leave the radius; those that do break nothing, and the last one is projected.
    """

    may_leave_ball: ClassVar[bool] = False

    @property
    def queries_per_step(self) -> int | None:
        """Images of a sample that a step asks the model for; None for optimizers that follow gradients."""
        return None

    @property
    def queries_beside(self) -> int:
        """Images that are asked for beside the steps': the last one, which is judged where no step has asked for it."""
        return 1

    @abstractmethod
    def init(self, problem: Problem[Any, Any], theta: Tensor) -> State: ...

    @abstractmethod
    def step(self, problem: Problem[Any, Any], theta: Tensor, state: State) -> tuple[Tensor, State]:
        """The next theta, feasible, and the next state. Random numbers come from problem.victim.noise, forked by the step."""
