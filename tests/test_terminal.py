"""What reaches a terminal: names of others are shown, never obeyed, and never end a run."""

import io
import logging
import subprocess
import sys

import pytest
from rich.console import Console

from robustbench_cv.runner import progress_bar
from robustbench_cv.terminal import elide, one_line, plain, say

HOSTILE = {
    "escape sequence": ("car\x1b[31m\x1b[2J", r"car\x1b[31m\x1b[2J"),
    "eight-bit control": ("car\x9b2J", r"car\x9b2J"),
    "carriage return": ("pass\rstop", r"pass\rstop"),
    "bell and backspace": ("a\a\b", r"a\x07\x08"),
    "right-to-left override": ("gnp\u202egpj.exe", r"gnp\u202egpj.exe"),
    "isolate": ("\u2066x\u2069", r"\u2066x\u2069"),
    "line separator": ("a\u2028b", r"a\u2028b"),
    "lone surrogate": ("caf\udce9", r"caf\udce9"),
    "zero-width space": ("ca\u200br", r"ca\u200br"),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_what_a_terminal_would_obey_is_shown(text: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert plain(text) == one_line(text) == shown
    say(text)
    say(text, err=True)
    assert capsys.readouterr() == (f"{shown}\n", f"{shown}\n")


@pytest.mark.parametrize("text", ["車 🚗 é — ½", "می\u200cخواهم", "👩\u200d🚒", "[bold]x[/bold]", r"C:\new", "a\nb\tc"])
def test_what_only_looks_foreign_stays(text: str) -> None:
    assert plain(text) == text


def test_one_line_stays_one() -> None:
    assert one_line("dog\npass: no check objects") == r"dog\npass: no check objects"


def test_long_texts_keep_both_ends() -> None:
    assert elide("short", 10) == "short"
    long = elide("resnet50 · " + "x" * 500 + " · pgd 8/255", 48)
    assert len(long) == 48
    assert long.startswith("resnet50 · xxx")
    assert long.endswith("pgd 8/255")


@pytest.mark.parametrize("name", ["[/bold]", "[red", "[link=x]y[/]", "a\x1b[2Jb", "n\nm", "\udcff", "w" * 5000])
def test_a_bar_shows_any_name_on_its_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr("rich.console.Console", lambda **_: Console(file=stream, width=120, force_terminal=False))
    with progress_bar.Bar(3) as bar:
        bar.describe(f"{name} · clean")
        bar.advance(3)
    stream.seek(0)
    line = stream.read().strip("\n")
    assert "\n" not in line
    assert "\x1b" not in line
    assert line.startswith(one_line(name)[:20])
    assert "· clean" in line
    assert "3/3" in line


def test_a_terminal_that_cannot_write_a_letter_shows_it_escaped() -> None:
    code = (
        "import logging\nfrom robustbench_cv import terminal\nterminal.prepare()\n"
        "terminal.say('車 \\udce9 \\x1b[2J')\nlogging.getLogger('x').warning('file %s', 'a\\x1b[2J車')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env={"PYTHONIOENCODING": "ascii", "PATH": ""}, check=True)
    assert done.stdout == rb"\u8eca \udce9 \x1b[2J" + b"\n"
    assert done.stderr == rb"file a\x1b[2J\u8eca" + b"\n"


def test_only_what_goes_to_the_terminal_is_made_plain(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("robustbench_cv").warning("as it %s", "is\x1b")
    assert caplog.messages == ["as it is\x1b"]


def test_a_warning_is_told_once_a_command() -> None:
    code = (
        "import logging; from robustbench_cv.terminal import prepare\n"
        "for _ in range(2):\n    prepare()\n    [logging.getLogger('robustbench_cv').warning('%s is damaged', name) for name in 'aab']"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["a is damaged", "b is damaged"] * 2
