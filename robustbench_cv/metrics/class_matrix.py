"""Which samples numbers of one class are of: a row of a table by class, a cell of the matrix "removing k changes c"."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import pyarrow

from robustbench_cv.arrow_compute import compute
from robustbench_cv.metrics.average_precision import of_size
from robustbench_cv.metrics.coco_matching import MATCHES
from robustbench_cv.metrics.evidence import Column, row_of
from robustbench_cv.metrics.iou import pixels_by_class
from robustbench_cv.metrics.object_recall import RECALLED


def removed_alone(reported: Column) -> dict[int, pyarrow.Array]:
    """From the evidence of `reported_classes`: the ids from which one class alone was removed, by its index, rising."""
    lists = reported.values.field("removed")
    single = lists.value_lengths().to_numpy(zero_copy_only=False) == 1
    rows, classes = row_of(lists), lists.flatten().to_numpy(zero_copy_only=False)
    chosen = single[rows]
    ids = reported.ids.take(pyarrow.array(rows[chosen]))
    return {int(c): ids.filter(pyarrow.array(classes[chosen] == c)) for c in numpy.unique(classes[chosen])}


def merged(columns: Sequence[Column]) -> Column:
    """Evidence of several conditions as one column; the ids of each are others than those of the rest."""
    ids = pyarrow.concat_arrays([column.ids for column in columns])
    values = pyarrow.concat_arrays([column.values for column in columns])
    order = compute.sort_indices(ids)
    return Column(ids.take(order), values.take(order))


def ids_holding(evidence: Column, index: int) -> pyarrow.Array:
    """The ids that a class is in: scored pixels of it in the evidence of mIoU, objects of it in that of AP and of object recall."""
    if evidence.values.type == RECALLED:
        lists = evidence.values.field("classes")
        there = lists.flatten().field("class").to_numpy(zero_copy_only=False) == index
        return evidence.ids.filter(pyarrow.array(numpy.bincount(row_of(lists)[there], minlength=len(evidence)) > 0))
    if evidence.values.type == MATCHES:
        classes, truths = evidence.values.field("classes"), of_size(evidence.values.field("truths").flatten(), 0)
        there = (classes.flatten().to_numpy(zero_copy_only=False) == index) & (truths > 0)
        counts = numpy.bincount(row_of(classes)[there], minlength=len(evidence))
    else:
        pixels = pixels_by_class(evidence.values)
        counts = pixels.truth[:, pixels.classes == index].sum(axis=1)
    return evidence.ids.filter(pyarrow.array(counts > 0))
