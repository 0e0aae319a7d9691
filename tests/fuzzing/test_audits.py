"""What others look for in code and in dependencies: bandit's findings, and PyPI's advisories. uv fetches both."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("robustbench_cv", "attacks", "suites", "reports")


def _tool(*command: str) -> subprocess.CompletedProcess[str]:
    """A tool by uv; the test is skipped, saying why, where uv or the tool is not to be had."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not installed")
    there = subprocess.run([uv, "tool", "run", command[0], "--version"], capture_output=True, text=True, timeout=300)
    if there.returncode != 0:
        pytest.skip(f"{command[0]} cannot be fetched: {there.stderr.strip()[-200:]}")
    return subprocess.run([uv, "tool", "run", *command], capture_output=True, text=True, timeout=500, cwd=ROOT)


@pytest.mark.slow
def test_bandit_finds_nothing_of_medium_severity() -> None:
    """What it would find and is right carries `# nosec` with the number and the reason, on its line."""
    done = _tool("bandit", "-q", "-r", *CODE, "-ll", "-f", "json")
    found = json.loads(done.stdout)
    assert found["metrics"]["_totals"]["loc"] > 10_000
    assert found["errors"] == []
    assert [f"{one['filename']}:{one['line_number']}: {one['issue_text']}" for one in found["results"]] == []


@pytest.mark.slow
def test_no_dependency_has_a_known_vulnerability() -> None:
    done = _tool("pip-audit", "--path", next(p for p in sys.path if p.endswith("site-packages")), "-f", "json", "--progress-spinner", "off")
    if not done.stdout.strip():
        pytest.skip(f"pip-audit got no answer: {done.stderr.strip()[-300:]}")
    packages = json.loads(done.stdout)["dependencies"]
    judged = [one for one in packages if "skip_reason" not in one]
    if len(judged) < len(packages) / 2:
        reason = next((one["skip_reason"] for one in packages if "skip_reason" in one), "")
        pytest.skip(f"PyPI's advisories are out of reach: {len(judged)} of {len(packages)} packages were looked up ({reason[:120]})")
    assert {one["name"]: [v["id"] for v in one["vulns"]] for one in judged if one["vulns"]} == {}
