"""Attacks of other libraries in the shape of torchattacks, `atk(images, labels) -> images`: run, counted and never believed.

Other shapes become this one in `adapters`.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy
import torch
from torch import Tensor, nn

from robustbench_cv.adversary.attack_facts import AttackFacts, within
from robustbench_cv.adversary.attack_references import Reference, annotated_targets
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.criteria import Success, misclassified
from robustbench_cv.adversary.victim import SearchResult, Victim, checked_size, no_gradient, non_finite, require_raw
from robustbench_cv.errors import UserError
from robustbench_cv.types import ClassTarget, Logits, Model

Crafted: TypeAlias = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class External:
    """Another library's attack on classifiers. Its images are detached, checked against `constraint` and [0, 1], and judged anew.

    make: (network giving logits for [0, 1] images, number of classes, seed) -> attack. It may draw from the global generators: they are
    seeded and given back around every call. by_sample: one image at a time, so that a result depends on its id alone; in batches it is
    faster, and a sample's result depends on the others in its batch. steps: of the attack's loop, for readers of a table; None where its
    arguments do not tell.
    """

    name: str
    make: Callable[[nn.Module, int, int], Crafted]
    constraint: Constraint
    by_sample: bool = True
    steps: int | None = None

    @property
    def success(self) -> Success:
        return misclassified()

    @property
    def reference(self) -> Reference:
        return annotated_targets

    @property
    def accepts(self) -> type[Logits]:
        return Logits

    @property
    def facts(self) -> AttackFacts:
        return within(self.constraint.norm, self.constraint.radius, steps=self.steps)

    def search(self, victim: Victim[Logits], /) -> SearchResult:
        network = _Counted(self.name, victim.model, victim.x0)
        if not all(isinstance(target, ClassTarget) for target in victim.references):
            with torch.no_grad():
                require_raw(self.name, Logits, victim.model.raw(victim.x0[:1]))
        labels = torch.tensor([cast(ClassTarget, target).label for target in victim.references], device=victim.x0.device)
        parts = [torch.tensor([i]) for i in range(len(labels))] if self.by_sample else [torch.arange(len(labels))]
        images, costs = [], []
        for part in parts:
            network.forwards = network.backwards = network.zero_grads = 0
            index = part.to(victim.x0.device)
            images.append(self._craft(network, victim.x0[index], labels[index], victim.noise.key(int(part[0])), victim.model))
            # Passes count images; in a batch that the attack thins out, each sample gets the mean.
            costs += [[round(c / len(part)) for c in (network.forwards, network.backwards, network.zero_grads)]] * len(part)
        return self._judge(victim, torch.cat(images), torch.tensor(costs).T)

    def _craft(self, network: _Counted, x0: Tensor, labels: Tensor, seed: int, model: Model[Logits]) -> Tensor:
        with _borrowed_generators(seed, x0.device), torch.enable_grad(), warnings.catch_warnings():
            # Such as torchattacks handing tensors to numpy 2: nothing that our user could change.
            warnings.simplefilter("ignore", DeprecationWarning)
            attack = self.make(network, len(model.info.classes), seed % 2**31)
            try:
                # A copy: in-place edits stay in there.
                images: Tensor = attack(x0.clone(), labels.clone())
            except RuntimeError as error:
                # What torch says where a graph is missing; such libraries never look.
                if "does not require grad" not in str(error) and "appears to not have been used in the graph" not in str(error):
                    raise
                raise no_gradient(self.name, model.info.name, Logits) from error
            if images.shape != x0.shape:
                shapes = f"{tuple(images.shape)} for {tuple(x0.shape)}"
                raise UserError(f"attack {self.name!r} returned images of shape {shapes}: its own code is at fault")
            return images.detach()

    def _judge(self, victim: Victim[Logits], images: Tensor, costs: Tensor) -> SearchResult:
        size = checked_size(self.name, self.constraint.measure, self.constraint.radius, victim.x0, images)
        with torch.no_grad():
            raw = victim.model.raw(images)
        broken = non_finite(raw)
        degree = victim.judge(self.success, raw).masked_fill(broken.cpu(), 0.0)
        images = torch.where(broken[:, None, None, None], victim.x0, images)
        return SearchResult(
            images=images, degree=degree, size=size, forwards=costs[0] + 1, backwards=costs[1], zero_grads=costs[2], non_finite=broken.cpu()
        )


@contextmanager
def _borrowed_generators(seed: int, device: torch.device) -> Iterator[None]:
    """The global generators of torch, numpy and Python, seeded inside and as found afterwards."""
    ours, pythons = numpy.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            torch.manual_seed(seed)
            numpy.random.seed(seed % 2**32)
            random.seed(seed)
            yield
        finally:
            numpy.random.set_state(ours)
            random.setstate(pythons)


class _Counted(nn.Module):
    """A model as the network these libraries expect. They may switch its mode or clear its gradients: the model is out of their reach."""

    def __init__(self, name: str, model: Model[Logits], like: Tensor) -> None:
        super().__init__()
        self.attack_name = name
        # The method alone: a model that is itself a module would be registered here.
        self.compute: Callable[[Tensor], Logits] = model.raw
        # They ask the first parameter where the model is.
        self.anchor = nn.Parameter(torch.zeros((), device=like.device, dtype=like.dtype), requires_grad=False)
        self.forwards = self.backwards = self.zero_grads = 0
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> logits (N, C)."""
        self.forwards += len(images)
        # Attacks that compute in numpy come back with doubles.
        raw = self.compute(images.to(self.anchor))
        require_raw(self.attack_name, Logits, raw)
        logits: Tensor = raw.values
        if logits.requires_grad:
            logits.register_hook(self._count)  # type: ignore[no-untyped-call]
        return logits

    def _count(self, grad: Tensor) -> None:
        self.backwards += len(grad)
        self.zero_grads += int((grad.flatten(1) == 0).all(dim=1).sum())
