"""CPU seconds from typing a command to its first result: `python -m tests.benchmarks.start_up` (Linux).

Of a misspelt suite, of `list models`, of `run quick --limit 1` until its first cell is stored, and of `report` on that run; with the large
libraries that each has loaded. Bytecode is as the environment has it: PYTHONDONTWRITEBYTECODE makes every import several times dearer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_MAIN = "import sys; from robustbench_cv.cli import main; main(sys.argv[1:])"
_LARGE = ("torch", "torchvision", "torch._dynamo", "timm", "pandas", "matplotlib", "seaborn", "scipy")
_TELL = f"import atexit, sys; atexit.register(lambda: print('LOADED', *[m for m in {_LARGE!r} if m in sys.modules], file=sys.stderr)); "


def spent(process: int) -> float:
    """User and system CPU seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until_first_cell(folder: Path) -> float:
    """CPU seconds of `run quick --limit 1` when its first records are there; the run is then ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MAIN, "run", "quick", "--limit", "1", "--out", str(folder)], stderr=subprocess.DEVNULL
    )
    while not any(folder.glob("records/**/*.parquet")):
        if process.poll() is not None:
            sys.exit("the run ended without a record")
        time.sleep(0.05)
    seconds = spent(process.pid)
    process.kill()
    process.wait()
    return seconds


def whole(*arguments: str) -> str:
    """CPU seconds of a command, and what it has loaded."""
    before = os.times()
    done = subprocess.run([sys.executable, "-c", _TELL + _MAIN, *arguments], capture_output=True, text=True)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return f"{seconds:.2f} s; loaded: {done.stderr.rpartition('LOADED')[2].strip() or 'none of the large libraries'}"


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "quick"
        print("run quik (misspelt):", whole("run", "quik"))
        print("list models:", whole("list", "models"))
        print(f"run quick --limit 1, to its first cell: {until_first_cell(folder):.2f} s")
        whole("run", "quick", "--limit", "1", "--out", str(folder))
        print("report of that run:", whole("report", str(folder)))


if __name__ == "__main__":
    main()
