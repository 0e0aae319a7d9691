"""What an attack did to a detector, from the evidence of detection_rates with and without it.

Clean mistakes are not credited to the attack: the reference set is the objects that were found without it. Definitions are
project choices; a box counts as fabricated where it overlaps no *annotated object* (clean false detections are subtracted as a
number, not matched one by one).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.detection_rates import FOUND, MISLABELLED, VANISHED
from robustbench_cv.metrics.intervals import RESAMPLES, estimate, wilson
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.ratios import Ratio
from robustbench_cv.types import Evidence, Prediction, Sample

MANY = 10
"""So many more fabricated boxes than without the attack make a successful fabrication."""


class DetectionAttack(NamedTuple):
    """n_reference: objects found without the attack. vanished, mislabelled: shares of these under it.

    fabricated: additional fabricated boxes per image. fabrication: share of images with at least MANY more. touched: share of images in
    which an object of the reference set is lost or relabelled, or a box is added where no object is.
    """

    n_reference: int
    vanished: Estimate
    mislabelled: Estimate
    fabricated: Estimate
    fabrication: Estimate
    touched: Estimate


def detection_attack(
    clean: Mapping[str, Evidence], attacked: Mapping[str, Evidence], *, resamples: int = RESAMPLES, seed: int = 0
) -> DetectionAttack:
    """Compare the evidence by sample id, over the samples that have both. ValueError where the two have different objects."""
    ids = sorted(set(clean) & set(attacked))
    pairs = [(clean[i], attacked[i]) for i in ids]
    for i, (before, after) in zip(ids, pairs, strict=True):
        if len(before["objects"]) != len(after["objects"]):
            raise ValueError(f"{i} has {len(before['objects'])} objects in one condition and {len(after['objects'])} in the other")
    excluded = len(set(clean) | set(attacked)) - len(ids)

    def ratio(name: str, split: Callable[[Evidence], tuple[float, float]], undefined: str) -> Estimate:
        metric = Ratio(name=name, take=_of_two_conditions, split=split, undefined=undefined, higher_is_better=False, evidence_key=name)
        return estimate(metric, pairs, excluded=excluded, resamples=resamples, seed=seed)

    def share(hits: list[bool]) -> Estimate:
        if not hits:
            return Estimate(None, None, None, 0, excluded, reason="no image has both conditions")
        return Estimate(sum(hits) / len(hits), *wilson(sum(hits), len(hits)), len(hits), excluded)

    lost = "no object was found without the attack"
    added = [after["fabricated"] - before["fabricated"] for before, after in pairs]
    return DetectionAttack(
        n_reference=sum(before["objects"].count(FOUND) for before, _ in pairs),
        vanished=ratio("vanished by the attack", lambda pair: _became(VANISHED, pair), lost),
        mislabelled=ratio("mislabelled by the attack", lambda pair: _became(MISLABELLED, pair), lost),
        fabricated=ratio("fabricated by the attack", lambda pair: (pair[1]["fabricated"] - pair[0]["fabricated"], 1), "no image"),
        fabrication=share([n >= MANY for n in added]),
        touched=share([n > 0 or _is_harmed(pair) for n, pair in zip(added, pairs, strict=True)]),
    )


def _became(state: int, pair: tuple[Evidence, Evidence]) -> tuple[int, int]:
    now = [after for before, after in zip(pair[0]["objects"], pair[1]["objects"], strict=True) if before == FOUND]
    return now.count(state), len(now)


def _is_harmed(pair: tuple[Evidence, Evidence]) -> bool:
    return any(before == FOUND != after for before, after in zip(pair[0]["objects"], pair[1]["objects"], strict=True))


def _of_two_conditions(prediction: Prediction, sample: Sample) -> Evidence:
    raise NotApplicable("made of the evidence of two conditions, not of a prediction")
