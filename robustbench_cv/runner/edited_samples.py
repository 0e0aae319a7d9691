"""Samples as they are and as edits leave them, kept so that many conditions read an image once, and many models share one rendering."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from robustbench_cv.foreign_errors import read_sample
from robustbench_cv.run_folder import digest
from robustbench_cv.runner.sample_files import read_sample_file, write_sample
from robustbench_cv.types import BoxPrediction, ClassPrediction, Dataset, Prediction, Sample

MEMORY = 256 * 2**20
"""Bytes of unedited samples that are kept at a time, and of what a model said of them (project choice)."""

DISK = 2 * 2**30
"""Bytes of edited samples that a run keeps while it computes (project choice): beyond it they are made again for each model."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Renderings:
    """Of one data set. folder: where edited samples lie during a run; None: nowhere. users: models that will ask; with one alone no edited
    sample is kept."""

    dataset: Dataset
    folder: Path | None = None
    seed: int = 0
    users: int = 0
    _originals: OrderedDict[int, Sample] = field(default_factory=OrderedDict, repr=False)
    _in_memory: int = 0
    _on_disk: int = 0

    def serve_model(self, folder: Path | None, seed: int) -> None:
        """One more model will ask, in a run of this seed."""
        self.folder, self.seed = folder, seed
        self.users += 1

    def original(self, index: int) -> Sample:
        """A sample of the data set as it is; the least recently used are let go."""
        if index in self._originals:
            self._originals.move_to_end(index)
            return self._originals[index]
        sample = read_sample(self.dataset, index)
        self._originals[index] = sample
        self._in_memory += _size(sample)
        while self._in_memory > MEMORY and len(self._originals) > 1:
            _, oldest = self._originals.popitem(last=False)
            self._in_memory -= _size(oldest)
        return sample

    def edited(self, sample: Sample, interventions: Sequence[str], make: Callable[[], Sample]) -> Sample:
        """The sample after these edits, of this run's seed: made once, where several models ask."""
        if self.folder is None or self.users < 2 or not interventions:
            return make()
        path = self.folder / f"{digest([self.dataset.name, self.dataset.task, sample.id, list(interventions), self.seed])[:32]}.safetensors"
        kept = read_sample_file(path)
        if kept is not None and kept.id == sample.id:
            return kept
        made = make()
        if self._on_disk < DISK:
            self._keep(path, made)
        return made

    def _keep(self, path: Path, made: Sample) -> None:
        """Where the disk has no room, every model has its samples made again."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_sample(path, made)
            self._on_disk += path.stat().st_size
        except (OSError, SafetensorError) as error:
            logger.warning("edited samples are not kept for other models: %s", error)
            path.unlink(missing_ok=True)
            self.folder = None


def _size(sample: Sample) -> int:
    """Bytes of the image; masks are drawn when they are asked for, and weigh no more than half as much again (an estimate)."""
    image: Tensor = sample.image
    masks = len(sample.regions) * image[0].numel()
    return image.numel() * image.element_size() + masks


@dataclass(eq=False)
class OriginalPredictions:
    """What a model said of unedited images, by sample id: every intervention compares with it."""

    _kept: dict[str, Prediction] = field(default_factory=dict, repr=False)
    _bytes: int = 0

    def get(self, id_: str) -> Prediction | None:
        return self._kept.get(id_)

    def keep(self, predictions: Mapping[str, Prediction]) -> None:
        """As many as there is room for."""
        for id_, prediction in predictions.items():
            if id_ not in self._kept and self._bytes < MEMORY:
                self._kept[id_] = prediction
                self._bytes += _prediction_size(prediction)


def _prediction_size(prediction: Prediction) -> int:
    if isinstance(prediction, ClassPrediction):
        tensors: list[Tensor | None] = [prediction.probs]
    elif isinstance(prediction, BoxPrediction):
        tensors = [prediction.boxes, prediction.scores, prediction.labels, prediction.masks]
    else:
        tensors = [prediction.labels, None if prediction.sampled is None else prediction.sampled.values]
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)
