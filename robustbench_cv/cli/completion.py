"""completion: the script that lets a shell complete commands, options and registered names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import titled_command
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv completion bash >> ~/.bashrc", "in every new bash"),
    ("robustbench-cv completion fish > ~/.config/fish/completions/robustbench-cv.fish", "in every new fish"),
]
VARIABLE = "_ROBUSTBENCH_CV_COMPLETE"


@titled_command("completion", examples=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@options.plugin
def command(shell: str) -> None:
    """Print a script for SHELL that completes commands, options, and names of suites, models, data, attacks and edits."""
    context = click.get_current_context().find_root()
    made = get_completion_class(shell)
    assert made is not None
    say(made(context.command, {}, "robustbench-cv", VARIABLE).source())
