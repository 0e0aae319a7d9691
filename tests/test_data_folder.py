"""Image folders, and what all readers share: names, ids, paths, fingerprints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.data.file_names import find_file, inside
from robustbench_cv.data.source import dataset_name, digest, list_files, sample_id
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.types import ClassTarget, Labels


@pytest.fixture
def root(tmp_path):
    for i, name in enumerate(["dog/2.png", "dog/1.jpg", "cat/deep/a.png", "cat/B.PNG"]):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5 + i, 4), (60 * i, 0, 0)).save(path)
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "pets" / ".cache").mkdir()
    (tmp_path / "pets" / "cat" / "._B.PNG").write_bytes(b"what macOS leaves behind")
    return tmp_path / "pets"


def test_classes_are_folders_and_samples_are_sorted(root):
    data = DATASETS.build(f"folder:{root}")
    assert (data.name, data.task, data.labels) == ("pets", "classification", Labels(("cat", "dog")))
    assert list(data.ids) == ["pets/cat/B.PNG", "pets/cat/deep/a.png", "pets/dog/1.jpg", "pets/dog/2.png"]
    samples = [data[i] for i in range(len(data))]
    assert [s.id for s in samples] == list(data.ids)
    assert [s.target.label for s in samples if isinstance(s.target, ClassTarget)] == [0, 0, 1, 1]
    assert [s.image.shape[2] for s in samples] == [8, 7, 6, 5]
    assert all(s.image.dtype == torch.float32 for s in samples)


def test_ids_do_not_depend_on_where_the_folder_lies(root, tmp_path):
    before = list(DATASETS.build(f"folder:{root}").ids)
    moved = tmp_path / "elsewhere" / "pets"
    moved.parent.mkdir()
    root.rename(moved)
    assert list(DATASETS.build(f"folder:{moved}").ids) == before
    assert DATASETS.build(f"folder:{moved}(name='mine')").ids[0] == "mine/cat/B.PNG"


def test_fingerprints_follow_bytes_class_and_classes(root):
    data = DATASETS.build(f"folder:{root}")
    before = [data.fingerprint(i) for i in range(4)]
    assert len(set(before)) == 4
    assert [DATASETS.build(f"folder:{root}").fingerprint(i) for i in range(4)] == before
    Image.new("RGB", (5, 4), (1, 2, 3)).save(root / "dog" / "2.png")
    after = [data.fingerprint(i) for i in range(4)]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True, True, True, False]
    (root / "cat").rename(root / "cats")
    assert DATASETS.build(f"folder:{root}").fingerprint(2) != before[2]


def test_a_damaged_or_missing_file_costs_one_sample(root):
    (root / "dog" / "1.jpg").write_bytes(b"broken")
    data = DATASETS.build(f"folder:{root}")
    with pytest.raises(BadSample, match=r"dog/1\.jpg"):
        data[2]
    assert data[3].id == "pets/dog/2.png"
    (root / "dog" / "2.png").unlink()
    with pytest.raises(BadSample, match="does not exist"):
        data[3]
    assert data.fingerprint(3) != data.fingerprint(2)


def _store(tmp_path):
    """Class folders elsewhere, with three images each."""
    for c, name in enumerate(("cats", "more", "dogs")):
        (tmp_path / "store" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (4, 4), (80 * c, i, 0)).save(tmp_path / "store" / name / f"{name}{i}.png")
    return tmp_path / "store"


def _linked(store, links):
    root = store.parent / "linked"
    for place, target in links.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(store / target, root / place)
    return root


@pytest.mark.parametrize(
    "links",
    [
        {"cat": "cats", "dog": "dogs"},
        {"cat/a": "cats", "cat/b": "more", "dog/d": "dogs"},
        {"cat/a": "cats", "cat/deep/b": "more", "dog/1.png": "dogs/dogs1.png"},
        {"cat/a": "cats", "cat/again": "cats", "dog": "dogs"},
    ],
    ids=["classes", "sub-folders", "files", "one folder twice"],
)
def test_links_are_followed_as_torchvision_follows_them(tmp_path, links):
    from torchvision.datasets import ImageFolder

    root = _linked(_store(tmp_path), links)
    data, reference = DATASETS.build(f"folder:{root}"), ImageFolder(str(root))
    assert {(str(root / f), y) for f, y in zip(data.files, data.classes, strict=True)} == set(reference.samples)
    assert len(data) == len(reference) == len(set(data.ids))
    assert data.labels.names == tuple(reference.classes)
    assert all(data[i].image.shape == (3, 4, 4) for i in range(len(data)))


def test_links_that_lead_back_are_not_followed_round_and_round(root):
    os.symlink(root, root / "cat" / "all")
    os.symlink("..", root / "dog" / "up")
    os.symlink(root / "cat", root / "cat" / "deep" / "here")
    assert list(DATASETS.build(f"folder:{root}").ids) == ["pets/cat/B.PNG", "pets/cat/deep/a.png", "pets/dog/1.jpg", "pets/dog/2.png"]


def test_folders_full_of_links_end(tmp_path, monkeypatch):
    monkeypatch.setattr("robustbench_cv.data.source._MOST_FOLDERS", 200)
    for level in range(12):
        (tmp_path / f"d{level}").mkdir()
        for side in "ab":
            os.symlink(tmp_path / f"d{level + 1}", tmp_path / f"d{level}" / side)
    (tmp_path / "d12").mkdir()
    with pytest.raises(UserError, match="d0 has more than 200 folders"):
        list_files(tmp_path / "d0", frozenset({".png"}))


def test_links_to_nothing_are_missed_where_they_lead(root):
    os.symlink("/nowhere/3.png", root / "dog" / "3.png")
    os.symlink("/nowhere/more", root / "dog" / "more")
    data = DATASETS.build(f"folder:{root}")
    assert data.ids[-1] == "pets/dog/3.png"
    with pytest.raises(BadSample, match=r"dog/3\.png is a link to /nowhere/3\.png, which does not exist"):
        data[4]
    assert data.others == (root / "dog" / "more", root / "dog" / "notes.txt")
    os.symlink("/nowhere/bird", root / "bird")
    with pytest.raises(UserError, match="bird is a link to /nowhere/bird, which does not exist"):
        DATASETS.build(f"folder:{root}")


def test_pipes_and_devices_are_never_opened(root):
    os.mkfifo(root / "dog" / "pipe.png")
    os.symlink("/dev/zero", root / "dog" / "zero.png")
    data = DATASETS.build(f"folder:{root}")
    for index in (4, 5):
        with pytest.raises(BadSample, match=r"dog/(pipe|zero)\.png cannot be opened: it is a pipe, a socket or a device"):
            data[index]
        assert data.fingerprint(index)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPEG", ".pjpeg", ".avif", ".jp2", ".j2k", ".pgm", ".Tiff"])
def test_images_have_many_suffixes(root, suffix):
    kind = Image.registered_extensions().get(suffix.lower(), "JPEG")
    Image.new("RGB", (9, 4)).save(root / "dog" / f"3{suffix}", kind)
    data = DATASETS.build(f"folder:{root}")
    assert len(data) == 5
    assert data[4].image.shape == (3, 4, 9)


def test_accents_written_in_two_ways_are_one_class_and_one_name(tmp_path):
    for name in ("cafe\u0301", "bar"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "a.png")
    data = DATASETS.build(f"folder:{tmp_path}")
    assert data.labels.names == ("bar", "caf\u00e9")
    assert data[1].image.shape == (3, 4, 4)
    Image.new("RGB", (4, 4)).save(tmp_path / "bar" / "\u00e9.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "bar" / "e\u0301.png")
    with pytest.raises(UserError, match="accents written in two ways"):
        DATASETS.build(f"folder:{tmp_path}")


def test_a_turned_photo_says_so_unless_it_is_turned_back(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(root / "dog" / "1.jpg", exif=exif)
    stored, upright = (DATASETS.build(f"folder:{root}(upright={up})")[2] for up in (False, True))
    assert (stored.image.shape, stored.attributes) == ((3, 4, 8), {"exif orientation": "6"})
    assert (upright.image.shape, upright.attributes) == ((3, 8, 4), {})


def test_unusable_folders_are_refused_as_a_whole(root, tmp_path):
    (root / "bird").mkdir()
    with pytest.raises(UserError, match=r"no images in class folder 'bird' \([^)]*\); add"):
        DATASETS.build(f"folder:{root}")
    (root / "bird" / "a.heic").write_bytes(b"x")
    with pytest.raises(UserError, match=r"'bird' .*; there are a\.heic; add"):
        DATASETS.build(f"folder:{root}")
    with pytest.raises(UserError, match=r"no class folders \(1 images lie loose"):
        DATASETS.build(f"folder:{root / 'cat' / 'deep'}")
    with pytest.raises(UserError, match="does not exist"):
        DATASETS.build(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(UserError, match="is a file"):
        DATASETS.build(f"folder:{root / 'cat' / 'B.PNG'}")


@pytest.mark.parametrize(
    ("spec", "served"), [("folder", "classification"), ("npz", "classification"), ("masks", "segmentation"), ("coco", "detection")]
)
def test_a_task_that_a_source_does_not_serve_names_those_that_it_does(spec, served, tmp_path):
    other = "detection" if served == "classification" else "classification"
    with pytest.raises(UserError, match=f"{spec} data serves {served}, not '{other}'"):
        DATASETS.build(f"{spec}:{tmp_path}", task=other)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "/etc/passwd",
        "a/../../secret.png",
        "C:\\secret.png",
        "C:secret.png",
        "a\0b",
        "..\\secret.png",
        "\\\\host\\x.png",
        "\\x.png",
    ],
)
def test_no_file_name_leads_out_of_its_root(tmp_path, name):
    root = tmp_path / "images"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    for look in (inside, find_file):
        with pytest.raises(BadSample, match=r"entry 5: the file name .* leads out of"):
            look(root, name, "entry 5")


@pytest.mark.parametrize("name", ["%2e%2e/secret.png", "..%2Fsecret.png", "%2e%2e%5csecret.png", "%2Fetc%2Fhosts"])
def test_no_escaped_name_leads_out_of_its_root_either(tmp_path, name):
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    assert find_file(tmp_path / "images", name, "") == tmp_path / "images" / name  # as it is written, where nothing lies


@pytest.mark.parametrize("name", ["", ".", "a/.."])
def test_a_name_of_the_folder_itself_is_none(tmp_path, name):
    with pytest.raises(BadSample, match=r"entry 5: the file name .* names no file in"):
        inside(tmp_path, name, "entry 5")


def test_names_inside_a_root_are_followed(tmp_path):
    (tmp_path / "real" / "sub").mkdir(parents=True)
    os.symlink(tmp_path / "real", tmp_path / "root")
    os.symlink(tmp_path / "real" / "sub", tmp_path / "real" / "alias")
    for name in ("a.png", "sub/a.png", "sub/../a.png", "alias/a.png", "..a.png"):
        assert inside(tmp_path / "root", name, "").resolve().is_relative_to(tmp_path / "real")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/data/camvid/test", "camvid-test"),
        ("/data/coco/val2017", "coco-val2017"),
        ("/x/imgs", "imgs"),
        ("/test", "test"),
        ("/x/testament", "testament"),
    ],
)
def test_data_sets_are_named_after_their_folders(path, name):
    assert dataset_name(Path(path)) == name


def test_ids_are_composed_characters_and_forward_slashes():
    assert sample_id("d", "Cafe\u0301/1") == "d/Caf\u00e9/1"


def test_digests_keep_their_parts_apart():
    assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest(None, "abc"), digest(Path("/no/such/file"))}) == 5
