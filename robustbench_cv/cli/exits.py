"""What ends a command early: a sentence for people on stderr, and the exit code that says of what kind it was."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback

import click

from robustbench_cv.cli.help_groups import debug_asked
from robustbench_cv.errors import ForeignError, RobustBenchError, describe
from robustbench_cv.foreign_errors import is_ours, locate, ran_out_of_memory
from robustbench_cv.terminal import elide, say

USAGE, MACHINE, FOREIGN, BUG = 2, 5, 6, 7
"""Exit codes of what never finished; those of a finished run are in runner/run.py."""


LONGEST_MESSAGE = 4000
"""Characters (project choice): what a damaged file holds may be a name of a megabyte."""


def exit_code_of(error: BaseException, context: click.Context | None, typed: str = "") -> int:
    """Say what happened and return the exit code. The traceback is shown with --debug alone. typed: the command line."""
    if isinstance(error, click.ClickException):
        text = io.StringIO()
        error.show(text)
        say(text.getvalue().rstrip(), err=True)
        return USAGE
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has gone (list | head): nobody is left to tell, and flushing at exit would only fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return MACHINE
    code, sentence = _exit_code_and_message(error, typed, context)
    if debug_asked(context):
        say("".join(traceback.format_exception(error)), err=True)
    elif code in (FOREIGN, BUG):
        sentence += " (--debug shows the traceback)"
    say(sentence, err=True)
    return code


def _exit_code_and_message(error: BaseException, typed: str, context: click.Context | None) -> tuple[int, str]:
    if isinstance(error, KeyboardInterrupt | click.exceptions.Abort):
        by = f" ({error})" if str(error) else ""
        return MACHINE, f"interrupted{by}; what was done is kept, and the same command again goes on from here: {typed}".rstrip(": ")
    if isinstance(error, ForeignError):
        return FOREIGN, f"error: {elide(str(error), LONGEST_MESSAGE)}"
    if isinstance(error, RobustBenchError):
        return USAGE, f"error: {elide(str(error), LONGEST_MESSAGE)}"
    if ran_out_of_memory(error):
        return MACHINE, f"error: memory ran out ({describe(error)}){_less_memory(context)}"
    if isinstance(error, OSError) and is_ours(error):
        return MACHINE, f"error: {_of_the_system(error)}"
    if isinstance(error, UnicodeEncodeError) and error.encoding.startswith("utf"):
        return (
            USAGE,
            f"error: {elide(error.object, 200)!r} is no text (a file name that is not UTF-8?) and cannot be written; rename it",
        )
    where = "".join(f"{note}: " for note in getattr(error, "__notes__", ()))
    if not is_ours(error):
        return FOREIGN, f"error: {where}{locate(error)}"
    return BUG, f"error: a bug in robustbench-cv: {where}{describe(error)}; please report it with the command that you typed"


_LESS_MEMORY = {"--batch-size": "a smaller --batch-size", "--limit": "a smaller --limit", "--device": "another --device"}


def _less_memory(context: click.Context | None) -> str:
    """The options of the command that was typed that ask for less memory; all where no command is known."""
    group, name = (None, None) if context is None else (context.command, context.invoked_subcommand)
    command = group.get_command(context, name) if isinstance(group, click.Group) and context is not None and name else None
    known = {option for parameter in command.params for option in parameter.opts} if command else set(_LESS_MEMORY)
    ways = [way for option, way in _LESS_MEMORY.items() if option in known]
    return f"; use {' or '.join(ways)}" if ways else ""


def _of_the_system(error: OSError) -> str:
    """What the system refused, and for which file."""
    if error.strerror is None:
        return describe(error)
    reason = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return reason + _WAYS_OUT.get(error.errno or 0, "")


_FREE = "; free some space, and the same command goes on from here"
_ELSEWHERE = "; let this user write there, or name another place with --out"
_WAYS_OUT = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EFBIG: "; raise the limit on the size of files (ulimit -f), and the same command goes on from here",
    errno.EMFILE: "; raise the limit on open files (ulimit -n), and the same command goes on from here",
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EROFS: _ELSEWHERE,
}
"""What to do about what a system refuses, by its error number."""
