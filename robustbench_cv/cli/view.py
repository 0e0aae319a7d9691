"""view: the report of a run in a browser, from a server that only this machine reaches."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import OTHER, option, titled_command
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv view runs/quick", "the report, or while the run goes on how far it is"),
    ("robustbench-cv view runs/quick --no-browser --port 8000", "on a machine without a screen, behind ssh -L 8000:localhost:8000"),
]


@titled_command("view", examples=EXAMPLES)
@click.argument("folder", type=options.FOLDER)
@option("--port", title=OTHER, type=options.whole(0, 65535), metavar="N", default=0, help="0: any that is free.")
@option("--no-browser", title=OTHER, is_flag=True, help="Only print the address.")
@options.plugin
def command(folder: Path, port: int, no_browser: bool) -> None:
    """Serve the run in FOLDER on localhost and open its report; Ctrl-C ends it. Other folders are not served, nor other machines."""
    from robustbench_cv.rendering.local_server import serve

    with serve(folder, port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        say(f"{folder} at {address} (Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("ended")
