"""What reading a data set shows before any model is asked: samples that cannot be read, sizes, turns that EXIF asks for, ignored pixels.

The checks of the stage "data" are functions of a survey; none of them reads a file of its own accord but those that were passed over.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch

from robustbench_cv.data.images import EXIF
from robustbench_cv.data.masks import count_labels
from robustbench_cv.data.source import FromFiles
from robustbench_cv.errors import BadSample, ForeignError, NotApplicable, describe
from robustbench_cv.foreign_errors import read_sample
from robustbench_cv.interventions.object_selection import is_surface, tells_objects
from robustbench_cv.types import AnyModel, BoxTarget, Dataset, MaskTarget, Model, Sample

SURVEYED = 1000
"""Samples that are read, spread over those asked for (project choice: what a laptop reads in seconds)."""

_MOST_SHAPES = 8

SKIP_BAD = "--skip-bad records such samples as failed and goes on (an option of `robustbench-cv run`)"

Shape = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DataSurvey:
    """What was seen of the samples at `indices`, up to 1000 of the `asked` ones.

    faults: why a sample cannot be read, by index. turned: the EXIF orientation that its pixels were not turned by, by index. shapes: the
    indices of the samples of each size. refused: why the model fails on a size, of those that were tried, where it takes others. pixels:
    how many there are of each label, over all masks, in the data's own classes. skip_bad: whether a run goes on without bad samples.
    guessed_objects, guessed_surfaces: classes of label maps that are told apart by their names alone. repeated: how many boxes of a sample
    are annotated twice, by index. boxes: how many there are; reach: the greatest x2 and y2 of them, in shares of their images' sides.
    """

    dataset: Dataset
    asked: int
    indices: Sequence[int]
    skip_bad: bool = False
    faults: Mapping[int, str] = field(default_factory=dict)
    turned: Mapping[int, int] = field(default_factory=dict)
    shapes: Mapping[Shape, Sequence[int]] = field(default_factory=dict)
    pixels: Mapping[int, int] = field(default_factory=dict)
    refused: Mapping[Shape, str] = field(default_factory=dict)
    guessed_objects: frozenset[int] = frozenset()
    guessed_surfaces: frozenset[int] = frozenset()
    repeated: Mapping[int, int] = field(default_factory=dict)
    boxes: int = 0
    reach: tuple[float, float] = (0.0, 0.0)

    @property
    def read(self) -> int:
        """How many samples were read."""
        return len(self.indices) - len(self.faults)

    def unusable(self) -> set[int]:
        """Indices of samples that a run of this model cannot use."""
        return set(self.faults) | {i for shape in self.refused for i in self.shapes[shape]}

    def file_name(self, index: int) -> str:
        """A sample's file, or its id where it lies in none of its own."""
        path = self.dataset.file_of(index) if isinstance(self.dataset, FromFiles) else None
        return repr(self.dataset.ids[index] if path is None else str(path))

    def scope(self) -> str:
        """ "all 12 samples", "1000 of 50000 samples"."""
        return f"all {self.asked} samples" if len(self.indices) == self.asked else f"{len(self.indices)} of {self.asked} samples"


def survey(dataset: Dataset, indices: Sequence[int], *, skip_bad: bool = False, raises: bool = False) -> DataSurvey:
    """Read up to 1000 samples, spread over `indices`. raises: the first that cannot be read is an exception, not a fault."""
    step = -(-len(indices) // SURVEYED) or 1
    chosen = indices[::step]
    faults: dict[int, str] = {}
    turned: dict[int, int] = {}
    shapes: defaultdict[Shape, list[int]] = defaultdict(list)
    pixels: Counter[int] = Counter()
    untold: set[int] = set()
    repeated: dict[int, int] = {}
    boxes, reach = 0, (0.0, 0.0)
    for i in chosen:
        try:
            sample = read_sample(dataset, i)
        except NotApplicable:
            continue
        except (BadSample, ForeignError) as fault:
            if raises:
                raise type(fault)(f"{fault}; {SKIP_BAD}") from fault
            faults[i] = str(fault)
            continue
        height, width = sample.image.shape[-2:]
        shapes[height, width].append(i)
        if EXIF in sample.attributes:
            turned[i] = int(sample.attributes[EXIF])
        if isinstance(sample.target, MaskTarget):
            counts = count_labels(sample.target.labels)
            pixels.update(counts)
            untold |= set() if tells_objects(sample) else {c for c in counts if 0 <= c < len(dataset.labels)}
        if isinstance(sample.target, BoxTarget) and len(sample.target.boxes):
            found = sample.target.boxes
            boxes += len(found)
            reach = (max(reach[0], float(found[:, 2].max()) / width), max(reach[1], float(found[:, 3].max()) / height))
            twice = len(found) - len({tuple(row) for row in torch.cat([found, sample.target.labels[:, None]], 1).tolist()})
            if twice:
                repeated[i] = twice
    surfaces = frozenset(c for c in untold if is_surface(dataset.labels.names[c]))
    return DataSurvey(
        dataset=dataset,
        asked=len(indices),
        indices=chosen,
        skip_bad=skip_bad,
        faults=faults,
        turned=turned,
        shapes=dict(shapes),
        pixels=dict(pixels),
        guessed_objects=frozenset(untold) - surfaces,
        guessed_surfaces=surfaces,
        repeated=repeated,
        boxes=boxes,
        reach=reach,
    )


def refused_shapes(model: AnyModel, seen: DataSurvey, device: str) -> dict[Shape, str]:
    """On which sizes the model fails that takes others: all sizes are tried where there are eight or fewer, else the extreme ones."""
    tried = seen.shapes if len(seen.shapes) <= _MOST_SHAPES else _extremes(seen.shapes)
    if len(tried) < 2:
        return {}
    why = {shape: _fault(model, seen.dataset[seen.shapes[shape][0]], device) for shape in tried}
    refused = {shape: reason for shape, reason in why.items() if reason}
    return refused if len(refused) < len(tried) else {}


def _extremes(shapes: Mapping[Shape, Sequence[int]]) -> set[Shape]:
    areas = sorted(shapes, key=lambda s: (s[0] * s[1], s))
    slopes = sorted(shapes, key=lambda s: (s[0] / s[1], s))
    return {areas[0], areas[-1], slopes[0], slopes[-1], max(shapes, key=lambda s: len(shapes[s]))}


def _fault(model: AnyModel, sample: Sample, device: str) -> str:
    """What the model raises on this image; empty where it takes it, or where only memory is short."""
    asked = cast("Model[Any]", model)
    try:
        with torch.no_grad():
            asked.decode(asked.raw(sample.image[None].to(device)))
    except torch.OutOfMemoryError:
        return ""
    except Exception as error:  # a foreign model may do anything
        return describe(error)
    return ""
