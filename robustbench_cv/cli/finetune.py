"""finetune: a model that exists, trained further on data of the user's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from robustbench_cv.catalogue import DATASETS, MODELS
from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import WRITES, option, titled_command
from robustbench_cv.terminal import say

WITH, HOW = "What it learns from", "How it trains"

EXAMPLES = [
    (
        'robustbench-cv finetune "timm:resnet18(pretrained=True)" --data folder:/data/images --out mine.safetensors',
        "a published classifier on your own classes",
    ),
    ("robustbench-cv finetune ssd300.scenes --data coco:/data/coco/val2017 --frozen", "a detector's new head alone"),
]


@titled_command("finetune", examples=EXAMPLES)
@click.argument("model")
@option(
    "--data",
    title=WITH,
    required=True,
    metavar="SPEC",
    help="Training data, such as folder:DIR, masks:DIR, coco:DIR, yolo:DIR, voc:DIR or npz:FILE.",
)
@option("--test", title=WITH, metavar="SPEC", help="Data to measure the result on; a tenth of the training data unless given.")
@option(
    "--augment",
    title=WITH,
    metavar="SPEC",
    help="Edited copies to learn from too: context, or such as \"context(copies=2, sampling='hard-negative')\".",
)
@option("--limit", title=WITH, type=options.COUNT, metavar="N", help="Use only the first N training samples.")
@option("--frozen", title=HOW, is_flag=True, help="Train the new head alone.")
@option("--epochs", title=HOW, type=options.COUNT, metavar="N", help="At most; 20 unless given.")
@option("--patience", title=HOW, type=options.COUNT, metavar="N", help="Epochs without progress that end the training; 5 unless given.")
@option(
    "--rate",
    title=HOW,
    type=click.FloatRange(min=0, min_open=True),
    metavar="RATE",
    help="Highest learning rate; 0.001 unless given, 0.0001 for large detectors.",
)
@option("--batch", title=HOW, type=options.COUNT, metavar="N", help="Images a step; 16 unless given, 4 for large detectors.")
@option("--size", title=HOW, metavar="SIZE", help="Side or WxH px at which the model trains and runs; its own unless given.")
@option("--seed", title=HOW, type=options.SEED, metavar="N", default=0, show_default=True, help="Seed of every random choice.")
@options.device_for(HOW)
@option("--out", title=WRITES, type=options.FILE, metavar="FILE", help="Weights (.safetensors); MODEL-finetuned.safetensors unless given.")
@options.plugin
def command(
    model: str,
    data: str,
    test: str | None,
    out: Path | None,
    limit: int | None,
    augment: str | None,
    seed: int,
    device: str,
    **settings: Any,
) -> None:
    """Train MODEL further on --data, with a head for its classes, and write weights with a card. The same command again resumes."""
    from robustbench_cv.registry import Spec

    MODELS.check(model)
    for spec in (data, test):
        if spec is not None:
            DATASETS.check(spec)
    named = Spec.parse(model)
    path = options.weights_path(out or Path(f"{(named.target or named.name).replace('/', '-')}-finetuned.safetensors"))
    say(f"writes {path} and {path.with_suffix('.json')}; use it as finetuned:{path}")

    from robustbench_cv.runner.run import choose_device
    from robustbench_cv.training.finetune import Settings, finetune

    chosen = Settings(**{name: value for name, value in settings.items() if value})
    card = finetune(
        model, data=data, test=test, out=path, settings=chosen, seed=seed, device=choose_device(device), limit=limit, augment=augment
    )
    say(json.dumps(card.to_json(), indent=1))
