"""The process's memory: what is freed stays with it until a model goes, and no batch is larger than the machine's memory holds."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_cv.types import Model

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_LARGEST = 2**30
"""Bytes; tensors above still come from the system and go back to it."""


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, up to the most that was in use at once; whether it could be told.

    A search frees and allocates the same activations at each step. glibc gives blocks of more than 32 MiB back to the system each time,
    and every page is then cleared anew. Only glibc on Linux is asked; elsewhere nothing changes.
    """
    if not _is_glibc():
        return False
    tune = ctypes.CDLL(None).mallopt
    # older versions of glibc refuse more than half of a thread's heap
    kept = tune(_MMAP_THRESHOLD, _LARGEST) or tune(_MMAP_THRESHOLD, 32 * 2**20)
    return bool(kept and tune(_TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> None:
    """Give what is free back to the system: when a model has gone, the next one asks for blocks of other sizes."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    return platform.system() == "Linux" and platform.libc_ver()[0] == "glibc"


def memory_of_machine() -> int:
    """Bytes of memory that this process may use: the machine's, or less where its control group says so."""
    pages: int = os.sysconf("SC_PHYS_PAGES")
    whole = pages * int(os.sysconf("SC_PAGE_SIZE"))
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return min(whole, int(text)) if text.isdecimal() else whole


def kept_for_backward(model: Model[Any], image: Tensor) -> int:
    """Bytes that the forward pass of one image (3, H, W) keeps for the backward pass: the same count each time, unlike a measurement."""
    import torch  # seconds, and the command line asks this file before it needs torch

    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        raw = model.raw(image[None].clone().requires_grad_())
        del raw
    return sum(kept.values())


def largest_batch(model: Model[Any], image: Tensor) -> int:
    """The most images whose forward and backward pass half of the machine's memory holds, at least 1.

    A kernel that runs out of memory kills a process without a word: on the CPU there is no second try with half the batch. Twice what is
    kept is counted, for the gradients beside it.
    """
    return max(1, memory_of_machine() // 2 // max(1, 2 * kept_for_backward(model, image)))
