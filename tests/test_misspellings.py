"""A misspelt name is answered by the registries alone: no torch, nothing announced, exit code 2 and the closest names."""

import os
import subprocess
import sys

import pytest

SLIPS = {
    "suite": (["run", "qiuck"], "did you mean 'quick'"),
    "suite file": (["run", "nowhere.yaml"], "cannot read the suite nowhere.yaml"),
    "model": (["run", "quick", "--model", "lenet6.scenes"], "did you mean 'lenet5'"),
    "model's file": (["run", "quick", "--model", "nowhere.py:build"], "no file nowhere.py"),
    "model's source": (["run", "quick", "--model", "torchvison:resnet18"], "did you mean 'torchvision'"),
    "data prefix": (["run", "quick", "--data", "floder:images"], "did you mean 'folder'"),
    "model of doctor": (["doctor", "--model", "unett", "--data", "scenes"], "did you mean 'unet'"),
    "data of doctor": (["doctor", "--model", "unet", "--data", "scens"], "did you mean 'scenes'"),
    "model of finetune": (["finetune", "unett", "--data", "scenes"], "did you mean 'unet'"),
    "data of finetune": (["finetune", "unet", "--data", "mask:x"], "did you mean 'masks'"),
    "recipe": (["train", "scenes-lenet55"], "did you mean 'scenes-lenet5'"),
    "data of train": (["train", "segmenter", "--data", "mask:x"], "did you mean 'masks'"),
    "model of profile": (["profile", "vgg61"], "no model named 'vgg61'"),
    "attack of show": (["show", "attack", "pdg"], "did you mean 'pgd'"),
    "data of show": (["show", "data", "scens"], "did you mean 'scenes'"),
    "attack of a suite": (["run", "mine.yaml"], "no attack named 'pdg'; did you mean 'pgd'"),
    "class map": (["run", "quick", "--class-map", "auto"], "is not data=model"),
    "device": (["run", "quick", "--device", "meta"], "holds no numbers"),
    "model of explain": (["explain", "--model", "unett", "--data", "scenes"], "did you mean 'unet'"),
    "method of explain": (["explain", "--model", "unet", "--data", "scenes", "--method", "grad-cma"], "did you mean 'grad-cam'"),
    "typed attack": (["run", "--attack", "pdg", "--eps", "8/255"], "did you mean 'pgd'"),
    "typed budget": (["run", "--attack", "pgd", "--eps", "8"], "write eps=8/255"),
    "typed edit": (["run", "--condition", "ocludde"], "did you mean 'occlude'"),
    "attack for a suite": (["run", "autoattack(eps=1/255)"], "robustbench-cv run --attack 'autoattack(eps=1/255)'"),
    "path without a prefix": (["run", "quick", "--data", "images/val"], "write folder:images/val"),
    "field of a suite": (["run", "quick", "tracks[0].sample=3"], "did you mean 'samples'"),
    "suite to validate": (["validate", "mine.yaml"], "line 10, column 17: tracks[0].conditions[1].attack: no attack named 'pdg'"),
    "model of init": (["init", "--model", "lenet6", "--data", "scenes"], "did you mean 'lenet5'"),
    "family": (["list", "models", "--family", "yollo"], "did you mean 'YOLO'"),
    "speed's task": (["speed", "--task", "speech"], "no architecture is for 'speech'"),
}

SUITE = """
name: mine
version: 1
tracks:
- task: classification
  models: [lenet5.scenes]
  datasets: [scenes]
  conditions:
  - {name: clean}
  - {name: pgd, attack: "pdg(eps=1/255)"}
  metrics: [top-1]
"""

RUNNER = """
import sys
from robustbench_cv.cli import main
for arguments in eval(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as done:
        print("exit", done.code, [m for m in ("torch", "numpy", "pandas", "rich") if m in sys.modules], end="\\n---\\n", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each slip prints, all in one process, so that a heavy import of any shows in every later one."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "mine.yaml").write_text(SUITE)
    arguments = [slip for slip, _ in SLIPS.values()]
    done = subprocess.run([sys.executable, "-c", RUNNER, repr(arguments)], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "", "nothing is announced"
    assert sorted(os.listdir(folder)) == ["mine.yaml"], "nothing is written"
    said = done.stderr.removesuffix("\n---\n").split("\n---\n")
    return dict(zip(SLIPS, said, strict=True))


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_answered_without_torch(slip: str, answers: dict[str, str]) -> None:
    assert SLIPS[slip][1] in answers[slip]
    assert answers[slip].endswith("exit 2 []")
