"""A state dict into a module: names matched strictly, with what wrappers and training scripts add taken off and said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError

PREFIXES = ("", "_orig_mod.", "module.", "model.", "net.", "network.", "backbone.", "encoder.")
"""What wrappers put before every name (torch.compile, DataParallel, training frameworks): of several that fit, the first is taken."""

COUNTER = "num_batches_tracked"

AVERAGED = frozenset({"ema", "averaged", "average", "avg", "swa", "teacher"})
"""Words in the name of a second copy of the weights, averaged over the training."""

TRAINING = frozenset(
    {"criterion", "criteria", "loss", "losses", "metric", "metrics", "acc", "accuracy", "auroc", "f1", "iou", "miou", "confmat"}
    | {"precision", "recall"}
)
"""Words in the name of what a training framework stores beside the network: losses with weights of their own, and metrics."""


class Fit(NamedTuple):
    """The tensors of a module's own names, what is missing and unexpected among them, and notes on what was left."""

    tensors: dict[str, Tensor]
    missing: list[str]
    unexpected: list[str]
    notes: list[str]


def load_into(module: nn.Module, state: Mapping[str, Tensor], where: str) -> tuple[str, ...]:
    """Load every tensor into its namesake; notes on what was renamed, left or cast. UserError, and an untouched module, on a mismatch.

    A prefix under which the file has every name of the module is taken off, and what lies outside it is left. Else only what a
    prediction never asks may be missing or spare: BatchNorm's batch counters, auxiliary heads, losses, metrics, a second copy of the
    network. Half-precision values are cast to the module's type; complex, sparse, quantised and integer ones are refused.
    """
    wanted = _shapes(module, where)
    fit = _fit(dict(state), wanted, where)
    misshapen = [
        f"{name} {tuple(tensor.shape)} for {tuple(wanted[name].shape)}"
        for name, tensor in fit.tensors.items()
        if tensor.shape != wanted[name].shape
    ]
    if fit.missing or fit.unexpected or misshapen:
        raise UserError(_mismatch(where, len(wanted), fit.missing, fit.unexpected, misshapen))
    for name, tensor in fit.tensors.items():
        _require_numbers(tensor, wanted[name], name, where)
    cast = sorted({str(v.dtype).removeprefix("torch.") for k, v in fit.tensors.items() if v.dtype != wanted[k].dtype})
    notes = [*fit.notes, *([f"cast {' and '.join(cast)} values to the module's own type"] if cast else [])]
    module.load_state_dict({**wanted, **fit.tensors})
    return tuple(notes)


def words(name: str) -> set[str]:
    """The words of a name, as training scripts write them.

    >>> sorted(words("state_dict_ema")), sorted(words("valAcc.confmat"))
    (['dict', 'ema', 'state'], ['acc', 'confmat', 'val'])
    """
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+\d*|[A-Z]+|\d+", name)}


def some(names: Iterable[str], count: int = 3) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def _shapes(module: nn.Module, where: str) -> dict[str, Tensor]:
    """The module's own state. UserError for layers that do not know their shape yet."""
    wanted = module.state_dict()
    lazy = [name for name, tensor in wanted.items() if nn.parameter.is_lazy(tensor)]
    if lazy:
        raise UserError(f"{where}: {lazy_layers(lazy)}")
    return wanted


def lazy_layers(names: list[str]) -> str:
    """What to do about lazy layers, whose tensors are named."""
    return (
        f"the network has lazy layers that do not know their shape yet ({some(names)}); call it on an image once where it is built: "
        "network(torch.zeros(1, 3, height, width))"
    )


def _fit(state: dict[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> Fit:
    required = {name for name in wanted if not name.endswith(COUNTER)}
    whole_copies = _whole_copies(state, wanted, required)
    prefix = _choose_copy(whole_copies, where) if whole_copies else _likeliest_prefix(state, required)
    inside = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    notes = [f"took the prefix {prefix!r} off the names"] if prefix else []
    outside = [name for name in state if not name.startswith(prefix)]
    copies = [other for other in whole_copies if other != prefix and other.startswith(prefix)]
    spare = [name for name in inside if name not in wanted and not name.endswith(COUNTER)]
    left = [name for name in spare if _is_beside_the_network(name) or any((prefix + name).startswith(copy) for copy in copies)]
    if outside or left:
        hint = "".join(f"; key={other.rstrip('.')!r} takes that copy" for other in whole_copies if other != prefix)
        parts = Counter(name.split(".")[0] for name in (*outside, *left))
        named = some([part if count == 1 else f"{part} ({count} tensors)" for part, count in parts.items()])
        notes.append(f"left {named}, which the network does not have{hint}")
    return Fit(
        tensors={name: tensor for name, tensor in inside.items() if name in wanted},
        missing=[name for name in wanted if name in required and name not in inside],
        unexpected=[name for name in spare if name not in left],
        notes=notes,
    )


def _whole_copies(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], required: set[str]) -> list[str]:
    """Prefixes under which the file has every name of the module in its shape, in the file's order."""
    counts = _coverage(state, required, lambda name, own: state[name].shape == wanted[own].shape)
    return [prefix for prefix, count in counts.items() if count == len(required)]


def _likeliest_prefix(state: Mapping[str, Tensor], required: set[str]) -> str:
    """The known prefix under which the file has most of the module's names, where it has all of them behind none."""
    counts = _coverage(state, required, lambda name, own: True)
    known = {prefix: count for prefix, count in counts.items() if _is_known(prefix)}
    return max(known, key=lambda prefix: (known[prefix], -len(prefix)), default="")


def _is_known(prefix: str) -> bool:
    return all(part + "." in PREFIXES for part in prefix.split(".")[:-1])


def _coverage(state: Mapping[str, Tensor], required: set[str], fits: Callable[[str, str], bool]) -> Counter[str]:
    """How many of the module's names the file has behind each prefix."""
    counts: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        for cut in range(len(parts)):
            own = ".".join(parts[cut:])
            if own in required and fits(name, own):
                counts[name[: len(name) - len(own)]] += 1
    return counts


def _choose_copy(whole_copies: list[str], where: str) -> str:
    """Of several whole copies of the network the plain one. UserError where nothing says which that is."""
    plain = [prefix for prefix in whole_copies if not words(prefix) & AVERAGED] or whole_copies
    known = sorted(filter(_is_known, plain), key=lambda prefix: PREFIXES.index(prefix[: prefix.find(".") + 1]))
    if known or len(plain) == 1:
        return (known or plain)[0]
    keys = " or ".join(f"key={prefix.rstrip('.')!r}" for prefix in plain)
    raise UserError(f"{where}: the file holds {len(plain)} networks that fit; choose one with {keys}")


def _is_beside_the_network(name: str) -> bool:
    """Whether a name that the module does not have is of something that a prediction never asks."""
    first = name.split(".")[0]
    return first.lower().startswith("aux") or first == "n_averaged" or bool(words(first) & (TRAINING | AVERAGED))


def _require_numbers(tensor: Tensor, own: Tensor, name: str, where: str) -> None:
    """UserError for a tensor whose numbers a parameter of the module's type cannot hold."""
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_quantized:
        fault = f"quantised ({kind})"
    elif tensor.layout != torch.strided:
        fault = f"sparse ({str(tensor.layout).removeprefix('torch.')})"
    elif tensor.is_meta:
        fault = "without numbers (of the meta device)"
    elif tensor.is_complex() and not own.is_complex():
        fault = f"complex ({kind})"
    elif own.is_floating_point() and not tensor.is_floating_point() and not tensor.is_complex():
        fault = f"of integers ({kind}), where the network has {str(own.dtype).removeprefix('torch.')}"
    else:
        return
    raise UserError(f"{where}: the tensor {name!r} is {fault}; save the state dict of the dense network in floating point, from the CPU")


def _mismatch(where: str, total: int, missing: list[str], unexpected: list[str], misshapen: list[str]) -> str:
    parts = [
        f"{len(names)} {what} ({some(names)})"
        for names, what in ((missing, "missing"), (unexpected, "unexpected"), (misshapen, "of another shape"))
        if names
    ]
    text = f"{where}: the checkpoint does not fit the module's {total} tensors: {'; '.join(parts)}"
    prefix = _offset(missing, unexpected)
    if prefix:
        return f"{text}. {prefix}"
    if misshapen and not missing and not unexpected:
        return (
            f"{text}. The same architecture with another number of classes, or for another size? Give num_classes=, classes= or input_size="
        )
    return f"{text}. Is it a checkpoint of this architecture?"


def _offset(missing: list[str], unexpected: list[str]) -> str:
    for short, long, whose in ((missing, unexpected, "the file's"), (unexpected, missing, "the module's")):
        for name in long:
            base = next((key for key in short if name.endswith("." + key)), None)
            if base is not None:
                return f"Most likely {whose} names have {name.removesuffix(base)!r} in front: {name!r} against {base!r}"
    return ""
