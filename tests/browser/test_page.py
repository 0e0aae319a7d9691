"""The page in a real browser: nothing is fetched, nothing is broken, nothing overflows, every link leads somewhere."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from robustbench_cv.registry import load_file
from robustbench_cv.rendering.page import page
from robustbench_cv.rendering.publish import build_items

synthetic = load_file(Path(__file__).parents[1] / "synthetic_results.py")
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=4000",
)
PROBE = """
<script>addEventListener("load", () => {
  const gone = [...document.querySelectorAll('a[href^="#"]')].filter(a => !document.getElementById(a.getAttribute("href").slice(1)));
  const images = [...document.images];
  const clipped = [...document.querySelectorAll("h1, h2, h3, .card dd, .banner")].filter(e => e.scrollWidth > e.clientWidth + 1);
  document.title = JSON.stringify({
    wide: document.documentElement.scrollWidth - innerWidth,
    images: images.length,
    broken: images.filter(i => !i.naturalWidth).length,
    gone: gone.length,
    clipped: clipped.length,
    fetched: performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:")),
    blocked: getComputedStyle(document.querySelector("td.blocked .value")).color,
    sections: document.querySelectorAll("main section h2").length,
  });
});</script>
"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run with a warning and a stop, with long names."""
    results = synthetic.make(
        tmp_path_factory.mktemp("run"),
        n=6,
        models={"classification": ("a-model-with-a-name-that-goes-on-and-on-without-a-break-in-it",)},
        findings=(synthetic.PASS, synthetic.WARN, synthetic.STOP),
    )
    return page(results, build_items(results, synthetic.REPORTS), "index.html")


def look(source: str, folder: Path, size: str) -> dict[str, Any]:
    """What the probe saw. The page forbids scripts, so the probe's copy goes without that rule."""
    start = source.index('<meta http-equiv="Content-Security-Policy"')
    file = folder / "page.html"
    file.write_text(source[:start] + source[source.index(">", start) + 1 :].replace("</body>", PROBE + "</body>"), encoding="utf-8")
    command = [CHROMIUM or "", *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={size}", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    title = done.stdout.split("<title>")[1].split("</title>")[0]
    seen: dict[str, Any] = json.loads(html.unescape(title))
    return seen


@pytest.mark.parametrize("size", ["1300,900", "600,900"])
def test_the_page_stands(source: str, tmp_path: Path, size: str) -> None:
    seen = look(source, tmp_path, size)
    assert seen["images"] > 30
    assert (seen["broken"], seen["gone"], seen["clipped"], seen["fetched"]) == (0, 0, 0, [])
    assert seen["wide"] <= 0
    assert seen["sections"] == 4
    assert seen["blocked"] == "rgb(179, 38, 30)"
