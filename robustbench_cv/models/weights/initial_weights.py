"""Where a network of ours starts from: a bundled tag, a weights file, or random numbers; and what that says about classes and input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from robustbench_cv.bundled_weights import FOLDER, bundled_tags, cached_weights, lacking
from robustbench_cv.errors import UserError
from robustbench_cv.models.checkpoint import LOG, State, load_into, read_state
from robustbench_cv.models.weights.description import Description, read_description
from robustbench_cv.models.weights.dry_build import require_buildable
from robustbench_cv.types import Labels

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """A network's classes and preprocessing, with the tensors to fill it with (None: random numbers, the same every time).

    name: the architecture with the tag or the file that the tensors come from.
    """

    name: str
    architecture: str
    classes: Labels
    input_size: tuple[int, int] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    arguments: Mapping[str, int]
    state: State | None = None
    path: Path | None = None
    described: bool = False

    def make(self, build: Callable[[], N]) -> N:
        """The network, with every one of this start's tensors loaded. UserError where they do not fit."""
        if self.described and self.state is not None and self.path is not None and self.path.parent != FOLDER:
            said = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
            require_buildable(build, self.state.tensors, f"{self.path} says that its network is {self.architecture}({said})")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = build()
        if self.state is not None:
            notes = self.state.notes + load_into(network, self.state.tensors, f"{self.architecture}, {self.path}")
            for note in () if self.described else notes:
                LOG.warning("%s: %s", self.path, note)
        return network


def initial_weights(
    architecture: str,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    num_classes: int = 0,
    input_size: int | str = "",
    *,
    default: Description,
    **arguments: int,
) -> InitialWeights:
    """Join what a file says with what the user says; the user's classes and input size win, the rest must agree.

    default: what holds where there is no file, or one that does not describe itself. arguments: the architecture's own; 0 = not said.
    Tensors named "mean" and "std" in a file from elsewhere become the normalisation.
    """
    path = weights_file(architecture, weights, checkpoint)
    state = None if path is None else read_state(path)
    description = None if path is None else read_description(path)
    said = description or _defaults(default, num_classes, {} if state is None else state.tensors)
    if said.architecture != architecture:
        hint = f"use {said.architecture}(checkpoint={str(path)!r})"
        raise UserError(f"{path} holds weights of {said.architecture}, not of {architecture}: {hint}")
    own = set(default.arguments) | set(arguments)
    unknown = sorted(set(said.arguments) - own)
    if unknown:
        known = ", ".join(sorted(own)) or "no arguments"
        raise UserError(f"{path} says {unknown[0]}={said.arguments[unknown[0]]}, which {architecture} does not have; it has {known}")
    return InitialWeights(
        name=f"{architecture}.{weights}" if weights else f"{architecture} ({path.stem})" if path else architecture,
        architecture=architecture,
        classes=_labels(classes, said.classes),
        input_size=parse_size(input_size) or said.input_size,
        mean=said.mean,
        std=said.std,
        arguments=dict(said.arguments) | _agreed_arguments(description, arguments, path),
        state=state and State({k: v for k, v in state.tensors.items() if k not in ("mean", "std")}, state.notes),
        path=path,
        described=description is not None,
    )


def parse_size(text: int | str | None) -> tuple[int, int] | None:
    """(height, width) from 48 or "160x120" (width x height); None from nothing. UserError where it is neither.

    >>> parse_size("160x120")
    (120, 160)
    """
    if text in ("", 0, None):
        return None
    width, cross, height = str(text).partition("x")
    sides = (height if cross else width, width)
    if not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise UserError(f"{text!r} is not a size; write a side in pixels (48) or width x height ('160x120')")
    return int(sides[0]), int(sides[1])


def weights_file(architecture: str, weights: str, checkpoint: str) -> Path | None:
    """The file that a tag or a path means; None where the weights shall be random. UserError for a tag that there is not."""
    if weights and checkpoint:
        raise UserError(f"weights={weights!r} and checkpoint={checkpoint!r} exclude each other; give one")
    if checkpoint:
        return Path(checkpoint).expanduser()
    if not weights:
        return None
    trained = cached_weights(architecture, weights)
    tags = bundled_tags(architecture)
    if weights not in tags and trained.is_file():
        return trained
    if weights not in tags:
        raise UserError(lacking(architecture, weights))
    return FOLDER / f"{architecture}.{weights}.safetensors"


def _defaults(default: Description, num_classes: int, state: Mapping[str, Tensor]) -> Description:
    names = Labels.numbered(num_classes).names if num_classes else default.classes
    mean, std = (tuple(state[key].flatten().tolist()) if key in state else None for key in ("mean", "std"))
    return Description(
        architecture=default.architecture,
        classes=names,
        input_size=default.input_size,
        mean=mean or default.mean,
        std=std or default.std,
        arguments=default.arguments,
    )


def _labels(names: str, said: tuple[str, ...]) -> Labels:
    given = tuple(name.strip() for name in names.split(",")) if names else said
    if Labels(said).are_numbered or len(given) == len(said):
        return Labels(given)
    raise UserError(f"{len(given)} class names {given} for weights of {len(said)} classes {said}; name each, in the weights' order")


def _agreed_arguments(found: Description | None, given: Mapping[str, int], path: Path | None) -> dict[str, int]:
    """What the user gave, where the file does not say otherwise."""
    chosen = {name: value for name, value in given.items() if value}
    for name, value in chosen.items():
        if found is not None and found.arguments.get(name, value) != value:
            raise UserError(f"{path} was written with {name}={found.arguments[name]}, not {value}; leave {name} out")
    return chosen
