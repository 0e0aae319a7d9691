"""The documentation as a site: `uv run --group docs sphinx-build -W docs build/site`.

Its front page is the README; the pages of the catalogue and of the public names are written from the code before each build, into folders
that git ignores.
"""

from __future__ import annotations

import re
from pathlib import Path

import robustbench_cv
from robustbench_cv.catalogue import REGISTRIES
from robustbench_cv.documentation import as_markdown, document

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "robustbench-cv"
version = release = robustbench_cv.__version__
copyright = "the authors of robustbench-cv"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
html_theme = "furo"
html_title = "robustbench-cv"
exclude_patterns = ["images"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = True
suppress_warnings = ["myst.xref_missing", "myst.header"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"


def write(path: str, text: str) -> None:
    """A page, written only where it has changed, so that a second build is quick."""
    page = HERE / path
    page.parent.mkdir(parents=True, exist_ok=True)
    if not page.exists() or page.read_text() != text:
        page.write_text(text)


def toctree(caption: str, pages: list[str], depth: int = 1) -> str:
    return "\n".join(["```{toctree}", f":caption: {caption}", f":maxdepth: {depth}", ":hidden:", "", *pages, "```", ""])


def front_page() -> str:
    """The README, whose links start at the root, and the way to every other page."""
    text = re.sub(r"\]\(docs/", "](", (ROOT / "README.md").read_text())
    text = re.sub(r"\]\(((?:CONTRIBUTING|CHANGELOG)\.md)\)", r"](generated/\1)", text)
    explained = sorted(p.stem for p in HERE.glob("*.md") if p.stem != "index")
    return text + "\n".join(
        [
            "",
            toctree("Tutorials", [f"tutorials/{name}" for name in TUTORIALS]),
            toctree("Explained", explained),
            toctree("Catalogue", [f"catalogue/{kind}/index" for kind in REGISTRIES]),
            toctree("Python", ["generated/reference"]),
            toctree("Project", ["generated/CONTRIBUTING", "generated/CHANGELOG"]),
        ]
    )


TUTORIALS = ["my-yolo", "my-own-data", "a-table-for-my-paper", "a-gate-in-ci", "my-own-attack"]


def catalogue() -> None:
    """An index of each kind, and a page for each entry."""
    for kind, registry in REGISTRIES.items():
        names = registry.names()
        rows = [f"# {kind.capitalize()}", "", "| name | what it is |", "| --- | --- |"]
        for name in names:
            write(f"catalogue/{kind}/{name}.md", "---\norphan: true\n---\n\n" + as_markdown(document(registry, name)))
            rows.append(f"| [{name}]({name}.md) | {registry.entry(name).summary.replace('|', chr(92) + '|')} |")
        write(f"catalogue/{kind}/index.md", "\n".join(rows) + "\n")


def reference() -> str:
    """The public names, each at its home."""
    lines = ["# Python", "", "`import robustbench_cv as rb` gives these names; each is imported when it is first used.", ""]
    for name in robustbench_cv.__all__:
        value = getattr(robustbench_cv, name)
        kind = "autoclass" if isinstance(value, type) else "autofunction"
        options = [":members:"] if kind == "autoclass" else []
        lines += ["```{eval-rst}", f".. {kind}:: {value.__module__}.{name}", *(f"   {option}" for option in options), "```", ""]
    return "\n".join(lines)


write("index.md", front_page())
for page in ("CONTRIBUTING", "CHANGELOG"):
    write(f"generated/{page}.md", (ROOT / f"{page}.md").read_text().replace("](docs/", "](../"))
write("generated/reference.md", reference())
catalogue()
