"""Any detector of Darknet's: its .cfg as the network, its .weights as the numbers."""

from __future__ import annotations

from pathlib import Path

import torch

from robustbench_cv.arguments import Fraction, NonNegativeInt
from robustbench_cv.catalogue import model
from robustbench_cv.models.checkpoint import load_checkpoint
from robustbench_cv.models.detectors.darknet import cfg
from robustbench_cv.models.detectors.darknet import weights as darknet_file
from robustbench_cv.models.detectors.darknet.detector import DarknetDetector, published_names, wrapped
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.models.labels import class_names
from robustbench_cv.types import Labels


@model()
def darknet(
    path: str,
    *,
    weights: str = "",
    checkpoint: str = "",
    classes: str = "",
    input_size: NonNegativeInt = 0,
    threshold: Fraction = 0.005,
    operating_score: Fraction = 0.25,
    nms_iou: Fraction = 0.45,
) -> DarknetDetector:
    """A detector in Darknet's files: darknet:yolov3.cfg(weights='yolov3.weights', classes='coco.names.txt').

    weights: Darknet's file, whose size must be exactly the network's. checkpoint: a safetensors or torch file instead. With neither,
    random parameters from a fixed seed, and the name says so. classes: "a,b,c" or a text file, one a line (default: COCO's names for 80
    classes, VOC's for 20). input_size: side of the square in px (default: the cfg's). UserError, naming section and line, for what the
    reader does not know; it knows [yolo], [region] and [detection] networks.
    """
    sections = cfg.read(path)
    if input_size:
        sections = cfg.with_options(sections, width=input_size, height=input_size)
    # A fixed seed, so that random weights are the same in every process and a run on them can be resumed.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = DarknetNetwork(sections)
    name = Path(path).stem
    if weights:
        darknet_file.read(network, weights, name)
    elif checkpoint:
        load_checkpoint(network, checkpoint, f"darknet:{path}")
    labels = Labels(class_names(classes)) if classes else published_names(network.heads[0].classes)
    title = name if weights or checkpoint else f"{name} (random weights)"
    return wrapped(network, title, labels, threshold=threshold, operating_score=operating_score, nms_iou=nms_iou)
