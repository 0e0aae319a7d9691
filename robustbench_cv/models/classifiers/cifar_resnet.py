"""The small residual networks for CIFAR. He, Zhang, Ren, Sun, CVPR 2016, section 4.2, https://arxiv.org/abs/1512.03385

6n+2 layers: a 3x3 convolution, three groups of n blocks of two 3x3 convolutions with 16, 32, 64 maps, global average pooling, one
linear layer. Shortcuts are the paper's option A: no parameters anywhere.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.arguments import ClassCount, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.weights.description import Description
from robustbench_cv.models.weights.initial_weights import initial_weights
from robustbench_cv.types import Labels


@model(
    task="classification",
    family="ResNet",
    paper="arXiv:1512.03385",
    year=2015,
    source="own",
    members={
        "cifar-resnet20": {"parameters": 269_722},
        "cifar-resnet32": {"parameters": 464_154},
        "cifar-resnet44": {"parameters": 658_586},
        "cifar-resnet56": {"parameters": 853_018},
        "cifar-resnet110": {"parameters": 1_727_962},
        "cifar-resnet1202": {"parameters": 19_421_274},
    },
)
def cifar_resnet(
    name: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: NonNegativeInt | str = "",
    stem: NonNegativeInt = 0,
) -> Classifier:
    """Residual network for 32x32 images.

    weights: a bundled tag ("scenes"). checkpoint: a weights file; tensors "mean" and "std" in it become the normalisation. With neither,
    random parameters, the same every time. classes: "a,b,c"; num_classes where names are not known (default 10). input_size: the side or
    'WxH' to which images are scaled (default: what the weights were trained at, else 32). stem: stride of the first convolution (default 1,
    as in the paper; 2 serves images of 64 px at the cost of 32).
    """
    default = Description(architecture=name, classes=Labels.numbered(10).names, input_size=(32, 32), arguments={"stem": 1})
    begin = initial_weights(name, weights, checkpoint, classes, num_classes, input_size, default=default, stem=stem)
    blocks = (int(name.removeprefix("cifar-resnet")) - 2) // 6
    network = begin.make(lambda: CifarResNet(blocks, len(begin.classes), begin.arguments["stem"]))
    return classifier(network, name=begin.name, classes=begin.classes, mean=begin.mean, std=begin.std, input_size=begin.input_size)


class CifarResNet(nn.Module):
    """(N, 3, H, W) -> (N, classes), `blocks` in each of three groups; the first convolution with stride `stem`. He initialisation."""

    def __init__(self, blocks: int, classes: int, stem: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, stride=stem, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _group(16, 16, blocks)
        self.layer2 = _group(16, 32, blocks)
        self.layer3 = _group(32, 64, blocks)
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Class scores."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        scores: Tensor = self.linear(x.mean(dim=(2, 3)))
        return scores


def _group(inside: int, outside: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(Block(inside, outside), *(Block(outside, outside) for _ in range(blocks - 1)))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; the first has stride 2 where the number of maps grows."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride=1 if inside == outside else 2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, H, W) -> (N, outside, h, w)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + shortcut(x, y.shape[1]))


def shortcut(x: Tensor, maps: int) -> Tensor:
    """Option A: the identity; where maps grow, every second pixel, and zeros for the new maps, half before the old ones and half after.

    The paper leaves the zeros' place open; published weights of these networks have the old maps in the middle.
    """
    more = maps - x.shape[1]
    if more == 0:
        return x
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more // 2, more - more // 2))
