"""The server of `view`: a run's folder, nothing else, to this machine alone."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from robustbench_cv.errors import UserError
from robustbench_cv.rendering.local_server import serve
from robustbench_cv.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "run"
    (folder / "report" / "tables").mkdir(parents=True)
    (folder / "report" / "tables" / "a b.tex").write_text("table")
    (folder / "run.json").write_text(json.dumps({"suite": "<mine>", "cells": [{"key": "a", "n": 3}, {"key": "b", "n": 5}]}))
    (folder / "out").symlink_to(tmp_path)
    return folder


@pytest.fixture
def port(run: Path) -> Iterator[int]:
    with serve(run) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port: int, path: str, method: str = "GET", host: str = "") -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace"), dict(answer.getheaders())


def test_files_of_the_run_are_served(port: int) -> None:
    assert ask(port, "/report/tables/a%20b.tex")[:2] == (200, "table")
    assert ask(port, "/report/tables/a%20b.tex", host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/report/../../secret.txt",
        "/..%2fsecret.txt",
        "/out/secret.txt",
        "/out/",
        "//etc/passwd",
        "/report/",
        "/%00",
    ],
)
def test_nothing_else_is(path: str, port: int) -> None:
    status, body, _ = ask(port, path)
    assert status in (301, 400, 404)
    assert "secret" not in body
    assert "root:" not in body
    assert ask(port, path, "HEAD")[0] == status


def test_other_names_of_this_machine_and_other_methods_are_refused(port: int) -> None:
    assert ask(port, "/report/tables/a%20b.tex", host="evil.example")[0] == 403
    assert ask(port, "/", host="evil.example:80")[0] == 403
    assert ask(port, "/", "POST")[0] == 501


def test_home_says_how_far_the_run_is_and_then_leads_to_the_report(port: int, run: Path) -> None:
    status, body, headers = ask(port, "/")
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert "&lt;mine&gt;: 0 of 8 samples" in body
    assert 'http-equiv="refresh"' in body
    timing = RunFolder(run).timing("b")
    timing.parent.mkdir(parents=True, exist_ok=True)
    timing.touch()
    assert "5 of 8 samples" in ask(port, "/")[1]
    (run / "report" / "index.html").write_text("<p>done")
    status, _, headers = ask(port, "/")
    assert (status, headers["Location"]) == (302, "/report/index.html")
    assert ask(port, headers["Location"])[1] == "<p>done"


def test_what_is_no_run_and_a_port_that_is_taken_are_named(port: int, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run folder"):
        serve(tmp_path / "gone")
    with pytest.raises(UserError, match=f"port {port} cannot be had"):
        serve(run, port)
