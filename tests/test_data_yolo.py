"""YOLO data sets: where images and labels are found, what a line means, and what is refused."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.data.yolo_files import label_path
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.types import Dataset

WIDTH, HEIGHT = 40, 20


def write(root: Path, lines: dict[str, str | None], yaml: str = "val: images/val\nnames: [car, boat]\n") -> Path:
    """A data set with an image for each name, and label files where there is text."""
    for name, text in lines.items():
        image = root / "images" / "val" / f"{name}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numpy.full((HEIGHT, WIDTH, 3), 90, dtype=numpy.uint8)).save(image)
        if text is not None:
            label = root / "labels" / "val" / f"{name}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(text)
    (root / "data.yaml").write_text(yaml)
    return root


def read(root: Path, **more: object) -> Dataset:
    extra = ", ".join(f"{k}={v!r}" for k, v in more.items())
    return DATASETS.build(f"yolo:{root}({extra})" if extra else f"yolo:{root}")


def test_boxes_and_polygons_become_pixels(tmp_path: Path) -> None:
    data = read(write(tmp_path, {"a": "0 0.5 0.5 0.25 0.5\n1 0.1 0.2 0.4 0.2 0.4 0.8 0.1 0.8\n", "b": None}))
    assert len(data) == 2
    assert data.labels.names == ("car", "boat")
    first, empty = data[0], data[1]
    assert first.target.boxes.tolist() == [[15.0, 5.0, 25.0, 15.0], [4.0, 4.0, 16.0, 16.0]]
    assert first.target.labels.tolist() == [0, 1]
    assert first.target.area.tolist() == [100.0, 144.0]
    assert int(first.regions["instance:1"].sum()) == 144
    assert first.regions["class:boat"].equal(first.regions["instance:1"])
    assert first.attributes["masks"] == "boxes"
    assert first.image.shape == (3, HEIGHT, WIDTH)
    assert len(empty.target.boxes) == 0


def test_a_polygon_that_is_no_box_keeps_its_shape(tmp_path: Path) -> None:
    sample = read(write(tmp_path, {"a": "0 0 0 0.5 0 0 1\n"}))[0]
    mask = sample.regions["instance:0"]
    y, x = torch.arange(HEIGHT)[:, None] + 0.5, torch.arange(WIDTH)[None, :] + 0.5
    inside = x / 20 + y / 20 < 1
    assert float((mask != inside).float().mean()) < 0.02
    assert sample.target.boxes.tolist() == [[0.0, 0.0, 20.0, 20.0]]
    assert "masks" not in sample.attributes


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 .5 .5 .1 .1", "class 2 is not one of the 2"),
        ("-1 .5 .5 .1 .1", "class -1 is not one of"),
        ("0.5 .5 .5 .1 .1", "class 0.5 is not one of"),
        ("0 20 10 8 8", "20 lies outside"),
        ("0 .95 .5 .3 .1", "leaves the image"),
        ("0 .5 .5 0 .1", "has no area"),
        ("0 .5 .5 .1", "4 values are neither"),
        ("0 .5 .5 .1 .1 .9", "6 values are neither"),
        ("0 .5 nan .1 .1", "NaN or infinity"),
        ("0 .5 x .1 .1", "no number"),
        ("0 .5 .5 .1 .1\n0 .5 .5 .1 .1", "line 2: it is line 1 again"),
        ("0 .5 .5 .1 .1\n0 0.50 5e-1 0.1 .1", "line 2: it is line 1 again"),
        ("0 " + "0 0 1 1 " * 13_000, "outline is .* pixels long"),
        ("0 .1 .1 .2 .1 .3 .1", "has no area inside"),
    ],
)
def test_what_is_no_object_is_refused_with_its_line(line: str, message: str, tmp_path: Path) -> None:
    data = read(write(tmp_path, {"a": line}))
    with pytest.raises(BadSample, match=message):
        data[0]


def test_rounding_beyond_the_edge_is_cut(tmp_path: Path) -> None:
    sample = read(write(tmp_path, {"a": "0 0.9 0.5 0.2004 0.5"}))[0]
    assert float(sample.target.boxes[0, 2]) == WIDTH


def test_a_label_file_without_an_image_is_an_error(tmp_path: Path) -> None:
    root = write(tmp_path, {"a": "0 .5 .5 .1 .1", "b": "0 .5 .5 .1 .1"})
    (root / "images" / "val" / "b.png").unlink()
    with pytest.raises(UserError, match=r"1 label files .* have no image: .*b\.txt"):
        read(root)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("val: images/val\n", "no `names`"),
        ("val: images/val\nnc: 3\nnames: [car, boat]\n", "says nc: 3 and names 2 classes"),
        ("val: images/val\nnames: {0: car, 2: boat}\n", "missing"),
        ("val: images/nowhere\nnames: [car, boat]\n", "does not exist"),
        ("train: images/val\nnames: [car, boat]\n", "no entry 'val'; it has train"),
        ("val: [1]\nnames: [car, boat]\n", "write a path"),
        ("val: images/val\nnames: [car, car]\n", "more than once"),
        ("val: images/val\nnames: [car]\nkpt_shape: 17\n", "kpt_shape is 17"),
        ("{", "is no YAML"),
    ],
)
def test_a_yaml_that_cannot_be_followed_is_refused(yaml: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read(write(tmp_path, {"a": None}, yaml))


def test_paths_are_found_as_ultralytics_finds_them(tmp_path: Path) -> None:
    root = write(tmp_path / "set", {"a": "0 .5 .5 .1 .1", "c": "1 .5 .5 .1 .1"})
    (root / "val.txt").write_text("./images/val/c.png\n")
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(f"path: {root}\nval: val.txt\ntest: [images/val]\nnames: {{0: car, 1: boat}}\n")
    assert [id_.rpartition("/")[2] for id_ in read(elsewhere).ids] == ["c"]
    assert len(read(elsewhere, split="test")) == 2
    # what exporters write beside the yaml, and a yaml that was moved with its data
    (root / "data.yaml").write_text("path: /nowhere/at/all\nval: ../images/val\nnames: [car, boat]\n")
    assert len(read(root)) == 2
    assert label_path(Path("/images/x/images/y/a.b.jpg")) == Path("/images/x/labels/y/a.b.txt")


def test_labels_alone_in_a_sub_folder_are_an_error_too(tmp_path: Path) -> None:
    root = write(tmp_path, {"a": "0 .5 .5 .1 .1", "b/c": None})
    (root / "labels" / "val" / "b").mkdir()
    assert len(read(root)) == 2
    (root / "labels" / "val" / "d").mkdir()
    (root / "labels" / "val" / "d" / "e.txt").write_text("0 .5 .5 .1 .1")
    with pytest.raises(UserError, match=r"1 label files .* have no image: .*e\.txt"):
        read(root)


def test_ids_differ_and_name_no_folder_outside_the_data(tmp_path: Path) -> None:
    root = write(tmp_path / "set", {"a": None, "b": None})
    picture = root / "images" / "val" / "a.png"
    picture.with_suffix(".bmp").write_bytes(picture.read_bytes())
    assert read(root).ids == ("set/images/val/a.bmp", "set/images/val/a.png", "set/images/val/b")
    elsewhere = tmp_path / "other" / "data.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(f"validation: {root}/images/val\nnames: [car, boat]\n")
    assert read(elsewhere).ids == ("other/a.bmp", "other/a.png", "other/b")


def test_two_spellings_of_one_accent_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="accents written in two ways"):
        read(write(tmp_path, {"\u00e9": None, "e\u0301": None}))


def test_a_list_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    root = write(tmp_path, {"a": None}, "val: val.txt\nnames: [car, boat]\n")
    (root / "val.txt").write_bytes(b"\xef\xbb\xbf./images/val/a.png\r\n")
    assert read(root)[0].image.shape == (3, HEIGHT, WIDTH)


def test_labels_of_listed_links_lie_where_their_names_say(tmp_path: Path) -> None:
    root = write(tmp_path / "set", {"a": "1 .5 .5 .1 .1"}, "val: val.txt\nnames: [car, boat]\n")
    picture = root / "images" / "val" / "a.png"
    picture.rename(tmp_path / "stored.png")
    picture.symlink_to(tmp_path / "stored.png")
    (root / "val.txt").write_text("./images/val/a.png\n")
    assert read(root)[0].target.labels.tolist() == [1]


@pytest.mark.parametrize(("shape", "points"), [("[2, 2]", ".1 .2 .3 .4"), ("[2, 3]", ".1 .2 2 .3 .4 1"), ("[1, 2]", ".1 .2")])
def test_of_pose_labels_the_box_is_read_and_no_polygon(shape: str, points: str, tmp_path: Path) -> None:
    root = write(tmp_path, {"a": f"1 .5 .5 .25 .5 {points}"}, f"val: images/val\nnames: [car, boat]\nkpt_shape: {shape}\n")
    sample = read(root)[0]
    assert sample.target.boxes.tolist() == [[15.0, 5.0, 25.0, 15.0]]
    assert sample.attributes["masks"] == "boxes"


def test_a_box_among_polygons_is_a_box(tmp_path: Path) -> None:
    sample = read(write(tmp_path, {"a": "0 .5 .5 .25 .5\n1 0 0 .5 0 0 1\n"}))[0]
    assert sample.target.boxes.tolist() == [[15.0, 5.0, 25.0, 15.0], [0.0, 0.0, 20.0, 20.0]]


def test_names_and_bytes_change_the_fingerprint(tmp_path: Path) -> None:
    root = write(tmp_path, {"a": "0 .5 .5 .1 .1"})
    before = read(root).fingerprint(0)
    assert read(root).fingerprint(0) == before
    (root / "labels" / "val" / "a.txt").write_text("0 .5 .5 .1 .2")
    assert read(root).fingerprint(0) != before


THEIRS = """
import json, sys
from ultralytics.data.utils import img2label_paths, verify_image_label
image, label = sys.argv[1:]
assert img2label_paths([image]) == [label]
print(json.dumps(verify_image_label((image, label, "", False, 2, 0, 0, False))[1].tolist()))
"""
BOXES = "0 0.5 0.5 0.25 0.5\n1 0.3 0.4 0.1 0.2\n"
POLYGONS = "1 0.1 0.2 0.4 0.2 0.4 0.8 0.1 0.8\n0 0.3 0.3 0.5 0.3 0.4 0.6\n"


@pytest.mark.parametrize("lines", [BOXES, POLYGONS])
def test_labels_equal_those_of_ultralytics(lines: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("the extra ultralytics is not installed")
    root = write(tmp_path, {"a": lines})
    image, label = root / "images" / "val" / "a.png", root / "labels" / "val" / "a.txt"
    # in a process of its own: importing it changes how Pillow opens files
    ran = subprocess.run([sys.executable, "-c", THEIRS, image, label], capture_output=True, text=True, check=True)
    rows = torch.tensor(json.loads(ran.stdout.splitlines()[-1]), dtype=torch.float64)
    centre = rows[:, 1:] * torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    theirs = torch.cat([centre[:, :2] - centre[:, 2:] / 2, centre[:, :2] + centre[:, 2:] / 2], dim=1)
    sample = read(root)[0]
    torch.testing.assert_close(sample.target.boxes.double(), theirs, atol=1e-4, rtol=0)
    assert sample.target.labels.tolist() == rows[:, 0].int().tolist()
