"""The run folder: names of files, what is made once, what is damaged, one run at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_cv.errors import UserError
from robustbench_cv.files import write_bytes, written_whole
from robustbench_cv.run_folder import RunFolder, file_name, json_file

NAMES = [
    "pgd +1/255", "pgd -1/255", "pgd 1 255", "pgd-1-255", "PGD", "", ".", "..", "a/b", "a\\b", "x" * 300, "x" * 301, "é", "e\u0301",
    "\ud800", "[red]", "con\n", "=1+1", "a--b",
]  # fmt: skip


def test_every_text_has_a_file_name_of_its_own(tmp_path: Path) -> None:
    names = [file_name(text) for text in NAMES]
    assert len(set(names)) == len(NAMES)
    for name in names:
        (tmp_path / f"{name}.json").write_text("")
        assert len(name) <= 120
    assert len(list(tmp_path.iterdir())) == len(NAMES)
    assert file_name("resnet18--val--clean") == "resnet18--val--clean"


def test_predictions_of_different_conditions_never_share_a_file() -> None:
    folder = RunFolder(Path("run"))
    assert folder.predictions("m", "d", "eps +1") != folder.predictions("m", "d", "eps -1")
    assert folder.predictions("a--b", "c", "d") != folder.predictions("a", "b--c", "d")
    assert folder.predictions("m", "d", "clean") == Path("run/predictions/m--d--clean.json")


def test_something_is_made_once_for_the_same_facts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = RunFolder(tmp_path)
    made: list[int] = []

    def make() -> list[int]:
        made.append(len(made))
        return [len(made)]

    def remembered(facts: object) -> list[int]:
        return folder.remember("things/{key}.json", facts, json_file(list[int]), make)

    assert [remembered("a"), remembered("a"), remembered({"b": 1}), remembered("a")] == [[1], [1], [2], [1]]
    for path in (tmp_path / "things").iterdir():
        path.write_bytes(path.read_bytes()[:-3])
    assert remembered("a") == [3]
    assert "is damaged" in caplog.text
    assert remembered("a") == [3]


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "out")
    with folder.lock():
        with pytest.raises(UserError, match=r"another run is writing to .*--out"), RunFolder(tmp_path / "out").lock():
            pass
        with RunFolder(tmp_path / "other").lock():
            pass
    with folder.lock():
        pass


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom robustbench_cv.run_folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).lock():\n    print('locked', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match="another run"), RunFolder(tmp_path).lock():
            pass
        process.kill()
    with RunFolder(tmp_path).lock():
        pass


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    write_bytes(path, b"old")
    with written_whole(path) as one, written_whole(path) as other:
        assert one != other
        one.write_bytes(b"half")
        other.write_bytes(b"new")
    assert path.read_bytes() == b"half", "the last to end"
    with pytest.raises(FileNotFoundError), written_whole(path) as temporary:
        temporary.unlink()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"half"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "0123.partial").write_bytes(b"half")
    RunFolder(tmp_path).remove_partial_files()
    assert not list(tmp_path.rglob("*.partial"))
