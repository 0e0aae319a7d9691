"""The commented suite that `robustbench-cv init` writes: a first look at one model on one data set."""

from __future__ import annotations

import json
from typing import NamedTuple

from robustbench_cv.tasks import Task


class _First(NamedTuple):
    """What a first look at a model of a task holds. metrics: each with its meaning. lower: what to bound from above."""

    metrics: tuple[tuple[str, str], ...]
    attacks: tuple[str, ...]
    budgets: str
    removal: str


_FIRST: dict[Task, _First] = {
    "classification": _First(
        (
            ("top-1", "share of images whose most probable class is right"),
            ("hallucination-rate", "how often a removed object is still named"),
        ),
        ("pgd(steps=10)",),
        "0.5/255, 1/255, 2/255",
        "remove()",
    ),
    "segmentation": _First(
        (("miou", "mean intersection over union of the classes"), ("pixel-accuracy", "share of pixels"), ("hallucination-rate", "")),
        ("seg-pgd(steps=10)",),
        "0.5/255, 1/255, 2/255",
        "remove(what='random-class')",
    ),
    "detection": _First(
        (("ap", "average precision as COCO means it"), ("ap50", "at an overlap of a half"), ("hallucination-rate", "")),
        ("tog-vanish(steps=10)", "tog-fabricate(steps=10)"),
        "1/255, 2/255, 4/255",
        "remove(what='random-class')",
    ),
}


def starter(name: str, task: Task, model: str, data: str) -> str:
    """The text of the file. model, data: specs, as typed."""
    first = _FIRST[task]
    metrics = "\n".join(f"  - {metric}{f'   # {meaning}' if meaning else ''}" for metric, meaning in first.metrics)
    attacks = "\n".join(f"  - {{attack: {json.dumps(spec)}, budgets: [{first.budgets}]}}" for spec in first.attacks)
    primary = first.metrics[0][0]
    return f"""\
# A suite of robustbench-cv: what is done to the data, what is measured, and what must hold.
#   robustbench-cv validate {name}.yaml              every mistake, with its line
#   robustbench-cv run {name}.yaml --dry-run         what a run would do
#   robustbench-cv run {name}.yaml limit=32          a first run on 32 samples
# docs/suites.md explains every field; robustbench-cv list attacks (interventions, metrics, reports) says what there is.

name: {name}        # the run's folder is runs/{name}
version: 1        # raise it when a number may change
seed: 0           # of every random choice
strength: 8       # samples on which other attacks try to break what an attack did not; 0: none

tracks:
- task: {task}
  models:
  - {json.dumps(model, ensure_ascii=False)}
  datasets:
  - {json.dumps(data, ensure_ascii=False)}
  samples: 200    # the same ones every time; fewer are quicker and their intervals wider

  metrics:        # the first leads the tables
{metrics}

  conditions:     # what happens to a sample before the model sees it
  - clean
  # An adversary who knows the model, within a largest change of each pixel value:
{attacks}
  # A part of the object is hidden; the same edit where no object is runs beside it by itself, as its placebo:
  - occlude(share=0.25)
  - occlude(share=0.5)
  # The object is taken away, or its surroundings are: is the class still reported? (empty where the data have no masks or boxes)
  - {{name: object removed, interventions: {json.dumps(first.removal)}}}
  - {{name: context gray, interventions: "swap-context(to='gray')"}}

# What must hold, decided on the whole 95 % interval; ends with 1 where a gate fails, with 3 where the samples are too few to tell.
# In place of the empty list, with bounds of your own: at_least where higher is better, at_most where lower is.
gates: []
# gates:
# - {{metric: {primary}, condition: clean, at_least: 0.7}}
# - {{metric: hallucination-rate, condition: object removed, at_most: 0.2}}

reports: [overview, main-table, context-sensitivity, budget-curve, complexity, gallery, checks, protocol]
"""
