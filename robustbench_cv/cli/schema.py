"""schema: the JSON schema of suite files."""

from __future__ import annotations

import json

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import titled_command
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv schema > suite.schema.json", "for editors that complete and check YAML by a schema"),
    ("robustbench-cv schema | less", "every field, with what it means"),
]


@titled_command("schema", examples=EXAMPLES)
@options.plugin
def command() -> None:
    """Print the JSON schema of suite files.

    Begin a file with "# yaml-language-server: $schema=suite.schema.json", and editors with the YAML language server complete its fields.
    """
    from robustbench_cv.suite_schema import suite_schema

    say(json.dumps(suite_schema(), indent=1))
