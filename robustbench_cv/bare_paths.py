"""A path that stands where a spec is expected: what it looks like, and the line to type. Looks at names of files and opens none."""

from __future__ import annotations

from pathlib import Path

PREFIXES = "folder:, masks:, coco:, yolo:, voc:, cityscapes:, imagenet:, cifar: or npz:"

_WEIGHTS = "\"NAME(checkpoint='{path}')\", NAME being the architecture (robustbench-cv list models)"
_MODEL_FILES = {
    ".pt": "ultralytics:{path} for a YOLO of Ultralytics, or " + _WEIGHTS,
    ".pth": _WEIGHTS,
    ".ckpt": _WEIGHTS,
    ".safetensors": "finetuned:{path} for what `finetune` wrote, or " + _WEIGHTS,
    ".cfg": "darknet:{path}(weights='FILE.weights')",
    ".weights": "darknet:FILE.cfg(weights='{path}')",
}

_MARKS = (
    ("leftImg8bit", "cityscapes"),
    ("JPEGImages", "voc"),
    ("annotations", "coco"),
    ("data_batch_1", "cifar"),
    ("data.yaml", "yolo"),
    ("masks", "masks"),
    ("labels", "yolo"),
)
"""What a folder holds, and of which reader that is the mark; the first that is there counts."""


def data_hint(text: str) -> str:
    """What to type for data at a path; "" for what looks like no path.

    >>> data_hint("my/images").partition(", or ")[0]
    'my/images is a path and names no format: write folder:my/images'
    """
    if not _is_path(text, (".npz", ".json", ".yaml", ".yml")):
        return ""
    prefix = _prefix_of(Path(text))
    target = f"{text.rstrip('/')}/data.yaml" if prefix == "yolo" and _holds(Path(text), "data.yaml") else text
    others = ", ".join(part for part in PREFIXES.split(", ") if part != f"{prefix}:")
    return f"{text} is a path and names no format: write {prefix}:{target}, or with {others}"


def model_hint(text: str) -> str:
    """What to type for a model's file; "" for what looks like no path.

    >>> model_hint("best.pt").partition(", or ")[0]
    'best.pt is a file and names no kind of model: write ultralytics:best.pt for a YOLO of Ultralytics'
    """
    if not _is_path(text, tuple(_MODEL_FILES)):
        return ""
    way = _MODEL_FILES.get(Path(text).suffix.lower(), _WEIGHTS).replace("{path}", text)
    return f"{text} is a file and names no kind of model: write {way}"


def _is_path(text: str, suffixes: tuple[str, ...]) -> bool:
    return "/" in text or "\\" in text or text in (".", "..", "~") or text.lower().endswith(suffixes) or _exists(Path(text))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _holds(folder: Path, name: str) -> bool:
    return _exists(folder / name)


def _prefix_of(path: Path) -> str:
    by_suffix = {".npz": "npz", ".json": "coco", ".yaml": "yolo", ".yml": "yolo"}
    if path.suffix.lower() in by_suffix:
        return by_suffix[path.suffix.lower()]
    return next((prefix for mark, prefix in _MARKS if _holds(path, mark)), "folder")
