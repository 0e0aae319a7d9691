"""The corrected line of configuration that a check prints mends what was planted, once it is written where it says."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.catalogue import CHECKS, REPORTS
from robustbench_cv.check_findings import Finding, Fix
from robustbench_cv.checks.check import Preflight
from robustbench_cv.checks.doctor import examine, step_count
from robustbench_cv.checks.fixes import fix_of_order
from robustbench_cv.checks.pixel_value_maps import CAFFE, FLIP, IMAGENET, PixelChange
from robustbench_cv.checks.transform_families import colours, values
from robustbench_cv.cli.doctor import fix_lines, mended_spec
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.data.class_names import parse_overrides
from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import classifier, segmenter
from robustbench_cv.models.build import build
from robustbench_cv.models.preprocessing import Preprocessing
from robustbench_cv.types import BoxPrediction, Labels, Prediction, Sample
from tests.checked_models import CLASSES, Colours, Listed, Tiny, normalise, samples, with_boxes
from tests.test_checks_families import Stripes, striped

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Mean(nn.Module):
    """Class scores of images that are prepared as ImageNet's are: those of the mean pixel, or of every pixel."""

    def __init__(self, change: Callable[[Tensor], Tensor] = lambda x: x, *, maps: bool = False) -> None:
        super().__init__()
        self.colours, self.change, self.maps = Colours(), change, maps

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = 3 * self.colours(self.change(x))
        return scores if self.maps else scores.mean((2, 3))


def stopping(model: Any, found: Sequence[Sample], labels: Labels | None = None, overrides: str = "") -> list[Finding]:
    data = Listed(found, model.info.task, labels or model.info.classes)
    class_map = ClassMap.match(data.labels, model.info.classes, parse_overrides(overrides))
    return [f for f in examine(model, data, class_map, range(len(found))) if f.verdict in ("stop", "warn")]


def keywords(fix: Fix) -> dict[str, Any]:
    """The arguments in a line such as "classifier(..., mean=(0.485, 0.456, 0.406))", and that it names the builder."""
    call = ast.parse(fix.line, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    assert call.func.id in ("classifier", "segmenter", "detector")
    return {k.arg or "": ast.literal_eval(k.value) for k in call.keywords}


DECLARED: dict[str, tuple[dict[str, Any], Callable[[Tensor], Tensor]]] = {
    "never normalised": ({}, lambda x: x),
    "normalised twice": ({"mean": MEAN, "std": STD}, normalise),
    "half": ({"mean": (0.5,) * 3, "std": (0.5,) * 3}, lambda x: x),
    "BGR": ({"mean": MEAN, "std": STD, "channels": "BGR"}, lambda x: x),
    "BGR inside": ({"mean": MEAN, "std": STD}, lambda x: x.flip(1)),
}


@pytest.mark.parametrize("mistake", DECLARED)
@pytest.mark.parametrize("builder", [classifier, segmenter])
def test_written_as_printed_the_declaration_is_right(mistake: str, builder: Any) -> None:
    declared, change = DECLARED[mistake]
    is_map = builder is segmenter

    def made(**arguments: Any) -> Any:
        return builder(Mean(change, maps=is_map), name="mean", classes=CLASSES, **arguments)

    wrong = made(**declared)
    found = samples(wrong.info.task)
    (finding,) = stopping(wrong, found)
    assert finding.verdict == "stop"
    assert finding.fix is not None
    assert finding.fix.line.startswith(f"{builder.__name__}(..., ")
    mended = made(**{**declared, **keywords(finding.fix)})
    assert stopping(mended, found) == []


CODE: dict[str, Callable[[Tensor], Tensor]] = {
    "normalised twice": normalise,
    "multiplied by 255": lambda x: x * 255,
    "BGR": lambda x: x.flip(1),
    "channels in another order": lambda x: x[:, [1, 2, 0]],
}


@pytest.mark.parametrize("mistake", CODE)
@pytest.mark.parametrize("task", ["classification", "detection"])
def test_a_model_of_ones_own_is_mended_by_a_line_at_the_top_of_raw(mistake: str, task: Any) -> None:
    found = samples(task)
    (finding,) = stopping(Tiny(task, before=CODE[mistake]), found)
    assert finding.fix is not None
    assert "raw(images)" in finding.fix.place
    line = finding.fix.line

    def written(images: Tensor) -> Tensor:
        names: dict[str, Any] = {"images": images}
        exec(line, names)
        return CODE[mistake](names["images"])

    assert stopping(Tiny(task, before=written), found) == []


def test_the_input_size_is_named() -> None:
    class Scores(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Stripes().raw(x).values

    from robustbench_cv.checks.input_geometry import resize

    large = [replace(s, image=resize(s.image[None], 2.0)[0]) for s in striped()]
    found = Preflight(classifier(Scores(), name="stripes", classes=Labels.numbered(3)), "classification", large)
    finding = CHECKS.build("s37-input-geometry")(found)
    assert finding.fix is not None
    assert finding.fix.arguments == (("input_size", "64,64"),)
    mended = classifier(Scores(), name="stripes", classes=Labels.numbered(3), **keywords(finding.fix))
    assert mended.raw(torch.stack([s.image for s in large])).values.argmax(1).tolist() == [s.target.label for s in large]  # type: ignore[union-attr]


ORDERS = {"rotated": [1, 2, 3, 4, 5, 6, 0], "exchanged": [1, 0, 2, 3, 4, 5, 6], "mixed": [3, 5, 1, 0, 4, 2, 6]}


@pytest.mark.parametrize("order", ORDERS)
def test_the_class_map_that_is_printed_mends_the_order(order: str) -> None:
    model = Tiny("classification", after=lambda v: v[:, ORDERS[order]])
    found = samples("classification")
    (finding,) = stopping(model, found)
    assert (finding.check, finding.verdict) == ("S19", "stop")
    assert finding.fix is not None
    (text,) = re.findall(r'^--class-map "(.*)"$', finding.fix.line)
    assert stopping(model, found, overrides=text) == []


def test_a_class_map_keeps_what_the_user_had_said() -> None:
    model, data = Labels(("a", "b", "c", "d")), Labels(("a", "b", "see", "e"))
    given = ClassMap.match(data, model, {"see": "c", "e": "-"})
    fix = fix_of_order(numpy.array([1, 0, 2, 3]), given, model.names)
    assert fix is not None
    assert fix.line == '--class-map "a=b,b=a,see=c,e=-"'
    assert fix_of_order(numpy.arange(4), ClassMap.match(model, model), model.names) is None
    assert fix_of_order(numpy.roll(numpy.arange(200), 1), None, Labels.numbered(200).names) is None, "no line any more"


READ_AS: dict[str, Callable[[Tensor, int, int], Tensor]] = {
    "xywh": lambda b, h, w: torch.cat([b[:, :2], b[:, 2:] - b[:, :2]], 1),
    "cxcywh": lambda b, h, w: torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1),
    "yxyx": lambda b, h, w: b[:, [1, 0, 3, 2]],
    "shares": lambda b, h, w: b / b.new_tensor([w, h, w, h]),
    "centred shares": lambda b, h, w: torch.cat([(b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]], 1) / b.new_tensor([w, h, w, h]),
    "another input size": lambda b, h, w: b * 3.5 + b.new_tensor([0, 10, 0, 10]),
    "mirrored": lambda b, h, w: torch.stack([w - b[:, 2], b[:, 1], w - b[:, 0], b[:, 3]], 1),
}


@pytest.mark.parametrize("side", ["data", "model"])
@pytest.mark.parametrize("reading", READ_AS)
def test_boxes_are_mended_by_the_line_that_is_printed(reading: str, side: str) -> None:
    change, right = READ_AS[reading], samples("detection")
    if side == "data" and reading in ("another input size", "mirrored"):
        pytest.skip("a frame is told of the model's boxes")
    wrong = Tiny("detection", boxes=change) if side == "model" else Tiny("detection")
    check = CHECKS.build("s22-boxes")
    finding = check(Preflight(wrong, "detection", right if side == "model" else with_boxes(right, change)))
    assert finding.verdict == "stop"
    assert finding.fix is not None
    assert side in finding.fix.place
    line = finding.fix.line

    def mended(boxes: Tensor, height: int, width: int) -> Tensor:
        names: dict[str, Any] = {"torch": torch, "boxes": change(boxes, height, width), "height": height, "width": width}
        exec(line, names)
        made: Tensor = names["boxes"]
        return made

    data = right if side == "model" else with_boxes(right, mended)
    model = Tiny("detection", boxes=mended) if side == "model" else Tiny("detection")
    assert check(Preflight(model, "detection", data)).verdict == "pass"


def test_the_operating_score_is_named() -> None:
    class Timid(Tiny):
        def decode(self, raw: Any, /) -> list[Prediction]:
            return [replace(p, scores=p.scores * 0.1) for p in super().decode(raw) if isinstance(p, BoxPrediction)]

    check, found = CHECKS.build("s23-reported"), samples("detection")
    finding = check(Preflight(Timid("detection"), "detection", found))
    assert finding.fix is not None
    score = keywords(finding.fix)["operating_score"]
    assert 0 < score < 0.1
    assert check(Preflight(Timid("detection", score=score), "detection", found)).fix is None


def test_changes_put_together_do_what_one_after_the_other_does_and_are_written_as_they_are() -> None:
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    every = [m.change for m in [*values(), *colours()] if isinstance(m.change, PixelChange)]
    assert len(every) > 25
    for change in every:
        torch.testing.assert_close(change.then(CAFFE.undo)(x), CAFFE.undo(change(x)), rtol=1e-4, atol=1e-3)
        names: dict[str, Any] = {"images": x}
        exec(change.code, names)
        torch.testing.assert_close(names["images"], change(x), rtol=1e-3, atol=2e-3)
    with pytest.raises(ValueError, match="put it first"):
        FLIP.then(PixelChange(power=2))
    statistics = IMAGENET.normalise.then(FLIP).as_statistics()
    assert statistics is not None
    assert (statistics.order, statistics.mean, statistics.std) == ((2, 1, 0), MEAN[::-1], STD[::-1])
    assert PixelChange(scale=(-1, 1, 1)).as_statistics() is None


def test_a_network_of_bgr_says_so_and_nothing_else_changes_its_name() -> None:
    x = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    bgr = Preprocessing((0.1, 0.2, 0.3), (1.0, 0.5, 0.25), channels="BGR")
    torch.testing.assert_close(bgr(x)[:, 0], x[:, 2] - 0.1)
    torch.testing.assert_close(bgr(x)[:, 2], (x[:, 0] - 0.3) / 0.25)
    assert "channels" not in repr(Preprocessing())
    assert "channels='BGR'" in repr(bgr)
    with pytest.raises(UserError, match="write 'RGB' or 'BGR'"):
        Preprocessing(channels="RGA")


FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def forward(self, x):
        x = (x - x.new_tensor([0.485, 0.456, 0.406])[:, None, None]) / x.new_tensor([0.229, 0.224, 0.225])[:, None, None]
        return torch.stack([x[:, 0].mean((1, 2)), x[:, 2].mean((1, 2))], 1)

def build():
    return Net()
"""


def test_the_spec_of_a_bare_module_is_printed_as_it_must_be(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FILE)
    spec = f"{tmp_path / 'net.py'}:build(task='classification', classes='red,blue', mean='0.5,0.5,0.5', std='0.5,0.5,0.5')"
    twice = Fix("classifier(..., mean=None, std=None)", "where the model is built", (("mean", ""), ("std", "")))
    assert mended_spec(spec, twice) == f"{tmp_path / 'net.py'}:build(task='classification', classes='red,blue')"
    other = Fix("classifier(..., channels='BGR')", "where the model is built", (("channels", "BGR"),))
    mended = mended_spec(spec, other)
    assert mended.endswith("std='0.5,0.5,0.5', channels='BGR')")
    x = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(build(mended).raw(x).values, build(spec).raw(x.flip(1)).values)
    assert mended_spec("torchvision:resnet50", other) == ""
    shown = "\n".join(fix_lines([Finding("S21", "channel order", "stop", "", fix=other)], spec))
    assert "S21: write, where the model is built:\n    classifier(..., channels='BGR')" in shown
    assert f'--model "{mended}"' in shown
    assert fix_lines([Finding("S21", "channel order", "pass", "")], spec) == ["no check can name a corrected line of configuration"]


def test_the_report_shows_the_line() -> None:
    from tests import synthetic_results

    fix = Fix("classifier(..., channels='BGR')", "where the model is built")
    results = replace(synthetic_results.make(n=4), findings=(Finding("S21", "channel order", "stop", "e", "flip", fix=fix),))
    table = REPORTS.build("checks")(results)
    assert "flip. Write classifier(..., channels='BGR') (where the model is built)" in table.to_csv()


def test_each_step_is_announced_once() -> None:
    from robustbench_cv.checks.doctor import diagnose

    model, found, heard = Tiny("classification"), samples("classification", 16), []
    data = Listed(found, "classification", CLASSES)
    diagnose(model, data, ClassMap.match(CLASSES, CLASSES), range(16), begins=heard.append)
    assert len(heard) == len(set(heard)) == step_count()
    assert heard[0] == "reads the data"
    assert "S02 normalisation" in heard
