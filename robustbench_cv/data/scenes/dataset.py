"""Scenes as a data set: rendered on demand, the same on every machine, for any task."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from robustbench_cv.arguments import Fraction, Range, Seed
from robustbench_cv.catalogue import dataset
from robustbench_cv.data.scenes.classes import OBJECTS, PIXELS
from robustbench_cv.data.scenes.generate import generate
from robustbench_cv.data.scenes.render import RENDERER_VERSION
from robustbench_cv.data.scenes.sample import sample
from robustbench_cv.data.scenes.scene import Scene
from robustbench_cv.tasks import Task
from robustbench_cv.types import Contents, Dataset, Labels, Sample

MOST = 1_000_000
"""Scenes of one data set (a project choice): each is rendered when it is asked for, and their ids are listed before."""

SMALLEST, LARGEST = 32, 1024
"""Sides in pixels between which the drawing is meant to be looked at."""


@dataset(
    licence="Apache-2.0, rendered by this package",
    limit="embedded data, rendered pictures and no photographs: numbers on them compare methods and say nothing of a deployment",
)
def scenes(
    split: str = "test",
    samples: Annotated[int, Range(1, MOST)] = 500,
    size: Annotated[int, Range(SMALLEST, LARGEST)] = 96,
    bias: Fraction = 0.8,
    seed: Seed = 0,
    task: Task = "classification",
) -> Dataset:
    """Rendered pictures of ten kinds of objects in eight contexts, with exact counterfactuals.

    split: any name; "train" and "test" share no scene, whatever the other arguments. samples: how many. size: pixels a side.
    bias: the probability, 0-1, that an object is in its class's usual context. UserError on values out of range.
    """
    return Scenes(split=split, samples=samples, size=size, bias=bias, seed=seed, task=task)


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """The `Dataset` of `scenes(...)`. Ids hold all that changes the picture: split, bias, and size and seed where unusual."""

    split: str
    samples: int
    size: int
    bias: float
    seed: int
    task: Task

    @property
    def name(self) -> str:
        parts = [f"scenes-{self.split}-b{100 * self.bias:g}"]
        parts += [f"s{self.size}"] if self.size != 96 else []
        parts += [f"r{self.seed}"] if self.seed != 0 else []
        return "-".join(parts)

    @property
    def labels(self) -> Labels:
        return Labels(PIXELS if self.task == "segmentation" else OBJECTS)

    @property
    def region_classes(self) -> tuple[str, ...]:
        """Surfaces too, whatever the task."""
        return PIXELS

    @property
    def ids(self) -> Sequence[str]:
        return [self._id(i) for i in range(self.samples)]

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int, /) -> Sample:
        return sample(self.scene(index), self._id(index), self.task)

    def scene(self, index: int) -> Scene:
        """The description of one sample."""
        return generate(self.split, self._position(index), self.bias, self.seed, self.size)

    def contents(self, index: int, /) -> Contents:
        """The classes of the objects that a description asks about, and its context; nothing is drawn."""
        scene = self.scene(index)
        asked = [one for one in scene.objects if one.main] if self.task == "classification" else scene.objects
        return Contents.of([one.name for one in asked], {"context": scene.context})

    def fingerprint(self, index: int, /) -> str:
        """A hash of the description and the renderer's version: the bytes change only with them."""
        text = f"{RENDERER_VERSION}\x00{self.task}\x00{self.scene(index)!r}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _id(self, index: int) -> str:
        return f"{self.name}/{self._position(index):06d}"

    def _position(self, index: int) -> int:
        """Counted from the end where negative; IndexError past the ends."""
        if not -self.samples <= index < self.samples:
            raise IndexError(f"no sample {index} in {self.name}, which has {self.samples}")
        return index % self.samples
