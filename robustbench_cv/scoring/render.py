"""Edited images for a model that runs elsewhere: PNG files, a manifest, and annotations in the task's usual form.

The folder is a data set of its own: coco:FOLDER of detections, masks:FOLDER of segmentation; of classification, classes.csv holds them.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy
from PIL import Image
from torch import Tensor

from robustbench_cv import __version__
from robustbench_cv.batching import BatchSize
from robustbench_cv.catalogue import DATASETS
from robustbench_cv.data.source import NumbersImages
from robustbench_cv.errors import UserError
from robustbench_cv.files import write_bytes, write_json
from robustbench_cv.model_from_predictions import ClosedModel
from robustbench_cv.records import Record
from robustbench_cv.run_folder import file_name
from robustbench_cv.runner.cell import prepared_sample
from robustbench_cv.runner.job import build_job
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.progress_bar import Progress, silent
from robustbench_cv.scoring.conditions import edit_condition
from robustbench_cv.scoring.rendered import MANIFEST, Manifest, NotRendered, Rendered, RenderedImage, pixels_sha256
from robustbench_cv.scoring.score import METRICS
from robustbench_cv.suite import Suite, Track
from robustbench_cv.tasks import Task
from robustbench_cv.types import ABSENT, BoxTarget, ClassTarget, Dataset, MaskTarget, ModelInfo, Sample


def render(
    condition: str,
    data: str,
    out: str | Path,
    *,
    task: Task | None = None,
    limit: int | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    progress: Callable[[int], Progress] = silent,
) -> Rendered:
    """Write every sample of the data as a condition leaves it: "clean", or the spec of an edit.

    The same edits as in a run of the same seed (0 unless given), but for rounding to 8 bits, whose size the manifest says. task: of data
    that serve several. Samples that the edit cannot serve are listed in the manifest with the reason. UserError for an attack.
    """
    wanted = edit_condition(condition)
    DATASETS.check(data)
    folder = Path(out)
    if folder.exists() and not (folder / MANIFEST).is_file() and any(folder.iterdir()):
        raise UserError(f"{folder} holds something else than rendered images; name an empty folder, or a new one")
    built = DATASETS.build(data, **({} if task is None else {"task": task}))
    if task is not None and built.task != task:
        raise UserError(f"data {data!r} is for {built.task}, not for {task}")
    model = ClosedModel(ModelInfo("nobody", built.task, built.labels, "none"), {})
    track = Track(built.task, (), (data,), (wanted,), METRICS[built.task])
    plan = make_plan(
        Suite("render", 1, (track,)),
        Options(models=(model,), data=(data,), limit=limit, seed=seed, skip_bad=skip_bad, placebos=False),
    )
    written: list[tuple[RenderedImage, Sample]] = []
    left_out: list[NotRendered] = []
    with progress(sum(cell.row.n for cell in plan.cells)) as bar:
        bar.describe(condition)
        for cell in plan.cells:
            job = build_job(plan, cell, BatchSize())
            for i in cell.indices:
                made = prepared_sample(job, i)
                if isinstance(made, Record):
                    left_out.append(NotRendered(made.sample, made.status, made.reason))
                else:
                    number = _image_id(cell.pair.dataset, i) or len(written) + 1
                    written.append((_write(folder, made, number, cell.pair.fingerprint_of[i]), made))
                bar.advance(1)
    images = [image for image, _ in written]
    manifest = Manifest(
        condition=condition,
        data=data,
        dataset=plan.pairs[0].dataset.name,
        task=built.task,
        seed=plan.suite.seed,
        limit=limit,
        classes=built.labels.names,
        categories=_category_ids(built),
        images=tuple(images),
        left_out=tuple(left_out),
        rounding=max((image.rounding for image in images), default=0.0),
        robustbench_cv=__version__,
    )
    _ANNOTATE[built.task](folder, manifest, [sample for _, sample in written])
    write_json(folder / MANIFEST, manifest)
    return Rendered(folder, manifest)


def _image_id(dataset: Dataset, index: int) -> int | None:
    """The number that the data's own file gives an image; None where it gives none."""
    number = dataset.image_id(index) if isinstance(dataset, NumbersImages) else None
    return number if isinstance(number, int) else None


def _category_ids(dataset: Dataset) -> tuple[int, ...]:
    """Of each class: the data's own, else from 1, as COCO's."""
    if not isinstance(dataset, NumbersImages):
        return tuple(range(1, len(dataset.labels) + 1))
    ids = {index: number for number, index in dataset.category_indices.items()}
    return tuple(ids[index] for index in range(len(dataset.labels)))


def _write(folder: Path, sample: Sample, number: int, fingerprint: str) -> RenderedImage:
    exact = sample.image.clamp(0, 1)
    pixels = (exact * 255).round().byte()
    rows = pixels.permute(1, 2, 0).contiguous().numpy()
    data = _png(rows)
    file = f"images/{_stem(sample.id)}.png"
    write_bytes(folder / file, data)
    moved: Tensor = (pixels.float() / 255 - sample.image).abs().max()
    return RenderedImage(
        sample=sample.id,
        file=file,
        image_id=number,
        width=rows.shape[1],
        height=rows.shape[0],
        sha256=hashlib.sha256(data).hexdigest(),
        pixels_sha256=pixels_sha256(rows),
        fingerprint=fingerprint,
        rounding=float(moved),
    )


def _stem(id_: str) -> str:
    """A file name for a sample: what stands behind the data set's name in its id, another one for every other id."""
    return file_name((id_.partition("/")[2] or id_).replace("/", "--"))


def _png(pixels: numpy.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _annotate_detection(folder: Path, manifest: Manifest, samples: Sequence[Sample]) -> None:
    """instances.json, with the ids of the data's own file where it has some."""
    annotations: list[dict[str, Any]] = []
    for image, sample in zip(manifest.images, samples, strict=True):
        target = sample.target
        assert isinstance(target, BoxTarget)
        boxes = target.boxes.double()
        for box, label, crowd, area in zip(boxes, target.labels.tolist(), target.crowd.tolist(), target.area.tolist(), strict=True):
            x1, y1, x2, y2 = box.tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.image_id,
                    "category_id": manifest.categories[label],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    content = {
        "images": [
            {"id": i.image_id, "file_name": i.file.removeprefix("images/"), "width": i.width, "height": i.height} for i in manifest.images
        ],
        "annotations": annotations,
        "categories": [{"id": k, "name": name} for k, name in zip(manifest.categories, manifest.classes, strict=True)],
    }
    write_bytes(folder / "instances.json", msgspec.json.encode(content))


def _annotate_segmentation(folder: Path, manifest: Manifest, samples: Sequence[Sample]) -> None:
    """masks/ beside images/, and classes.txt."""
    write_bytes(folder / "classes.txt", "".join(f"{name}\n" for name in manifest.classes).encode())
    for image, sample in zip(manifest.images, samples, strict=True):
        assert isinstance(sample.target, MaskTarget)
        write_bytes(folder / "masks" / image.file.removeprefix("images/"), _png(sample.target.labels.numpy().astype(numpy.uint8)))


def _annotate_classification(folder: Path, manifest: Manifest, samples: Sequence[Sample]) -> None:
    """classes.csv: file and class of each image; an empty class where the edit took the object away."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["file", "label"])
    for image, sample in zip(manifest.images, samples, strict=True):
        assert isinstance(sample.target, ClassTarget)
        rows.writerow([image.file, "" if sample.target.label == ABSENT else manifest.classes[sample.target.label]])
    write_bytes(folder / "classes.csv", text.getvalue().encode())


_ANNOTATE: dict[Task, Callable[[Path, Manifest, Sequence[Sample]], None]] = {
    "classification": _annotate_classification,
    "segmentation": _annotate_segmentation,
    "detection": _annotate_detection,
}
