"""show: the documentation of one thing, or the first pictures of a data set."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.catalogue import DATASETS, REGISTRIES
from robustbench_cv.cli import completion_values, options
from robustbench_cv.cli.help_groups import WRITES, option, titled_command
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv show attack pgd", "arguments, paper and facts of an attack"),
    ('robustbench-cv show data "scenes(samples=16)" --out sheet.png', "the first pictures of a data set, with what is in them"),
]


@titled_command("show", examples=EXAMPLES)
@click.argument("kind", shell_complete=completion_values.kinds)
@click.argument("name", shell_complete=completion_values.name_of_kind)
@option("--out", title=WRITES, type=options.FILE, metavar="FILE.png", help="For data: the picture to write; NAME.png unless given.")
@options.plugin
def command(kind: str, name: str, out: Path | None) -> None:
    """What KIND NAME is: its documentation, or for `data` a contact sheet of its first pictures."""
    if kind == "data":
        _show_data(name, out)
        return
    registry = REGISTRIES.get(kind if kind.endswith("s") else kind + "s")
    if registry is None:
        raise click.BadParameter(f"{kind!r} is none of data, {', '.join(k[:-1] for k in sorted(REGISTRIES))}", param_hint="KIND")
    from robustbench_cv.documentation import as_text, document

    say(as_text(document(registry, name)))


def _show_data(spec: str, out: Path | None) -> None:
    from robustbench_cv.registry import Spec

    DATASETS.check(spec)
    path = out or Path(f"{Spec.parse(spec).name}.png")
    say(f"writes {path}")

    from robustbench_cv.data.contact_sheet import contact_sheet

    contact_sheet(DATASETS.build(spec)).save(path)
