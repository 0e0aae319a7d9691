"""ImageNet's validation images as published: sub-folders by synset, or a flat folder beside Kaggle's solution file."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import unique_labels
from robustbench_cv.data.folder import ImageFolder, folder
from robustbench_cv.data.source import IMAGE_SUFFIXES, check_task, dataset_name, existing_folder, list_files
from robustbench_cv.errors import UserError
from robustbench_cv.files import decode_text, read_regular
from robustbench_cv.tasks import Task
from robustbench_cv.types import Labels

_LARGEST_TABLE = 2**27
"""Bytes of a list of words or of Kaggle's solution (project choice); the published ones have 2 million."""

_SYNSET = re.compile(r"n\d{8}")


@dataset(tasks="classification", paper="arXiv:1409.0575")
def imagenet(path: str, *, names: str | None = None, task: Task = "classification", name: str | None = None) -> ImageFolder:
    """Classification from ImageNet's validation images: val/n01440764/*.JPEG, or val/*.JPEG with LOC_val_solution.csv beside or above.

    Classes are the synsets in the order of their ids, as torchvision and timm number them. names: a text file with a synset and its words a
    line (LOC_synset_mapping.txt, words.txt); looked for beside and above. With it a class is called by its first word, otherwise by its id.
    ImageNet-C's folders are read as folders of synsets too: imagenet:PATH/fog/3.
    """
    check_task("imagenet", task, ("classification",))
    root = existing_folder(path, "sub-folders by synset (n01440764), or images beside LOC_val_solution.csv")
    data = folder(str(root)) if any(_SYNSET.fullmatch(p.name) for p in root.iterdir() if p.is_dir()) else _flat(root)
    odd = [c for c in data.labels.names if not _SYNSET.fullmatch(c)]
    if odd:
        raise UserError(f"{root} has folders that are no synsets: {', '.join(odd[:5])}; read it with folder:, or take them out")
    words = _words(Path(names).expanduser()) if names else _words(_beside(root, ("LOC_synset_mapping.txt", "words.txt")))
    if names and not words:
        raise UserError(f"{names} names no class; it has a synset and its words a line, such as: n01440764 tench, Tinca tinca")
    # of ImageNet-C's fog/3 the corruption is part of the name
    own = dataset_name(root.parent, f"{root.parent.name}-{root.name}") if root.name in "12345" else dataset_name(root)
    return replace(data, name=name or own, labels=_called(data.labels.names, words, root))


def _beside(root: Path, names: Sequence[str]) -> Path | None:
    return next((p for folder in (root, *root.parents[:5]) for n in names if (p := folder / n).is_file()), None)


def _words(path: Path | None) -> dict[str, str]:
    """The first word of each synset; empty where there is no file."""
    if path is None:
        return {}
    try:
        lines = decode_text(read_regular(path, _LARGEST_TABLE)).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}; it has a synset and its words a line") from error
    split = [line.split(None, 1) for line in lines if line.strip()]
    return {parts[0]: parts[1].split(",")[0].strip() for parts in split if len(parts) == 2 and _SYNSET.fullmatch(parts[0])}


def _called(synsets: Sequence[str], words: dict[str, str], root: Path) -> Labels:
    """Classes by their words; by word and synset where two share a word (crane, maillot), as their models' labels do not tell either."""
    if not words:
        return unique_labels(list(synsets), str(root))
    missing = [synset for synset in synsets if synset not in words]
    if missing:
        raise UserError(f"{root}: the list of words has none for {', '.join(missing[:5])}; give the whole list with names=PATH")
    shown = [words[synset] for synset in synsets]
    return unique_labels([w if shown.count(w) == 1 else f"{w} ({s})" for w, s in zip(shown, synsets, strict=True)], str(root))


def _flat(root: Path) -> ImageFolder:
    """Images in one folder, their synsets in Kaggle's solution."""
    solution = _beside(root, ("LOC_val_solution.csv",))
    if solution is None:
        raise UserError(f"{root} has no folder of a synset, and no LOC_val_solution.csv beside or above says which image is of which")
    try:
        table = csv.reader(io.StringIO(decode_text(read_regular(solution, _LARGEST_TABLE)), newline=""))
        rows = {row[0]: row[1].split()[0] for row in table if len(row) == 2 and _SYNSET.match(row[1])}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {solution}: {error}; it has an image and its synset a line") from error
    listing = list_files(root, IMAGE_SUFFIXES)
    strangers = [f.as_posix() for f in listing.files if f.stem not in rows]
    if strangers or not listing.files:
        what = f"{len(strangers)} images that {solution.name} does not name, such as {strangers[0]}" if strangers else "no image"
        raise UserError(f"{root} has {what}")
    classes = sorted(set(rows.values()))
    labels = tuple(classes.index(rows[f.stem]) for f in listing.files)
    return ImageFolder(
        name=dataset_name(root), labels=Labels(tuple(classes)), root=root, files=listing.files, classes=labels, others=listing.others
    )
