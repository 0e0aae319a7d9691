"""Writes docs/checks.md from the checks themselves: `python -m tests.docs_checks`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.checks.check import HUGE
from robustbench_cv.checks.check_declarations import COSTS, STAGES, actions, id_and_title
from robustbench_cv.checks.compare_readings import SIGNIFICANT
from robustbench_cv.checks.doctor import MOST_SAMPLES, SAMPLES, SAMPLES_OF_HUGE
from robustbench_cv.checks.input_geometry import sizes, symmetries
from robustbench_cv.checks.met_by_design import MET_BY_DESIGN
from robustbench_cv.checks.transform_families import colours, values

_USUAL = sum(m.usual for m in (*values(), *colours(), *symmetries("classification"), *sizes()))

PAGE = Path(__file__).parents[1] / "docs" / "checks.md"

_INTRODUCTION = f"""# Checks

<!-- Written by `python -m tests.docs_checks`; a test compares it with the code. -->

`robustbench-cv doctor --model MODEL --data DATA` runs the checks that come before a run and ends with exit code 4 where one says stop;
`robustbench-cv run` runs all, and blocks ("stop") or marks ("warn") the numbers that they speak of. Each says what it measured, and what
to do; `doctor --fix` prints the corrected line of configuration of those that can name it (mean and std, channel order, input size, class
map, box format, operating score). D01 to D06 ask about the data; the S ids are of usual mistakes, and those that are missing in the first
table stand in [the second](#what-is-met-by-design).

S02, S21 and S37 ask whether *some* change of the input makes the model better: each tries a family of changes that would undo a usual
fault, on a classifier's mistakes first and then on all {SAMPLES} samples. Where these do not decide, the most promising changes meet up to
{MOST_SAMPLES} samples (as many as have no more pixels than {SAMPLES} images of 224 x 224), drawn at random with a fixed seed.
S19 does the same for orders of the classes, S22 for the frame of boxes, S27 for that of label maps. What must get better is the *quality*:
top-1, the share of scored pixels that is right, or the F1 of the boxes that a detector reports, at IoU 0.5. A change of the input counts
as better where the one-sided p-value of a paired test stays below {SIGNIFICANT:g} after it is multiplied by the size of *all* input
families (the {_USUAL} usual mistakes have one half of the {SIGNIFICANT:g} to themselves, all others the other half) and by the two looks
that are allowed, at the {SAMPLES} samples and at more; the best of the family is the remedy that is printed. Where chance explains what is
right under every reading, S00 says so. A model whose first convolution sees {HUGE**0.5:.0f} x {HUGE**0.5:.0f} px or more, whatever size it
is handed, is asked of {SAMPLES_OF_HUGE} samples once, and only the usual mistakes are tried: a pass of it takes a second or more on a CPU.
Measured on two cores: a ResNet-50 at 224 x 224 px that is right on 83 % of its samples takes 40 seconds (536 images), one whose answers
change with every touch of an image 67 (884 images), and torchvision's Faster R-CNN (ResNet-50, FPN) at 800 x 800 px, with the start of the
command, 108.

## What is checked

"does" is what a check may say beside a pass, the severest first: "stop" blocks the numbers it speaks of, "warn" marks them, "note"
leaves them alone. `--allow S07` (of `run` and `score`) turns the stops of a check into warnings; wherever these are shown they say that
they were allowed.

"""

_BY_DESIGN = """
## What is met by design

Mistakes that need no check while a run goes on: a rule makes each impossible, or visible, and the named test (under `tests/`) holds it.

"""

_MISSED = f"""
## What no check finds

A fault that loses what it changes has no inverse to try (images made small and large again, blurred, or cropped by the model), unless the
model then ignores something visible, as it does colour (S21 notes it). A fault that costs less than {MOST_SAMPLES} samples can show is not
told either: pixel values divided by 2 cost a ResNet-20 on CIFAR-10 3 points of top-1 and are passed, divided by 3 they cost 13 and are
stopped. An exchange of two of K classes changes about 2/K of the answers: of a thousand classes, no {MOST_SAMPLES} samples show it. Images
scaled to 24 px, alone or padded to 32, cost the same network 2 to 4 points and are passed; cropped to 24 px they cost 25, but what was
cropped is gone (S38 notes that the network is sure of wrong answers). Images rolled or squeezed inside the model, and HSV read as RGB, are
undone by no member of the families; neither are label maps that are zoomed about their centre. A fault of some images alone, such as
every second one turned, is not told. Boxes annotated twice, a pixel apart, are not told (D06 finds equal ones), nor wrong classes of some
of a detector's objects. Red and blue swapped cost a detector that hardly looks at colour 6 points of AP50, too few for {SAMPLES} images.
That a coarse segmenter's label maps lie one pixel off is told by what moving them either way loses, if samples suffice for that.
Objects never annotated look like false boxes of a sure detector, and nobody can tell wrong labels from an overconfident model: S39 and S38
note samples worth a look, and no more.
"""


def page() -> str:
    """The whole page."""
    checked = sorted(_row(name) for name in CHECKS.entries())
    designed = [(m.id, m.mistake, m.mechanism, f"`{m.test}`") for m in sorted(MET_BY_DESIGN)]
    return "".join(
        (
            _INTRODUCTION,
            _table(("id", "asks", "catches", "runs", "costs", "does", "shows"), checked),
            _BY_DESIGN,
            _table(("id", "the mistake", "what prevents it", "held by"), designed),
            _MISSED,
        )
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def _row(name: str) -> tuple[str, ...]:
    entry = CHECKS.entry(name)
    question = (importlib.import_module(entry.module).__doc__ or "").splitlines()[0].split(": ", 1)[-1]
    stage, cost = STAGES[str(entry.facts["stage"])], COSTS[str(entry.facts["cost"])]
    return (id_and_title(name)[0], question, entry.summary, stage, cost, ", ".join(actions(name)), str(entry.facts["gives"]))


if __name__ == "__main__":
    PAGE.write_text(page())
