"""LeNet-5, the small convolutional network that started it. LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11), 1998, section II.B."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels

CONNECTIONS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip
"""Which maps of S2 each map of C3 reads (Table I)."""


@model(task="classification", family="LeNet", paper="doi:10.1109/5.726791", year=1998, source="own", parameters=61_150)
def lenet5(
    weights: str = "", checkpoint: str = "", classes: str = "", num_classes: ClassCount = 0, input_size: NonNegativeInt | str = ""
) -> Classifier:
    """LeNet-5 with colour input; images are scaled to the 32x32 that its layers need.

    weights: a bundled tag ("scenes"). checkpoint: a weights file. With neither, random parameters, the same every time.
    classes: "a,b,c"; num_classes where names are not known (default 10, as in the paper).
    """
    default = Description(architecture="lenet5", classes=Labels.numbered(10).names, input_size=(32, 32))
    begin = initial_weights("lenet5", weights, checkpoint, classes, num_classes, input_size, default=default)
    if begin.input_size != (32, 32):
        raise UserError(f"lenet5 needs 32x32 pixels, not {begin.input_size}: leave input_size out and images are scaled to it")
    network = begin.make(lambda: LeNet5(len(begin.classes)))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class LeNet5(nn.Module):
    """(N, channels, 32, 32) -> (N, classes).

    Deviation: a linear output layer stands for the Gaussian connections to fixed class pictures, which need classes that have a picture.
    With one channel the layers before it have the paper's 60,000 trainable parameters.
    """

    def __init__(self, classes: int, channels: int = 3) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(channels, 6, 5)
        self.s2 = Subsample(6)
        self.c3 = PartialConv(CONNECTIONS, 5)
        self.s4 = Subsample(16)
        self.c5 = nn.Conv2d(16, 120, 5)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        x = squash(self.s2(squash(self.c1(x))))
        x = squash(self.s4(squash(self.c3(x))))
        x = squash(self.c5(x)).flatten(1)
        scores: Tensor = self.output(squash(self.f6(x)))
        return scores


def squash(x: Tensor) -> Tensor:
    """1.7159 tanh(2x / 3): f(1) = 1, f(-1) = -1 (appendix A)."""
    return 1.7159 * torch.tanh(x * (2 / 3))


class Subsample(nn.Module):
    """Mean of each 2x2 block, times a coefficient, plus a bias; one pair a map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, maps, H, W) -> (N, maps, H/2, W/2)."""
        return F.avg_pool2d(x, 2) * self.coefficient + self.bias


class PartialConv(nn.Module):
    """A convolution in which each output map reads only the input maps that `connections` names; absent kernels are no parameters."""

    output: Tensor
    input: Tensor

    def __init__(self, connections: tuple[tuple[int, ...], ...], side: int) -> None:
        super().__init__()
        pairs = [(o, i) for o, inputs in enumerate(connections) for i in inputs]
        self.register_buffer("output", torch.tensor([o for o, _ in pairs]), persistent=False)
        self.register_buffer("input", torch.tensor([i for _, i in pairs]), persistent=False)
        bounds = torch.tensor([1 / math.sqrt(len(connections[o]) * side * side) for o, _ in pairs])
        self.kernels = nn.Parameter((torch.rand(len(pairs), side, side) * 2 - 1) * bounds[:, None, None])
        self.bias = nn.Parameter(torch.zeros(len(connections)))
        self.maps = 1 + max(i for _, i in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """(N, maps read, H, W) -> (N, len(connections), H - side + 1, W - side + 1)."""
        dense = self.kernels.new_zeros(len(self.bias), self.maps, *self.kernels.shape[1:])
        return F.conv2d(x, dense.index_put((self.output, self.input), self.kernels), self.bias)
