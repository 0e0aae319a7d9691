"""What an edit of an object or of its context declares of itself, for reports: plain data, read without the code that edits."""

from __future__ import annotations

from typing import Literal, Protocol, runtime_checkable

import msgspec

Experiment = Literal[
    "remove-object",
    "occlude-object",
    "occlude-context",
    "blur-object",
    "turn-object",
    "swap-context",
    "show-context",
    "blur-context",
    "jigsaw-context",
    "texture-context",
    "transplant",
]
"""What an edit asks of a model: what is lost with the object, with its context, or with a part of either."""


Scope = Literal["objects", "class", "other-class"]
"""What an edit chooses in an image: objects (one, or all that are asked about), a class, or a class other than the label's."""


class Choice(msgspec.Struct, frozen=True):
    """what: as the spec says it. named: the class, where the spec names one."""

    what: str
    scope: Scope
    named: str | None = None


class OcclusionLevels(msgspec.Struct, frozen=True):
    """Levels 0 to 3 of occlusion of the objects (foreground) and of their context (background), as OccludedPASCAL3D+ has them."""

    foreground: int
    background: int


class ContextFacts(msgspec.Struct, frozen=True, kw_only=True):
    """method: the fill, the occluder or the background, as its spec names it. choice: which objects.

    level: of an experiment that has several (a covered share, a blur in px, degrees, a ratio of areas). exact: rendered again, so that the
    edit itself has no error. natural: the picture is meant to look like one without the object, or with the object elsewhere; False where
    something plainly artificial is shown (a grey background, a silhouette). occlusion: of an occlusion by published levels, which ones.
    published: a picture that others made, not an edit of ours.
    """

    experiment: Experiment
    choice: Choice
    method: str = ""
    level: float | None = None
    exact: bool = False
    natural: bool = False
    occlusion: OcclusionLevels | None = None
    published: bool = False


@runtime_checkable
class HasContextFacts(Protocol):
    """An intervention that takes an object from its context, or a context from its object, and says so."""

    @property
    def context_facts(self) -> ContextFacts: ...
