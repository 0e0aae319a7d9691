"""docs/security.md gives the limits that the code has."""

from pathlib import Path

from PIL import Image

from robustbench_cv import bounded_yaml, suite_files
from robustbench_cv.cli import exits
from robustbench_cv.data import classes, json_files, npz, polygons, source, voc_xml, yolo_labels, yolo_yaml
from robustbench_cv.models.detectors.darknet import cfg, network
from robustbench_cv.models.weights import dry_build

TEXT = (Path(__file__).parents[1] / "docs" / "security.md").read_text()


def test_the_limits_are_those_of_the_code() -> None:
    rows = dict(
        line.strip("| ").split(" | ", 1) for line in TEXT.split("## Limits")[1].split("## What")[0].splitlines() if line.startswith("| ")
    )
    stated = {
        "a suite": (suite_files.LARGEST_BYTES, suite_files.LARGEST_NODES, bounded_yaml._DEEPEST),
        "a `data.yaml`": (yolo_yaml._LARGEST_BYTES, yolo_yaml._LARGEST_NODES),
        "a JSON file (COCO, COCO results)": (json_files.LARGEST_BYTES,),
        "an image": (Image.MAX_IMAGE_PIXELS,),
        "an outline of an object": (polygons.LONGEST_PX,),
        "an array in an `.npz`": (npz._PACKED_RATIO,),
        "classes without names": (npz._MOST_NUMBERED,),
        "a class name": (classes.LONGEST_NAME,),
        "a VOC annotation, a class list": (voc_xml._LARGEST_BYTES,),
        "a YOLO label file": (yolo_labels._LARGEST_BYTES,),
        "a Darknet cfg": (cfg.LARGEST_FILE, network.MOST_LAYERS, network.MOST_PARAMETERS),
        "folders of a data set": (source._MOST_FOLDERS,),
        "a message": (exits.LONGEST_MESSAGE,),
    }
    for what, numbers in stated.items():
        for number in numbers:
            assert f"{number:,}" in rows[what], (what, number)
    assert npz._PACKED_BYTES == 2**30
    assert voc_xml._LARGEST_BYTES == classes._LARGEST_BYTES
    assert dry_build.SPARE == 2
