"""What an edit of an object or of its context declares of itself, for reports: plain data, read without the code that edits."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import msgspec

Experiment = Literal[
    "remove-object", "occlude-object", "blur-object", "swap-context", "show-context", "blur-context", "jigsaw-context", "texture-context"
]
"""What an edit asks of a model: what is lost with the object, with its context, or with a part of either."""


class ContextFacts(msgspec.Struct, frozen=True, kw_only=True):
    """method: the fill, the occluder or the background, as its spec names it. what: which objects.

    level: of an experiment that has several (a covered share, a blur in px, a ratio of areas). exact: rendered again, so that the edit
    itself has no error. natural: the picture is meant to look like one without the object, or with the object elsewhere; False where
    something plainly artificial is shown (a grey background, a silhouette).
    """

    experiment: Experiment
    what: str
    method: str = ""
    level: float | None = None
    exact: bool = False
    natural: bool = False


@runtime_checkable
class HasContextFacts(Protocol):
    """An intervention that takes an object from its context, or a context from its object, and says so."""

    @property
    def context_facts(self) -> ContextFacts: ...
