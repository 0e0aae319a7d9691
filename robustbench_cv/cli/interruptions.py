"""What asks a command to end: a key (Ctrl-C), a scheduler or a container that is stopped (SIGTERM), a terminal that closes (SIGHUP)."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_ASKED = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal that is heeded as Ctrl-C is: what is half done is dropped on the way out. Its text is the signal's name."""


def heed_signals() -> None:
    """End as by Ctrl-C where a signal would end the process without a word; one that somebody ignores (nohup) or heeds is left to them."""
    if threading.current_thread() is threading.main_thread():
        for number in _ASKED:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _raise)


def ignore_signals() -> None:
    """A second one while the command is ending would only cut its last words short."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, *_ASKED):
            if signal.getsignal(number) in (_raise, signal.default_int_handler):
                signal.signal(number, signal.SIG_IGN)


def _raise(number: int, _: FrameType | None) -> None:
    raise Interrupted(signal.Signals(number).name)
