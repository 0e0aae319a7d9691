"""train: weights by a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import click

from robustbench_cv.catalogue import DATASETS, RECIPES
from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import WRITES, moved_option, option, titled_command
from robustbench_cv.terminal import say

WITH, HOW = "What it learns from", "How it trains"

EXAMPLES = [
    ("robustbench-cv train scenes-lenet5", "how bundled weights were made"),
    ("robustbench-cv train segmenter --data masks:/data/camvid/train --out camvid.safetensors", "a small segmenter for your own masks"),
]
_ELSEWHERE = "robustbench-cv finetune MODEL --data DATA"


@titled_command("train", examples=EXAMPLES)
@click.argument("recipe")
@option("--data", title=WITH, metavar="SPEC", help="Training data; the recipe's own unless given.")
@option("--test", title=WITH, metavar="SPEC", help="Data to measure the result on; the recipe's own unless given.")
@option(
    "--augment",
    title=WITH,
    metavar="SPEC",
    help="Edited copies to learn from too: context, or such as \"context(copies=2, sampling='hard-negative')\".",
)
@option("--limit", title=WITH, type=options.COUNT, metavar="N", help="Use only the first N training samples.")
@option("--epochs", title=HOW, type=options.COUNT, metavar="N", help="The recipe's own unless given.")
@option("--seed", title=HOW, type=options.SEED, metavar="N", default=0, show_default=True, help="Seed of every random choice.")
@options.device_for(HOW)
@option("--out", title=WRITES, type=options.FILE, metavar="FILE", help="Weights (.safetensors); RECIPE.safetensors unless given.")
@moved_option("--finetune", _ELSEWHERE, takes_value=True)
@moved_option("--frozen", f"{_ELSEWHERE} --frozen", takes_value=False)
@moved_option("--patience", f"{_ELSEWHERE} --patience N", takes_value=True)
@moved_option("--rate", f"{_ELSEWHERE} --rate RATE", takes_value=True)
@moved_option("--batch", f"{_ELSEWHERE} --batch N", takes_value=True)
@moved_option("--size", f"{_ELSEWHERE} --size SIZE", takes_value=True)
@options.plugin
def command(
    recipe: str,
    data: str | None,
    test: str | None,
    out: Path | None,
    epochs: int | None,
    limit: int | None,
    augment: str | None,
    seed: int,
    device: str,
) -> None:
    """Train by RECIPE and write weights with a card. The same command again resumes.

    robustbench-cv finetune trains a model that exists further, on data of yours.
    """
    from robustbench_cv.registry import Spec

    RECIPES.check(recipe)
    for spec in (data, test):
        if spec is not None:
            DATASETS.check(spec)
    path = options.weights_path(out or Path(f"{Spec.parse(recipe).name}.safetensors"))
    say(f"writes {path} and {path.with_suffix('.json')}")

    from robustbench_cv.runner.run import choose_device
    from robustbench_cv.training.train import train

    card = train(
        recipe, data=data, test=test, out=path, epochs=epochs, limit=limit, augment=augment, seed=seed, device=choose_device(device)
    )
    say(json.dumps(card.to_json(), indent=1))
