"""What a factory's arguments may be, said by its annotations: names for common ranges, and the check of a call against them.

A factory writes `steps: PositiveInt = 40`; for a type checker that is an int. The registry checks every argument of a spec against the
annotation before it calls the factory, so that a factory never sees text for a number, NaN, or a negative count. A range of one factory
alone is `Annotated[int, Range(2, 255)]`. Imports nothing but the standard library.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from robustbench_cv.errors import UserError

LARGEST_COUNT = 10**9
"""Of anything that is counted (a project choice): beyond it a number is a slip, and arithmetic on it overflows elsewhere."""
LARGEST_SEED = 2**63 - 1
"""Generators take 64 bits with a sign."""


@dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`, both included unless open.

    pixels: in [0, 1] pixel units; where they end at 1, 8 is a slip for 8/255. meaning: what the number is, where a message must say so.

    >>> Range(0, 1, open_low=True)
    a number above 0 and at most 1
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    pixels: bool = False
    meaning: str = ""

    @property
    def is_pixel_value(self) -> bool:
        """Of single values, not of lengths over many."""
        return self.pixels and self.high == 1

    def admits(self, value: Any) -> bool:
        """Whether a number is one of these."""
        inside = (self.low < value if self.open_low else self.low <= value) and value <= self.high
        return inside and abs(value) < math.inf and not (self.is_pixel_value and isinstance(value, int) and bool(value))

    def __repr__(self) -> str:
        return self.in_words("a number")

    def in_words(self, kind: str) -> str:
        """In words: "a whole number from 1 up"."""
        low = "" if math.isinf(self.low) else f" {'above' if self.open_low else 'from'} {self.low:g}"
        if math.isinf(self.high):
            high = " up" if low and not self.open_low else ""
        else:
            high = f" {'and at most' if self.open_low else 'to' if low else 'up to'} {self.high:,}"
        meaning = "in [0, 1] pixel units" if self.pixels else self.meaning
        return f"{kind}{low}{high}{', ' if meaning else ''}{meaning}"


PositiveInt: TypeAlias = Annotated[int, Range(1, LARGEST_COUNT)]
NonNegativeInt: TypeAlias = Annotated[int, Range(0, LARGEST_COUNT)]
ClassCount: TypeAlias = Annotated[int, Range(0, 100_000)]
"""Of a model; 0: as its weights or its paper say. ImageNet-21k has 21,843; the limit is a project choice."""
Number: TypeAlias = Annotated[float, Range()]
PositiveNumber: TypeAlias = Annotated[float, Range(0, open_low=True)]
NonNegativeNumber: TypeAlias = Annotated[float, Range(0)]
Fraction: TypeAlias = Annotated[float, Range(0, 1)]
PositiveFraction: TypeAlias = Annotated[float, Range(0, 1, open_low=True)]
Area: TypeAlias = Annotated[float, Range(0, 1, open_low=True, meaning="a share of the image's area: 0.02 is 2 %")]
Severity: TypeAlias = Annotated[int, Range(1, 5, meaning="as ImageNet-C counts them")]
Degrees: TypeAlias = Annotated[float, Range(0, 180)]
Seed: TypeAlias = Annotated[int, Range(0, LARGEST_SEED)]
Budget: TypeAlias = Annotated[float, Range(0, 1, pixels=True)]
"""A length of single pixel values, in [0, 1] pixel units: an L-infinity budget, or a step within one."""
Length: TypeAlias = Annotated[float, Range(0, pixels=True)]
"""A length in a norm that the factory takes as an argument, in [0, 1] pixel units; the norm's ball says what is too long."""


def check_arguments(whose: str, factory: Callable[..., Any], arguments: Mapping[str, object]) -> None:
    """UserError where an argument is not what the factory's annotation says: whose, which, its value, what it takes, the way out.

    An int is a float, a bool is neither; NaN and infinity are no numbers. A parameter's own default is always right. What is annotated as
    something that a spec cannot write, or not at all, is not checked.

    >>> def pgd(eps: Budget = 8 / 255, steps: PositiveInt = 40) -> None: ...
    >>> check_arguments("attack 'pgd'", pgd, {"steps": 0})
    Traceback (most recent call last):
    robustbench_cv.errors.UserError: attack 'pgd': steps=0 must be a whole number from 1 to 1,000,000,000; leave it out for 40
    """
    parameters = inspect.signature(factory).parameters
    rest = next((p for p in parameters.values() if p.kind is p.VAR_KEYWORD), None)
    for name, value in arguments.items():
        parameter = parameters.get(name, rest)
        if parameter is None or _same(value, parameter.default):
            continue
        check_argument(whose, name, value, annotation_of(factory, parameter.name), parameter.default)


def check_like_defaults(whose: str, library: Callable[..., Any], arguments: Mapping[str, object]) -> None:
    """UserError where an argument of another library's callable is of another kind than its default: text for a number, say.

    >>> def PGD(steps=10): ...
    >>> check_like_defaults("torchattacks:PGD", PGD, {"steps": "x"})
    Traceback (most recent call last):
    robustbench_cv.errors.UserError: torchattacks:PGD: steps='x' must be a number; leave it out for 10
    """
    for name, parameter in inspect.signature(library).parameters.items():
        if name in arguments and isinstance(parameter.default, str | int | float):
            kind = type(parameter.default)
            check_argument(whose, name, arguments[name], kind if kind in (str, bool) else Number, parameter.default)


def check_argument(whose: str, name: str, value: object, hint: object, default: object = inspect.Parameter.empty) -> None:
    """UserError where a value is not what an annotation says."""
    if not accepts(hint, value):
        raise UserError(f"{whose}: {_complaint(name, value, hint, default)}")


def annotation_of(factory: Callable[..., Any], parameter: str) -> object:
    """The annotation of a parameter, evaluated, with its range; Any where there is none or it cannot be evaluated."""
    whole: Any = factory.func if isinstance(factory, functools.partial) else factory
    function: Any = inspect.unwrap(whole)
    if isinstance(function, type):
        function = vars(function).get("__init__", function)
    elif not hasattr(function, "__annotations__"):
        function = type(function).__call__
    hints = getattr(function, "__annotations__", {})
    if parameter not in hints:
        return Any
    alone = types.SimpleNamespace(__annotations__={parameter: hints[parameter]})
    try:
        return get_type_hints(alone, globalns=getattr(function, "__globals__", {}), include_extras=True)[parameter]
    except Exception:  # a name that only a type checker imports, an expression of a later Python: anything may be raised
        return Any


def is_checkable(hint: object) -> bool:
    """Whether each value that a spec can write is right or wrong by this annotation, and each number has a range."""
    origin = get_origin(hint)
    if origin is Annotated:
        return True
    if origin in (Union, types.UnionType):
        return all(map(is_checkable, get_args(hint)))
    return origin is Literal or hint in (str, bool, type(None)) or _is_own(hint)


def accepts(hint: object, value: object) -> bool:
    """Whether a value is what an annotation says.

    >>> accepts(float | None, 3), accepts(int, True), accepts(PositiveInt | str, "160x120"), accepts(Literal["a", 1], True)
    (True, False, True, False)
    """
    origin = get_origin(hint)
    if origin is Annotated:
        base, *limits = get_args(hint)
        return accepts(base, value) and all(limit.admits(value) for limit in limits if isinstance(limit, Range))
    if origin is Literal:
        return any(_same(value, choice) for choice in get_args(hint))
    if origin in (Union, types.UnionType):
        return any(accepts(part, value) for part in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is str or hint is bool:
        return isinstance(value, hint)
    if hint is None or hint is type(None):
        return value is None
    return not (_is_own(hint) and _is_scalar(value))


def hint_in_words(hint: object) -> str:
    """An annotation in words: "a number from 0 to 1 or None"."""
    origin = get_origin(hint)
    if origin is Annotated:
        base, *limits = get_args(hint)
        limit = next((m for m in limits if isinstance(m, Range)), None)
        return limit.in_words(hint_in_words(base)) if limit else hint_in_words(base)
    if origin is Literal:
        *others, last = map(repr, get_args(hint))
        return f"{', '.join(others)} or {last}" if others else last
    if origin in (Union, types.UnionType):
        return " or ".join(map(hint_in_words, get_args(hint)))
    words: dict[object, str] = {float: "a number", int: "a whole number", str: "text in quotes", bool: "True or False", type(None): "None"}
    return words.get(hint, f"a {getattr(hint, '__name__', hint)}, which no spec can write")


def pixel_slip(name: str, value: float) -> str:
    """What is wrong with a value that is no length in [0, 1] pixel units; a whole number is taken for a slip of 8 for 8/255."""
    if 0 < value < math.inf:
        return (
            f"{name}={value!r} can be read as {value:g}/255 = {value / 255:.4f} of the pixel range (write {name}={value:g}/255), "
            f"as {value:g} % (write {name}={value / 100:g}), or as {value:g} times the whole range [0, 1] "
            f"(write {name}=1.0 for an attack without a bound)"
        )
    return f"{name}={value!r} must be from 0 to 1, in [0, 1] pixel units: write {name}=8/255"


def shorten(text: str, width: int = 80) -> str:
    """Text for a message: its beginning and its length where it is long.

    >>> shorten("a" * 1000, 20)
    'aaaaaaaa... (1,000 characters)'
    """
    return text if len(text) <= width else f"{text[: max(8, width - 24)]}... ({len(text):,} characters)"


def _complaint(name: str, value: object, hint: object, default: object) -> str:
    pixels = _pixels(hint)
    if pixels and pixels.is_pixel_value and isinstance(value, int | float) and not isinstance(value, bool):
        return pixel_slip(name, value)
    wanted = f"{name}={shorten(_written(value, in_pixels=bool(pixels)))} must be {hint_in_words(hint)}"
    if isinstance(value, str) and _is_number(value) and not accepts(hint, "text"):
        return f"{wanted}: write {name}={value.strip()} without quotes"
    if isinstance(value, float) and value.is_integer() and accepts(hint, int(value)):
        return f"{wanted}: write {name}={int(value)}"
    return wanted if default is inspect.Parameter.empty else f"{wanted}; leave it out for {_written(default, in_pixels=bool(pixels))}"


def _pixels(hint: object) -> Range | None:
    """The range of an annotation in pixel units."""
    if get_origin(hint) is Annotated:
        return next((m for m in get_args(hint)[1:] if isinstance(m, Range) and m.pixels), None)
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    return next(filter(None, map(_pixels, parts)), None)


def _written(value: object, *, in_pixels: bool = False) -> str:
    """A value as a spec writes it; lengths of pixels as fractions of 255 where they are that."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 1000:
        return f"a whole number of {value.bit_length():,} bits"
    if in_pixels and isinstance(value, float) and (value * 255 * 2).is_integer():
        return f"{value * 255:g}/255"
    return repr(value)


def _is_number(text: str) -> bool:
    parts = text.split("/")
    try:
        return len(parts) <= 2 and all(math.isfinite(float(part)) for part in parts)
    except ValueError:
        return False


def _same(value: object, other: object) -> bool:
    return type(value) is type(other) and value == other if _is_scalar(value) else value is other


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _is_own(hint: object) -> bool:
    """A class of this package: what the runner passes, and a spec cannot write."""
    return isinstance(hint, type) and hint.__module__.partition(".")[0] == "robustbench_cv"
