"""A folder of over 200 malformed inputs, each through the command line: a sentence, exit code 2, no traceback, no stray file."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from robustbench_cv.cli import main
from tests.fuzzing import parsers
from tests.fuzzing.guard import guarded
from tests.fuzzing.parsers import text

SCORE = ("score", "--metric", "ap", "--first-category", "1", "--data")
CLASSES = ("score", "--metric", "top-1", "--data")


def _coco(folder: Path) -> None:
    parsers._coco(folder)
    entries = [{"image_id": k, "category_id": 1, "bbox": [1, 1, 5, 4], "score": 0.5, "category": "car"} for k in range(3)]
    text(folder / "results.json", json.dumps(entries))


def _yolo(folder: Path) -> None:
    parsers._yolo(folder)
    for k in range(2):
        text(folder / "txt" / f"{k}.txt", "0 0.5 0.5 0.25 0.5 0.9\n")


def _voc(folder: Path) -> None:
    parsers._voc(folder)
    for k in range(2):
        text(folder / "txt" / f"a{k}.txt", "0 0.5 0.5 0.25 0.5 0.9\n")


def _npz(folder: Path) -> None:
    parsers._npz(folder)
    parsers._class_labels(folder)


def _cifar(folder: Path) -> None:
    parsers._cifar(folder)
    text(folder / "scores.csv", "id,label\n000000,car\n000001,dog\n")


def _masks(folder: Path) -> None:
    parsers._masks(folder)
    for k in range(2):
        parsers.mask(folder / "answers" / f"{k}.png")


def _scores(folder: Path) -> None:
    parsers._npz(folder)
    parsers._class_scores(folder)


def _lenet(folder: Path) -> None:
    parsers._described(folder)
    parsers._checkpoint(folder)


TARGETS: dict[str, tuple[Callable[[Path], object], str, tuple[str, ...]]] = {
    "suite": (lambda folder: text(folder / "a.yaml", parsers.SUITE), "a.yaml", ("validate", "{}/a.yaml")),
    "coco": (_coco, "instances.json", (*SCORE, "coco:{}", "--predictions", "{}/results.json")),
    "image": (_coco, "images/1.png", (*SCORE, "coco:{}", "--predictions", "{}/results.json")),
    "coco results": (_coco, "results.json", (*SCORE, "coco:{}", "--predictions", "{}/results.json")),
    "data.yaml": (_yolo, "data.yaml", (*SCORE, "yolo:{}", "--predictions", "{}/txt")),
    "yolo labels": (_yolo, "labels/val/0.txt", (*SCORE, "yolo:{}", "--predictions", "{}/txt")),
    "yolo predictions": (_yolo, "txt/0.txt", (*SCORE, "yolo:{}", "--predictions", "{}/txt")),
    "voc": (_voc, "Annotations/a0.xml", (*SCORE, "voc:{}", "--predictions", "{}/txt")),
    "npz": (_npz, "a.npz", (*CLASSES, "npz:{}/a.npz", "--predictions", "{}/scores.csv")),
    "class scores": (_scores, "scores.csv", (*CLASSES, "npz:{}/a.npz", "--predictions", "{}/scores.csv", "--scores", "logits")),
    "cifar": (_cifar, "test_batch", (*CLASSES, "cifar:{}", "--predictions", "{}/scores.csv")),
    "mask": (_masks, "masks/0.png", ("score", "--metric", "miou", "--data", "masks:{}", "--predictions", "{}/answers")),
    "checkpoint": (_lenet, "a.pth", ("profile", "lenet5(checkpoint='{}/a.pth')")),
    "fine-tuned weights": (_lenet, "a.safetensors", ("profile", "finetuned:{}/a.safetensors")),
    "darknet cfg": (parsers._darknet, "a.cfg", ("profile", "darknet:{}/a.cfg(classes='car,dog')")),
    "darknet weights": (parsers._darknet, "a.weights", ("profile", "darknet:{}/a.cfg(weights='{}/a.weights', classes='car,dog')")),
    "run": (parsers._scored, "run/run.json", ("report", "{}/run", "--out", "{}/out")),
    "baseline": (parsers._scored, "run.baseline", ("compare", "{}/run.baseline", "{}/run")),
}
"""What makes a whole set of files, which of them is malformed, and the command line that reads it."""

RUNS_CODE = b"\x80\x04cos\nsystem\nX\x0a\x00\x00\x00touch ownedR."
KINDS: dict[str, Callable[[Path, bytes], object]] = {
    "garbage": lambda path, whole: path.write_bytes(bytes(range(256)) * 3),
    "nested": lambda path, whole: path.write_bytes(b"[" * 100_000),
    "fifo": lambda path, whole: (path.unlink(), os.mkfifo(path)),
    "zeros": lambda path, whole: path.write_bytes(bytes(300)),
    "page": lambda path, whole: path.write_bytes(b"<!doctype html><html><body>Please log in</body></html>"),
    "git-lfs": lambda path, whole: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12345\n"),
    "gzip": lambda path, whole: path.write_bytes(b"\x1f\x8b\x08\x00" + bytes(range(255, 0, -1))),
    "half characters": lambda path, whole: path.write_bytes(b"\xff\xfe" + b"\x00\xd8" * 50),
    "zip": lambda path, whole: path.write_bytes(b"PK\x03\x04" + bytes(60)),
    "pickle": lambda path, whole: path.write_bytes(RUNS_CODE),
    "cut": lambda path, whole: path.write_bytes(whole[: len(whole) // 3]),
    "device": lambda path, whole: (path.unlink(), path.symlink_to("/dev/zero")),
    "long line": lambda path, whole: path.write_bytes(b"x" * 3_000_000),
    "terminal": lambda path, whole: path.write_bytes(b"\x1b[2J\x1b]0;owned\x07: <script>\n"),
}
READABLE = {("yolo labels", "cut"), ("darknet cfg", "cut")}
"""What is another valid file."""

CASES = [(target, kind) for target in TARGETS for kind in KINDS if (target, kind) not in READABLE]
FAST = ("garbage", "nested", "fifo")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folders: dict[object, Path] = {}

    def of(target: str) -> Path:
        make = TARGETS[target][0]
        if make not in folders:
            folders[make] = tmp_path_factory.mktemp("whole")
            make(folders[make])
        return folders[make]

    return of


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The command line sets handlers of its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "out" not in path.relative_to(folder).parts[:1]}


def refused(target: str, kind: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The command refuses the file, and puts it back."""
    _, file, command = TARGETS[target]
    path = folder / file
    data = path.read_bytes()
    KINDS[kind](path, data)
    monkeypatch.chdir(folder)
    out = () if command[0] in ("validate", "profile", "report", "compare") else ("--out", str(folder / "out"))
    before = _tree(folder)
    try:
        with guarded(folder), pytest.raises(SystemExit) as done:
            main([part.replace("{}", str(folder)) for part in command] + [*out])
    finally:
        path.unlink()
        path.write_bytes(data)
    said = capsys.readouterr()
    assert done.value.code == 2, said.err
    assert "error: " in said.err or target == "suite"
    assert "Traceback" not in said.err
    assert "\x1b" not in said.err
    lines = [line for line in said.err.splitlines() if line.strip()]
    assert 1 <= len(lines) <= 8, said.err
    assert len(said.err) < 4200
    assert any(name in said.err for name in (path.name, folder.name, "/dev/zero"))
    assert _tree(folder) == before
    assert not (folder / "owned").exists()


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are POSIX's")
@pytest.mark.parametrize(("target", "kind"), [case for case in CASES if case[1] in FAST])
def test_a_malformed_input_is_refused_in_a_sentence(
    target: str, kind: str, whole: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(target, kind, whole(target), capsys, monkeypatch)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are POSIX's")
@pytest.mark.parametrize(("target", "kind"), [case for case in CASES if case[1] not in FAST])
def test_two_hundred_malformed_inputs_are_refused_in_a_sentence(
    target: str, kind: str, whole: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(target, kind, whole(target), capsys, monkeypatch)


def test_there_are_two_hundred() -> None:
    assert len(CASES) >= 200
