"""The association of classes and contexts in a data set, counted once over all of it, and what it says of an edited sample."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from robustbench_cv.data.class_map import DROPPED
from robustbench_cv.errors import BadSample, ForeignError, NotApplicable
from robustbench_cv.foreign_errors import read_sample
from robustbench_cv.interventions.context_facts import HasContextFacts
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.sample_context import contents_of
from robustbench_cv.metrics.context_association import Association, associate
from robustbench_cv.metrics.context_compatibility import CONTEXT_COMPATIBILITY
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.metrics.object_recall import asked_objects
from robustbench_cv.run_folder import CONTEXTS, RunFolder, json_file
from robustbench_cv.types import Compatibility, Contents, Dataset, KnowsContents, Labels, Sample


def compares_contexts(edits: Sequence[Intervention], metrics: Iterable[Metric]) -> bool:
    """Whether an edit swaps contexts, and a metric asks how compatible they are."""
    swaps = any(isinstance(edit, HasContextFacts) and edit.context_facts.experiment == "swap-context" for edit in edits)
    return swaps and any(getattr(metric, "background", None) == CONTEXT_COMPATIBILITY for metric in metrics)


@dataclass(frozen=True, eq=False)
class ContextCounts:
    """Of one data set, all of it. folder: of the run, which keeps the counts of data whose samples had to be read; None: nobody does."""

    dataset: Dataset
    folder: RunFolder | None = None

    @functools.cached_property
    def association(self) -> Association:
        """Data that know what their samples show are asked anew; of others every sample is read once, the unreadable ones passed over."""
        data = self.dataset
        if isinstance(data, KnowsContents):
            return associate(data.contents(i) for i in range(len(data)))
        if self.folder is None:
            return associate(self._read())
        facts = [data.name, data.task, data.labels.names, [data.fingerprint(i) for i in range(len(data))]]
        return self.folder.remember(CONTEXTS, facts, json_file(Association), lambda: associate(self._read()))

    def _read(self) -> Iterator[Contents]:
        for i in range(len(self.dataset)):
            try:
                yield contents_of(read_sample(self.dataset, i), self.dataset.labels)
            except (BadSample, ForeignError):
                continue  # reported where it is a sample of its own


def with_compatibility(before: Sample, after: Sample, labels: Labels, association: Association) -> Sample:
    """The edited sample, its edit knowing how compatible its objects are with both contexts. Classes are the data's.

    Its objects are those that object recall asks about.
    """
    assert after.edit is not None
    try:
        objects = asked_objects(after)
    except NotApplicable:
        objects = {}
    named = {labels.names[c]: weight for c, weight in objects.items() if c != DROPPED}
    sides = [contents_of(one, labels) for one in (before, after)]
    values = [association.compatibility(named, one.contexts) if one.kind == association.kind else None for one in sides]
    return replace(after, edit=replace(after.edit, compatibility=Compatibility(*values)))
