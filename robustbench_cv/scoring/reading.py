"""What reading predictions takes beside the file: the data's sample names, the model's classes, and what only the user can say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from robustbench_cv.model_from_predictions import Answers, BoxFormat
from robustbench_cv.scoring.sample_names import Name, SampleNames, images, strangers
from robustbench_cv.types import Dataset, Labels

Scores = Literal["probabilities", "logits"]
"""What the numbers in a CSV of class scores are."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reading:
    """names: of the samples. classes: of the model by index, where the user said them; else None. scores, first_category: what the user
    said of class scores and of the number of the first class. ignore_extra: whether predictions of other images are passed over."""

    dataset: Dataset
    names: SampleNames
    classes: Labels | None = None
    scores: Scores | None = None
    first_category: int | None = None
    ignore_extra: bool = False

    @property
    def labels(self) -> Labels:
        """The classes that predictions are of, unless their file says others."""
        return self.classes or self.dataset.labels

    def samples(self, names: Iterable[Name], source: str) -> tuple[Mapping[Name, str], tuple[str, ...]]:
        """The sample of each name, and a note on names that no sample has. UserError for those, unless they are to be passed over."""
        wanted = list(dict.fromkeys(names))
        unknown = strangers(wanted, self.names, source, self.dataset.name)
        if not self.ignore_extra or len(unknown.names) == len(wanted):
            unknown.refuse()
        found = {name: id_ for name in wanted if (id_ := self.names.find(name)) is not None}
        note = f"{source}: predictions of {images(len(unknown.names))} that {self.dataset.name} does not hold are passed over"
        return found, (note,) if unknown.names else ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Read:
    """Predictions as they were read. samples: ids of those that have one. sha256: of all that was read. notes: what readers must know.
    kind: what they were read as, for people. box_format: how boxes are written there."""

    answers: Answers
    classes: Labels
    samples: frozenset[str]
    sha256: str
    kind: str
    notes: tuple[str, ...] = ()
    box_format: BoxFormat = ""
