"""A rendered scene as a Sample of one task, with lazy regions and exact edits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robustbench_cv.data.scenes.classes import CONTEXTS, OBJECTS, PIXELS
from robustbench_cv.data.scenes.noise_fields import Array
from robustbench_cv.data.scenes.render import Rendered
from robustbench_cv.data.scenes.scene import Scene
from robustbench_cv.tasks import Task
from robustbench_cv.types import ABSENT, BoxTarget, ClassTarget, MaskTarget, Sample, Target


def sample(scene: Scene, identity: str, task: Task) -> Sample:
    """The scene rendered, as a sample of this task."""
    drawn = scene.render()
    image = torch.from_numpy(drawn.image).permute(2, 0, 1).to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    regions = SceneRegions(scene, drawn)
    editable = SceneEditor(scene, drawn.annotated, identity, task)
    return Sample(identity, image, target(scene, drawn, task), regions, {"context": scene.context}, scene=editable)


def target(scene: Scene, drawn: Rendered, task: Task) -> Target:
    """The annotation of one task. Class labels and boxes number OBJECTS, the semantic map numbers PIXELS."""
    if task == "classification":
        return ClassTarget(ABSENT if scene.main is None else OBJECTS.index(scene.main.name))
    if task == "segmentation":
        return MaskTarget(torch.from_numpy(drawn.labels.astype(np.int64)))
    labels = torch.tensor([OBJECTS.index(scene.objects[i].name) for i in drawn.annotated], dtype=torch.int64)
    area = torch.from_numpy(drawn.visible.sum(axis=(1, 2)).astype(np.float32))
    return BoxTarget.of(torch.from_numpy(drawn.boxes), labels, area=area, masks=torch.from_numpy(drawn.visible))


@dataclass(frozen=True, eq=False)
class SceneRegions(Mapping[str, Tensor]):
    """Masks by name, made when asked for: "object", "objects", "class:<name>", "instance:<k>", "amodal:<k>".

    "object" is what is visible of the main object. A class that the picture does not show has no region.
    """

    scene: Scene
    drawn: Rendered

    def __getitem__(self, name: str) -> Tensor:
        mask = self._mask(name)
        if mask is None:
            raise KeyError(name)
        return torch.from_numpy(np.array(mask, np.bool_))

    def _mask(self, name: str) -> Array | None:
        kind, _, which = name.partition(":")
        drawn = self.drawn
        if name == "objects":
            return np.asarray(drawn.visible.any(axis=0))
        if name == "object":
            return next((drawn.visible[k] for k, i in enumerate(drawn.annotated) if self.scene.objects[i].main), None)
        if kind == "class" and which in PIXELS:
            mask = np.asarray(drawn.labels == PIXELS.index(which))
            return mask if mask.any() else None
        if kind in ("instance", "amodal") and which.isdecimal() and int(which) < len(drawn.annotated):
            return np.asarray((drawn.visible if kind == "instance" else drawn.amodal)[int(which)])
        return None

    def __iter__(self) -> Iterator[str]:
        if self._mask("object") is not None:
            yield "object"
        yield "objects"
        yield from (f"class:{PIXELS[i]}" for i in np.unique(self.drawn.labels))
        for kind in ("instance", "amodal"):
            yield from (f"{kind}:{k}" for k in range(len(self.drawn.annotated)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(frozen=True, eq=False)
class SceneEditor:
    """Edits of a sample by editing its description. Objects are numbered as the sample's `instance:<k>` regions are."""

    scene: Scene
    annotated: tuple[int, ...]
    identity: str
    task: Task

    def without(self, objects: Sequence[int]) -> Sample:
        """These objects never stood there. IndexError for a number that names none."""
        unknown = [k for k in objects if not 0 <= k < len(self.annotated)]
        if unknown:
            raise IndexError(f"no object {unknown[0]} in {self.identity}; it has {len(self.annotated)} annotated objects, from 0")
        return self._sample(self.scene.without([self.annotated[k] for k in objects]))

    def in_context(self, context: str) -> Sample:
        """The same objects, where they are, in another context. ValueError for a context that Scenes lacks."""
        return self._sample(self.scene.in_context(context))

    def turned(self, azimuth: float) -> Sample:
        """Every object turned by these degrees, where it stands, towards showing its front."""
        return self._sample(self.scene.turned(azimuth))

    def contexts(self) -> tuple[str, ...]:
        """Every context that `in_context` takes."""
        return CONTEXTS

    def context_only(self, context: str | None = None) -> Sample:
        """The empty stage: this context, or another, with no object at all."""
        scene = self.scene if context is None else self.scene.in_context(context)
        return self._sample(scene.without(range(len(scene.objects))))

    def _sample(self, scene: Scene) -> Sample:
        return sample(scene, self.identity, self.task)
