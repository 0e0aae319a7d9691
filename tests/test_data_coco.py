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
    "two corners only": ({"segmentation": [[1, 2, 3, 4]]}, r"a polygon .* 4 numbers.*at least three corners"),
    "odd": ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "at least three corners"),
    "far": ({"segmentation": [[1, 2, 3, 4, 5, 1e9]]}, "a polygon reaches"),
    "a text": ({"segmentation": "x"}, "neither polygons"),
    "size": ({"segmentation": {"size": [30, 20], "counts": [600]}}, r"size \[30, 20\], the image is \[20, 30\]"),
    "short": ({"segmentation": {"size": [20, 30], "counts": [1, 2]}}, "add up to 3"),
    "no counts": ({"segmentation": {"size": [20, 30]}}, "segmentation has no counts"),
    "neither": ({"segmentation": {}}, "segmentation has no size and no counts"),
    "number": ({"segmentation": [[1, 2, 3, 4, 5, "HUGE"]]}, "a polygon holds '1e999', which is no finite number"),
    "flat": ({"segmentation": [1, 2, 3, 4, 5, 6]}, r"one flat list of numbers.*put brackets around it \(outlines=False"),
    "pairs": ({"segmentation": [[[1, 2], [3, 4], [5, 6]]]}, "a list of pairs"),
    "nested": ({"segmentation": [[[1, 2, 3, 4, 5, 6]]]}, "nested one level too deep"),
    "text inside": ({"segmentation": ["x"]}, "a polygon is 'x', not a list"),
    "empty text": ({"segmentation": ""}, "segmentation is '', neither polygons"),
    "huge integer": ({"segmentation": [[10**400, 2, 3, 4, 5, 6]]}, r"a polygon holds 1000+\.\.\.0+, which is no finite number"),
    "huge box": ({"bbox": [1, 2, 10**400, 4]}, r"bbox \[1, 2, 10+\.\.\.0+, 4\] is not"),
    "huge area": ({"area": 10**400}, r"area is 10+\.\.\.0+; it is a number of pixels"),
    "infinite area": ({"area": "HUGE"}, "area is '1e999'"),
    "endless number": ({"segmentation": {"size": [20, 30], "counts": "o" * 200_000 + "0"}}, "is longer than any image"),
    "long way": ({"segmentation": [[v for k in range(40_000) for v in (-25 + 80 * (k % 2), k % 20)]]}, "outline is 32000.. pixels long"),
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


def test_outlines_can_be_left_out_and_boxes_stand_for_the_objects(root):
    def change(c):
        c["annotations"][0].update(segmentation="x", area=None)

    build(root, change)
    data = DATASETS.build(f"coco:{root}(outlines=False)")
    sample = data[0]
    assert sample.attributes == {"masks": "boxes"}
    assert isinstance(sample.target, BoxTarget)
    assert sample.target.area.tolist() == [8 * 9, DISC.sum(), 36, 25]  # the box touches 8 x 9 pixels; the other two are annotated
    assert sample.regions["instance:1"].sum() == 12 * 13
    assert data.fingerprint(0) != DATASETS.build(f"coco:{root}").fingerprint(0)
    with pytest.raises(UserError, match="masks=True needs the outlines"):
        DATASETS.build(f"coco:{root}(outlines=False, masks=True)")


@pytest.mark.parametrize("stray", [[], [[]], [[], []]], ids=str)
def test_empty_polygons_are_no_fault(root, stray):
    sample = build(root, lambda c: c["annotations"][3].update(segmentation=[*c["annotations"][3]["segmentation"], *stray]))[0]
    assert sample.regions["instance:2"].sum() == 36
    alone = build(root, lambda c: c["annotations"][3].update(segmentation=stray))[0]
    assert alone.regions["instance:2"].sum() == 36  # its box


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/hosts", "..\\..\\secret.png", "sub/../../../secret.png"])
def test_file_names_that_leave_the_image_root_are_not_opened(root, name):
    secret = root.parent / "secret.png"
    Image.new("RGB", (WIDTH, HEIGHT)).save(secret)
    data = build(root, lambda c: c["images"][1].update(file_name=name))
    index = next(i for i in range(3) if data.images[i].id == 7)
    with pytest.raises(BadSample, match=r"image 7 .* leads out of"):
        data[index]
    before = data.fingerprint(index)
    secret.write_bytes(b"changed")
    assert data.fingerprint(index) == before


def test_links_into_a_store_are_followed(root):
    store = root.parent / "store"
    store.mkdir()
    expected = build(root)[0].image
    (root / "images" / "a.png").rename(store / "0123abcd")
    os.symlink(store / "0123abcd", root / "images" / "a.png")
    assert torch.equal(build(root)[0].image, expected)
    before = build(root).fingerprint(0)
    Image.new("RGB", (WIDTH, HEIGHT), (1, 2, 3)).save(store / "0123abcd", "PNG")
    assert build(root).fingerprint(0) != before
    (store / "0123abcd").unlink()
    with pytest.raises(BadSample, match=r"a\.png \(image 7 of .*\) is a link to .*0123abcd, which does not exist"):
        build(root)[0]


@pytest.mark.parametrize(
    ("written", "lies"),
    [
        ("sub\\c.png", "sub/c.png"),
        ("sub/c%20d.png", "sub/c d.png"),
        ("sub\\c%C3%A9.png", "sub/c\u00e9.png"),
        ("cafe\u0301.png", "caf\u00e9.png"),
    ],
)
def test_names_as_another_system_wrote_them_are_found(root, written, lies):
    (root / "images/sub/c.png").rename(root / "images" / lies)
    data = build(root, lambda c: c["images"][2].update(file_name=written))
    index = next(i for i in range(3) if data.images[i].id == 9)
    assert data[index].image.shape == (3, HEIGHT, WIDTH)
    assert "\\" not in data.ids[index]
    before = data.fingerprint(index)
    Image.new("RGB", (WIDTH, HEIGHT), (3, 2, 1)).save(root / "images" / lies)
    assert data.fingerprint(index) != before
    (root / "images" / lies).unlink()
    with pytest.raises(BadSample, match="does not exist"):
        data[index]


def test_a_name_as_it_is_written_comes_first(root):
    Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(root / "images" / "a%20b.png")
    Image.new("RGB", (WIDTH, HEIGHT), (1, 1, 1)).save(root / "images" / "a b.png")
    data = build(root, lambda c: c["images"][1].update(file_name="a%20b.png"))
    assert data[0].image.max() * 255 == 9


def test_a_windows_path_that_leads_out_says_what_is_there(root):
    data = build(root, lambda c: c["images"][1].update(file_name="..\\Resized\\a.png"))
    with pytest.raises(BadSample, match=r"a\.png itself lies there: take the folders out of the name"):
        data[0]


@pytest.mark.parametrize("name", ["", ".", "./", " ", "a" * 300 + ".png", "b" * 5000, "x" * 200 + "/" + "y" * 300])
def test_names_of_no_file_cost_one_sample_in_a_line(root, name):
    data = build(root, lambda c: c["images"][1].update(file_name=name))
    index = next(i for i in range(3) if data.images[i].id == 7)
    with pytest.raises(BadSample, match="image 7") as caught:
        data[index]
    assert len(str(caught.value)) < 900 + 2 * len(str(root))
    assert data.fingerprint(index)
    assert sum(isinstance(_read(data, i), str) for i in range(3)) == 1
    assert len(set(data.ids)) == 3


def _read(data, index):
    try:
        return data[index]
    except BadSample as fault:
        return str(fault)


def test_a_pipe_in_an_images_place_is_never_waited_for(root):
    (root / "images" / "a.png").unlink()
    os.mkfifo(root / "images" / "a.png")
    os.symlink("/dev/zero", root / "images" / "d.png")
    data = build(root, lambda c: c["images"][0].update(file_name="d.png"))
    for index in (0, 1):
        with pytest.raises(BadSample, match="a pipe, a socket or a device, not a file"):
            data[index]
        assert data.fingerprint(index)
    (root / "instances.json").unlink()
    os.mkfifo(root / "instances.json")
    with pytest.raises(UserError, match=r"cannot read .*instances\.json: it is a pipe"):
        DATASETS.build(f"coco:{root}")


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
    upright = DATASETS.build(f"coco:{root}(upright=True)")[0]
    assert upright.image.shape == (3, HEIGHT, WIDTH)
    assert "exif orientation" not in upright.attributes
    exif[0x0112] = 3
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "images" / "a.png", exif=exif)
    assert build(root)[0].attributes["exif orientation"] == "3"
    exif[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(root / "images" / "a.png", exif=exif)
    with pytest.raises(BadSample, match=r"annotated as it is stored: leave upright out"):
        DATASETS.build(f"coco:{root}(upright=True)")[0]
    Image.new("RGB", (31, 20)).save(root / "images" / "a.png")
    with pytest.raises(BadSample, match=r"has 31 x 20$"):
        build(root)[0]


@pytest.mark.parametrize("orientation", range(2, 9))
def test_boxes_drawn_on_what_a_viewer_shows_lie_on_the_pixels_read_upright(tmp_path, orientation):
    upright = numpy.full((24, 36, 3), 128, dtype=numpy.uint8)
    upright[4:14, 6:22] = (255, 0, 0)
    # how the pixels are stored for each orientation, from the EXIF standard: the way back of what a viewer does
    stored = {
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: numpy.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: numpy.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    Image.fromarray(numpy.ascontiguousarray(stored)).save(tmp_path / "images" / "a.png", exif=exif)
    notes = [annotation(1, 1, 1, [6, 4, 16, 10])]
    document = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": notes, "categories": [{"id": 1, "name": "car"}]}
    (tmp_path / "instances.json").write_text(json.dumps(document))
    sample = DATASETS.build(f"coco:{tmp_path}(upright=True)")[0]
    assert isinstance(sample.target, BoxTarget)
    assert torch.equal((sample.image * 255).round().byte(), torch.from_numpy(upright).permute(2, 0, 1))
    x1, y1, x2, y2 = sample.target.boxes[0].int().tolist()
    assert sample.image[1, y1:y2, x1:x2].max() == 0
    assert DATASETS.build(f"coco:{tmp_path}")[0].attributes["exif orientation"] == str(orientation)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c["images"][0].update(id=7), "image id '7' comes more than once"),
        (lambda c: c["images"][0].update(file_name="./a.png"), "file_name 'a.png' comes more than once"),
        (lambda c: c["annotations"][0].update(id=2), "annotation id '2' comes more than once"),
        (lambda c: c["categories"][0].update(id=3), "category id '3' comes more than once"),
        (lambda c: c["categories"][0].update(name="cow"), "names 'cow' more than once"),
        (lambda c: c["annotations"][0].update(image_id="7"), "annotation 1 is of image id '7', which the file does not list"),
        (
            lambda c: c["annotations"][2].update(category_id="3"),
            r"entry 2 of 'annotations' \(counted from 0\), with the id 3: category_id is \"3\", and must be the whole number of one of",
        ),
        (lambda c: c.update(images=[]), "lists no images"),
        (lambda c: c.update(categories=[]), "lists no categories"),
        (lambda c: c.pop("categories"), "it has no 'categories'"),
        (lambda c: c["categories"][0].update(name=""), "class 2 has an empty name"),
        (lambda c: c["categories"][0].update(name=" \t"), "class 2 has an empty name"),
        (lambda c: c["categories"][0].update(name="bo\0at"), r"class 2 is called 'bo\\x00at', which holds characters that are no text"),
        (lambda c: c["images"][0].update(file_name="sub\\c.png"), r"file_name 'sub/c\.png' comes more than once"),
        (
            lambda c: c["images"][0].update(id=1.5),
            r"entry 0 of 'images' \(counted from 0\): id is 1\.5, and must be a whole number or text",
        ),
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
        ("[1]", "it is a list, and must be names with values"),
        ('{"info": ' + "[" * 100_000, "nested too deeply"),
        ('{"images": NaN}', r"'images': it is text, and must be a list.*\(NaN at line 1, column 12 is no JSON number\)"),
    ]:
        with pytest.raises(UserError, match=why):
            build(root, text=other)
    (root / "instances.json").write_bytes(b'{"images": [{"id": 1,\n "file_name": "\xff"}]}')
    with pytest.raises(UserError, match=r"not UTF-8 \(byte 0xff at line 2, column 16\); save it as UTF-8"):
        build(root)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_in_any_unicode_encoding_is_read(root, encoding):
    text = json.dumps(content(), ensure_ascii=False).replace('"cow"', '"k\u00fche \u72d7"')
    (root / "instances.json").write_bytes(text.encode(encoding))
    data = DATASETS.build(f"coco:{root}")
    assert data.labels.names == ("car", "k\u00fche \u72d7", "boat")
    assert data[0].id.endswith("a")


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1E+999"])
def test_numbers_that_are_not_finite_cost_only_what_needs_them(root, word):
    text = json.dumps(content(), indent=1)
    harmless = text.replace('"year": 2017', f'"year": {word}, "note": "a \\"NaN\\", NaN"')
    assert build(root, text=harmless)[0].target.area.tolist() == build(root)[0].target.area.tolist()
    data = build(root, text=text.replace("50.5", word))
    with pytest.raises(BadSample, match=rf"image 7 \('a\.png'\): annotation 1: area is '{word.replace('+', '.')}'"):
        data[0]
    assert data[1].id.endswith("b")
    width = text.replace(f'"width": {WIDTH}', f'"width": {word}', 1)
    line = next(k for k, row in enumerate(width.splitlines(), 1) if '"width"' in row)
    with pytest.raises(
        UserError, match=rf"entry 0 of 'images' .*: width is .*\({word.replace('+', '.')} at line {line}, column 13 is no JSON number\)"
    ):
        build(root, text=width)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('"bbox": [2', '"bbox": [1, 1, 2, 2], "bbox": [2'),
        ('"info": {"year": 2017}', '"info": {"year": 2017, "year": 2018}'),
        ('"images": [', '"images": [], "images": ['),
        ('"counts": ', '"counts": 1, "counts": '),
        ('"area"', '"\\u0061rea": 3, "area"'),
    ],
    ids=["box", "in what nobody reads", "top", "nested", "escaped"],
)
def test_a_key_that_comes_twice_is_an_error(root, text, key):
    whole = json.dumps(content())
    assert text in whole
    name = key.rpartition('"')[0].rpartition('"')[2] if not key.startswith('"info"') else "year"
    with pytest.raises(UserError, match=rf"instances\.json: an object holds the key '{name}' twice"):
        build(root, text=whole.replace(text, key, 1))


@pytest.mark.parametrize(
    "tail", ['"x": "' + '\\"' * 200_000, '"x": ' + "1" * 300_000, '"x": ' + "[" * 200_000], ids=["quotes", "digits", "brackets"]
)
def test_hostile_texts_are_refused_in_a_moment(root, tail):
    with pytest.raises(UserError, match="not valid JSON"):
        build(root, text='{"y": NaN, ' + tail)
