"""Which rows of a head's tensors speak of which class: so that a class that two models share can keep what was learned of it."""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_cv.models.trainable import HeadRows, Trainable, one_row_each
from robustbench_cv.types import AnyModel


def rows_of(model: AnyModel, length: int) -> HeadRows | None:
    """The rows of a tensor (length, ...) of the model's head; None where nothing is known of how it is laid out."""
    return model.head_rows(length) if isinstance(model, Trainable) else one_row_each(len(model.info.classes), length)


def keep(donor: AnyModel, given: Tensor, model: AnyModel, own: Tensor) -> Tensor:
    """`own` with the rows of `given` for every class that both models know by the same name, and for what is of no class.

    given, own: the tensors of one name in the two models' heads. `own` as it is where they differ in more than their first dimension,
    where the layout is not known, and where the models share no class.
    """
    theirs, ours = rows_of(donor, len(given)), rows_of(model, len(own))
    places = {name: index for index, name in enumerate(donor.info.classes.names)}
    pairs = [(places[name], index) for index, name in enumerate(model.info.classes.names) if name in places]
    if theirs is None or ours is None or not pairs or given.shape[1:] != own.shape[1:] or donor.info.classes.are_numbered:
        return own
    out = own.clone()
    old, new = torch.tensor(pairs).T
    out[ours.of_class[new].flatten()] = given[theirs.of_class[old].flatten()].to(own.dtype)
    if len(theirs.shared) == len(ours.shared):
        out[ours.shared] = given[theirs.shared].to(own.dtype)
    return out
