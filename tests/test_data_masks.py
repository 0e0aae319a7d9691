"""Image-and-mask folders and class lists."""

from __future__ import annotations

import os

import numpy
import pytest
import torch
from PIL import Image

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.data.classes import read_classes
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.types import Labels, MaskTarget


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "town" / "val"
    rng = numpy.random.default_rng(0)
    for name in ("b/2", "a"):
        for part in ("images", "masks"):
            (folder / part / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=numpy.uint8)).save(folder / f"images/{name}.jpg")
        Image.fromarray(numpy.repeat([[0, 0, 2, 255]], 2, axis=1).astype(numpy.uint8).repeat(6, axis=0)).save(folder / f"masks/{name}.png")
    (folder / "classes.txt").write_text("road\ntree\ncar\n")
    return folder


def test_pairs_become_samples_with_class_regions(root):
    data = DATASETS.build(f"masks:{root}")
    assert (data.name, data.task, data.labels) == ("town-val", "segmentation", Labels(("road", "tree", "car")))
    assert list(data.ids) == ["town-val/a", "town-val/b/2"]
    sample = data[0]
    assert isinstance(sample.target, MaskTarget)
    assert sample.target.labels.dtype == torch.int64
    assert sample.target.labels[0].tolist() == [0, 0, 0, 0, 2, 2, 255, 255]
    assert sorted(sample.regions) == ["class:car", "class:road"]
    assert torch.equal(sample.regions["class:car"], sample.target.labels == 2)
    assert "class:tree" not in sample.regions
    with pytest.raises(KeyError):
        sample.regions["class:tree"]


def test_splits_share_the_class_list_above_them(root):
    (root / "classes.txt").rename(root.parent / "classes.txt")
    assert len(DATASETS.build(f"masks:{root}").labels) == 3
    (root.parent / "classes.txt").rename(root.parent / "names.lst")
    with pytest.raises(UserError, match=r"cannot read .*val/classes\.txt"):
        DATASETS.build(f"masks:{root}")
    assert len(DATASETS.build(f"masks:{root}(classes='{root.parent / 'names.lst'}')").labels) == 3


def test_fingerprints_follow_image_mask_and_class_names(root):
    def prints():
        data = DATASETS.build(f"masks:{root}")
        return [data.fingerprint(i) for i in range(2)]

    seen = [prints()]
    assert prints() == seen[0]
    Image.new("L", (8, 6), 1).save(root / "masks/a.png")
    seen.append(prints())
    Image.new("RGB", (8, 6)).save(root / "images/a.jpg")
    seen.append(prints())
    assert len({first for first, _ in seen}) == 3
    assert len({second for _, second in seen}) == 1
    (root / "classes.txt").write_text("tree\nroad\ncar\n")
    assert prints()[1] != seen[0][1]


def test_per_image_faults_cost_one_sample(root):
    Image.new("L", (8, 5)).save(root / "masks/a.png")
    data = DATASETS.build(f"masks:{root}")
    with pytest.raises(BadSample, match=r"masks/a\.png is 8 x 5 pixels, but its image is 8 x 6"):
        data[0]
    Image.new("L", (8, 6), 3).save(root / "masks/a.png")
    with pytest.raises(BadSample, match=r"masks/a\.png has class index \[3\], but classes\.txt names 0 to 2"):
        data[0]
    assert data[1].id == "town-val/b/2"


@pytest.mark.parametrize(("lost", "partner"), [("images/a.jpg", r"images/a\.\*"), ("masks/a.png", r"masks/a\.\*")])
def test_a_half_without_its_partner_is_a_bad_sample(root, lost, partner):
    (root / lost).unlink()
    data = DATASETS.build(f"masks:{root}")
    assert len(data) == 2
    with pytest.raises(BadSample, match=f"has no partner {partner}"):
        data[0]
    assert data.fingerprint(0)


def test_two_images_of_one_name_are_refused(root):
    Image.new("RGB", (8, 6)).save(root / "images/a.png")
    with pytest.raises(UserError, match="have one name"):
        DATASETS.build(f"masks:{root}")


def test_folders_without_the_layout_are_refused(root, tmp_path):
    with pytest.raises(UserError, match="has no folder images and no folder masks"):
        DATASETS.build(f"masks:{root.parent}")
    (tmp_path / "bare/images").mkdir(parents=True)
    (tmp_path / "bare/masks").mkdir()
    (tmp_path / "bare/classes.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match="is empty"):
        DATASETS.build(f"masks:{tmp_path / 'bare'}")
    (root / "classes.txt").write_text("\n".join(map(str, range(256))))
    with pytest.raises(UserError, match="256 classes, but index 255 means ignore"):
        DATASETS.build(f"masks:{root}")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a\n\nb\n", "line 2 is empty"),
        (b"a\nb\na\n", "names 'a' more than once"),
        (b"\xff\xfe", "is empty"),
        (b"h\xf6rse\n", "UTF-8"),
        (b"a\nca\0r\n", r"class 1 is called 'ca\\x00r', which holds characters that are no text"),
    ],
)
def test_class_lists_that_would_shift_indices_are_refused(tmp_path, content, why):
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(UserError, match=f"classes.txt.*{why}"):
        read_classes(tmp_path / "classes.txt")


def test_class_lists_allow_spaces_crlf_and_byte_order_marks(tmp_path):
    (tmp_path / "classes.txt").write_bytes("\ufefftraffic light\r\n café \r\n\r\n".encode())
    assert read_classes(tmp_path / "classes.txt") == Labels(("traffic light", "café"))
    (tmp_path / "classes.txt").write_bytes("traffic light\r\ncafe\u0301\n".encode("utf-16"))
    assert read_classes(tmp_path / "classes.txt") == Labels(("traffic light", "café"))


def test_a_pipe_in_the_place_of_the_class_list_is_never_waited_for(root):
    (root / "classes.txt").unlink()
    os.mkfifo(root / "classes.txt")
    with pytest.raises(UserError, match=r"cannot read .*classes\.txt: it is a pipe"):
        DATASETS.build(f"masks:{root}")


def test_linked_folders_hold_pairs(root, tmp_path):
    for part in ("images", "masks"):
        (root / part / "b").rename(tmp_path / part)
        os.symlink(tmp_path / part, root / part / "b")
    data = DATASETS.build(f"masks:{root}")
    assert list(data.ids) == ["town-val/a", "town-val/b/2"]
    assert data[1].image.shape == (3, 6, 8)


def test_masks_are_png_or_tiff_and_others_are_named(root):
    mask = Image.open(root / "masks/a.png")
    (root / "masks/a.png").unlink()
    mask.save(root / "masks/a.tif")
    mask.save(root / "masks/b/2.jpg")
    (root / "masks/b/2.png").unlink()
    data = DATASETS.build(f"masks:{root}")
    sample = data[0]
    assert isinstance(sample.target, MaskTarget)
    assert sample.target.labels[0].tolist() == [0, 0, 0, 0, 2, 2, 255, 255]
    with pytest.raises(BadSample, match=r"masks/b/2\.jpg is a JPEG, which does not keep class indices"):
        data[1]


def test_names_of_which_none_has_a_partner_are_refused_as_a_whole(root):
    for name in ("a", "b/2"):
        (root / f"masks/{name}.png").rename(root / f"masks/{name}_mask.png")
    with pytest.raises(UserError, match=r"none of 2 images has a mask of its name \(images/a\.jpg, masks/a_mask\.png\)"):
        DATASETS.build(f"masks:{root}")


def test_accents_written_in_two_ways_are_one_pair(root):
    (root / "images/a.jpg").rename(root / "images/\u00e9.jpg")
    (root / "masks/a.png").rename(root / "masks/e\u0301.png")
    assert DATASETS.build(f"masks:{root}")[1].id == "town-val/\u00e9"


def test_turned_photos_are_read_upright_when_asked(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 8)).save(root / "images/a.jpg", exif=exif)
    with pytest.raises(BadSample, match="is 8 x 6 pixels, but its image is 6 x 8"):
        DATASETS.build(f"masks:{root}")[0]
    assert DATASETS.build(f"masks:{root}(upright=True)")[0].image.shape == (3, 6, 8)


@pytest.mark.parametrize("value", [-1, 2**31 - 1])
def test_indices_far_out_are_named_without_counting_up_to_them(root, value):
    Image.fromarray(numpy.full((6, 8), value, dtype=numpy.int32)).save(root / "masks/a.tif")
    (root / "masks/a.png").unlink()
    with pytest.raises(BadSample, match=rf"has class index \[{value}\]"):
        DATASETS.build(f"masks:{root}")[0]
