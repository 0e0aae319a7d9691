"""YOLOv5 and what followed it, as the package ultralytics has them, under names of ours. An extra: the package is under the AGPL-3.0.

Several have no paper: their documentation stands in its place. YOLOv5 is there with the head of YOLOv8, without anchors ("YOLOv5u").
"""

from __future__ import annotations

from robustbench_cv.arguments import ClassCount, Fraction, PositiveInt
from robustbench_cv.catalogue import model
from robustbench_cv.errors import UserError
from robustbench_cv.models.sources.ultralytics import ultralytics
from robustbench_cv.types import AnyModel

SIZES = {"yolov9": ("t", "s", "m", "c", "e"), "yolov10": ("n", "s", "m", "b", "l", "x")}
OTHERS = ("n", "s", "m", "l", "x")


@model(
    task="detection",
    family="YOLO",
    source="ultralytics",
    extra="ultralytics",
    reduced="num_classes=2, input_size=64",
    members={
        "yolov5": {"paper": "doi:10.5281/zenodo.3908559", "year": 2020, "parameters": 2_654_816},
        "yolov8": {"paper": "https://docs.ultralytics.com/models/yolov8/", "year": 2023, "parameters": 3_157_200},
        "yolov9": {"paper": "arXiv:2402.13616", "year": 2024, "parameters": 2_128_720, "reduced": "num_classes=2, input_size=96"},
        "yolov10": {"paper": "arXiv:2405.14458", "year": 2024, "parameters": 2_775_520},
        "yolo11": {"paper": "https://docs.ultralytics.com/models/yolo11/", "year": 2024, "parameters": 2_624_080},
        "yolo12": {"paper": "arXiv:2502.12524", "year": 2025, "parameters": 2_602_288},
        "yolo26": {"paper": "https://docs.ultralytics.com/models/yolo26/", "year": 2026, "parameters": 2_572_280},
    },
)
def yolo_ultralytics(
    name: str,
    size: str = "",
    weights: str = "",
    trust: bool = False,
    classes: str = "",
    num_classes: ClassCount = 0,
    input_size: PositiveInt = 640,
    one_to_one: bool = False,
    threshold: Fraction = 0.001,
    operating_score: Fraction = 0.25,
) -> AnyModel:
    """A detector of ultralytics below its predict(): the same as ultralytics:yolov8n, by the architecture's name.

    size: n, s, m, l or x (YOLOv9: t, s, m, c or e; YOLOv10 has b too); the smallest unless given. weights: a file on this machine, a state
    dict or ultralytics' own .pt (with trust=True also one that names other code, which runs); nothing is downloaded. classes: "a,b,c";
    num_classes where names are not known (default COCO's 80). input_size: the longer side in px that the network sees, a multiple of 32.
    one_to_one: of YOLOv10 and YOLO26, the head that reports each object once. threshold: the least score that decode keeps;
    operating_score: from where a box counts as reported. UserError where the package is missing, the size unknown, or the file refused.
    """
    sizes = SIZES.get(name, OTHERS)
    if size and size not in sizes:
        raise UserError(f"{name} has no size {size!r}; it has {', '.join(sizes)}")
    return ultralytics(
        name + (size or sizes[0]),
        weights=weights,
        trust=trust,
        classes=classes,
        num_classes=num_classes,
        input_size=input_size,
        one_to_one=one_to_one,
        threshold=threshold,
        operating_score=operating_score,
    )
