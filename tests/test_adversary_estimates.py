"""Attacks that estimate gradients from values: the estimates against derivatives, the searches against the libraries'."""

from __future__ import annotations

import torch

from robustbench_cv.adversary.transforms import adam, chain, rows, scale
from tests.adversary_models import images


def test_adam_is_torchs() -> None:
    theirs = images(3).clone().requires_grad_()
    ours = theirs.detach().clone()
    optimizer = torch.optim.Adam([theirs], lr=0.02, maximize=True)
    move = chain(adam(), scale(0.02))
    state = move.init(ours)
    for step in range(4):
        grad = torch.randn(ours.shape, generator=torch.Generator().manual_seed(step)) * torch.tensor([1.0, 1e-3, 100]).reshape(3, 1, 1, 1)
        theirs.grad = grad
        optimizer.step()
        change, state = move.update(grad, state)
        ours = ours + change
    torch.testing.assert_close(ours, theirs.detach())
    part, _ = move.update(grad[[2]], rows(state, torch.tensor([2])))
    whole, _ = move.update(grad, state)
    torch.testing.assert_close(part, whole[[2]])
