"""How compatible the objects of an edit are with their own context, and with the one that they were put in, as records keep it.

See `context_association` for the number. Of several objects the mean, each weighed as object recall weighs it.
"""

from __future__ import annotations

import pyarrow

from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.context_association import FEWEST
from robustbench_cv.metrics.ratios import Background
from robustbench_cv.types import Evidence, Prediction, Sample

COMPATIBILITY = pyarrow.struct({"before": pyarrow.float64(), "after": pyarrow.float64()})
"""The type of what is kept of one image: of its objects with their own context, and with the one that they are shown in."""


def _kept(prediction: Prediction, sample: Sample) -> Evidence | None:
    """None where the edit swaps no contexts. NotApplicable where the data are too few to say anything of either context."""
    edit = sample.edit
    if edit is None or edit.compatibility is None:
        return None
    before, after = edit.compatibility
    if before is None and after is None:
        raise NotApplicable(f"fewer than {FEWEST} images of the data hold its objects' classes and contexts, or are to be expected")
    return {"before": before, "after": after}


CONTEXT_COMPATIBILITY = Background("context-compatibility", COMPATIBILITY, _kept)
"""What `object-recall` keeps beside its own evidence."""
