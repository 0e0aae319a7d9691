"""Pascal VOC folders, read beside torchvision's own reader, and what is refused of them; VOC's average precision on a known list."""

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torchvision.datasets import VOCDetection, VOCSegmentation

from robustbench_cv.catalogue import DATASETS, METRICS
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.types import BoxPrediction, BoxTarget, Dataset, Sample

WIDTH, HEIGHT = 30, 20
OBJECT = (
    "<object><name>{name}</name><difficult>{difficult}</difficult>"
    "<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"
)


def xml(*objects: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>{''.join(objects)}</annotation>"


def box(*corners: float, name: str = "car", difficult: int = 0) -> str:
    return OBJECT.format(*corners, name=name, difficult=difficult)


def devkit(tmp_path: Path, **annotations: str) -> Path:
    """VOCdevkit/VOC2012 with an image for each annotation."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main", "ImageSets/Segmentation", "SegmentationClass", "SegmentationObject"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in annotations.items():
        (root / "Annotations" / f"{name}.xml").write_text(text)
        Image.fromarray(numpy.full((HEIGHT, WIDTH, 3), 90, dtype=numpy.uint8)).save(root / "JPEGImages" / f"{name}.jpg")
    for kind in ("Main", "Segmentation"):
        (root / "ImageSets" / kind / "val.txt").write_text("".join(f"{name}\n" for name in annotations))
    return root


def paint(path: Path, values: numpy.ndarray) -> None:
    """A palette image, as VOC's masks are."""
    image = Image.new("P", (WIDTH, HEIGHT))
    image.putdata([int(v) for v in values.ravel()])
    image.putpalette([(37 * k) % 256 for k in range(768)])
    image.save(path)


def read(root: Path, **more: object) -> Dataset:
    extra = ", ".join(f"{k}={v!r}" for k, v in more.items())
    return DATASETS.build(f"voc:{root}({extra})" if extra else f"voc:{root}")


def test_boxes_equal_those_of_torchvisions_reader(tmp_path: Path) -> None:
    root = devkit(tmp_path, a=xml(box(1, 1, 10, 10), box(5, 6, 30, 20, name="dog", difficult=1)), b=xml())
    data = read(root)
    theirs = VOCDetection(str(tmp_path), year="2012", image_set="val")
    for k in range(2):
        objects = theirs[k][1]["annotation"].get("object", [])
        corners = [[float(o["bndbox"][name]) for name in ("xmin", "ymin", "xmax", "ymax")] for o in objects]
        expected = torch.tensor(corners).reshape(-1, 4) - torch.tensor([1.0, 1, 0, 0])
        assert torch.equal(data[k].target.boxes, expected)
        assert [data.labels.names[c] for c in data[k].target.labels] == [o["name"] for o in objects]
        assert data[k].target.crowd.tolist() == [o["difficult"] == "1" for o in objects]
    assert data[0].target.area.tolist() == [100.0, 26 * 15.0]
    assert data[0].attributes["masks"] == "boxes"


def test_object_maps_give_the_masks_in_the_order_of_the_xml(tmp_path: Path) -> None:
    root = devkit(tmp_path, a=xml(box(1, 1, 4, 4), box(11, 11, 20, 20, name="dog")))
    numbers = numpy.zeros((HEIGHT, WIDTH))
    numbers[0:3, 0:3], numbers[12:18, 12:20] = 1, 2
    paint(root / "SegmentationObject" / "a.png", numbers)
    sample = read(root)[0]
    assert torch.equal(sample.regions["instance:1"], torch.from_numpy(numbers == 2))
    assert torch.equal(sample.regions["class:car"], torch.from_numpy(numbers == 1))
    assert "masks" not in sample.attributes


def test_label_maps_equal_those_of_torchvisions_reader(tmp_path: Path) -> None:
    root = devkit(tmp_path, a=xml())
    values = numpy.zeros((HEIGHT, WIDTH))
    values[2:8, 3:9], values[10:14, 10:20], values[9, :] = 7, 15, 255
    paint(root / "SegmentationClass" / "a.png", values)
    sample = read(root, task="segmentation")[0]
    theirs = numpy.array(VOCSegmentation(str(tmp_path), year="2012", image_set="val")[0][1])
    assert torch.equal(sample.target.labels, torch.from_numpy(theirs.astype(numpy.int64)))
    assert set(sample.regions) == {"objects", "class:background", "class:car", "class:person"}
    assert torch.equal(sample.regions["objects"], torch.from_numpy((values > 0) & (values < 255)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (xml(box(1, 1, 10, 10, name="lorry")), "class 'lorry' is not one of 20"),
        (xml(box(10, 1, 5, 10)), "has no pixel"),
        (xml(box(1, 1, 40, 10)), "leaves the image"),
        (xml(box(0, 0, 0, 5)), "lies beyond the edge"),
        (xml(box(32, 1, 32, 5)), "lies beyond the edge"),
        (xml(box(1, 1, 10, 10), size=(20, 30)), "of an image of 20 x 30"),
        (xml(box(1, 1, 10, 10, difficult=3)), "difficult is '3'"),
        (xml(OBJECT.replace("{0}", "x").format(0, 1, 2, 3, name="car", difficult=0)), "xmin is 'x'"),
        ("<annotation><object>", "is no XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "declares entities"),
        ('<?xml version="1.0" encoding="nonsense"?><annotation/>', "is no XML: unknown encoding"),
        ("<html/>", "is <html>, not the <annotation>"),
    ],
)
def test_what_is_no_object_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadSample, match=message):
        read(devkit(tmp_path, a=text))[0]


def test_entities_are_found_in_any_encoding(tmp_path: Path) -> None:
    root = devkit(tmp_path, a=xml())
    text = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [<!ENTITY b "car">]>{xml(box(1, 1, 9, 9, name="&b;"))}'
    (root / "Annotations" / "a.xml").write_bytes(text.encode("utf-16"))
    with pytest.raises(BadSample, match="declares entities"):
        read(root)[0]
    (root / "Annotations" / "a.xml").write_bytes(xml(box(1, 1, 9, 9)).encode("utf-16"))
    assert read(root)[0].target.boxes.tolist() == [[0.0, 0.0, 9.0, 9.0]]


def test_object_maps_that_disagree_with_the_xml_leave_boxes(tmp_path: Path) -> None:
    root = devkit(tmp_path, a=xml(box(1, 1, 4, 4), box(11, 11, 20, 20, name="dog")))
    numbers = numpy.zeros((HEIGHT, WIDTH))
    numbers[0:4, 0:5], numbers[12:18, 12:20], numbers[19, :] = 1, 2, 255
    paint(root / "SegmentationObject" / "a.png", numbers)
    assert "masks" not in read(root)[0].attributes
    others = {"another order": numpy.where(numbers == 255, 255, numpy.choose((numbers % 255).astype(int), [0, 2, 1]))}
    others["one more"], others["one less"] = numbers.copy(), numpy.where(numbers == 2, 0, numbers)
    others["one more"][8, 25:28] = 3
    for what, values in others.items():
        paint(root / "SegmentationObject" / "a.png", values)
        sample = read(root)[0]
        assert sample.attributes["masks"] == "boxes", what
        assert int(sample.regions["instance:0"].sum()) == 16, what


def test_the_whole_is_refused_where_a_list_is_wrong(tmp_path: Path) -> None:
    root = devkit(tmp_path, a=xml())
    with pytest.raises(UserError, match="choose split= among val"):
        read(root, split="test")
    (root / "ImageSets" / "Main" / "val.txt").write_bytes(b"\xef\xbb\xbfa  1\r\n")
    assert len(read(root)[0].target.boxes) == 0
    (root / "ImageSets" / "Main" / "val.txt").write_text("a\na\n")
    with pytest.raises(UserError, match="lists 'a' twice"):
        read(root)
    (root / "ImageSets" / "Main" / "val.txt").write_text("../../a\n")
    with pytest.raises(UserError, match="no name of an image"):
        read(root)


def test_names_of_your_own(tmp_path: Path) -> None:
    root = devkit(tmp_path, a=xml(box(1, 1, 10, 10, name="lorry")))
    (tmp_path / "classes.txt").write_text("bike\nlorry\n")
    assert read(root, classes=str(tmp_path / "classes.txt"))[0].target.labels.tolist() == [1]


def test_average_precision_of_a_known_list() -> None:
    """Three objects, detections right, wrong, right by falling score: recalls 1/3, 1/3, 2/3 at precisions 1, 1/2, 2/3."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]])
    target = BoxTarget.of(boxes, torch.zeros(3, dtype=torch.long))
    found = BoxPrediction(
        torch.stack([boxes[0], boxes[0] + 100, boxes[1]]), torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.long)
    )
    sample = Sample("a", torch.zeros(3, 60, 60), target)
    for name, value in (("ap-voc07", 0.5454545), ("ap-voc10", 0.5555556)):
        metric = METRICS.build(name)
        assert metric.reduce([metric.measure(found, sample)]) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("reach", "value"), [(0, 1.0), (4, 1.0), (7, 0.5)])
def test_a_detection_on_an_object_that_is_not_evaluated_counts_neither_way(reach: float, value: float) -> None:
    """A box 20 px high that lies 4 px lower has IoU 16 / 24, 7 px lower 13 / 27."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 20]])
    target = BoxTarget.of(boxes, torch.tensor([0, -1]), torch.tensor([False, True]))
    shifted = boxes[1] + torch.tensor([0.0, reach, 0, reach])
    found = BoxPrediction(torch.stack([boxes[0], shifted]), torch.tensor([0.5, 0.9]), torch.zeros(2, dtype=torch.long))
    metric = METRICS.build("ap-voc10")
    assert metric.reduce([metric.measure(found, Sample("a", torch.zeros(3, 60, 60), target))]) == pytest.approx(value)


def test_of_two_objects_the_own_class_decides_before_one_that_is_not_evaluated() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 8]])
    target = BoxTarget.of(boxes, torch.tensor([0, -1]), torch.tensor([False, True]))
    found = BoxPrediction(torch.tensor([[0.0, 0, 10, 8]]), torch.tensor([0.9]), torch.zeros(1, dtype=torch.long))
    metric = METRICS.build("ap-voc10")
    assert metric.reduce([metric.measure(found, Sample("a", torch.zeros(3, 60, 60), target))]) == 1.0
