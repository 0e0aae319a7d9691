"""Shells complete registered names, and no key press loads a library."""

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys
atexit.register(lambda: print("LOADED", *(m for m in ("torch", "numpy", "pandas", "rich") if m in sys.modules), file=sys.stderr))
from robustbench_cv.cli import main
main(sys.argv[1:])
"""


def complete(words: str) -> tuple[list[str], str]:
    """What bash would offer at the end of a line."""
    count = len(words.split()) - (not words.endswith(" "))
    environment = {"_ROBUSTBENCH_CV_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count), "PATH": ""}
    environment |= {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    return [line.partition(",")[2] for line in done.stdout.splitlines()], done.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("robustbench-cv ", {"run", "list", "completion"}),
        ("robustbench-cv run qui", {"quick"}),
        ("robustbench-cv run --attack tog-v", {"tog-vanish"}),
        ("robustbench-cv run quick --model lenet5.", {"lenet5.scenes"}),
        ("robustbench-cv run quick --data coc", {"coco"}),
        ("robustbench-cv run --condition occlud", {"occlude"}),
        ("robustbench-cv run --dry", {"--dry-run"}),
        ("robustbench-cv show attack mi-", {"mi-fgsm"}),
        ("robustbench-cv show data sce", {"scenes"}),
        ("robustbench-cv show atta", {"attack"}),
        ("robustbench-cv list atta", {"attacks"}),
    ],
)
def test_names_are_offered_without_any_library(words: str, offered: set[str]) -> None:
    found, said = complete(words)
    assert offered <= set(found)
    assert all(word.startswith(words.split(" ")[-1]) for word in found if word)
    assert said.split("LOADED")[-1].strip() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    from robustbench_cv.cli import main

    with pytest.raises(SystemExit) as done:
        main(["completion", shell])
    assert done.value.code == 0
    script = capsys.readouterr().out
    assert f"_ROBUSTBENCH_CV_COMPLETE={shell}_complete" in script
    assert "robustbench-cv" in script
