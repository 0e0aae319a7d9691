"""A small ImageNet-9 in the published layout: coloured discs on noise, each class with a colour and a background of its own."""

from __future__ import annotations

from pathlib import Path

import numpy
from PIL import Image

CLASSES = (
    "00_dog",
    "01_bird",
    "02_wheeled vehicle",
    "03_reptile",
    "04_carnivore",
    "05_insect",
    "06_musical instrument",
    "07_primate",
    "08_fish",
)
PER_CLASS = 2


def write(root: Path, side: int = 32) -> Path:
    """The folder, as `bg_challenge` below root. The names in mixed_rand are those of mixed_next, as in the published files."""
    root, rng = root / "bg_challenge", numpy.random.default_rng(0)
    y, x = numpy.mgrid[:side, :side]
    made = {}
    for c in range(9):
        for k in range(PER_CLASS):
            colour = numpy.array([(c * 28 + 20) % 256, (c * 60 + 90) % 256, (c * 97 + 10) % 256])
            background, pixels = (
                numpy.clip(of + rng.normal(0, 40, (side, side, 3)), 0, 255).astype(numpy.uint8) for of in (colour, 255 - colour)
            )
            mask = (y - side * rng.uniform(0.4, 0.6)) ** 2 + (x - side * rng.uniform(0.4, 0.6)) ** 2 < (side * 0.25) ** 2
            made[c, k] = pixels, mask, background
    for (c, k), (pixels, mask, background) in made.items():
        box = numpy.outer(mask.any(axis=1), mask.any(axis=0))
        shown = {
            "original": (mask, pixels, background),
            "only_fg": (mask, pixels, 0),
            "no_fg": (mask, 0, background),
            "only_bg_b": (box, 0, background),
            "only_bg_t": (box, background[::-1], background),
        }
        for folder, (region, inside, outside) in shown.items():
            _save(root, folder, c, _name(c, k), numpy.where(region[..., None], inside, outside))
        for folder, other in (("mixed_same", c), ("mixed_rand", int(rng.integers(9))), ("mixed_next", (c + 1) % 9)):
            said = other if folder == "mixed_same" else (c + 1) % 9
            place = int(rng.integers(PER_CLASS))
            picture = numpy.where(mask[..., None], pixels, made[other, place][2])
            _save(root, folder, c, f"fg_{_name(c, k)}_bg_{_name(said, place)}", picture)
        path = root / "fg_mask" / "val" / CLASSES[c] / f"{_name(c, k)}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        numpy.save(path, mask)
    return root


def _name(c: int, k: int) -> str:
    return f"n0{c}000000_{k}"


def _save(root: Path, folder: str, c: int, name: str, picture: numpy.ndarray) -> None:
    path = root / folder / "val" / CLASSES[c] / f"{name}.JPEG"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.astype(numpy.uint8)).save(path, format="JPEG")
