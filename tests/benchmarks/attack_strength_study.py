"""Is our PGD or APGD weaker than torchattacks'? Who breaks what on networks trained here, over several seeds, with a paired test.

    OMP_NUM_THREADS=1 uv run python -m tests.benchmarks.attack_strength_study [--seeds 5] [--images 500] [--only resnet44] [--arms ours]

Networks deeper than ResNet-20 are trained for a minute or two, on Scenes at 32 px or, with `--data DATA`, on DATA/cifar10, and attacked on
other images that they have right. The budget is the one at which torchattacks' ten-step PGD with another seed leaves about a tenth of some
of the images. Images that its twenty steps at three quarters of the budget break count for every arm as broken and are not attacked again.
The arms, each once with every seed, each but for one thing the next:

    ours                as a run attacks: folded search, samples leave at the first break
    on the model        without the folded search
    plain               a loop of ten lines from our random start, all steps, which looks at the last iterate alone
    torchattacks        the peer, from a start of its own

Two arms differ by each image's difference in the number of seeds that broke it. p: sign-flip test over images, two-sided; interval: 95 %,
bootstrap over images. Few images decide: those that some arm left at some seed, and not all at all, are attacked again by ours and by
torchattacks, with `--again` fresh seeds: each side's share of survivors, and p of the Cochran-Mantel-Haenszel test, images as strata.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.adversary import Attack, run
from robustbench_cv.catalogue import ATTACKS, MODELS
from robustbench_cv.data.scenes.scene_arrays import arrays
from robustbench_cv.models.adapt import Classifier, classifier
from robustbench_cv.models.batch_norm_folding import fold
from robustbench_cv.noise import Noise
from robustbench_cv.runner.memory import keep_freed_memory
from robustbench_cv.types import ClassTarget, Labels, Logits, Model
from tests.benchmarks.attack_parity import Network, torchattacks

BATCH = 250
PGD_STEPS, APGD_STEPS = 40, 100
Arm = Callable[[int], Tensor]
"""seed -> which of the images it breaks, bool (N,)."""


@dataclass(frozen=True)
class Study:
    """A network to train, on data whose images part into those learnt from and those attacked."""

    name: str
    build: Callable[[], nn.Module]
    cifar: bool = False
    epochs: int = 6


def resnet(layers: int, stem: int) -> Callable[[], nn.Module]:
    return lambda: cast(Any, MODELS.build(f"cifar-resnet{layers}(num_classes=10, stem={stem})")).module.net


def plain(depth: int) -> nn.Module:
    """Convolutions, batch norms and maximum pooling without shortcuts."""
    layers: list[nn.Module] = []
    inside = 3
    for maps in (24, 48, 96):
        for _ in range(depth // 3):
            layers += [nn.Conv2d(inside, maps, 3, padding=1, bias=False), nn.BatchNorm2d(maps), nn.ReLU()]
            inside = maps
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 10))


STUDIES = [
    Study("resnet44-scenes", resnet(44, 2)),
    Study("plain12-scenes", lambda: plain(12)),
    Study("resnet32-cifar", resnet(32, 2), cifar=True, epochs=12),
]


def scenes(images: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    learnt, held_out = arrays("train", 3000, 32), arrays("test", 2 * images, 32)
    parts = [torch.from_numpy(part.images).permute(0, 3, 1, 2).float() / 255 for part in (learnt, held_out)]
    return parts[0], torch.from_numpy(learnt.labels), parts[1], torch.from_numpy(held_out.labels)


def cifar(folder: Path, images: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    with numpy.load(folder / "cifar10" / "test_2000.npz") as data:
        pictures = torch.from_numpy(data["images"]).permute(0, 3, 1, 2).float() / 255
        labels = torch.from_numpy(data["labels"])
    return pictures[:-images], labels[:-images], pictures[-images:], labels[-images:]


def trained(network: nn.Module, x: Tensor, y: Tensor, epochs: int, batch: int = 64) -> Classifier:
    """SGD under a one-cycle rate, with shifts and mirror images."""
    network.train().requires_grad_(True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps + 1)
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(batch)[: len(x) // batch]:
            images = F.pad(x[index].flip(3) if torch.rand(()) < 0.5 else x[index], (2, 2, 2, 2))
            top, left = torch.randint(0, 5, (2,)).tolist()
            optimizer.zero_grad()
            F.cross_entropy(network((images[:, :, top : top + 32, left : left + 32] - 0.5) / 0.25), y[index]).backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return classifier(network, name="studied", classes=Labels.numbered(10), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


def library_arm(model: Any, x: Tensor, y: Tensor, name: str, eps: float, **arguments: Any) -> Arm:
    network = Network(model).eval().requires_grad_(False)

    def breaks(seed: int) -> Tensor:
        torch.manual_seed(seed)
        more = {"seed": seed} if name == "APGD" else {}
        attack = torchattacks(name, eps=eps, **arguments, **more)(network)
        images = torch.cat([attack(a.clone(), b.clone()).detach() for a, b in zip(x.split(BATCH), y.split(BATCH), strict=True)])
        assert float((images - x).abs().max()) <= eps + 1e-6
        return wrong(network, images, y)

    return breaks


def wrong(network: nn.Module, images: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([network(part).argmax(1) for part in images.split(BATCH)]) != y


def our_arm(attack: Attack[Logits], model: Model[Logits], x: Tensor, y: Tensor, *, folded: bool) -> Arm:
    faster = fold(model, x[:1]) if folded else None

    def breaks(seed: int) -> Tensor:
        outcomes = []
        for first in range(0, len(x), BATCH):
            part, labels = x[first : first + BATCH], y[first : first + BATCH]
            noise = Noise(seed, tuple(f"studied/{first + i}" for i in range(len(part))))
            outcomes.append(run(attack, model, part, [ClassTarget(int(v)) for v in labels], noise, faster).success)
        return torch.cat(outcomes)

    return breaks


def plain_arm(model: Any, x: Tensor, y: Tensor, eps: float, alpha: float, steps: int) -> Arm:
    """PGD as the paper's formula has it, from the start that our attack draws."""
    network = Network(model).eval().requires_grad_(False)

    def breaks(seed: int) -> Tensor:
        ids = tuple(f"studied/{i}" for first in range(0, len(x), BATCH) for i in range(first, min(first + BATCH, len(x))))
        uniform = Noise(seed, ids).fork("0").fork("start").uniform(tuple(x.shape[1:]))
        images = []
        for clean, labels, draw in zip(x.split(BATCH), y.split(BATCH), uniform.split(BATCH), strict=True):
            theta = (clean + eps * (2 * draw - 1)).clamp(0, 1)
            for _ in range(steps):
                theta.requires_grad_()
                grad = torch.autograd.grad(F.cross_entropy(network(theta), labels, reduction="sum"), theta)[0]
                theta = (theta.detach() + alpha * grad.sign()).clamp(clean - eps, clean + eps).clamp(0, 1)
            images.append(theta)
        return wrong(network, torch.cat(images), y)

    return breaks


def budget(model: Any, x: Tensor, y: Tensor, survivors: float = 0.1) -> float:
    """Where ten steps of the peer, with another seed than any arm's, leave that share of the images that are right (bisection)."""
    low, high = 0.0, 16 / 255
    for _ in range(8):
        eps = (low + high) / 2
        left = 1 - float(library_arm(model, x, y, "PGD", eps, alpha=eps / 4, steps=10)(10_000).float().mean())
        low, high = (eps, high) if left > survivors else (low, eps)
    return high


def compared(one: Tensor, other: Tensor, draws: int = 20_000) -> str:
    """Both bool (seeds, N), broken: by how much `one` leaves more images, its interval, and how likely chance does that."""
    difference = (other.double() - one.double()).mean(dim=0)
    generator = torch.Generator().manual_seed(0)
    moved = difference[difference != 0]
    flips = torch.randint(0, 2, (draws, len(moved)), generator=generator).double() * 2 - 1
    p = float(((flips @ moved).abs() >= float(moved.sum().abs()) - 1e-9).double().mean()) if len(moved) else 1.0
    again = torch.randint(0, len(difference), (2000, len(difference)), generator=generator)
    low, high = torch.quantile(difference[again].mean(dim=1), torch.tensor([0.025, 0.975]).double()).tolist()
    return f"{100 * float(difference.mean()):+.2f} points [{100 * low:+.2f}, {100 * high:+.2f}], p = {p:.2f}"


def mantel_haenszel(one: Tensor, other: Tensor) -> float:
    """Two-sided p that two sides leave each image equally often. one, other: bool (repetitions, N), broken, as many on each side."""
    n = len(one)
    left, both = (~one).sum(dim=0).double(), (~one).sum(dim=0).double() + (~other).sum(dim=0).double()
    variance = float((both * (2 * n - both)).sum()) * n * n / ((2 * n) ** 2 * (2 * n - 1))
    return 1.0 if variance == 0 else math.erfc(abs(float((left - both / 2).sum())) / math.sqrt(2 * variance))


def again(model: Classifier, x: Tensor, y: Tensor, eps: float, name: str, repetitions: int) -> None:
    """Ours and torchattacks' on a few images, each many times over in one batch: every copy has a start of its own."""
    many, labels = (t.repeat((repetitions, *[1] * (t.dim() - 1))) for t in (x, y))
    each = arms(model, many, labels, eps)[name]
    broken = {arm: each[arm](1000).reshape(repetitions, -1) for arm in ("ours", "torchattacks")}
    left = ", ".join(f"{arm} {float((~b).double().mean()):.1%}" for arm, b in broken.items())
    p = mantel_haenszel(broken["ours"], broken["torchattacks"])
    print(f"   {name} again, {len(x)} images {repetitions} times: left by {left}; p = {p:.2f}", flush=True)


def arms(model: Classifier, x: Tensor, y: Tensor, eps: float) -> dict[str, dict[str, Arm]]:
    """attack -> arm's name -> arm; the peer comes last."""
    alpha = 2.5 * eps / PGD_STEPS
    table: dict[str, dict[str, Arm]] = {}
    for name, spec in (("PGD", f"pgd(eps={eps}, steps={PGD_STEPS})"), ("APGD-CE", f"apgd-ce(eps={eps}, steps={APGD_STEPS})")):
        attack = cast(Attack[Logits], ATTACKS.build(spec))
        table[name] = {"ours": our_arm(attack, model, x, y, folded=True), "on the model": our_arm(attack, model, x, y, folded=False)}
        if name == "PGD":
            table[name]["plain"] = plain_arm(model, x, y, eps, alpha, PGD_STEPS)
    table["PGD"]["torchattacks"] = library_arm(model, x, y, "PGD", eps, alpha=alpha, steps=PGD_STEPS)
    table["APGD-CE"]["torchattacks"] = library_arm(model, x, y, "APGD", eps, steps=APGD_STEPS, loss="ce")
    return table


def study(chosen: Study, seeds: int, images: int, folder: Path | None, which: str, repetitions: int) -> None:
    torch.manual_seed(0)
    begin = time.process_time()
    x, y, tests, truths = cifar(cast(Path, folder), images) if chosen.cifar else scenes(images)
    model = trained(chosen.build(), x, y, chosen.epochs)
    right = ~wrong(Network(model), tests, truths)
    attacked = right.nonzero()[:, 0][:images]
    x, y = tests[attacked], truths[attacked]
    eps = budget(model, x[:100], y[:100])
    easy = library_arm(model, x, y, "PGD", 0.75 * eps, alpha=eps / 8, steps=20)(20_000)
    print(
        f"## {chosen.name}: {float(right.float().mean()):.1%} right; {len(x)} attacked at {255 * eps:.3f}/255, "
        f"{int(easy.sum())} of them broken at three quarters of it; ready after {time.process_time() - begin:.0f} CPU s",
        flush=True,
    )
    for name, each in arms(model, x[~easy], y[~easy], eps).items():
        broken: dict[str, Tensor] = {}
        for arm, breaks in ((a, b) for a, b in each.items() if a == "torchattacks" or re.search(which, a)):
            begin = time.process_time()
            broken[arm] = torch.ones(seeds, len(x), dtype=torch.bool)
            broken[arm][:, ~easy] = torch.stack([breaks(seed) for seed in range(seeds)])
            left = (~broken[arm]).sum(dim=1).tolist()
            print(f"| {chosen.name} | {name} | {arm} | {' '.join(map(str, left))} | {time.process_time() - begin:.0f} s |", flush=True)
        for one, other in dict.fromkeys([*pairwise(broken), (next(iter(broken)), "torchattacks")]):
            print(f"   {name}: {one} against {other}: {compared(broken[one], broken[other])}", flush=True)
        share = torch.cat(list(broken.values())).double().mean(dim=0)
        undecided = (share > 0) & (share < 1)
        if repetitions and bool(undecided.any()):
            again(model, x[undecided], y[undecided], eps, name, repetitions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--only", default="", help="regular expression on the study's name")
    parser.add_argument("--arms", default="", help="regular expression on the arm's name; torchattacks is always there")
    parser.add_argument("--again", type=int, default=40)
    parser.add_argument("--data", type=Path, help="folder with cifar10/test_2000.npz")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    keep_freed_memory()
    for chosen in STUDIES:
        if re.search(arguments.only, chosen.name) and not (chosen.cifar and arguments.data is None):
            study(chosen, arguments.seeds, arguments.images, arguments.data, arguments.arms, arguments.again)


if __name__ == "__main__":
    main()
