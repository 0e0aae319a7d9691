"""The checks of the data: what cannot be read, what is turned, passed over, of an odd size or ignored is named, with its file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from robustbench_cv.catalogue import CHECKS, DATASETS
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check_declarations import check_names
from robustbench_cv.checks.data_survey import survey
from robustbench_cv.checks.doctor import diagnose
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import BadSample, ForeignError, UserError
from robustbench_cv.models.adapt import classifier, segmenter
from robustbench_cv.runner.plan import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Suite, Track
from robustbench_cv.types import AnyModel, BoxTarget, Dataset, Labels, Sample
from tests.checked_models import Listed, Tiny, samples

CLASSES = Labels(("dark", "light"))


class Mean(nn.Module):
    """dark or light, by the mean; of any size of image, or of `side` pixels alone."""

    def __init__(self, side: int | None) -> None:
        super().__init__()
        self.gain, self.side = nn.Parameter(torch.tensor(20.0)), side

    def forward(self, x: Tensor) -> Tensor:
        if self.side is not None and x.shape[-1] != self.side:
            raise RuntimeError(f"only {self.side} pixels, not {x.shape[-1]}")
        mean = x.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1) * self.gain


class Columns(nn.Module):
    """Of each pixel, class 0 or 1, by its red."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([0.5 - x[:, 0], x[:, 0] - 0.5], 1) * self.gain


def model(side: int | None = None) -> AnyModel:
    return classifier(Mean(side), name="mean", classes=CLASSES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 images of 12 x 12 pixels, 20 a class."""
    rng = numpy.random.default_rng(0)
    for c, name in enumerate(CLASSES.names):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 100, (12, 12, 3)) + 150 * c
            Image.fromarray(pixels.astype(numpy.uint8)).save(tmp_path / "data" / name / f"{i:02d}.png")
    return tmp_path / "data"


def findings(data: str | Dataset, subject: AnyModel | None = None, **more: Any) -> dict[str, Finding]:
    """Of every check, by id."""
    dataset, subject = (DATASETS.build(data) if isinstance(data, str) else data), subject or model()
    labels = ClassMap.match(dataset.labels, subject.info.classes)
    return {f.check: f for f in diagnose(subject, dataset, labels, range(len(dataset)), **more)}


def accused(found: dict[str, Finding]) -> list[tuple[str, str]]:
    return [(id_, f.verdict) for id_, f in found.items() if f.verdict in ("stop", "warn")]


def test_right_data_passes_and_every_sample_was_read(folder: Path) -> None:
    found = findings(f"folder:{folder}")
    assert accused(found) == []
    assert len(found) == len(check_names("data")) + len(check_names("before"))
    assert found["D01"].evidence == "all 40 samples were read"
    assert {f.model for f in found.values()} == {"mean"}
    assert {f.dataset for f in found.values()} == {"data"}


def test_samples_that_lie_in_no_files_are_not_judged_as_files() -> None:
    found = findings(Listed(samples("classification"), "classification", Tiny("classification").info.classes), Tiny("classification"))
    assert accused(found) == []
    assert [found[id_].verdict for id_ in ("D01", "D02", "D03", "D04", "S26")] == [
        "pass",
        *["not applicable"] * 2,
        "pass",
        "not applicable",
    ]


def _with_targets(change: Any) -> list[Sample]:
    """Detection samples with other boxes: what `change` makes of each target."""
    return [replace(s, target=change(s.target)) for s in samples("detection")]


def _doubled(target: BoxTarget) -> BoxTarget:
    twice = torch.arange(len(target.boxes)).repeat(2)
    return target.select(twice)


def d06(found: Sequence[Sample]) -> Finding:
    data = Listed(found, "detection", Tiny("detection").info.classes)
    finding: Finding = CHECKS.build("d06-boxes")(survey(data, range(len(data))))
    return finding


def test_boxes_that_are_annotated_twice_are_named_by_how_many_there_are() -> None:
    right = samples("detection")
    assert d06(right).verdict == "pass"
    every = d06(_with_targets(_doubled))
    total = sum(len(s.target.boxes) for s in right if isinstance(s.target, BoxTarget))
    assert (every.verdict, f"{total} of {2 * total} boxes repeat another" in every.evidence) == ("stop", True)
    assert "keep one of each" in every.remedy
    one = d06([replace(right[0], target=_doubled(cast(BoxTarget, right[0].target))), *right[1:]])
    assert (one.verdict, f"in 1 images, first {right[0].id!r}" in one.evidence) == ("warn", True)


def test_boxes_of_a_smaller_image_are_named_and_boxes_of_another_class_at_one_place_are_not() -> None:
    def half(target: BoxTarget) -> BoxTarget:
        return BoxTarget.of(target.boxes / 2, target.labels)

    def renamed(target: BoxTarget) -> BoxTarget:
        return BoxTarget.of(torch.cat([target.boxes] * 2), torch.cat([target.labels, (target.labels + 1) % 6]))

    def without(target: BoxTarget) -> BoxTarget:
        return target.select(torch.zeros(0, dtype=torch.int64))

    short = d06(_with_targets(half))
    reach = max(float(s.target.boxes[:, 2].max()) / s.image.shape[-1] for s in samples("detection") if isinstance(s.target, BoxTarget))
    assert (short.verdict, f"goes beyond {reach / 2:.0%} of its image's width" in short.evidence) == ("warn", True), short
    assert "another image size" in short.remedy
    assert d06(_with_targets(renamed)).verdict == "pass"
    assert d06(_with_targets(without)).verdict == "not applicable"


@pytest.mark.parametrize("count", [1, 7, 40])
def test_unreadable_samples_are_named_with_their_files(folder: Path, count: int) -> None:
    files = sorted(folder.rglob("*.png"))
    for file in files[:: 40 // count][:count]:
        file.write_bytes(b"broken")
    found = findings(f"folder:{folder}")
    assert accused(found)[0] == ("D01", "stop")
    assert found["D01"].evidence.startswith(f"{count} of 40 samples cannot be read: {files[0]} is damaged")
    assert ("; and 4 more" in found["D01"].evidence) == (count == 7)
    assert "--skip-bad" in found["D01"].remedy
    assert ("S05" in found) == (count < 40), "the model is examined on what can be read"
    skipped = findings(f"folder:{folder}", bad="warn")
    assert accused(skipped) == [("D01", "stop" if count == 40 else "warn")]
    with pytest.raises(BadSample, match=r"00\.png is damaged.*; --skip-bad records such samples as failed and goes on"):
        findings(f"folder:{folder}", bad="raise")


@dataclass(frozen=True, eq=False)
class Raising(Listed):
    """A data set whose code fails on one sample."""

    def __getitem__(self, index: int, /) -> Sample:
        if index == 3:
            raise ZeroDivisionError("division by zero\nlong story")
        return super().__getitem__(index)


def test_a_data_set_whose_code_fails_is_named_with_the_sample() -> None:
    data = Raising(samples("classification"), "classification", Tiny("classification").info.classes)
    found = findings(data, Tiny("classification"))
    assert accused(found) == [("D01", "stop")]
    assert re.search(r"data 'listed', .*classification-3.*: ZeroDivisionError: division by zero", found["D01"].evidence)
    with pytest.raises(ForeignError, match=r"classification-3.*ZeroDivisionError.*--skip-bad"):
        findings(data, Tiny("classification"), bad="raise")


def test_one_image_of_another_size_is_found_and_named_wherever_it_lies(folder: Path) -> None:
    """The 64 samples that the model's checks look at need not hold it."""
    odd = folder / "light" / "13.png"
    Image.new("RGB", (9, 12), (200, 200, 200)).save(odd)
    assert accused(findings(f"folder:{folder}")) == [], "a model of any size"
    found = findings(f"folder:{folder}", model(12))
    assert accused(found) == [("D04", "stop")]
    evidence = f"the model fails on {str(odd)!r} of 9 x 12 pixels (RuntimeError: only 12 pixels, not 9), and takes 12 x 12 pixels; 1 of 40"
    assert found["D04"].evidence.startswith(evidence)
    assert accused(findings(f"folder:{folder}", model(12), bad="warn")) == [("D04", "warn")]
    with pytest.raises(BadSample, match=r"13\.png.*only 12 pixels, not 9.*--skip-bad"):
        findings(f"folder:{folder}", model(12), bad="raise")
    found = findings(f"folder:{folder}", model(5))
    assert found["D04"].verdict == "pass", "a model that takes none of them is a finding of its own"
    assert found["S05"].verdict == "stop"


def test_of_many_sizes_the_extreme_ones_are_tried(folder: Path) -> None:
    for i in range(12):
        Image.new("RGB", (12, 12 + i), (200, 200, 200)).save(folder / "light" / f"{i:02d}.png")
    Image.new("RGB", (3, 40), (200, 200, 200)).save(folder / "light" / "13.png")
    found = findings(f"folder:{folder}", model(12))
    assert accused(found) == [("D04", "stop")]
    assert "13.png" in found["D04"].evidence
    assert findings(f"folder:{folder}")["D04"].evidence.startswith("13 sizes")


@pytest.mark.parametrize(("count", "verdict"), [(2, "note"), (30, "warn")])
def test_turned_photos_are_named_unless_read_upright(folder: Path, count: int, verdict: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    files = sorted(folder.rglob("*.png"))
    for file in files[5 : 5 + count]:
        Image.open(file).save(file, exif=exif)
    found = findings(f"folder:{folder}")
    assert found["D02"].verdict == verdict
    assert found["D02"].evidence.startswith(f"{count} of 40 images carry an EXIF orientation")
    assert f"first {str(files[5])!r} (orientation 3)" in found["D02"].evidence
    assert "upright=True" in found["D02"].remedy
    assert findings(f"folder:{folder}(upright=True)")["D02"].verdict == "pass"


def test_boxes_on_a_turned_photo_are_a_warning_however_few(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    entries, notes = [], []
    for i in range(30):
        exif = Image.Exif()
        exif[0x0112] = 3 if i == 4 else 1
        Image.new("RGB", (40, 30), (i, 90, 200)).save(tmp_path / "images" / f"{i:02d}.jpg", exif=exif)
        entries.append({"id": i, "file_name": f"{i:02d}.jpg", "width": 40, "height": 30})
        notes.append({"id": i, "image_id": i, "category_id": 1, "bbox": [3, 4, 10, 8]})
    subject = Tiny("detection")
    categories = [{"id": k, "name": name} for k, name in enumerate(subject.info.classes.names)]
    (tmp_path / "instances.json").write_text(json.dumps({"images": entries, "annotations": notes, "categories": categories}))
    found = findings(f"coco:{tmp_path}", subject)
    assert found["D02"].verdict == "warn"
    assert "04.jpg' (orientation 3)" in found["D02"].evidence
    assert found["D03"].verdict == "not applicable"


def test_images_under_unknown_suffixes_and_dead_links_are_counted_and_named(folder: Path) -> None:
    (folder / "dark" / "notes.txt").write_text("hello")
    assert findings(f"folder:{folder}")["D03"].evidence.startswith("1 other files")
    (folder / "light" / "00.png").rename(folder / "light" / "00.png.1")
    (folder / "light" / "01.png").rename(folder / "light" / "01")
    (folder / "light" / "02.heic").write_bytes(b"x")
    (folder / "light" / "more").symlink_to("/nowhere/more")
    found = findings(f"folder:{folder}")
    assert accused(found) == [("D03", "warn")]
    assert "3 files look like images and have a suffix that is not read" in found["D03"].evidence
    assert f"1 links lead nowhere, first {str(folder / 'light' / 'more')!r}" in found["D03"].evidence


def masks(root: Path, names: Sequence[str], *values: int) -> str:
    """Six masks whose columns hold these values in turn."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    (root / "classes.txt").write_text("\n".join(names))
    for i in range(6):
        labels = numpy.tile(numpy.array(values, dtype=numpy.uint8), (8, 2))
        red = numpy.where(labels == 0, 30, 220)[..., None] * numpy.array([1, 0, 0]) + numpy.array([0, 9 * i, 40])
        Image.fromarray(red.astype(numpy.uint8)).save(root / "images" / f"{i}.png")
        Image.fromarray(labels).save(root / "masks" / f"{i}.png")
    return f"masks:{root}"


@pytest.mark.parametrize(
    ("classes", "values", "verdict", "words"),
    [
        (2, (0, 0, 0, 255), "warn", "class 'c1' has no pixel in 6 masks, and 255 (ignore) takes 25.0% of them"),
        (2, (0, 0, 0, 1), "pass", "0.0% of the pixels are ignored; 2 of 2"),
        (2, (0, 1, 1, 255), "pass", "25.0% of the pixels are ignored; 2 of 2"),
        (2, (0, 0, 0, 0), "pass", "0.0% of the pixels are ignored; 1 of 2"),
        (2, (255, 255), "stop", "all pixels of 6 masks are 255"),
        (3, (0, 1, 1, 255), "warn", "class 'c2' has no pixel"),
        (3, (0, 2, 2, 255), "note", "class 'c1' has no pixel"),
        (5, (0, 1, 255), "note", "classes 'c2', 'c3', 'c4' have no pixel"),
        (9, (0, 255), "warn", "classes 'c1', 'c2', 'c3', 'c4', 'c5' and 3 more have no pixel"),
    ],
)
def test_foreground_saved_as_255_is_named(tmp_path: Path, classes: int, values: tuple[int, ...], verdict: str, words: str) -> None:
    names = [f"c{i}" for i in range(classes)]
    subject = segmenter(Columns(), name="columns", classes=Labels(tuple(names[:2])))
    data = DATASETS.build(masks(tmp_path, names, *values))
    mapping = ClassMap.match(data.labels, subject.info.classes, dict.fromkeys(names[2:], "-"))
    found = {f.check: f for f in diagnose(subject, data, mapping, range(6))}
    assert found["S26"].verdict == verdict
    assert words in found["S26"].evidence


def test_classes_that_a_map_leaves_out_are_not_taken_for_ignored_pixels(tmp_path: Path) -> None:
    subject = segmenter(Columns(), name="columns", classes=Labels(("a", "b")))
    data = DATASETS.build(masks(tmp_path, ["a", "b", "c"], 0, 1, 2))
    mapping = ClassMap.match(data.labels, subject.info.classes, {"c": "-"})
    found = {f.check: f for f in diagnose(subject, data, mapping, range(6))}
    assert found["S26"].evidence == "0.0% of the pixels are ignored; 3 of 3 classes have pixels"


def test_large_data_is_read_in_part_and_says_so(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("robustbench_cv.checks.data_survey.SURVEYED", 15)
    assert findings(f"folder:{folder}")["D01"].evidence == "14 of 40 samples were read"


def run(folder: Path, **options: Any) -> Any:
    """A run on clean images, from a model's own object."""
    suite = Suite("small", 1, (Track("classification", ("mean",), (f"folder:{folder}",), (CLEAN,), ("top-1",)),), reports=("checks",))
    return run_suite(suite, folder.parent / "out", Options(models=(model(),), **options))


def test_a_run_names_the_bad_sample_before_it_computes_and_goes_on_when_told_to(folder: Path) -> None:
    (folder / "dark" / "07.png").write_bytes(b"broken")
    with pytest.raises(BadSample, match=r"dark/07\.png is damaged.*--skip-bad"):
        run(folder)
    assert not list((folder.parent / "out").rglob("*.parquet"))
    outcome = run(folder, skip_bad=True)
    assert [(f.check, f.verdict) for f in outcome.results.findings if f.verdict in ("stop", "warn")] == [("D01", "warn")]
    assert outcome.results.estimate(outcome.results.groups()[0], "clean", "top-1").n == 39
    with pytest.raises(BadSample, match=r"dark/07\.png"):
        run(folder)


def label_maps(root: Path, names: str) -> str:
    """Two pictures of 8 px squares: half of each is the first class, half the second."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    (root / "classes.txt").write_text(names)
    for k in range(2):
        Image.new("RGB", (16, 16), (100, 120, 140)).save(root / f"images/{k}.png")
        mask = numpy.zeros((16, 16), dtype=numpy.uint8)
        mask[:, 6 + k :] = 1
        Image.fromarray(mask).save(root / f"masks/{k}.png")
    return f"masks:{root}"


def objects_finding(spec: str) -> Finding:
    data = DATASETS.build(spec)
    columns = segmenter(Columns(), name="columns", classes=data.labels)
    mapping = ClassMap.match(data.labels, data.labels)
    return next(f for f in diagnose(columns, data, mapping, range(2)) if f.check == "D05")


def test_classes_that_count_as_objects_by_their_names_are_listed(tmp_path: Path) -> None:
    spec = label_maps(tmp_path, "car\nroad\n")
    found = objects_finding(spec)
    assert found.verdict == "note"
    assert "by their names car count as objects, and road as surfaces" in found.evidence
    assert "objects='car'" in found.remedy


def test_objects_that_cover_most_of_the_images_are_more_likely_surfaces(tmp_path: Path) -> None:
    found = objects_finding(label_maps(tmp_path, "lake\nstreet\n"))
    assert found.verdict == "warn"
    assert "cover 100% of the images" in found.evidence


def test_declared_objects_need_no_name(tmp_path: Path) -> None:
    spec = label_maps(tmp_path, "street\nvehicle\n") + "(objects='vehicle')"
    assert objects_finding(spec).verdict == "pass"
    sample = DATASETS.build(spec)[0]
    assert int(sample.regions["objects"].sum()) == 16 * 10
    with pytest.raises(UserError, match="objects='wagon': 'wagon' is none of the classes; they are street, vehicle"):
        DATASETS.build(spec.replace("vehicle'", "wagon'"))
