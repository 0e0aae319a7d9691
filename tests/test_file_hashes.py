"""Files are read again only where they may be others, and always where somebody asks for it."""

import os
import shutil
import time
from pathlib import Path

import numpy
import pytest
from PIL import Image

from robustbench_cv import file_hashes
from robustbench_cv.catalogue import DATASETS
from robustbench_cv.errors import UserError
from robustbench_cv.file_hashes import YOUNG, file_sha256, remembered_hashes
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Suite, Track


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read to be hashed."""
    paths: list[Path] = []
    plain = file_hashes._read

    def reading(path: Path) -> file_hashes.FileHash:
        paths.append(path)
        return plain(path)

    monkeypatch.setattr(file_hashes, "_read", reading)
    return paths


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock says that every file was changed long ago."""
    now = time.time_ns
    monkeypatch.setattr(file_hashes.time, "time_ns", lambda: now() + 2 * YOUNG)


def hashed(path: Path, store: Path, *, reread: bool = False) -> bytes:
    with remembered_hashes(store, reread=reread):
        return file_sha256(path)


@pytest.mark.usefixtures("later")
def test_a_file_is_read_once(reads: list[Path], tmp_path: Path) -> None:
    path, store = tmp_path / "a", tmp_path / "store.json"
    path.write_bytes(b"one")
    first = hashed(path, store)
    assert first.hex() == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert hashed(path, store) == first
    assert len(reads) == 1
    assert hashed(path, store, reread=True) == first
    assert len(reads) == 2
    assert file_sha256(path) == first
    assert len(reads) == 3


def test_a_young_file_is_not_trusted(reads: list[Path], tmp_path: Path) -> None:
    """It may be written again within the file system's step of time."""
    path, store = tmp_path / "a", tmp_path / "store.json"
    path.write_bytes(b"one")
    hashed(path, store)
    hashed(path, store)
    assert len(reads) == 2


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("disturb", ["longer", "same length", "times set back", "another in its place", "link turned"])
def test_other_bytes_are_seen(disturb: str, tmp_path: Path) -> None:
    path, store = tmp_path / "a", tmp_path / "store.json"
    path.write_bytes(b"one")
    if disturb == "link turned":
        path.rename(tmp_path / "one")
        (tmp_path / "two").write_bytes(b"two")
        path.symlink_to("one")
    first, times = hashed(path, store), path.stat()
    time.sleep(0.02)
    if disturb == "longer":
        path.write_bytes(b"one and more")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif disturb == "same length":
        path.write_bytes(b"two")
    elif disturb == "times set back":
        path.write_bytes(b"two")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif disturb == "another in its place":
        (tmp_path / "b").write_bytes(b"two")
        shutil.copystat(path, tmp_path / "b")
        (tmp_path / "b").replace(path)
    else:
        path.unlink()
        path.symlink_to("two")
    assert hashed(path, store) != first


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"/a": {"status": [1], "sha256": "zz", "settled": true}}', b"\xff\xfe"])
def test_a_damaged_store_is_no_store(content: bytes, tmp_path: Path) -> None:
    path, store = tmp_path / "a", tmp_path / "store.json"
    path.write_bytes(b"one")
    store.write_bytes(content)
    assert hashed(path, store) == file_sha256(path)


@pytest.mark.usefixtures("later")
def test_what_is_no_file_raises_as_it_would_unremembered(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with remembered_hashes(tmp_path / "store.json"):
        for path in (tmp_path / "none", tmp_path / "pipe", tmp_path):
            with pytest.raises(OSError, match=r"No such file|it is a"):
                file_sha256(path)
        with pytest.raises(ValueError, match="null byte"):
            file_sha256(Path("a\0b"))
    assert not (tmp_path / "store.json").exists()


def folder_of_images(root: Path, count: int = 6) -> str:
    rng = numpy.random.default_rng(0)
    for k in range(count):
        path = root / ("car" if k % 2 else "boat") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=numpy.uint8)).save(path)
    return f"folder:{root}"


@pytest.mark.usefixtures("later")
def test_a_run_reads_its_data_once_and_again_where_asked(reads: list[Path], tmp_path: Path) -> None:
    """Of a data set without the option: nothing at the second call; with it, every file, as without a store."""
    data = folder_of_images(tmp_path / "images")
    suite = Suite("once", 1, (Track("classification", ("lenet5.scenes",), (data,), (CLEAN,), ("top-1",)),), reports=("main-table",))

    def pictures() -> int:
        count = sum(path.suffix == ".png" and "images" in path.parts and "run" not in path.parts for path in reads)
        reads.clear()
        return count

    run_suite(suite, tmp_path / "run", Options(strength=0))
    assert pictures() == 6
    run_suite(suite, tmp_path / "run", Options(strength=0))
    assert pictures() == 0
    run_suite(suite, tmp_path / "run", Options(strength=0, reread=True))
    assert pictures() >= 6
    (tmp_path / "images" / "car" / "1.png").write_bytes((tmp_path / "images" / "car" / "3.png").read_bytes())
    assert run_suite(suite, tmp_path / "run", Options(strength=0)).computed == 1
    assert pictures() == 1


@pytest.mark.usefixtures("later")
def test_a_file_that_changes_in_mid_run_is_named(tmp_path: Path) -> None:
    """Also where its length and times are those of before."""
    data = folder_of_images(tmp_path / "images")
    moved = tmp_path / "images" / "car" / "1.png"
    source = (
        "import os, pathlib\nfrom robustbench_cv.models.build import build as make\n\n"
        "class Meddling:\n"
        "    def __init__(self):\n        self.inner, self.module = make('lenet5.scenes'), make('lenet5.scenes').module\n"
        "        self.info, self.decode = self.inner.info, self.inner.decode\n"
        "    def raw(self, images):\n"
        f"        path = pathlib.Path({str(moved)!r})\n"
        "        if os.environ.get('MEDDLE') and len(images) > 4:\n"
        "            times = path.stat()\n            content = bytearray(path.read_bytes())\n            content[-20] ^= 1\n"
        "            path.write_bytes(bytes(content))\n            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))\n"
        "        return self.inner.raw(images)\n\n"
        "def build():\n    return Meddling()\n"
    )
    (tmp_path / "model.py").write_text(source)
    track = Track("classification", (f"{tmp_path / 'model.py'}:build",), (data,), (CLEAN,), ("top-1",))
    suite = Suite("meddled", 1, (track,), reports=("main-table",))
    run_suite(suite, tmp_path / "run", Options(strength=0))
    shutil.rmtree(tmp_path / "run" / "records")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDDLE", "1")
        with pytest.raises(UserError, match=r"car/1.png.* changed while the run was going on"):
            run_suite(suite, tmp_path / "run", Options(strength=0))


def test_fingerprints_are_the_same_with_and_without_a_store(tmp_path: Path) -> None:
    data = DATASETS.build(folder_of_images(tmp_path / "images"), task="classification")
    plain = [data.fingerprint(i) for i in range(len(data))]
    for _ in range(2):
        with remembered_hashes(tmp_path / "store.json"):
            assert [data.fingerprint(i) for i in range(len(data))] == plain
