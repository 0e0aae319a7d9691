"""How the connected layers of YOLO's first version begin where there is no large pre-trained network to begin with.

Redmon et al. 2016 classify ImageNet for a week first and then train for 135 epochs. Here the convolutions first learn with one readout that
all cells of the grid share; it is then written out as the two connected layers, which learn on, each cell for itself.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from robustbench_cv.models.detectors.darknet.heads import GridHead
from robustbench_cv.models.detectors.darknet.layers import Connected
from robustbench_cv.models.detectors.darknet.losses import grid_loss
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.training import loop
from robustbench_cv.training.loop import Run, Watch
from robustbench_cv.training.recipe import Fit, Schedule
from robustbench_cv.training.training_set import NOTHING, TrainingSet

LIFT = 4.0
"""Added to the hidden units and taken off again, so that they begin where the leaky function is linear."""


def fit_unrolled(schedule: Schedule) -> Fit:
    """A fitting procedure: `schedule` of the convolutions with a shared readout, then the recipe's own of all layers."""

    def fit(network: nn.Module, pool: TrainingSet, run: Run, watch: Watch) -> None:
        assert isinstance(network, DarknetNetwork)
        with torch.random.fork_rng():
            torch.manual_seed(run.seed)
            shared = SharedReadout(network)
        before = schedule.epochs * max(1, len(pool) // schedule.batch)
        total = before + run.epochs * max(1, len(pool) // run.recipe.schedule.batch)
        first = replace(
            run, recipe=replace(run.recipe, loss=_shared_loss, schedule=schedule), epochs=schedule.epochs, state=None, judge=None
        )
        loop.fit(shared, pool, first, lambda done, _, loss: watch(done, total, loss))
        shared.write_out()
        loop.fit(network, pool, run, lambda done, _, loss: watch(before + done, total, loss))

    return fit


class SharedReadout(nn.Module):
    """A version 1 network with one linear map of each cell's features in place of its connected layers; it shares the convolutions."""

    def __init__(self, network: DarknetNetwork) -> None:
        super().__init__()
        layers = list(network.layers)
        self.connected = [layer for layer in layers if isinstance(layer, Connected)]
        (self.head,) = (layer for layer in layers if isinstance(layer, GridHead))
        self.size = network.height, network.width
        self.trunk = nn.Sequential(*layers[: layers.index(self.connected[0])])
        maps = self.connected[0].linear.in_features // self.head.side**2
        self.readout = nn.Linear(maps, self.head.classes + 5 * self.head.boxes)

    def forward(self, x: Tensor) -> Tensor:
        """The vector that the head reads, (N, channels)."""
        cells = self.readout(self.trunk(x).movedim(1, 3)).flatten(1, 2)
        b, c = self.head.boxes, self.head.classes
        return torch.cat([part.flatten(1) for part in torch.split(cells, [c, b, 4 * b], dim=2)], dim=1)

    def write_out(self) -> None:
        """Set the two connected layers to the readout; to its nearest of so low a rank where there are too few hidden units."""
        first, last = self.connected
        maps, cells = self.readout.in_features, self.head.side**2
        with torch.no_grad():
            weight, bias = _untie(self.readout.weight, self.head), _untie(self.readout.bias[:, None], self.head).sum(1)
            assert weight.shape == (last.linear.out_features, cells * maps)
            u, s, v = torch.linalg.svd(weight, full_matrices=False)
            rank = min(len(s), first.linear.out_features)
            first.linear.weight[:rank] = s[:rank, None].sqrt() * v[:rank]
            first.linear.bias.fill_(LIFT)
            last.linear.weight[:, :rank] = u[:, :rank] * s[:rank].sqrt()
            last.linear.bias.copy_(bias - LIFT * last.linear.weight.sum(1))


def _untie(readout: Tensor, head: GridHead) -> Tensor:
    """A cell's map (outputs, maps) as that of all cells (S S outputs, maps S S): rows in the head's order, columns as flat (maps, S, S)."""
    cells = head.side**2
    blocks = torch.zeros(cells, *readout.shape, cells)
    blocks[torch.arange(cells), :, :, torch.arange(cells)] = readout.detach().float()
    b, c = head.boxes, head.classes
    return torch.cat([part.flatten(0, 1) for part in torch.split(blocks, [c, b, 4 * b], dim=1)]).flatten(1)


def _shared_loss(network: nn.Module, images: Tensor, truths: Tensor) -> Tensor:
    """The paper's."""
    assert isinstance(network, SharedReadout)
    real = [r[r[:, 4] != NOTHING] for r in truths]
    return grid_loss(network.head, network(images).float(), [r[:, :4] for r in real], [r[:, 4].long() for r in real], *network.size)
