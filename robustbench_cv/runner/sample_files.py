"""An edited sample as one file of tensors, and back: nothing in such a file is ever run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from robustbench_cv.files import written_whole
from robustbench_cv.types import BoxTarget, ClassTarget, Edit, MaskTarget, Sample, Target

_BOXES = ("boxes", "labels", "crowd", "area", "masks")


def write_sample(path: Path, sample: Sample) -> None:
    """The sample without the description that it may come from, which no measurement asks for."""
    tensors: dict[str, Tensor] = {"image": sample.image, **{f"region {name}": mask for name, mask in sample.regions.items()}}
    facts: dict[str, Any] = {"id": sample.id, "attributes": dict(sample.attributes), "target": _take(tensors, "target", sample.target)}
    edit = sample.edit
    if edit is not None:
        tensors["edit region"] = edit.region
        facts["edit"] = {
            "kind": edit.kind,
            "removed": sorted(edit.removed),
            "share": edit.share,
            "moved": edit.moved,
            "adds": edit.adds,
            "before": _take(tensors, "before", edit.before),
            "subject": None if edit.subject is None else _take(tensors, "subject", edit.subject),
        }
    # no two tensors of a file may share their memory
    with written_whole(path) as temporary:
        save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, temporary, {"sample": json.dumps(facts)})


def read_sample_file(path: Path) -> Sample | None:
    """The sample; None where there is none, or none that can be read."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["sample"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    regions = {name.removeprefix("region "): mask for name, mask in tensors.items() if name.startswith("region ")}
    kept = facts.get("edit")
    edit = None
    if kept is not None:
        before = _target(tensors, "before", kept["before"])
        subject = None if kept["subject"] is None else _target(tensors, "subject", kept["subject"])
        flags = {name: kept.get(name, False) for name in ("moved", "adds")}
        edit = Edit(kept["kind"], tensors["edit region"], before, frozenset(kept["removed"]), kept["share"], subject, **flags)
    return Sample(facts["id"], tensors["image"], _target(tensors, "target", facts["target"]), regions, facts["attributes"], edit=edit)


def _take(tensors: dict[str, Tensor], whose: str, target: Target) -> dict[str, Any]:
    """What is left to say of a target when its tensors are put among the others."""
    if isinstance(target, ClassTarget):
        return {"label": target.label}
    if isinstance(target, MaskTarget):
        tensors[f"{whose} labels"] = target.labels
        return {"pixels": True}
    names = [name for name in _BOXES if getattr(target, name) is not None]
    tensors |= {f"{whose} {name}": getattr(target, name) for name in names}
    return {"boxes": names}


def _target(tensors: dict[str, Tensor], whose: str, facts: dict[str, Any]) -> Target:
    if "label" in facts:
        return ClassTarget(facts["label"])
    if "pixels" in facts:
        return MaskTarget(tensors[f"{whose} labels"])
    return BoxTarget(**{name: tensors[f"{whose} {name}"] for name in facts["boxes"]})
