"""What an edit of an object or of its context declares of itself, for reports: plain data, read without the code that edits."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import msgspec


class ContextFacts(msgspec.Struct, frozen=True):
    """changes: whether the object or all but the object is edited. method: the fill or the background, as its spec names it.

    what: which objects. exact: rendered again, so that the edit itself has no error. natural: the picture is meant to look like one without
    the object, or with the object elsewhere; False where something plainly artificial is shown (a grey background, a silhouette).
    """

    changes: Literal["object", "context"]
    method: str
    what: str
    exact: bool
    natural: bool


@runtime_checkable
class HasContextFacts(Protocol):
    """An intervention that takes an object from its context, or a context from its object, and says so."""

    @property
    def context_facts(self) -> ContextFacts: ...
