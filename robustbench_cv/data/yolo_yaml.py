"""data.yaml: where the images of each split lie, and the class names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from robustbench_cv.arguments import shorten
from robustbench_cv.bounded_yaml import fault_of, load_yaml
from robustbench_cv.data.classes import unique_labels
from robustbench_cv.errors import UserError
from robustbench_cv.files import decode_text, read_regular, resolved
from robustbench_cv.types import Labels

_LARGEST_BYTES, _LARGEST_NODES = 2**20, 100_000


@dataclass(frozen=True, eq=False)
class DataYaml:
    """path: of the file. root: what its entries are relative to. content: as it was read. keypoints: numbers behind a pose label's box."""

    path: Path
    root: Path
    labels: Labels
    content: dict[str, Any]
    keypoints: int = 0

    def entries(self, split: str) -> list[Path]:
        """The folders and text files of a split. UserError where it names none, or what is not there."""
        named = self.content.get(split) or (self.content.get("validation") if split == "val" else None)  # as Ultralytics renames it
        splits = [name for name in ("train", "val", "test") if self.content.get(name)]
        if not named:
            raise UserError(f"{self.path} has no entry {split!r}; it has {', '.join(splits) or 'none of train, val and test'}")
        texts = named if isinstance(named, list) else [named]
        if not all(isinstance(text, str) for text in texts):
            raise UserError(f"{self.path}: {split} is {shorten(repr(named))}; write a path, or a list of paths")
        return [self._find(split, text) for text in texts]

    def _find(self, split: str, text: str) -> Path:
        path = resolved(self.root / text)
        if not path.exists() and text.startswith("../"):
            # as Ultralytics: exports of annotation tools write ../train/images for what lies beside the yaml
            path = resolved(self.root / text[3:])
        if not path.exists():
            raise UserError(
                f"{self.path}: {split} names {path}, which does not exist; correct the entry, or `path:` that it is relative to"
            )
        return path


def read_data_yaml(path: Path) -> DataYaml:
    """The file itself, or the only one in a folder. UserError where there is none, or it says no class names.

    `path:` in it is relative to the folder of the yaml (Ultralytics looks in its own data folder too, which is not known here).
    """
    if path.is_dir():
        path = _only_yaml(path)
    try:
        _, content, doubles = load_yaml(decode_text(read_regular(path, _LARGEST_BYTES)), _LARGEST_NODES)
        if doubles:
            raise doubles[0]
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; give a YOLO data.yaml, or the folder that holds it") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line} is no YAML: {fault_of(error)[:200]}") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} is no YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict) or "names" not in content:
        raise UserError(f"{path} is no YOLO data.yaml: it has no `names`; write the class names as a list, or by index")
    labels = unique_labels(_names(path, content["names"]), str(path))
    count = content.get("nc", len(labels))
    if count != len(labels):
        raise UserError(f"{path} says nc: {shorten(repr(count))} and names {len(labels)} classes; correct one of the two")
    root = content.get("path") or "."
    if not isinstance(root, str):
        raise UserError(f"{path}: path is {shorten(repr(root))}; write the folder that train, val and test are relative to")
    folder = resolved(path.parent / root if not root.startswith("~") else root)
    if not folder.is_dir():
        # a data set that was moved: its yaml still names where it was
        folder = path.parent
    return DataYaml(path, folder, labels, content, _keypoints(path, content.get("kpt_shape")))


def _only_yaml(folder: Path) -> Path:
    found = sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")))
    named = [path for path in found if path.stem == "data"]
    if len(named) == 1 or len(found) == 1:
        return (named or found)[0]
    what = "none" if not found else f"{', '.join(path.name for path in found[:5])}: give one of these files"
    raise UserError(f"{folder} should hold one data.yaml, and has {what}")


def _keypoints(path: Path, shape: Any) -> int:
    """How many numbers the keypoints of an object are: kpt_shape is their count, and 2 or 3 (with visibility)."""
    if shape is None:
        return 0
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(n) is int and n > 0 for n in shape) or shape[1] not in (2, 3):
        raise UserError(f"{path}: kpt_shape is {str(shape)[:60]}; write the number of keypoints, and 2 or 3 numbers for each: [17, 3]")
    return int(shape[0] * shape[1])


def _names(path: Path, names: Any) -> list[str]:
    """In the order of their indices. UserError where an index is missing: every class after it would be another."""
    if isinstance(names, dict):
        wanted = list(range(len(names)))
        if sorted(names, key=str) != sorted(wanted, key=str):
            missing = [k for k in wanted if k not in names]
            raise UserError(f"{path}: names are numbered {sorted(map(str, names))[:10]}; they go from 0 up, and {missing[:5]} are missing")
        names = [names[k] for k in wanted]
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int | float) for name in names):
        raise UserError(f"{path}: names is {str(names)[:80]!r}; write a list of class names, or names by index")
    return [str(name) for name in names]
