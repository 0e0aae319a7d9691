"""Pictures that are drawn once: kept in the run folder as long as the records, the checks and the code that draws are the same."""

from __future__ import annotations

import functools
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from robustbench_cv.catalogue import REPORTS
from robustbench_cv.files import write_bytes
from robustbench_cv.rendering.figures import KINDS, Chart
from robustbench_cv.rendering.film_strips import Gallery
from robustbench_cv.rendering.report_items import Item
from robustbench_cv.results import Results
from robustbench_cv.run_folder import RunFolder, digest, file_name

logger = logging.getLogger(__name__)


def with_kept(items: Sequence[Item], results: Results, reports: Sequence[str]) -> list[Item]:
    """The items, with what was drawn of them before of the same run; as they are where a report is not of this package."""
    folder = _folder(results, reports)
    if folder is None or not _is_current(folder, results):
        return list(items)
    return [replace(item, drawn=_read(folder, item)) if isinstance(item, Chart | Gallery) else item for item in items]


def keep(items: Sequence[Item], results: Results, reports: Sequence[str]) -> None:
    """Keep what was drawn for the next time; a folder that cannot be written to stays as it is."""
    folder = _folder(results, reports)
    if folder is None or _is_current(folder, results):
        return
    try:
        shutil.rmtree(folder, ignore_errors=True)
        for item in items:
            if isinstance(item, Chart | Gallery):
                for kind, content in item.everything().items():
                    write_bytes(_path(folder, item, kind), content)
        write_bytes(folder / _OF, _content(results).encode())
    except OSError as error:
        logger.debug("%s is not kept: %s", folder, error)


_OF = "of.sha256"
"""The file that says of which content the others were drawn; written last."""


_ACTIVE = re.compile(rb"<\s*(script|iframe|object|embed|foreignobject|link|meta|base)\b|<[^>]*\son\w+\s*=|javascript:", re.IGNORECASE)
"""What no drawing of ours has: a run folder may come from anybody, and what it keeps is put on the page as it is."""


def _folder(results: Results, reports: Sequence[str]) -> Path | None:
    bundled = results.folder is not None and all(REPORTS.is_bundled(spec) for spec in reports)
    return RunFolder(results.folder).drawn if bundled and results.folder is not None else None


def _is_current(folder: Path, results: Results) -> bool:
    of = folder / _OF
    return of.is_file() and of.read_text(encoding="utf-8", errors="replace") == _content(results)


def _read(folder: Path, item: Chart | Gallery) -> Mapping[str, bytes]:
    kinds = KINDS if isinstance(item, Chart) else ("html", "png")
    kept = {kind: path.read_bytes() for kind in kinds if (path := _path(folder, item, kind)).is_file()}
    active = [kind for kind in ("html", "svg") if _ACTIVE.search(kept.get(kind, b""))]
    if active:
        logger.warning("%s holds a %s that would do something when it is shown: drawn again", folder, " and a ".join(active))
        return {}
    return kept


def _path(folder: Path, item: Chart | Gallery, kind: str) -> Path:
    venue = f".{item.venue.name}" if isinstance(item, Chart) and kind != "svg" else ""
    return folder / f"{file_name(item.label)}{venue}.{kind}"


def _content(results: Results) -> str:
    """Of all that pictures are drawn from: the run, its records and saved images, and the code."""
    assert results.folder is not None
    images = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in sorted((results.folder / "images").rglob("*")) if p.is_file()]
    return digest([results.content_sha256(), images, _code_sha256()])


@functools.cache
def _code_sha256() -> str:
    package = Path(__file__).parent.parent
    files = [package / "palette.py", *sorted((package / "rendering").glob("*.py")), *sorted((package / "reports").glob("*.py"))]
    return digest([path.read_text(encoding="utf-8") for path in files])
