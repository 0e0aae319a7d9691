"""Transfer: an attack on a surrogate whose images are shown to the victim. The victim gives away nothing but its verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import msgspec
import torch

from robustbench_cv.adversary.attack import Adversary
from robustbench_cv.adversary.attack_facts import AttackFacts, facts_of
from robustbench_cv.adversary.attack_references import Clean, Reference
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.criteria import Success
from robustbench_cv.adversary.objective import G
from robustbench_cv.adversary.victim import SearchResult, Victim, frozen_eval, non_finite, require_raw
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import UserError
from robustbench_cv.types import ABSENT, IGNORE, AnyModel, ClassTarget, Labels, MaskTarget, Model, R, Target

A = TypeVar("A")


@dataclass(frozen=True)
class Transfer(Generic[R, G]):
    """`attack` on the model that `source` names, judged on the victim, which sees each finished image once.

    The two must have the same classes, in whatever order. Of the counts, `forwards` are the victim's, `backwards` and `zero_grads` the
    surrogate's. A sample on which the surrogate breaks down, or where it sees nothing to attack, is judged on its clean image.
    surrogate: the model itself, on the victim's device, which whoever plans the run puts in by `with_surrogates`.
    """

    name: str
    source: str
    attack: Adversary[R, G]
    surrogate: Model[R] | None = field(default=None, repr=False, compare=False)

    @property
    def success(self) -> Success:
        return self.attack.success

    @property
    def reference(self) -> Reference[G]:
        return self.attack.reference

    @property
    def accepts(self) -> type[R]:
        return self.attack.accepts

    @property
    def facts(self) -> AttackFacts:
        """The attack's own, which the victim is asked once."""
        return msgspec.structs.replace(facts_of(self.attack), queries=1, knowledge="another model")

    @property
    def constraint(self) -> Constraint | None:
        """The budget of the attack, where it has a single one."""
        own_constraint: Constraint | None = getattr(self.attack, "constraint", None)
        return own_constraint

    def search(self, victim: Victim[R, G], /) -> SearchResult:
        surrogate_result = self._search_surrogate(victim)
        with torch.no_grad():
            raw = victim.model.raw(surrogate_result.images)
        require_raw(self.name, self.accepts, raw)
        broken = non_finite(raw).cpu()
        degree = victim.judge(self.success, raw).masked_fill(broken, 0.0)
        images = torch.where(broken.to(surrogate_result.images.device)[:, None, None, None], victim.x0, surrogate_result.images)
        return dataclasses.replace(
            surrogate_result, images=images, degree=degree, forwards=torch.ones_like(surrogate_result.forwards), non_finite=broken
        )

    def _search_surrogate(self, victim: Victim[R, G]) -> SearchResult:
        surrogate = self.surrogate
        if surrogate is None:
            raise UserError(
                f"the surrogate {self.source!r} is not built, and a search does not build models: run "
                "with_surrogates(attack, robustbench_cv.build) in the attack's place"
            )
        order = same_classes(victim.model.info.classes, surrogate.info.classes, self.source)
        result = SearchResult.of_clean_images(victim.x0)
        with frozen_eval(surrogate):
            theirs = [_in_order(target, order) for target in victim.references]
            aim = self.attack.reference(Clean(surrogate, victim.x0, theirs, self.name, self.accepts))
            served = torch.tensor([i for i in range(len(victim.x0)) if i not in aim.skipped], dtype=torch.int64)
            if len(served):
                there = Victim(model=surrogate, x0=victim.x0, goals=aim.goals, references=aim.references, noise=victim.noise).select(served)
                result.merge(served, self.attack.search(there))
        return result


def surrogates(adversary: object) -> tuple[str, ...]:
    """Specs of the models, besides its victim, that an adversary's images depend on, in whichever of its parts they stand.

    >>> from robustbench_cv.catalogue import ATTACKS
    >>> surrogates(ATTACKS.build("transfer(source='lenet5.scenes', attack='fgsm(eps=8/255)')"))
    ('lenet5.scenes',)
    """
    if isinstance(adversary, tuple):
        return tuple(spec for part in adversary for spec in surrogates(part))
    if not dataclasses.is_dataclass(adversary) or isinstance(adversary, type):
        return ()
    parts = tuple(getattr(adversary, f.name) for f in dataclasses.fields(adversary) if f.name != "surrogate")
    return ((adversary.source,) if isinstance(adversary, Transfer) else ()) + surrogates(parts)


def with_surrogates(adversary: A, build: Callable[[str], AnyModel]) -> A:
    """The adversary with the model in place that each of its parts transfers from. build: spec -> model, on the victim's device.

    Models that are in place stay. An adversary without such parts is handed back as it is.
    """
    return cast(A, _in_place(adversary, build)) if surrogates(adversary) else adversary


def _in_place(part: object, build: Callable[[str], AnyModel]) -> object:
    if isinstance(part, tuple):
        return tuple(_in_place(each, build) for each in part)
    if not surrogates(part):
        return part
    fields = {f.name: getattr(part, f.name) for f in dataclasses.fields(cast(Any, part)) if f.init}
    changed = {name: _in_place(value, build) for name, value in fields.items() if surrogates(value)}
    if isinstance(part, Transfer) and part.surrogate is None:
        changed["surrogate"] = build(part.source)
    return dataclasses.replace(cast(Any, part), **changed)


def same_classes(victim: Labels, surrogate: Labels, source: str) -> tuple[int, ...]:
    """The surrogate's index of each of the victim's classes, by name; UserError where either has a class that the other lacks."""
    try:
        matched = ClassMap.match(victim, surrogate)
    except UserError as error:
        raise UserError(f"surrogate {source!r} has other classes than the model it stands for: {error}") from error
    if sorted(matched.index) != list(range(len(surrogate))):
        extra = [name for i, name in enumerate(surrogate.names) if i not in matched.index]
        raise UserError(f"surrogate {source!r} has classes that the model it stands for lacks: {', '.join(extra)}; use one with the same")
    return matched.index


def _in_order(target: Target, order: Sequence[int]) -> Target:
    """The target in the surrogate's class indices."""
    if isinstance(target, ClassTarget):
        return target if target.label == ABSENT else ClassTarget(order[target.label])
    if isinstance(target, MaskTarget):
        table = torch.arange(IGNORE + 1)
        table[: len(order)] = torch.tensor(order)
        return MaskTarget(table.to(target.labels.device)[target.labels])
    return dataclasses.replace(target, labels=torch.tensor([*order, ABSENT]).to(target.labels.device)[target.labels])
