"""The command line: one file a command, which parses, calls the API and prints. Torch is imported only by commands that compute.

Exit codes: 0 pass, 1 a gate failed, 2 wrong usage, 3 inconclusive, 4 a check said stop, 5 the machine failed (memory, disk) or
somebody interrupted (Ctrl-C, SIGTERM, SIGHUP), 6 code that is not ours failed (a model, a factory, a plug-in, another library), 7 a bug of
this package. Nothing but a finished run ends with 0, 1, 3 or 4.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from robustbench_cv import __version__, terminal
from robustbench_cv.cli import (
    baseline,
    bench,
    cite,
    compare,
    completion,
    doctor,
    explain,
    finetune,
    init,
    leaderboard,
    listing,
    plan,
    profile,
    render,
    report,
    run,
    schema,
    score,
    show,
    speed,
    train,
    validate,
    view,
)
from robustbench_cv.cli.exits import exit_code_of
from robustbench_cv.cli.interruptions import heed_signals, ignore_signals
from robustbench_cv.runner import supervisor_messages
from robustbench_cv.runner.memory import keep_freed_memory

PROGRAM = "robustbench-cv"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """The robustness benchmark for computer vision whose numbers defend themselves.

    robustbench-cv COMMAND --help shows a command's options, with examples.
    """


for _command in (
    init.command,
    run.command,
    view.command,
    validate.command,
    schema.command,
    compare.command,
    baseline.command,
    plan.command,
    score.command,
    render.command,
    doctor.command,
    explain.command,
    report.command,
    cite.command,
    leaderboard.command,
    listing.command,
    show.command,
    train.command,
    finetune.command,
    profile.command,
    speed.command,
    bench.command,
    completion.command,
):
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: errors for people on stderr, an exit code from the table above."""
    # Before torch loads: threads that wait by spinning make a shared core several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()
    terminal.prepare()
    heed_signals()
    supervisor_messages.begin()
    if completion.VARIABLE in os.environ:
        sys.exit(shell_complete(cli, {}, PROGRAM, completion.VARIABLE, os.environ[completion.VARIABLE]))
    code = _run(sys.argv[1:] if arguments is None else list(arguments))
    supervisor_messages.say_exit(code)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    context = None
    try:
        with cli.make_context(PROGRAM, list(arguments), obj=tuple(arguments)) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            ignore_signals()
        return exit_code_of(error, context, shlex.join([PROGRAM, *arguments]))
    return code if isinstance(code, int) else 0
