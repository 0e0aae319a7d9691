"""The exceptions this package raises on purpose.

::

    RobustBenchError
    ├── UserError          something the user can fix; the message says how
    │   ├── BadSample      one sample's file or annotation is unusable; --skip-bad records it and goes on
    │   ├── Damaged        a file of a run cannot be read; a run takes it as missing, and makes it again
    │   └── WrittenByNewer a file of a run is of a form that only a later version knows; nothing touches it
    ├── ForeignError       code that is not this package's failed; the message says whose, the cause is kept
    └── NotApplicable      this sample, model or metric cannot serve here; recorded with its reason, never scored
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RobustBenchError(Exception):
    """Base of every exception that this package raises on purpose."""


class UserError(RobustBenchError):
    """Something the user can fix: the message names the value, the rule and the way out."""


class BadSample(UserError):
    """One sample cannot be read: the message names the file and the entry."""


class Damaged(UserError):
    """A file that a run left cannot be read as what it should be: the message names it and the way out."""


class WrittenByNewer(UserError):
    """A file of a run folder has a form that only a later version of this package knows: it is neither read nor written over."""


class ForeignError(RobustBenchError):
    """Code that is not this package's failed: a user's model, factory or plug-in, or another library's.

    The message says whose code it was and what it raised; `__cause__` is the exception itself.
    """


class NotApplicable(RobustBenchError):
    """A sample (or model, or metric) that an operation cannot serve, with the reason. Never a score.

    code: what kind of reason it is, for whoever acts on it ("no-gradient", "not-finite"); empty where nobody does.
    """

    def __init__(self, reason: str, code: str = "") -> None:
        super().__init__(reason)
        self.code = code


@contextmanager
def foreign(whose: str, path: Path | None = None) -> Iterator[None]:
    """Run code that is not this package's: what it raises becomes a ForeignError, and so does its `sys.exit()`, whatever the exit code.

    This package's own exceptions and KeyboardInterrupt pass. whose: the code, as the message begins ("mine.py, function build"). path: the
    file whose last line on the way to the fault the message names.

    >>> with foreign("mine.py, function build"):
    ...     raise SystemExit(0)
    Traceback (most recent call last):
    robustbench_cv.errors.ForeignError: mine.py, function build: ended the program: sys.exit(0)
    """
    try:
        yield
    except RobustBenchError:
        raise
    except (Exception, SystemExit) as error:
        line = next((f.lineno for f in reversed(traceback.extract_tb(error.__traceback__)) if path and _same(f.filename, path)), None)
        raise ForeignError(f"{whose}{f', line {line}' if line else ''}: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """An exception in one line: its type and message.

    >>> describe(KeyError("eps"))
    "KeyError: 'eps'"
    """
    if isinstance(error, SystemExit):
        return f"ended the program: sys.exit({error.code if error.code is not None else ''})"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _same(name: str, path: Path) -> bool:
    return Path(name).name == path.name and Path(name).resolve() == path.resolve()
