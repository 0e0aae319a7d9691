"""Names of classes, images and models that are markup somewhere: each is shown as text on the page, in LaTeX, Markdown, CSV and XML."""

from __future__ import annotations

import csv
import html.parser
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.cli import main
from robustbench_cv.errors import UserError
from tests.fuzzing.parsers import picture, text
from tests.fuzzing.test_malformed_folder import own_signals  # noqa: F401 - a fixture

CLASSES = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', '=HYPERLINK("http://x","y")', "@SUM(A1)",
    "+1+1", "-2+3", "\\input{/etc/passwd}", "$x^2$ % _ & # {", "\\write18{touch owned}", "../../../owned", "/etc/owned", "C:\\owned",
    "\u202egnp.exe", "[y](javascript:alert(1))", "| a | b |", "]]>", "&lt;b&gt;", "CON", "x" * 400, "{{ 7 * 7 }}", "{% raw %}", "%s%n",
    "'; DROP TABLE records; --", "=cmd|' /C calc'!A0",
)  # fmt: skip
IMAGES = ("<script>.png", "=1+1.png", "$(touch owned).png", "a b;touch owned.png", "\u202egnp.png", "%00.png", "{{7*7}}.png", "-rf.png")
MODEL = "<b>=1+1</b>\\input{x} ../m [l](u) | \u202e {{7*7}}"


class _Page(html.parser.HTMLParser):
    """Tags, attributes and all text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO data set and detections, both of such names."""
    folder = tmp_path_factory.mktemp("names")
    for name in IMAGES:
        picture(folder / "images" / name, (60, 40))
    content = {
        "images": [{"id": k, "file_name": name} for k, name in enumerate(IMAGES)],
        "categories": [{"id": k, "name": name} for k, name in enumerate(CLASSES)],
        "annotations": [{"id": k, "image_id": k % len(IMAGES), "category_id": k, "bbox": [5 + k, 3, 20, 20]} for k in range(len(CLASSES))],
    }
    text(folder / "instances.json", json.dumps(content))
    found = [
        {"image_id": k % len(IMAGES), "category_id": k, "category": name, "bbox": [6 + k, 3, 20, 20], "score": 0.9}
        for k, name in enumerate(CLASSES)
    ]
    text(folder / "found.json", json.dumps(found))
    return folder


@pytest.fixture(scope="module")
def written(folder: Path) -> Path:
    """What scoring them left, its report for a paper included."""
    out = folder / "out"
    score = ["score", "--data", f"coco:{folder}", "--predictions", f"{folder}/found.json", "--name", MODEL, "--out", str(out)]
    for command in (score, ["report", str(out), "--venue", "two-column", "--out", str(folder / "paper")]):
        with pytest.raises(SystemExit) as done:
            main(command)
        assert done.value.code in (0, 4)
    return folder


def files_of(written: Path, *suffixes: str) -> Iterator[tuple[Path, str]]:
    for root in (written / "out", written / "paper"):
        for path in sorted(root.rglob("*")):
            if path.suffix in suffixes:
                yield path, path.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_page_has_no_tag_or_handler_of_theirs(written: Path) -> None:
    pages = list(files_of(written, ".html"))
    assert pages
    for path, content in pages:
        page = _Page()
        page.feed(content)
        assert [tag for tag, _ in page.tags].count("script") <= 1, path
        for tag, attributes in page.tags:
            assert not [name for name in attributes if name.startswith("on")], (path, tag)
            assert not str(attributes.get("href") or attributes.get("src") or "").startswith(("javascript:", "http://x")), (path, tag)
        assert ("svg", {"onload": "alert(1)"}) not in page.tags
        assert "Content-Security-Policy" in content or path.parent.name == "drawn" or "<html" not in content, path
        assert "\u202e" not in content, path


@pytest.mark.slow
def test_no_csv_has_a_formula(written: Path) -> None:
    tables = list(files_of(written, ".csv"))
    assert tables
    for path, content in tables:
        for row in csv.reader(io.StringIO(content)):
            for cell in row:
                assert not re.match(r"[=+@\t\r]|-(?!\d*\.?\d+(e-?\d+)?$)", cell), (path, cell)


@pytest.mark.slow
def test_latex_has_no_command_of_theirs(written: Path) -> None:
    sources = list(files_of(written, ".tex"))
    assert sources
    for path, content in sources:
        assert "\\input{/etc" not in content, path
        assert "\\input{x}" not in content, path
        assert "\\write18" not in content, path
        assert "$x^2$" not in content, path


@pytest.mark.slow
def test_markdown_has_no_tag_or_link_of_theirs(written: Path) -> None:
    for path, whole in files_of(written, ".md"):
        _, head, content = whole.split("---\n", 2) if whole.startswith("---\n") else ("", "", whole)
        assert head == "" or yaml.safe_load(head)["model-index"][0]["name"].startswith("<b>=1+1"), path  # of a model card: data, no text
        assert "<script>" not in content, path
        assert "<b>" not in content, path
        assert not re.search(r"(?<!\\)\]\((javascript:|u\))", content), path


@pytest.mark.slow
def test_xml_is_whole_and_no_file_lies_elsewhere(written: Path) -> None:
    for path in (written / "out").rglob("*.xml"):
        ElementTree.parse(path)
    assert {path.name for path in written.iterdir()} == {"images", "instances.json", "found.json", "out", "paper"}
    for path in (*(written / "out").rglob("*"), *(written / "paper").rglob("*")):
        assert re.fullmatch(r"\.?[A-Za-z0-9._-]+", path.name), path
        assert len(path.name.encode()) < 200
    assert not Path("/tmp/owned").exists()
    assert not (written / "owned").exists()


def test_the_terminal_is_told_nothing_that_it_obeys(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads((folder / "instances.json").read_text())
    content["images"][0]["file_name"] = "a\x1b[2J\x1b]0;owned\x07\u202e.png"
    text(folder / "odd.json", json.dumps(content))
    with pytest.raises(SystemExit) as done:
        main(["score", "--data", f"coco:{folder}/odd.json(images='{folder}/images')", "--predictions", f"{folder}/found.json",
              "--out", str(folder / "odd")])  # fmt: skip
    (folder / "odd.json").unlink()
    said = capsys.readouterr()
    assert done.value.code == 2
    for character in "\x1b\x07\u202e":
        assert character not in said.err + said.out


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\0b", "a\nb", "a\x9b31m", "\ud800", "", "   ", "x" * 501, "\x7f"])
def test_a_class_name_that_is_no_text_is_refused(name: str, tmp_path: Path) -> None:
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": [{"id": 1, "name": name}]}
    text(tmp_path / "a.json", json.dumps(content))
    with pytest.raises(UserError):
        DATASETS.build(f"coco:{tmp_path}/a.json(images={str(tmp_path)!r})")
