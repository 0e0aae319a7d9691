"""Image folders, and what all readers share: names, ids, paths, fingerprints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.data.source import dataset_name, digest, inside, sample_id
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


def test_unusable_folders_are_refused_as_a_whole(root, tmp_path):
    (root / "bird").mkdir()
    with pytest.raises(UserError, match="no images in class folder 'bird'"):
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
    with pytest.raises(UserError, match=f"{spec} data serves {served}, not 'flying'"):
        DATASETS.build(f"{spec}:{tmp_path}", task="flying")


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/passwd", "a/../../secret.png", "C:\\secret.png", "C:secret.png", "", ".", "a\0b", "link.png"]
)
def test_no_file_name_leads_out_of_its_root(tmp_path, name):
    root = tmp_path / "images"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    os.symlink(tmp_path / "secret.png", root / "link.png")
    with pytest.raises(BadSample, match=r"entry 5: the file name .* leads out of"):
        inside(root, name, "entry 5")


def test_names_inside_a_root_are_followed(tmp_path):
    (tmp_path / "real" / "sub").mkdir(parents=True)
    os.symlink(tmp_path / "real", tmp_path / "root")
    os.symlink(tmp_path / "real" / "sub", tmp_path / "real" / "alias")
    for name in ("a.png", "sub/a.png", "sub/../a.png", "alias/a.png", "..a.png"):
        assert inside(tmp_path / "root", name, "").is_relative_to(tmp_path / "real")


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
