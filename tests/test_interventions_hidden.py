"""What is hidden at random, backgrounds of the user's own, in-painters of a file, and the patches that fill a hole."""

from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from robustbench_cv.catalogue import INTERVENTIONS
from robustbench_cv.errors import ForeignError, NotApplicable, UserError
from robustbench_cv.interventions.fill import extend_background
from robustbench_cv.interventions.patch_match import fill_by_patches
from robustbench_cv.noise import Noise
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import ClassTarget, Sample


def sample(id_: str = "a", side: int = 64) -> Sample:
    image = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[10:20, 10:30] = True
    return Sample(id_, image, ClassTarget(0), {"object": mask, "objects": mask, "class:car": mask}, {"context": "sea"})


def edited(spec: str, before: Sample) -> Sample:
    return INTERVENTIONS.build(spec)(before, Noise(0, (before.id,)))


def test_random_erasing_covers_a_rectangle_of_the_asked_area_with_the_asked_aspect() -> None:
    areas, aspects = [], []
    for k in range(200):
        region = edited("random-erasing(least=0.1, most=0.3)", sample(f"s{k}")).edit.region
        rows, columns = region.any(dim=1).nonzero()[:, 0], region.any(dim=0).nonzero()[:, 0]
        height, width = int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1
        assert int(region.sum()) == height * width
        areas.append(height * width / 64**2)
        aspects.append(height / width)
    assert 0.09 < min(areas) < 0.13 < 0.26 < max(areas) < 0.31
    assert min(aspects) < 0.6
    assert max(aspects) > 2
    with pytest.raises(UserError, match=r"least=0\.5 is more than most=0\.4"):
        INTERVENTIONS.build("random-erasing(least=0.5)")
    assert numpy.median(aspects) > 1.2  # drawn uniformly from 0.3 to 3.3, as the authors draw them


def test_hide_and_seek_hides_whole_cells_as_often_as_asked() -> None:
    hidden = []
    for k in range(60):
        after = edited("hide-and-seek(cell=56, probability=0.75)", sample(f"s{k}"))
        cells = after.edit.region.reshape(4, 16, 4, 16).permute(0, 2, 1, 3).flatten(2)
        assert bool((cells.all(dim=2) | ~cells.any(dim=2)).all())
        hidden.append(float(cells.all(dim=2).float().mean()))
        colour = after.image[:, after.edit.region]
        assert torch.allclose(colour, sample().image.mean(dim=(1, 2))[:, None].expand_as(colour), atol=1e-6)
    assert numpy.mean(hidden) == pytest.approx(0.75, abs=0.06)
    with pytest.raises(NotApplicable, match="by chance"):
        edited("hide-and-seek(probability=0.0)", sample())


def test_patches_continue_a_texture_that_a_smear_does_not() -> None:
    y, x = torch.arange(72)[:, None], torch.arange(72)[None, :]
    stripes = (((x + y) // 4) % 2).float().expand(3, -1, -1).contiguous()
    hole = torch.zeros(72, 72, dtype=torch.bool)
    hole[26:46, 24:50] = True
    damaged = torch.where(hole, 0.5, stripes)
    made = fill_by_patches(damaged, hole, Noise(0, ("a",)))
    smear = extend_background(damaged, hole)
    error, worse = ((image - stripes).abs()[:, hole].mean() for image in (made, smear))
    assert float(error) < 0.15 < 0.3 < float(worse)
    assert torch.equal(made[:, ~hole], stripes[:, ~hole])


def test_a_hole_that_leaves_no_whole_patch_is_filled_all_the_same() -> None:
    image, hole = torch.rand(3, 8, 8), torch.ones(8, 8, dtype=torch.bool)
    hole[0, 0] = False
    assert torch.equal(fill_by_patches(image, hole, Noise(0, ("a",))), extend_background(image, hole))


PAINTERS = """
import torch
def blue(image, region):
    image[:, region] = torch.tensor([[0.0], [0.0], [1.0]])
    image[:, 0, 0] = 0.123  # outside the region: not looked at
    return image
def small(image, region):
    return image[:, :4]
def broken(image, region):
    raise RuntimeError("no weights")
"""


def test_an_in_painter_of_a_file_fills_the_region_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PAINTERS)
    before = sample()
    after = edited(f"remove(fill='{file}:blue')", before)
    assert torch.equal(after.image[:, ~after.edit.region], before.image[:, ~after.edit.region])
    assert after.image[2, after.edit.region].eq(1).all()
    with pytest.raises(ForeignError, match=r"gave shape \(3, 4, 64\); it gives an image of shape \(3, 64, 64\)"):
        edited(f"remove(fill='{file}:small')", before)
    with pytest.raises(ForeignError, match="no weights"):
        edited(f"remove(fill='{file}:broken')", before)
    with pytest.raises(UserError, match="has no function 'red'"):
        INTERVENTIONS.build(f"remove(fill='{file}:red')")
    with pytest.raises(UserError, match=r"or file\.py:function"):
        INTERVENTIONS.build("remove(fill='lama')")


def test_pictures_of_a_folder_stand_behind_the_object(tmp_path: Path) -> None:
    for k, colour in enumerate(((255, 0, 0), (0, 255, 0), (0, 0, 255))):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{k}.png")
    before = sample()
    seen = set()
    for draw in range(3):
        after = edited(f"swap-background(folder={str(tmp_path)!r}, draw={draw})", before)
        inside = before.regions["object"]
        assert torch.equal(after.image[:, inside], before.image[:, inside])
        seen.add(tuple(after.image[:, 63, 63].tolist()))
        assert after.target.label == 0
    assert len(seen) == 3
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no image"):
        INTERVENTIONS.build(f"swap-background(folder={str(tmp_path / 'empty')!r})")


def test_records_depend_on_the_bytes_of_the_pictures_and_of_the_in_painter(tmp_path: Path) -> None:
    pictures, file = tmp_path / "pictures", tmp_path / "mine.py"
    pictures.mkdir()
    Image.new("RGB", (40, 30), (255, 0, 0)).save(pictures / "0.png")
    file.write_text(PAINTERS)
    conditions = (
        CLEAN,
        Condition("pictures", (f"swap-background(folder={str(pictures)!r})",)),
        Condition("painted", (f"remove(fill='{file}:blue')",)),
    )
    track = Track("classification", ("lenet5.scenes",), ("scenes(size=48)",), conditions, ("top-1",), 4)

    def computed() -> int:
        return run_suite(Suite("files", 1, (track,), reports=("main-table",)), tmp_path / "run", Options(strength=0)).computed

    assert computed() == 5
    assert computed() == 0
    Image.new("RGB", (40, 30), (0, 255, 0)).save(pictures / "0.png")
    assert computed() == 1
    file.write_text(PAINTERS.replace("[1.0]", "[0.5]"))
    assert computed() == 2  # the removal and its placebo
