"""explain: where in the image a model's answers come from."""

from __future__ import annotations

from pathlib import Path

from robustbench_cv.catalogue import DATASETS, MODELS
from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import HOW, WHAT, WRITES, option, titled_command
from robustbench_cv.explain.methods import METHODS, check_method
from robustbench_cv.run_folder import file_name
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv explain --model cifar-resnet20.scenes --data scenes --samples 16", "a classifier, by occlusion"),
    ("robustbench-cv explain --model unet.scenes --data scenes --method gradient --out maps", "a segmenter, into a folder of your choice"),
    (
        'robustbench-cv explain --model yolov3-small.scenes --data scenes --method "occlusion(side=16)"',
        "a detector, one detection a picture",
    ),
]


@titled_command("explain", examples=EXAMPLES)
@option("--model", title=WHAT, required=True, metavar="SPEC", help="The model.")
@option("--data", title=WHAT, required=True, metavar="SPEC", help="The data set; its samples need a mask of their object.")
@options.class_map
@option(
    "--samples",
    title=WHAT,
    type=options.COUNT,
    metavar="N",
    default=16,
    show_default=True,
    help="Samples, spread evenly over the data set.",
)
@option(
    "--method", title=HOW, metavar="SPEC", default="occlusion", show_default=True, help=f"{', '.join(METHODS)}; arguments in parentheses."
)
@option(
    "--tolerance",
    title=HOW,
    type=options.whole(1, 999_999, auto=True),
    metavar="PX",
    default="auto",
    show_default=True,
    help="How near the object the map's peak must lie; auto: 15 px at a shorter side of 224 px, scaled.",
)
@options.device
@option("--out", title=WRITES, type=options.FOLDER, metavar="FOLDER", help="Folder; explanations/MODEL-METHOD unless given.")
@options.plugin
def command(model: str, data: str, class_map: str, samples: int, method: str, tolerance: int | None, device: str, out: Path | None) -> None:
    """Where in the image do the answers come from: the object, or what is around it?

    For each sample a map of what mattered to the model's own answer about the main object; for each class how far the maps keep to the
    object, what they are worth, and whether the class is answered rightly for a wrong reason (Clever Hans).
    """
    from robustbench_cv.data.class_names import parse_overrides

    MODELS.check(model)
    DATASETS.check(data)
    check_method(method)
    pairs = parse_overrides(class_map)
    folder = options.usable_folder(out or Path("explanations") / file_name(f"{model}-{method}"))
    say(f"writes {folder}/: explain.csv, samples.csv, pictures/ (one for each sample), index.html")

    from robustbench_cv.api import explain
    from robustbench_cv.rendering.explanations import write
    from robustbench_cv.rendering.terminal_table import to_terminal
    from robustbench_cv.runner.progress_bar import progress_for

    made = explain(
        model, data, method, samples=samples, tolerance=tolerance, device=device, class_map=pairs, progress=progress_for(), announce=say
    )
    say(to_terminal(made.table()))
    say(f"flagged: {', '.join(made.flagged) or 'no class'}")
    say(f"page: {write(made, folder)[-1].resolve()}")
