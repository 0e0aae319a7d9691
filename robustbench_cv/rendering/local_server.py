"""A run folder over HTTP on this machine alone: the report once it is there, and until then how far the run is.

Nothing outside the folder is served, not through "..", nor through a link; folders are not listed; and a page of another site that lets a
name of its own point here is refused, since its Host is not this one.
"""

from __future__ import annotations

import html
import json
import sys
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from robustbench_cv.errors import UserError
from robustbench_cv.run_folder import RunFolder

REFRESH_SECONDS = 5
HOSTS = ("127.0.0.1", "localhost")


def serve(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server on localhost, which serves when told to. UserError where there is no run, or the port is taken."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no run folder; robustbench-cv run SUITE --out {folder} makes one")
    try:
        return _Server(("127.0.0.1", port), partial(_Handler, directory=str(folder.resolve())))
    except OSError as error:
        raise UserError(f"port {port} cannot be had ({error.strerror}); leave --port out for any that is free") from error


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # A reader who leaves before a page is whole is no fault.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self._is_refused():
            return
        if self._path() == "/":
            self._send_home(body=True)
            return
        super().do_GET()

    def do_HEAD(self) -> None:
        if self._is_refused():
            return
        if self._path() == "/":
            self._send_home(body=False)
            return
        super().do_HEAD()

    def list_directory(self, path: Any) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        # A report that is written again must show at a reload.
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line a request is of no use to whoever reads a report."""

    def _path(self) -> str:
        return unquote(urlsplit(self.path).path)

    def _is_refused(self) -> bool:
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in HOSTS:
            self.send_error(HTTPStatus.FORBIDDEN, "this server answers to localhost alone")
            return True
        root = Path(self.directory).resolve()
        if "\0" in self._path() or not Path(self.translate_path(self.path)).resolve().is_relative_to(root):
            self.send_error(HTTPStatus.NOT_FOUND)
            return True
        return False

    def _send_home(self, *, body: bool) -> None:
        files = RunFolder(Path(self.directory))
        if files.report_page.exists():
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", f"/{files.report_page.relative_to(files.root).as_posix()}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        page = progress_page(files).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if body:
            self.wfile.write(page)


def progress_page(files: RunFolder) -> str:
    """How far a run is that has no report yet: a page that loads itself again."""
    try:
        run = json.loads(files.run_info.read_text("utf-8"))
        cells = run["cells"]
        done = sum(cell["n"] for cell in cells if files.timing(cell["key"]).exists())
        said, total = f"{run['suite']}: {done:,} of {sum(c['n'] for c in cells):,} samples", sum(c["n"] for c in cells)
    except (OSError, ValueError, KeyError, TypeError):
        done, total, said = 0, 1, "The run has not begun to compute yet."
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
        '<meta name="viewport" content="width=device-width"><title>A run that goes on</title>'
        "<style>body{font:1.1rem/1.5 system-ui,sans-serif;margin:20vh auto;max-width:32rem;padding:0 1rem;color-scheme:light dark}"
        "progress{width:100%;height:1.2rem}</style>"
        f'<p>{html.escape(said)}</p><progress max="{total}" value="{done}"></progress>'
        "<p>The report opens here once it is written.</p></html>"
    )
