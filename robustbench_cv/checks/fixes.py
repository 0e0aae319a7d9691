"""The corrected line of configuration: what to write so that a fault that a check has found is mended.

A model of `classifier`, `segmenter` or `detector` is declared by their arguments, so the line says these as they must be, whatever they
were. Of any other model it is a line of code, to stand first in `raw(images)`.
"""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_cv.check_findings import Fix
from robustbench_cv.checks.check import Preflight
from robustbench_cv.checks.class_orders import Order
from robustbench_cv.checks.input_geometry import resized_sides
from robustbench_cv.checks.pixel_value_maps import PixelChange, Three, three
from robustbench_cv.checks.transform_families import Member
from robustbench_cv.data.class_map import DROPPED, ClassMap
from robustbench_cv.data.class_names import DROP
from robustbench_cv.models.adapt import Prepared
from robustbench_cv.models.preprocessing import Preprocessing
from robustbench_cv.types import HasModule

_BUILDERS = {"classification": "classifier", "segmentation": "segmenter", "detection": "detector"}
_UNITS = 2.0
"""The greatest mean and std that a model's preprocessing takes: it is of pixels in [0, 1]."""
_MOST_NAMES = 40
"""Classes beyond which a class map is no line any more (project choice)."""
IN_RAW, IN_FACTORY = "first in raw(images)", "where the model is built"


def fix_of_input(subject: Preflight, member: Member) -> Fix | None:
    """What to write where images reach the model as a member of a family says; None where no line mends it."""
    prepare = _preparation(subject)
    if isinstance(member.change, PixelChange):
        declared = None if prepare is None else _declared(subject, prepare, member.change)
        return declared or Fix(member.change.code, IN_RAW)
    if member.resized is not None:
        return _resized(subject, prepare, member.resized)
    return Fix(member.code, IN_RAW) if member.code else None


def _preparation(subject: Preflight) -> Preprocessing | None:
    """The preprocessing of a model whose arguments say what it is."""
    module = subject.model.module if isinstance(subject.model, HasModule) else None
    return module.prepare if isinstance(module, Prepared) and isinstance(module.prepare, Preprocessing) else None


def _declared(subject: Preflight, prepare: Preprocessing, change: PixelChange) -> Fix | None:
    """The change, and the preprocessing that is declared after it, as one; None where that is no mean and std of [0, 1] pixels."""
    own = _as_change(prepare)
    both = change.then(own).as_statistics()
    if both is None or max(map(abs, (*both.mean, *both.std))) > _UNITS:
        return None
    arguments: dict[str, tuple[str, str]] = {}
    if (own.scale, own.offset) != (change.then(own).scale, change.then(own).offset):
        plain = max(abs(m) for m in both.mean) < 1e-4 and max(abs(s - 1) for s in both.std) < 1e-4
        for name, values in (("mean", both.mean), ("std", both.std)):
            arguments[name] = ("None", "") if plain else (_tuple(values), ",".join(f"{v:g}" for v in values))
    channels = "".join("RGB"[k] for k in both.order)
    if channels != prepare.channels:
        arguments["channels"] = (repr(channels), channels)
    return _of_arguments(subject, arguments)


def _as_change(prepare: Preprocessing) -> PixelChange:
    order = PixelChange(order=_places(prepare.channels))
    if prepare.mean is None or prepare.std is None:
        return order
    mean, std = three(prepare.mean.flatten().tolist()), three(prepare.std.flatten().tolist())
    return order.then(PixelChange(three([1 / s for s in std]), three([-m / s for m, s in zip(mean, std, strict=True)])))


def _places(channels: str) -> tuple[int, int, int]:
    red, green, blue = ("RGB".index(c) for c in channels)
    return red, green, blue


def _tuple(values: Three) -> str:
    return f"({', '.join(f'{v:g}' for v in values)})"


def _resized(subject: Preflight, prepare: Preprocessing | None, ratio: float) -> Fix | None:
    """The input size, where images have one size and the model leaves it as it is, or is a classifier that resizes them."""
    sizes = {(int(s.image.shape[-2]), int(s.image.shape[-1])) for s in subject.samples}
    if prepare is None or prepare.short is not None or len(sizes) != 1 or (prepare.size is not None and subject.task != "classification"):
        return None
    height, width = resized_sides(*(prepare.size or sizes.pop()), ratio)
    return _of_arguments(subject, {"input_size": (f"({height}, {width})", f"{height},{width}")})


def _of_arguments(subject: Preflight, arguments: dict[str, tuple[str, str]]) -> Fix:
    """arguments: of each name its value in Python, and in a spec."""
    written = ", ".join(f"{name}={python}" for name, (python, _) in arguments.items())
    line = f"{_BUILDERS[subject.task]}(..., {written})"
    return Fix(line, IN_FACTORY, tuple((name, spec) for name, (_, spec) in arguments.items()))


def fix_of_score(score: float) -> Fix:
    """The score from which boxes are reported."""
    said = f"{score:.2g}"
    return Fix(f"detector(..., operating_score={said})", IN_FACTORY, (("operating_score", said),))


def fix_of_order(order: Order, class_map: ClassMap | None, names: Sequence[str]) -> Fix | None:
    """--class-map for model indices that mean order[index]; None where it would name too many classes, or none would follow.

    names: the model's. class_map: None where data and model have the same.
    """
    data = class_map.data.names if class_map else tuple(names)
    index = class_map.index if class_map else tuple(range(len(names)))
    given = [how == "given" for how in class_map.how] if class_map else [False] * len(data)
    place = {int(meaning): said for said, meaning in enumerate(order)}
    pairs = [
        (name, DROP if i == DROPPED else names[place[i]])
        for name, i, was_given in zip(data, index, given, strict=True)
        if was_given or i == DROPPED or place[i] != i
    ]
    if not pairs or len(pairs) > _MOST_NAMES or any(set(a + b) & set(',="') for a, b in pairs):
        return None
    written = ",".join(f"{a}={b}" for a, b in pairs)
    return Fix(f'--class-map "{written}"', "on the command line of doctor and run")
