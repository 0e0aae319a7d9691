"""Calls of code that may not be this package's, while a run computes: what it raises says whose it was; lack of memory stays just that."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from robustbench_cv.errors import ForeignError, RobustBenchError, describe

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_cv.types import Dataset, Sample

T = TypeVar("T")
Work: TypeAlias = "Callable[[Tensor, list[int]], list[T]]"
"""What is done to images (N, 3, H, W) at these positions: a result of each."""

_TOOLS = ("torch", "numpy", "pandas", "PIL", "cv2", "scipy", "pyarrow", "msgspec", "safetensors", "yaml", "click", "rich")
"""Libraries that this package calls itself: what they raise is the fault of whoever called them."""


@contextmanager
def calling(whose: str, ours: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Run somebody's code: what it raises becomes a ForeignError, and so does its `sys.exit()`, whatever the exit code.

    This package's own exceptions and KeyboardInterrupt pass, and so does running out of memory, for the halving of batches to catch.
    whose: the code, and what it was called with, as the message begins. ours: asked on an error, whether this package's own code runs there
    too; what that raises is a bug and passes, with a note of where it was.
    """
    try:
        yield
    except RobustBenchError:
        raise
    except (Exception, SystemExit) as error:
        if ran_out_of_memory(error):
            raise
        if ours() and is_ours(error):
            error.add_note(whose)
            raise
        raise ForeignError(f"{whose}: {locate(error)}") from error


def read_sample(dataset: Dataset, index: int) -> Sample:
    """A sample of anyone's data. ForeignError naming the data set and the sample where reading it fails in an unforeseen way."""
    with calling(f"data {dataset.name!r}, {name_samples([dataset.ids[index]])}"):
        return dataset[index]


def one_by_one(work: Work[T], instead: Callable[[ForeignError], T] | None) -> Work[T]:
    """The same work, but a batch on which foreign code fails is done again image by image, so that the image at fault is known.

    instead: what stands for an image on which it fails alone. None: the error of the first such image is raised.
    """

    def attempt(images: Tensor, positions: list[int]) -> list[T]:
        try:
            return work(images, positions)
        except ForeignError as error:
            if len(positions) == 1:
                if instead is None:
                    raise
                return [instead(error)]
            return [one for i, position in enumerate(positions) for one in attempt(images[i : i + 1], [position])]

    return attempt


def name_samples(samples: Sequence[str]) -> str:
    """Sample ids as a message names them.

    >>> name_samples(["a", "b", "c"])
    "sample 'a' and 2 more"
    """
    return f"sample {samples[0]!r}" + (f" and {len(samples) - 1} more" if len(samples) > 1 else "")


def locate(error: BaseException) -> str:
    """An exception in one line, with file and line of the last call that neither this package nor an installed library made."""
    place = next((f"{f.f_code.co_filename}, line {line}: " for f, line in _frames(error) if _is_users(f)), "")
    return place + describe(error)


def is_ours(error: BaseException) -> bool:
    """Whether this package's code raised it, itself or by calling a library wrongly: no user's file and no other library stood between.

    What passes through the layers of a torch module is the model's, unless the file of one of our own networks raised it.
    """
    for frame, _ in _frames(error):
        module = str(frame.f_globals.get("__name__", ""))
        root = module.partition(".")[0]
        if root == "torch" and _is_layer_call(frame.f_code, module):
            return False
        if root not in _TOOLS and root not in sys.stdlib_module_names:
            return root == "robustbench_cv"
    return True


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, numpy or torch means that memory ran out, on any device. Imports no torch."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    text = str(error) if isinstance(error, RuntimeError) else ""
    return "not enough memory" in text or "can't allocate memory" in text


def _frames(error: BaseException) -> list[tuple[FrameType, int]]:
    """The calls that led to an error with the line that each was at, the innermost first."""
    return list(traceback.walk_tb(error.__traceback__))[::-1]


def _is_layer_call(code: CodeType, module: str) -> bool:
    return module == "torch.nn.modules.module" and code.co_name == "_call_impl"


def _is_users(frame: FrameType) -> bool:
    """Whether a file runs that was neither installed nor is part of this package."""
    root = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    if root in ("robustbench_cv", *_TOOLS) or root in sys.stdlib_module_names - {"__main__"}:
        return False
    path = frame.f_code.co_filename
    return not path.startswith("<") and "site-packages" not in path and "dist-packages" not in path
