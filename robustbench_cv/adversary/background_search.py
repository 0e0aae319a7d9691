"""Adversarial backgrounds: the object, cut out by its mask, is pasted on one background after the other until the model is wrong.

Challenge accuracy of Xiao et al., ICLR 2021, https://arxiv.org/abs/2006.09994: the share of objects that no background fools. The mask is
binary, without feathering, and the object stays where it is.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from robustbench_cv.adversary.attack_facts import AttackFacts
from robustbench_cv.adversary.attack_references import Reference, annotated_targets
from robustbench_cv.adversary.criteria import Success, misclassified
from robustbench_cv.adversary.victim import SearchResult, Victim, non_finite, require_raw
from robustbench_cv.data.imagenet9 import BACKGROUNDS, ImageNet9, read_foreground
from robustbench_cv.data.images import read_image
from robustbench_cv.errors import BadSample, NotApplicable, UserError
from robustbench_cv.types import ClassTarget, Dataset, Logits, Sample

_KEPT = 4096
"""Backgrounds that are kept in memory, as bytes: 600 MB of 224 x 224 px (project choice), about as many as were published."""


@dataclass(frozen=True)
class BackgroundSearch:
    """limit: the most backgrounds that an object is shown on, drawn for each sample without repetition; a larger limit goes on in the same
    order, so that it never breaks fewer. pool, masks (by sample id): what is taken, once the data set is known; absent: why there is none.

    Of a sample that none fools the image is that on which the model was least sure.
    """

    limit: int
    pool: Sequence[Path] = field(default=(), repr=False, compare=False)
    masks: Mapping[str, Path] = field(default_factory=dict, repr=False, compare=False)
    absent: str = ""
    name: str = "adversarial-background"

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
        """queries: no more than there are backgrounds, once those are known."""
        queries = min(self.limit, len(self.pool)) if self.pool else self.limit
        return AttackFacts(queries=queries, swaps_background=True, knowledge="decisions")

    @property
    def files(self) -> Sequence[Path]:
        """What is read, once the data set is known; masks belong to the samples."""
        return self.pool

    def with_dataset(self, dataset: Dataset, /) -> BackgroundSearch:
        """The same, taking backgrounds and masks of this data set. UserError where it is not ImageNet-9 as published."""
        if not isinstance(dataset, ImageNet9):
            raise UserError(
                f"{self.name} takes the backgrounds and masks of ImageNet-9's folders, and {dataset.name} has none: give "
                "--data imagenet9:PATH (robustbench-cv run imagenet9 swaps backgrounds of any data with masks)"
            )
        lacking = [name for name, there in ((BACKGROUNDS, dataset.backgrounds), ("fg_mask", dataset.masks)) if not there]
        if lacking:
            return replace(self, absent=f"{dataset.root} has no folder {' and no folder '.join(f'{name}/val' for name in lacking)}")
        return replace(self, pool=dataset.backgrounds, masks=dataset.masks)

    def require(self, sample: Sample, /) -> None:
        """NotApplicable for a sample that cannot be cut out."""
        if self.absent:
            raise NotApplicable(self.absent)
        if sample.id not in self.masks:
            raise NotApplicable(f"fg_mask has no mask of sample {sample.id}")

    def search(self, victim: Victim[Logits], /) -> SearchResult:
        """As many composites at a time as a pass may hold; which one is found depends on the sample alone."""
        if not self.pool:
            raise UserError(f"{self.name} takes backgrounds and masks of ImageNet-9's folders: call with_dataset(dataset) first")
        found = SearchResult.of_clean_images(victim.x0)
        found.images = victim.x0.clone()
        size = (victim.x0.shape[-2], victim.x0.shape[-1])
        streams = victim.noise.fork("backgrounds")
        orders = [streams.rng(i).permutation(len(self.pool))[: self.limit].tolist() for i in range(len(victim.x0))]
        masks = torch.stack([read_foreground(self.masks[id_], size) for id_ in victim.noise.ids])
        found.size = (~masks).flatten(1).float().mean(1)
        surest = torch.full((len(victim.x0),), float("inf"))
        searching, asked = list(range(len(victim.x0))), 0
        while searching and asked < len(orders[0]):
            each = max(1, victim.capacity // len(searching))
            rows = [(i, k) for i in searching for k in orders[i][asked : asked + each]]
            broken = self._ask(victim, rows, masks, found, surest)
            searching = [i for i in searching if i not in broken]
            asked += each
        return found

    def _ask(self, victim: Victim[Logits], rows: Sequence[tuple[int, int]], masks: Tensor, found: SearchResult, surest: Tensor) -> set[int]:
        """Show objects on backgrounds, rows of (sample, background), and note what came of it. The samples that are done with."""
        places = torch.tensor([i for i, _ in rows])
        here = places.to(victim.x0.device)
        behind = torch.stack([_read(self.pool[k], tuple(victim.x0.shape[-2:])) for _, k in rows]).to(victim.x0) / 255
        composites = torch.where(masks[places][:, None].to(victim.x0.device), victim.x0[here], behind)
        with torch.no_grad():
            raw = victim.model.raw(composites)
        require_raw(self.name, Logits, raw)
        wrong = self.success(victim.model.decode(raw), [victim.references[i] for i in places.tolist()])
        margins = _margins(raw.values, [victim.references[i] for i in places.tolist()])
        infinite = non_finite(raw).cpu()
        done: set[int] = set()
        for row, (i, _) in enumerate(rows):
            if i in done:
                continue
            found.forwards[i] += 1
            if infinite[row]:
                found.non_finite[i] = True
            elif wrong[row] or margins[row] < surest[i]:
                found.images[i], surest[i], found.degree[i] = composites[row], margins[row], float(wrong[row])
            if infinite[row] or wrong[row]:
                done.add(i)
        return done


def _margins(logits: Tensor, targets: Sequence[object]) -> Tensor:
    """The label's logit less the largest other, (N,), on the CPU."""
    labels = torch.tensor([target.label for target in targets if isinstance(target, ClassTarget)], device=logits.device)[:, None]
    others = logits.scatter(1, labels, float("-inf")).amax(dim=1)
    return (logits.gather(1, labels)[:, 0] - others).float().cpu()


@functools.lru_cache(maxsize=_KEPT)
def _read(path: Path, size: tuple[int, int]) -> Tensor:
    """A background as bytes (3, H, W). BadSample where it has another size."""
    image = read_image(path)
    if tuple(image.shape[-2:]) != size:
        raise BadSample(f"{path} has {tuple(image.shape[-2:])} pixels (H, W) and the object's picture {size}; both are to be of one size")
    return (image * 255).round().byte()
