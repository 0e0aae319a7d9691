"""What a sample shows, by name: the classes of its objects, and what tells the context that they stand in."""

from __future__ import annotations

from robustbench_cv.interventions.object_selection import classes, things
from robustbench_cv.types import BoxTarget, ClassTarget, Contents, Labels, Sample

LENT = "surroundings"
"""The attribute of a sample whose background another one lent: the classes of the objects that the other one showed there, a line each;
empty where nobody lent it."""

NO_SURFACE = frozenset({"background", "__background__", "bg", "void", "unlabeled"})
"""Class names that mean whatever is no object, which tells no context."""


def contents_of(sample: Sample, labels: Labels) -> Contents:
    """What the sample shows. labels: the classes that its target counts.

    Its context is what its data say, else the surfaces (classes that are no objects) that it shows, else the classes of its objects: of an
    edited image on a borrowed background, of the objects that stood there.
    """
    target, every, named = sample.target, classes(sample), things(sample)
    if isinstance(target, ClassTarget):
        objects = frozenset({labels.names[target.label]} if target.label >= 0 else ())
    elif isinstance(target, BoxTarget):
        objects = frozenset(labels.names[c] for c in target.labels[~target.crowd].tolist() if c >= 0)
    else:
        objects = frozenset(named)
    surfaces = [name for name in every if name not in named and name.lower() not in NO_SURFACE]
    made = Contents.of(objects, sample.attributes, surfaces)
    lent = sample.attributes.get(LENT)
    if lent is None or made.kind not in ("classes", None):
        # a classification sample's other objects are told by its regions alone
        return made if made.kind != "classes" else made._replace(contexts=made.contexts | frozenset(named))
    return Contents(objects, "classes" if lent else None, frozenset(lent.splitlines()))
