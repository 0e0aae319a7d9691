"""The tutorials do what they say: each is followed from top to bottom in an empty folder, its files written, its commands run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from robustbench_cv.cli import main

TUTORIALS = sorted((Path(__file__).parents[1] / "docs/tutorials").glob("*.md"))
BLOCK = re.compile(r"```(python|bash|yaml)\n(.*?)```", re.DOTALL)
NAMED = re.compile(r"# ([\w./-]+)(: .*)?\n")


def commands(block: str) -> list[list[str]]:
    joined = block.replace("\\\n", " ")
    return [shlex.split(line, comments=True)[1:] for line in joined.splitlines() if line.startswith("robustbench-cv ")]


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_can_be_followed(tutorial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(tutorial.read_text())
    assert any(commands(code) for language, code in blocks if language == "bash"), "a tutorial without a command"
    for language, code in blocks:
        named = NAMED.match(code)
        if named:
            path = Path(named[1])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(code)
        if language == "python" and (not named or named[2]):
            exec(compile(code, str(tutorial), "exec"), {"__name__": "tutorial"})
        for arguments in commands(code) if language == "bash" else ():
            with pytest.raises(SystemExit) as done:
                main(arguments)
            assert done.value.code == 0, f"robustbench-cv {shlex.join(arguments)} ended with {done.value.code}"
