"""Published weights that are not on this machine: found in the cache, or named in an error that says what to put where."""

from __future__ import annotations

import os
import socket
import urllib.request
from urllib.parse import urlsplit

from robustbench_cv.errors import UserError


def reachable(url: str, seconds: float = 3.0) -> bool:
    """Whether a host answers at all, in a few seconds. True behind a proxy, which a socket cannot tell."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    if urllib.request.getproxies():
        return True
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 443), timeout=seconds).close()
    except OSError:
        return False
    return True


def missing_weights(model: str, url: str, folder: str, reason: str) -> UserError:
    """The error for weights that can neither be found nor downloaded."""
    return UserError(
        f"{model}: its weights are not on this machine and cannot be downloaded ({reason}). Where there is a network, get {url} "
        f"and put it in {folder}; or give your own file with checkpoint='FILE'"
    )
