"""COCO instances: boxes, masks, crowds, layouts, and every fault that one JSON file can have."""

from __future__ import annotations

import copy
import json
import os
import pickle

import numpy
import pytest
import torch
from PIL import Image
from pycocotools import mask as reference

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.types import BoxTarget, Labels

# pycocotools predates numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HEIGHT, WIDTH = 20, 30
DISC = numpy.asfortranarray(((numpy.mgrid[:HEIGHT, :WIDTH] - [[[10]], [[15]]]) ** 2).sum(0) < 30).astype(numpy.uint8)
POLYGON = [2.0, 3.0, 9.5, 3.0, 9.5, 11.25, 2.0, 8.0]


def runs(mask):
    flat = mask.ravel(order="F")
    edges = numpy.flatnonzero(numpy.diff(numpy.concatenate([[0], flat]))).tolist()
    return numpy.diff([0, *edges, flat.size]).tolist()


def annotation(id_, image, category, bbox, **more):
    return {"id": id_, "image_id": image, "category_id": category, "bbox": bbox, **more}


def content():
    compressed = reference.encode(DISC)["counts"].decode()
    return {
        "info": {"year": 2017},
        "categories": [{"id": 90, "name": "boat"}, {"id": 3, "name": "car"}, {"id": 17, "name": "cow"}],
        "images": [
            {"id": 11, "file_name": "b.png", "height": HEIGHT, "width": WIDTH},
            {"id": 7, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 9, "file_name": "sub/c.png", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": [
            annotation(1, 7, 90, [2, 3, 7.5, 8.25], segmentation=[list(POLYGON)], area=50.5, iscrowd=0),
            annotation(
                2, 7, 3, [9, 4, 12, 13], segmentation={"size": [HEIGHT, WIDTH], "counts": compressed}, area=float(DISC.sum()), iscrowd=1
            ),
            annotation(3, 11, 3, [9, 4, 12, 13], segmentation={"size": [HEIGHT, WIDTH], "counts": runs(DISC)}),
            annotation(4, 7, 90, [20, 2, 6, 6], segmentation=[[20, 2, 26, 2, 26, 8, 20, 8]], iscrowd=0),
            annotation(5, 7, 3, [-1, 15, 6, 6.5]),
        ],
    }


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "coco" / "val2017"
    (folder / "images" / "sub").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "sub/c.png")):
        Image.new("RGB", (WIDTH, HEIGHT), (10 * i, 0, 0)).save(folder / "images" / name)
    (folder / "instances.json").write_text(json.dumps(content()))
    return folder


def build(root, change=None, text=None):
    """The data set of `root` after a change of its JSON."""
    if change is not None:
        new = copy.deepcopy(content())
        change(new)
        text = json.dumps(new).replace('"HUGE"', "1e999")
    if text is not None:
        (root / "instances.json").write_text(text)
    return DATASETS.build(f"coco:{root}")


def test_category_ids_with_gaps_become_class_indices(root):
    data = build(root)
    assert (data.name, data.task, data.labels) == ("coco-val2017", "detection", Labels(("car", "cow", "boat")))
    assert list(data.ids) == ["coco-val2017/a", "coco-val2017/b", "coco-val2017/sub/c"]
    target = data[0].target
    assert isinstance(target, BoxTarget)
    assert target.labels.tolist() == [2, 0, 2, 0]
    assert target.crowd.tolist() == [False, True, False, False]
    assert target.boxes.tolist() == [[2, 3, 9.5, 11.25], [9, 4, 21, 17], [20, 2, 26, 8], [0, 15, 5, 20]]


def test_areas_are_annotated_else_of_the_mask(root):
    first, second = build(root)[0].target, build(root)[1].target
    assert isinstance(first, BoxTarget)
    assert isinstance(second, BoxTarget)
    assert first.area.tolist() == [50.5, DISC.sum(), 36, 25]
    assert second.area.tolist() == [DISC.sum()]


def test_regions_equal_the_reference(root):
    sample = build(root)[0]
    polygon = torch.from_numpy(reference.decode(reference.frPyObjects([POLYGON], HEIGHT, WIDTH))[..., 0]).bool()
    square, disc = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool), torch.from_numpy(DISC.copy()).bool()
    square[2:8, 20:26] = True
    assert set(sample.regions) == {"objects", "class:boat", "class:car", "instance:0", "instance:1", "instance:2", "instance:3"}
    assert torch.equal(sample.regions["instance:0"], polygon)
    assert torch.equal(sample.regions["instance:1"], disc)
    assert torch.equal(sample.regions["instance:2"], square)
    assert torch.equal(sample.regions["class:boat"], polygon | square)
    assert torch.equal(sample.regions["class:car"], sample.regions["instance:3"])  # without the crowd
    assert torch.equal(sample.regions["objects"], polygon | square | disc | sample.regions["instance:3"])
    assert torch.equal(build(root)[1].regions["class:car"], disc)


def test_a_box_stands_for_an_object_without_an_outline_and_says_so(root):
    sample = build(root)[0]
    box = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    box[15:20, 0:5] = True
    assert torch.equal(sample.regions["instance:3"], box)
    assert sample.attributes == {"masks": "boxes"}
    assert build(root)[1].attributes == {}


def test_an_image_without_objects_is_a_sample(root):
    sample = build(root)[2]
    assert isinstance(sample.target, BoxTarget)
    assert sample.target.boxes.shape == (0, 4)
    assert sample.target.labels.dtype == torch.int64
    assert list(sample.regions) == ["objects"]
    assert not sample.regions["objects"].any()


def test_regions_are_drawn_when_asked_for_and_travel_between_processes(root):
    regions = build(root)[0].regions
    assert len(regions) == 7
    assert "class:boat" in regions
    assert "class:cow" not in regions
    assert not regions.made
    copied = pickle.loads(pickle.dumps(regions))
    assert torch.equal(copied["class:boat"], regions["class:boat"])
    assert regions["class:boat"] is regions["class:boat"]


@pytest.mark.parametrize("layout", ["file", "images beside", "coco", "coco folder", "given"])
def test_layouts(root, layout):
    expected = [build(root)[i] for i in range(3)]
    images, annotations = root / "images", root.parent / "annotations"
    spec = f"coco:{root}"
    if layout in ("coco", "coco folder", "given"):
        annotations.mkdir()
        (root / "instances.json").rename(annotations / "instances_val2017.json")
        spec = f"coco:{annotations / 'instances_val2017.json'}"
    if layout == "file":
        spec = f"coco:{root / 'instances.json'}"
    elif layout == "images beside":
        for file in ("a.png", "b.png", "sub"):
            (images / file).rename(root / file)
        images.rmdir()
    elif layout == "given":
        images.rename(root.parent / "pictures")
        spec += f"(images='{root.parent / 'pictures'}')"
    else:
        images.rename(root.parent / "moved")
        root.rmdir()
        (root.parent / "moved").rename(root)
        spec = f"coco:{root}" if layout == "coco folder" else spec
    data = DATASETS.build(spec)
    assert list(data.ids) == [s.id for s in expected]
    assert all(torch.equal(data[i].image, s.image) for i, s in enumerate(expected))


def test_folders_without_annotations_or_images_say_what_was_tried(root, tmp_path):
    with pytest.raises(UserError, match="has neither instances"):
        DATASETS.build(f"coco:{root.parent}")
    (root / "instances.json").rename(root / "mine.json")
    with pytest.raises(UserError, match=r"it holds mine\.json: give one"):
        DATASETS.build(f"coco:{root}")
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "mine.json").write_text(json.dumps(content()))
    with pytest.raises(UserError, match=r"no folder holds its images, such as 'b\.png'"):
        DATASETS.build(f"coco:{tmp_path / 'alone' / 'mine.json'}")
    with pytest.raises(UserError, match="does not exist"):
        DATASETS.build(f"coco:{tmp_path / 'nowhere'}")


def test_fingerprints_follow_image_and_annotations_but_not_the_json_layout(root):
    def prints(change=None, **style):
        new = content()
        if change:
            change(new)
        data = build(root, text=json.dumps(new, **style))
        return [data.fingerprint(i) for i in range(3)]

    before = prints()
    assert len(set(before)) == 3
    assert prints(indent=2) == before
    for change in (
        lambda c: c["annotations"][0].update(iscrowd=1),
        lambda c: c["annotations"][0]["bbox"].__setitem__(0, 2.5),
        lambda c: c["annotations"][0]["segmentation"][0].__setitem__(0, 2.5),
        lambda c: c["annotations"].pop(4),
    ):
        assert [a == b for a, b in zip(prints(change), before, strict=True)] == [False, True, True]
    assert prints(lambda c: c["categories"][0].update(name="ship"))[2] != before[2]
    Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(root / "images" / "b.png")
    assert [a == b for a, b in zip(prints(), before, strict=True)] == [True, False, True]


FIRST = {
    "zero area": ({"bbox": [2, 3, 0, 8]}, "has no area"),
    "negative": ({"bbox": [2, 3, -4, 8]}, "has no area"),
    "two corners": ({"bbox": [20, 10, 28, 18]}, r"leaves the image of 30 x 20 pixels; it is \[x, y, width, height\], not two corners"),
    "beyond": ({"bbox": [30.5, 3, 1, 1]}, "lies beyond the edge"),
    "three numbers": ({"bbox": [1, 2, 3]}, "bbox .* is not"),
    "no box": ({"bbox": None}, "bbox None is not"),
    "text": ({"bbox": ["1", 2, 3, 4]}, "bbox .* is not"),
    "true": ({"bbox": [True, 2, 3, 4]}, "bbox .* is not"),
    "huge": ({"bbox": [1, 2, 1e300, 4]}, "leaves the image"),
    "category": ({"category_id": 4}, r"category id 4 is not among the file's categories \[3, 17, 90\]"),
    "crowd": ({"iscrowd": 2}, "iscrowd is 2"),
    "area": ({"area": -1}, "area is -1"),
    "two corners only": ({"segmentation": [[1, 2, 3, 4]]}, "at least three corners"),
    "odd": ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "at least three corners"),
    "far": ({"segmentation": [[1, 2, 3, 4, 5, 1e9]]}, "a polygon reaches"),
    "a text": ({"segmentation": "x"}, "neither polygons"),
    "size": ({"segmentation": {"size": [30, 20], "counts": [600]}}, r"size \[30, 20\], the image is \[20, 30\]"),
    "short": ({"segmentation": {"size": [20, 30], "counts": [1, 2]}}, "add up to 3"),
    "no counts": ({"segmentation": {"size": [20, 30]}}, "counts of its mask"),
    "number": ({"segmentation": [[1, 2, 3, 4, 5, "HUGE"]]}, "Number out of range"),
    "bad text": ({"segmentation": {"size": [20, 30], "counts": "\u20ac"}}, "no character of a compressed mask"),
}


@pytest.mark.parametrize("fault", FIRST)
def test_a_faulty_annotation_costs_its_image_and_is_named(root, fault):
    change, why = FIRST[fault]
    data = build(root, lambda c: c["annotations"][0].update(change))
    with pytest.raises(BadSample, match=rf"instances\.json, image 7 \('a\.png'\): annotation 1: .*{why}"):
        data[0]
    assert data[1].id == "coco-val2017/b"
    assert len({data.fingerprint(i) for i in range(3)}) == 3


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/hosts", "link.png"])
def test_file_names_that_leave_the_image_root_are_not_opened(root, name):
    secret = root.parent / "secret.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(secret)
    os.symlink(secret, root / "images" / "link.png")
    data = build(root, lambda c: c["images"][1].update(file_name=name))
    index = next(i for i in range(3) if data.images[i].id == 7)
    with pytest.raises(BadSample, match=r"image 7 .* leads out of"):
        data[index]
    before = data.fingerprint(index)
    secret.write_bytes(b"changed")
    assert data.fingerprint(index) == before


def test_missing_and_damaged_images_cost_one_sample(root):
    (root / "images" / "a.png").unlink()
    (root / "images" / "b.png").write_bytes(b"\x89PNG broken")
    data = build(root)
    with pytest.raises(BadSample, match=r"a\.png \(image 7 of .*instances\.json\) does not exist"):
        data[0]
    with pytest.raises(BadSample, match=r"b\.png \(image 11 of"):
        data[1]
    assert data[2].id.endswith("c")


def test_a_root_without_any_of_the_images_costs_every_sample(root):
    for name in ("a.png", "b.png", "sub/c.png"):
        (root / "images" / name).unlink()
    data = build(root, lambda c: c["images"][0].update(file_name="../b.png"))
    for index, why in enumerate(("leads out of", "does not exist", "does not exist")):
        with pytest.raises(BadSample, match=why):
            data[index]


def test_names_that_differ_in_their_suffix_alone_keep_it(root):
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "images" / "a.bmp")
    data = build(root, lambda c: c["images"][0].update(file_name="a.bmp"))
    assert list(data.ids) == ["coco-val2017/a.bmp", "coco-val2017/a.png", "coco-val2017/sub/c"]


def test_an_image_of_another_size_is_refused_and_exif_is_suspected(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(root / "images" / "a.png", exif=exif)
    with pytest.raises(BadSample, match=r"annotated as 30 x 20 pixels, but .* has 20 x 30; EXIF turns it: .*upright=True"):
        build(root)[0]
    assert DATASETS.build(f"coco:{root}(upright=True)")[0].image.shape == (3, HEIGHT, WIDTH)
    Image.new("RGB", (31, 20)).save(root / "images" / "a.png")
    with pytest.raises(BadSample, match=r"has 31 x 20$"):
        build(root)[0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c["images"][0].update(id=7), "image id '7' comes more than once"),
        (lambda c: c["images"][0].update(file_name="./a.png"), "file_name 'a.png' comes more than once"),
        (lambda c: c["annotations"][0].update(id=2), "annotation id '2' comes more than once"),
        (lambda c: c["categories"][0].update(id=3), "category id '3' comes more than once"),
        (lambda c: c["categories"][0].update(name="cow"), "names 'cow' more than once"),
        (lambda c: c["annotations"][0].update(image_id="7"), "annotation 1 is of image id '7', which the file does not list"),
        (lambda c: c["annotations"][2].update(category_id="3"), r"\$\.annotations\[2\]\.category_id"),
        (lambda c: c.update(images=[]), "lists no images"),
        (lambda c: c.update(categories=[]), "lists no categories"),
        (lambda c: c.pop("categories"), "missing required field `categories`"),
    ],
)
def test_inconsistent_files_are_refused_as_a_whole(root, change, why):
    with pytest.raises(UserError, match=why) as caught:
        build(root, change)
    assert not isinstance(caught.value, BadSample)


def test_broken_json_is_located(root):
    text = json.dumps(content(), indent=1)
    lines = text.splitlines()
    with pytest.raises(UserError, match=r"instances\.json is not valid JSON: .* at line \d+, column \d+"):
        build(root, text=text[: len(text) // 2])
    broken = "\n".join([*lines[:40], lines[40] + " oops", *lines[41:]])
    with pytest.raises(UserError, match=rf"at line 41, column {len(lines[40]) + 2}"):
        build(root, text=broken)
    for other, why in [
        ("", "line 1, column 1"),
        ("[1]", "Expected `object`"),
        ('{"info": ' + "[" * 100_000, "nested too deeply"),
        ('{"images": NaN}', "not valid JSON"),
    ]:
        with pytest.raises(UserError, match=why):
            build(root, text=other)
    (root / "instances.json").write_bytes(b'{"images": [{"id": 1,\n "file_name": "\xff"}]}')
    with pytest.raises(UserError, match=r"not UTF-8 at line 2, column 16"):
        build(root)
