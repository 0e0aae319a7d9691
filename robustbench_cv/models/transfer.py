"""A model for other classes: the same network with a new head, every tensor that knows nothing of the classes taken over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Prepared, freeze
from robustbench_cv.models.build import build, tagged
from robustbench_cv.models.prepare import Prepare
from robustbench_cv.models.weights.described import Description, read_description
from robustbench_cv.models.weights.start import bundled, weights_file
from robustbench_cv.registry import Scalar, Spec
from robustbench_cv.types import AnyModel, Labels

ORIGIN = ("weights", "pretrained", "checkpoint", "classes", "num_classes", "input_size")
"""Arguments that say where a model's weights and classes come from, not what its network is."""


@dataclass(frozen=True, eq=False)
class Transferred:
    """model: for the new classes. spec: builds its network, with random numbers. fresh: names of the head's tensors, not taken over."""

    model: AnyModel
    spec: Spec
    fresh: frozenset[str]


def transfer(spec: Spec | str, classes: Labels) -> Transferred:
    """The model that a spec names, with a head for `classes`; the head is kept where the classes are the very same.

    The head is what changes its shape with the number of classes. UserError where the factory takes no class names.
    """
    spec = tagged(Spec.parse(spec) if isinstance(spec, str) else spec)
    donor = build(spec)
    bare = without_origin(spec)
    model = for_classes(bare, classes)
    fresh = frozenset[str]() if donor.info.classes == classes else head(bare, len(classes))
    given, own = _state(donor), _state(model)
    missing = sorted(name for name in own if name not in fresh and (name not in given or given[name].shape != own[name].shape))
    if missing:
        raise UserError(f"{spec}: {len(missing)} tensors of its network depend on more than the classes ({', '.join(missing[:3])})")
    module: Any = model
    module.module.load_state_dict({name: own[name] if name in fresh else given[name] for name in own})
    return Transferred(model, bare, fresh)


def without_origin(spec: Spec) -> Spec:
    """The spec of the network alone: no weights and no classes, but the width and such that a weights file records."""
    origin = {name: str(spec.args.get(name) or "") for name in ("weights", "checkpoint")}
    if origin["weights"] not in bundled(spec.name):
        origin["weights"] = ""
    path = weights_file(spec.name, **origin)
    found = None if path is None else read_description(path)
    recorded: dict[str, Scalar] = {} if found is None else dict(found.arguments)
    return replace(spec, args={k: v for k, v in (recorded | dict(spec.args)).items() if k not in ORIGIN})


def for_classes(spec: Spec, classes: Labels, device: str = "cpu") -> AnyModel:
    """The network of a bare spec for these classes, with random numbers. UserError for a class name that a spec cannot hold."""
    spoilt = [name for name in classes.names if "," in name]
    if spoilt:
        raise UserError(f"class {spoilt[0]!r} has a comma in its name, which separates classes in a spec; rename it in the data")
    return build(spec, device=device, classes=",".join(classes.names))


def head(spec: Spec, count: int) -> frozenset[str]:
    """Names of the tensors whose shape changes with the number of classes."""
    one, other = (_state(for_classes(spec, Labels.numbered(n), "meta")) for n in (count, count + 1))
    return frozenset(name for name in one if name not in other or one[name].shape != other[name].shape)


def with_input(model: AnyModel, description: Description) -> AnyModel:
    """The model with the description's normalisation, stretching every image to its size; in place. Detectors scale for themselves."""
    known: Any = model
    if isinstance(known.module, Prepared):
        known.module.prepare = freeze(Prepare(description.mean, description.std, description.input_size))
    return model


def _state(model: AnyModel) -> dict[str, Tensor]:
    known: Any = model
    found: dict[str, Tensor] = known.module.state_dict()
    return found
