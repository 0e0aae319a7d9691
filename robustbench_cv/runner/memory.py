"""The process's own memory: freed tensors stay with it, so that the next step of a search need not ask the system for them again."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_LARGEST = 2**30
"""Bytes; tensors above still come from the system and go back to it."""


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed, up to the most that was in use at once; whether it could be told.

    A search frees and allocates the same activations at each step. glibc gives blocks of more than 32 MiB back to the system each time,
    and every page is then cleared anew. Only glibc on Linux is asked; elsewhere nothing changes.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    tune = ctypes.CDLL(None).mallopt
    # older versions of glibc refuse more than half of a thread's heap
    kept = tune(_MMAP_THRESHOLD, _LARGEST) or tune(_MMAP_THRESHOLD, 32 * 2**20)
    return bool(kept and tune(_TRIM_THRESHOLD, 2**31 - 1))
