"""A model for other classes: the same network with a new head, every tensor that knows nothing of the classes taken over.

In the head, the rows of a class that both have by name are taken over too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from robustbench_cv.bundled_weights import bundled_tags
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Prepared, freeze
from robustbench_cv.models.build import build, key_into_checkpoint
from robustbench_cv.models.checkpoint import COUNTER
from robustbench_cv.models.preprocessing import Preprocessing
from robustbench_cv.models.transfer_learning.class_rows import keep
from robustbench_cv.models.weights.description import Description, read_description
from robustbench_cv.models.weights.initial_weights import weights_file
from robustbench_cv.registry import Scalar, Spec, expand_tag
from robustbench_cv.types import AnyModel, Labels

ORIGIN = ("weights", "pretrained", "checkpoint", "encoder_weights", "trust", "classes", "num_classes", "input_size")
"""Arguments that say where a model's weights and classes come from, not what its network is."""


FINETUNED = "finetuned"
"""The model that reads such a file."""


@dataclass(frozen=True, eq=False)
class ReplacedHead:
    """model: for the new classes. spec: builds its network, with random numbers. fresh: names of the head's tensors, not taken over."""

    model: AnyModel
    spec: Spec
    fresh: frozenset[str]


def replace_head(spec: Spec | str, classes: Labels, **sizes: Scalar) -> ReplacedHead:
    """The model that a spec names, with a head for `classes`; the head is kept where the classes are the very same.

    The head is what changes its shape with the number of classes; in it, a class of the same name keeps its rows (see `class_rows`).
    sizes: arguments of the new model's factory that its weights have no part in, such as a detector's input_size. UserError where the
    factory takes no class names.
    """
    spec = key_into_checkpoint(expand_tag(Spec.parse(spec) if isinstance(spec, str) else spec))
    donor = build(spec)
    bare = without_origin(spec)
    bare = replace(bare, args={**bare.args, **sizes})
    model = for_classes(bare, classes)
    changing = {} if donor.info.classes == classes else head(bare, len(classes))
    fresh = frozenset(changing)
    given, own = _state(donor), _state(model)
    # Frozen batch norms have no counter, and nothing reads it in evaluation.
    known = {name for name in own if name not in fresh and not (name.endswith(COUNTER) and name not in given)}
    missing = sorted(name for name in known if name not in given or given[name].shape != own[name].shape)
    if missing:
        raise UserError(f"{spec}: {len(missing)} tensors of its network depend on more than the classes ({', '.join(missing[:3])})")
    taken = {name: given[name] if name in known else own[name] for name in own}
    if fresh and set(donor.info.classes.names) & set(classes.names):
        rows = [name for name, dims in changing.items() if dims == (0,) and name in given]
        taken |= {name: keep(donor, given[name], model, own[name]) for name in rows}
    module: Any = model
    module.module.load_state_dict(taken)
    _take_normalisation(donor, model)
    return ReplacedHead(model, bare, fresh)


def _take_normalisation(donor: AnyModel, model: AnyModel) -> None:
    """A weights file may bring its own, which a network of random numbers does not know of."""
    theirs, ours = _prepare(donor), _prepare(model)
    if theirs is not None and ours is not None:
        mean, std = (None if v is None else v.flatten().tolist() for v in (theirs.mean, theirs.std))
        known: Any = model
        known.module.prepare = freeze(Preprocessing(mean, std, ours.size, ours.short, ours.interpolation))


def _prepare(model: AnyModel) -> Preprocessing | None:
    known: Any = model
    prepare = dict(known.module.named_children()).get("prepare")
    return prepare if isinstance(prepare, Preprocessing) else None


def network_of(spec: Spec) -> Spec:
    """The spec of the network in a file that was fine-tuned here; any other spec as it is."""
    if spec.name != FINETUNED:
        return spec
    architecture = str(spec.args.get("architecture") or "")
    described = None if architecture else read_description(Path(str(spec.target or spec.args.get("path"))))
    return expand_tag(Spec.parse(architecture if described is None else described.architecture))


def without_origin(spec: Spec) -> Spec:
    """The spec of the network alone: no weights and no classes, but the width and such that a weights file records."""
    spec = network_of(spec)
    origin = {name: str(spec.args.get(name) or "") for name in ("weights", "checkpoint")}
    if origin["weights"] not in bundled_tags(spec.name):
        origin["weights"] = ""
    path = weights_file(spec.name, **origin)
    description = None if path is None else read_description(path)
    recorded: dict[str, Scalar] = {} if description is None else dict(description.arguments)
    return replace(spec, args={k: v for k, v in (recorded | dict(spec.args)).items() if k not in ORIGIN})


def for_classes(spec: Spec, classes: Labels, device: str = "cpu") -> AnyModel:
    """The network of a bare spec for these classes, with random numbers. UserError for a class name that a spec cannot hold."""
    spoilt = [name for name in classes.names if "," in name]
    if spoilt:
        raise UserError(f"class {spoilt[0]!r} has a comma in its name, which separates classes in a spec; rename it in the data")
    return build(spec, device=device, classes=",".join(classes.names))


def head(spec: Spec, count: int) -> dict[str, tuple[int, ...]]:
    """The tensors whose shape changes with the number of classes, each with the dimensions that do (none where it is gone)."""
    one, other = (_state(for_classes(spec, Labels.numbered(n), "meta")) for n in (count, count + 1))
    pairs = {name: (one[name].shape, other[name].shape if name in other else ()) for name in one}
    return {
        name: tuple(d for d, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
        for name, (first, second) in pairs.items()
        if first != second
    }


def with_input(model: AnyModel, description: Description) -> AnyModel:
    """The model with the description's normalisation, stretching every image to its size; in place. Detectors scale for themselves."""
    known: Any = model
    own = _prepare(model)
    if own is not None:
        size = description.input_size if isinstance(known.module, Prepared) else own.size
        known.module.prepare = freeze(Preprocessing(description.mean, description.std, size))
    return model


def _state(model: AnyModel) -> dict[str, Tensor]:
    known: Any = model
    state: dict[str, Tensor] = known.module.state_dict()
    return state
