"""Adversarial training: each batch is changed, within a budget, to raise the loss that it is then to lower.

Madry, Makelov, Schmidt, Tsipras, Vladu, ICLR 2018, https://arxiv.org/abs/1706.06083, equation 2.1, of any recipe's loss. One step from a
random start is Wong, Rice, Kolter, ICLR 2020, https://arxiv.org/abs/2001.03994. On detectors the loss is the sum of all parts that the
recipe sums; Zhang and Wang, ICCV 2019, https://arxiv.org/abs/1907.10310, raise the part for classes or the part for boxes, whichever hurts
the sum more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError

Lowered = Callable[[Tensor, Tensor], Tensor]
"""(images (N, 3, h, w) in [0, 1], their truths) -> what training lowers, a scalar."""


@dataclass(frozen=True)
class AdversarialTraining:
    """Signed gradient steps up the training loss within max |x - x0| <= eps and [0, 1], from a uniformly random start.

    eps: in [0, 1] pixel units. step: 0 is 1.25 eps for one step (Wong et al.) and 2.5 eps / steps for more (project choice, as in pgd).
    share: of each batch that is changed; the rest is learned as it is, beside it (Kurakin et al., https://arxiv.org/abs/1611.01236).
    UserError where one of them cannot be meant.
    """

    eps: float
    steps: int = 2
    step: float = 0.0
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.eps < 1:
            raise UserError(f"an adversary with eps={self.eps:g} was asked for; give it in [0, 1] pixel units, such as 4/255")
        if self.steps < 1:
            raise UserError(f"an adversary with {self.steps} attack steps changes nothing; give it 1 or more")
        if not 0 < self.share <= 1:
            raise UserError(f"an adversary for a share of {self.share:g} of each batch was asked for; a share is above 0 and at most 1")

    @property
    def move(self) -> float:
        """The length of a step."""
        return self.step or min(1.25, 2.5 / self.steps) * self.eps

    def perturb(self, network: nn.Module, lowered: Lowered, images: Tensor, truths: Tensor, rng: torch.Generator) -> Tensor:
        """The images (N, 3, h, w) in [0, 1] with the first `share` of them changed. The network is left as it was.

        It stays in the mode it is in, so that the loss raised is the loss lowered: in training mode with the batch's own statistics and
        with dropout, drawn anew for each pass. But running statistics and every other buffer are put back: they are those of the images
        learned from.
        """
        count = max(1, round(self.share * len(images)))
        x0, theirs = images[:count], truths[:count]
        noise = torch.rand(x0.shape, generator=rng).to(x0.device)
        x = (x0 + self.eps * (2 * noise - 1)).clamp(0, 1)
        with _lent(network):
            for _ in range(self.steps):
                x.requires_grad_()
                (gradient,) = torch.autograd.grad(lowered(x, theirs), x)
                x = x.detach() + self.move * gradient.sign()
                x = torch.maximum(torch.minimum(x, x0 + self.eps), x0 - self.eps).clamp(0, 1)
        return torch.cat([x, images[count:]])


@contextlib.contextmanager
def _lent(network: nn.Module) -> Iterator[None]:
    """A network whose parameters need no gradient inside, and whose buffers are afterwards what they were before."""
    learned = [p for p in network.parameters() if p.requires_grad]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
