"""profile: what one model costs."""

from __future__ import annotations

import json

import click

from robustbench_cv.catalogue import MODELS
from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import HOW, OTHER, moved_option, option, titled_command
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv profile vgg16 --device meta --layers", "a row a layer, counted without building the weights"),
    ("robustbench-cv profile unet.scenes --input 640x480", "a model with its weights, with latency"),
]
_ELSEWHERE = "robustbench-cv speed"


@titled_command("profile", examples=EXAMPLES)
@click.argument("name")
@options.image_size
@option("--layers", title=OTHER, is_flag=True, help="One row a layer: output, parameters, MAC, receptive field, stride.")
@option("--by-module", title=OTHER, is_flag=True, help="Parameters and MAC of each module.")
@option("--json", "as_json", title=OTHER, is_flag=True, help="Machine-readable: everything.")
@options.calls
@option(
    "--device",
    title=HOW,
    type=options.device_name(meta=True),
    metavar="NAME",
    default="auto",
    show_default=True,
    help="cpu, cuda, auto, or meta: count without building or timing.",
)
@moved_option("--all", _ELSEWHERE, takes_value=False)
@moved_option("--task", f"{_ELSEWHERE} --task TASK", takes_value=True)
@moved_option("--reduced", f"{_ELSEWHERE} --reduced", takes_value=False)
@moved_option("--markdown", f"{_ELSEWHERE} --markdown", takes_value=False)
@moved_option("--seconds", f"{_ELSEWHERE} --seconds SECONDS", takes_value=True)
@options.plugin
def command(name: str, size: str, layers: bool, by_module: bool, batch_size: int, runs: int, device: str, as_json: bool) -> None:
    """What the model NAME costs: parameters, multiply-adds, activation memory, receptive fields, latency.

    robustbench-cv speed times every architecture.
    """
    MODELS.check(name)

    from robustbench_cv.models.build import build
    from robustbench_cv.models.complexity import show
    from robustbench_cv.models.complexity.profile import profile
    from robustbench_cv.models.weights.initial_weights import parse_size
    from robustbench_cv.runner.run import choose_device

    image = parse_size(size) or (224, 224)
    costs = profile(build(name, device=choose_device(device, meta=True)), image, batch=batch_size, runs=runs)
    if as_json:
        say(json.dumps(show.to_json(costs), indent=1))
        return
    say(show.summary(costs))
    for wanted, rows in ((layers, show.layer_rows), (by_module, show.module_rows)):
        if wanted:
            say("\n" + show.align_columns(rows(costs)))
