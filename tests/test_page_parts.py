"""What the page is made of: answers beside their truth, small images each stored once, colours that differ, cells that sort by value."""

from __future__ import annotations

import base64
import io
import itertools
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from robustbench_cv import palette
from robustbench_cv.adversary.attack_facts import facts_of
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.kept_files import read_kept
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.predictions import to_json
from robustbench_cv.rendering import reporting, thumbnails
from robustbench_cv.rendering.figures import slim_svg, wrap_label
from robustbench_cv.rendering.prediction_text import answer, truth_text
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.runner import saved_images
from robustbench_cv.runner.cell import Shot
from robustbench_cv.runner.run_facts import licences
from robustbench_cv.types import (
    IGNORE,
    BoxPrediction,
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    MaskPrediction,
    MaskTarget,
    Prediction,
    Sample,
    Target,
)

CLASSES = ("car", "boat", "cow")
NEAR = 40.0
"""Distance in red, green and blue from which on two colours are told apart side by side in a legend."""


def test_a_class_is_right_or_wrong_and_neither_where_the_object_is_gone(tmp_path: Path) -> None:
    said = {"label": 1, "score": 0.971}
    assert answer(said, {"label": 1}, CLASSES, tmp_path) == ("boat 0.97", 1.0)
    assert answer(said, {"label": 0}, CLASSES, tmp_path).right == 0.0
    assert answer(said, {"label": -1}, CLASSES, tmp_path).right is None
    assert answer(said, {}, CLASSES, tmp_path).right is None


@pytest.mark.parametrize(
    ("boxes", "labels", "scores", "text", "right"),
    [
        ([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 1], [0.9, 0.8], "2 of 2 found", 1.0),
        ([[0, 0, 10, 10]], [0], [0.9], "1 of 2 found", 2 / 3),
        ([[0, 0, 10, 10]], [2], [0.9], "0 of 2 found, 1 made up", 0.0),
        ([[0, 0, 10, 10], [0, 0, 10, 11]], [0, 0], [0.9, 0.8], "1 of 2 found, 1 made up", 0.5),
        ([[0, 0, 10, 10], [50, 50, 60, 60]], [0, 1], [0.9, 0.1], "1 of 2 found", 2 / 3),
    ],
)
def test_boxes_are_found_once_and_the_rest_is_made_up(
    boxes: list[list[float]], labels: list[int], scores: list[float], text: str, right: float, tmp_path: Path
) -> None:
    truth = {"boxes": [[0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]], "labels": [0, 1]}
    floats = [[float(v) for v in box] for box in boxes]
    said = answer({"boxes": floats, "labels": labels, "scores": scores}, truth, CLASSES, tmp_path, threshold=0.25)
    assert said.text == text
    assert said.right == pytest.approx(right)


def test_truths_are_told_in_words() -> None:
    assert truth_text({"boxes": [[0, 0, 1, 1]] * 3, "labels": [0, 1, 0]}, CLASSES) == "2 × car, boat"
    assert truth_text({"label": -1}, CLASSES) == "no object is left"
    assert truth_text({}, CLASSES) == ""


MASK = torch.tensor([[0, 1], [2, IGNORE]])


@pytest.mark.parametrize(
    ("target", "prediction", "right"),
    [
        (ClassTarget(1), ClassPrediction(torch.tensor([0.1, 0.7, 0.2])), 1.0),
        (MaskTarget(MASK), MaskPrediction(torch.tensor([[0, 1], [0, 0]])), 2 / 3),
        (
            BoxTarget.of(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([1])),
            BoxPrediction(torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([0.9]), torch.tensor([1])),
            1.0,
        ),
    ],
    ids=["class", "mask", "boxes"],
)
def test_the_truth_is_saved_beside_the_prediction_and_read_back(
    target: Target, prediction: Prediction, right: float, tmp_path: Path
) -> None:
    sample = Sample("a", torch.rand(3, 2, 2), target)
    saved_images.save(tmp_path, [Shot(sample, sample, prediction, prediction)], 0.25)
    (entry,) = read_kept(tmp_path / "index.json", list[dict[str, Any]])
    for side in ("before", "after"):
        said = answer(entry[side]["prediction"], entry[side]["truth"], CLASSES, tmp_path)
        assert said.right == pytest.approx(right)


def test_regions_to_ignore_are_no_truth_that_is_drawn(tmp_path: Path) -> None:
    boxes, labels = torch.tensor([[0.0, 0, 4, 4], [1.0, 1, 3, 3]]), torch.tensor([1, 0])
    target = BoxTarget.of(boxes, labels, crowd=torch.tensor([True, False]))
    none = BoxPrediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    sample = Sample("a", torch.rand(3, 4, 4), target)
    saved_images.save(tmp_path, [Shot(sample, sample, none, none)], 0.25)
    (entry,) = read_kept(tmp_path / "index.json", list[dict[str, Any]])
    assert entry["after"]["truth"] == {"boxes": [[1.0, 1.0, 3.0, 3.0]], "labels": [0]}
    assert entry["after"]["prediction"] == to_json(none, 0.25)


def test_no_two_classes_share_a_colour_and_no_two_of_the_first_look_alike() -> None:
    every = [palette.class_colour(k) for k in range(256)]
    assert len(set(every)) == 256
    first = [numpy.array(palette.rgb(colour)) for colour in every[:32]]
    assert min(float(numpy.linalg.norm(a - b)) for a, b in itertools.combinations(first, 2)) >= NEAR


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [v / 255 for v in palette.rgb(colour)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [palette.PAGE, palette.PAGE_DARK], ids=["light", "dark"])
def test_every_text_can_be_read_on_its_ground(theme: dict[str, str]) -> None:
    """WCAG 2.2 AA: 4.5 to 1."""
    assert theme.keys() == palette.PAGE.keys()
    for name in ("ink", "muted", "faint", "accent", "changed", "good", "bad", "warn"):
        assert _contrast(theme[name], theme["paper"]) >= 4.5, name
    for name in ("good", "warn", "bad"):
        assert _contrast(theme[name], theme[f"{name}-ground"]) >= 4.5, name
        assert _contrast(theme["ink"], theme[f"{name}-ground"]) >= 4.5, name


def test_names_on_their_colour_can_be_read() -> None:
    assert all(_contrast(palette.text_on(palette.class_colour(k)), palette.class_colour(k)) >= 3 for k in range(256))


def _decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@pytest.mark.parametrize(("side", "shown"), [(96, 96), (1000, thumbnails.LARGEST_SIDE)])
def test_images_on_the_page_are_small_and_look_the_same(side: int, shown: int) -> None:
    ramp = numpy.linspace(0, 255, side).astype(numpy.uint8)
    pixels = numpy.broadcast_to(ramp[None, :, None], (side // 2, side, 3)).copy()
    uri = thumbnails.data_uri(pixels)
    made = _decoded(uri).convert("RGB")
    assert made.size == (shown, shown // 2)
    assert len(uri) < pixels.nbytes / 8
    expected = Image.fromarray(pixels).resize(made.size)
    assert float(numpy.abs(numpy.asarray(made).astype(int) - numpy.asarray(expected).astype(int)).mean()) < 3


def test_a_label_map_keeps_each_class_in_its_colour_and_leaves_out_what_is_ignored() -> None:
    made = _decoded(thumbnails.mask_uri(numpy.array([[0, 40], [IGNORE, -1]]))).convert("RGBA")
    pixels = numpy.asarray(made)
    assert tuple(pixels[0, 0, :3]) == palette.rgb(palette.class_colour(0))
    assert tuple(pixels[0, 1, :3]) == palette.rgb(palette.class_colour(40))
    assert pixels[..., 3].tolist() == [[255, 255], [0, 0]]


def test_an_image_is_stored_once_however_often_it_is_shown() -> None:
    one, other = (thumbnails.symbol(f"data:,{k}", 2, 3) for k in "ab")
    assert one[0] == thumbnails.symbol("data:,a", 2, 3)[0] != other[0]
    assert thumbnails.without_repeats(f"{one[1]}x{other[1]}y{one[1]}") == f"{one[1]}x{other[1]}y"


def test_cells_carry_what_they_are_sorted_by() -> None:
    undefined, blocked = Number(Estimate(None, None, None, 0)), Number(Estimate(0.5, 0.4, 0.6, 9), blocked="S21")
    rows = [["8/255", 1234, Number(Estimate(0.924, 0.9, 0.95, 9))], ["0.5", 2, undefined], ["a", 3, blocked]]
    html = Table(cells_of(("budget", "n", "miou"), rows), "c.", "l").to_html({"miou": "mean IoU"})
    assert 'data-sort="0.0313725' in html
    assert 'data-sort="1234"' in html
    assert 'data-sort="0.924"' in html
    assert html.count('data-sort=""') == 2
    assert "0.5, 0.4" not in html
    assert "mean IoU, %" in html
    assert "miou" not in html


def test_folded_blocks_are_shown_on_demand_and_written_in_full_everywhere_else() -> None:
    made = Table(cells_of(("verdict", "check"), [["stop", "S01"], ["pass", "S02"]]), "c.", "l", blocks="verdict", folded=("pass",))
    before, _, after = made.to_html().partition("<details>")
    assert "S01" in before
    assert "S02" not in before
    assert "S02" in after
    for text in (made.to_csv(), made.to_markdown(), made.to_latex()):
        assert "S01" in text
        assert "S02" in text


@pytest.mark.parametrize("text", ["tog-fabricate within 2/255 of the image", "a" * 90, "short"])
def test_no_name_is_cut(text: str) -> None:
    lines = wrap_label(text, 20).split("\n")
    assert max(map(len, lines)) <= 20
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_slim_svg_keeps_scales_and_drops_what_nobody_sees() -> None:
    glyph = b'<g transform="scale(0.015625 -0.015625)">'
    drawn = b"<!DOCTYPE svg><svg><!-- a --><metadata>b</metadata>\n " + glyph + b'<path d="M 12.345678 3.2"/></g></svg>'
    assert slim_svg(drawn) == b"<svg>" + glyph + b'<path d="M 12.34 3.2"/></g></svg>'


def test_a_class_that_was_never_learned_is_marked_and_no_other() -> None:
    notes = Footnotes()
    unlearned = Number(Estimate(0.0, 0.0, 0.0, 30))
    marked = reporting.mark_unlearned(unlearned, notes)
    assert marked.text == f"{unlearned.text}{marked.marks}"
    assert notes.notes[0].startswith(f"{marked.marks} not learned")
    for other in (Number(Estimate(0.0, 0.0, 0.1, 30)), Number(Estimate(0.2, 0.1, 0.3, 30)), Number(Estimate(None, None, None, 0))):
        assert reporting.mark_unlearned(other, notes) is other


@pytest.mark.parametrize(
    ("attack", "knowledge", "goal"),
    [
        ("pgd(eps=1/255)", "gradients", "misclassified"),
        ("square(eps=1/255)", "scores", "misclassified"),
        ("autoattack(eps=1/255)", "gradients", "misclassified"),
        ("universal(eps=1/255)", "gradients", "misclassified"),
        ("seg-pgd(eps=1/255)", "gradients", "at least 50% of the scored pixels wrong"),
    ],
)
def test_attacks_declare_what_they_know_and_want(attack: str, knowledge: str, goal: str) -> None:
    facts = facts_of(ATTACKS.build(attack))
    assert (facts.knowledge, facts.goal) == (knowledge, goal)


def test_licences_are_those_that_are_declared() -> None:
    said = licences(["unet.scenes", "mine.py:model"], ["scenes(samples=4)", "coco('x')"])
    assert set(said) == {"unet.scenes", "scenes(samples=4)"}
    assert all(text.startswith("Apache-2.0") for text in said.values())
