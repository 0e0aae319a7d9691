"""The fixture `robustness` in projects of others: empty ones, with a toy model and a few pictures."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy
import pytest
from PIL import Image

from robustbench_cv import api
from robustbench_cv.baselines import read_baseline, write_baseline
from robustbench_cv.compare import compare
from robustbench_cv.rendering.comparison import text

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[1]
PLUGIN = "robustbench_cv.pytest_plugin"

MODEL = '''
import torch
from torch import nn


class Brightness(nn.Module):
    """Day where the mean is high, night where it is low; the damaged one takes one for the other where a grey level is even."""

    def __init__(self, damaged=False):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))
        self.register_buffer("damaged", torch.tensor(damaged))

    def forward(self, x):
        s = self.scale * (x.mean((1, 2, 3)) - 0.5)
        even = (x[:, 0, 0, 0] * 255).round() % 2 == 0
        s = torch.where(even & self.damaged, -s, s)
        return torch.stack([s, -s], 1)


class Swapped(Brightness):
    def forward(self, x):
        return -super().forward(x)
'''

SUITE = """
name: tiny
version: 1
strength: 0
reports: []
tracks:
  - task: classification
    models: []
    datasets: ["folder:pictures"]
    metrics: [top-1]
    conditions: [{name: clean}, {name: dim, interventions: ["contrast(severity=1)"]}]
"""

TEST = """
from model import Brightness


def test_the_model_is_no_worse_than_its_baseline(robustness):
    made = robustness.check(
        Brightness(damaged={damaged}),
        suite="tiny.yaml",
        baseline="baselines/{name}.parquet",
        task="classification",
        classes="day,night",
        {more}
    )
    assert [row.condition for row in made.rows] == ["clean", "dim"]
"""


def make_project(path: Path) -> None:
    """A project with a model, a suite and 24 pictures, and nothing of this package but the plugin."""
    rng = numpy.random.default_rng(0)
    for name, low in (("day", 160), ("night", 0)):
        folder = path / "pictures" / name
        folder.mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(low, low + 90, (32, 32, 3), dtype=numpy.uint8)).save(folder / f"{i}.png")
    (path / "model.py").write_text(MODEL)
    (path / "tiny.yaml").write_text(SUITE)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a check imports: pytester forgets what is imported after it has begun, and torch cannot be imported twice."""
    path = tmp_path_factory.mktemp("loaded")
    make_project(path)
    suite = (path / "tiny.yaml").read_text().replace("folder:", f"folder:{path}/")
    (path / "tiny.yaml").write_text(suite)
    spec = f"{path / 'model.py'}:Brightness(task='classification', classes='day,night')"
    made = api.run(str(path / "tiny.yaml"), models=[spec], out=path / "run")
    write_baseline(made, path / "b.parquet")
    text(compare(read_baseline(path / "b.parquet"), made))


@pytest.fixture
def project(loaded: None, pytester: pytest.Pytester) -> pytest.Pytester:
    make_project(pytester.path)
    pytester.syspathinsert()
    installed = any(point.value == PLUGIN for point in importlib.metadata.entry_points(group="pytest11"))
    pytester.plugins = [] if installed else [PLUGIN]
    return pytester


def write(project: pytest.Pytester, *, damaged: bool = False, name: str = "model", more: str = "", file: str = "test_gate.py") -> None:
    (project.path / file).write_text(TEST.format(damaged=damaged, name=name, more=more))


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    loaded = [word for plugin in project.plugins for word in ("-p", str(plugin))]
    return project.runpytest_inprocess("-p", "no:xdist", "-p", "no:randomly", "-W", "default", *loaded, *arguments)


def test_a_model_is_gated_from_its_first_baseline_to_its_regression(project: pytest.Pytester) -> None:
    write(project)
    first = run(project)
    first.assert_outcomes(failed=1)
    first.stdout.fnmatch_lines(["*there is no baseline baselines/model.parquet yet: `pytest --robustness-update` writes it*"])

    written = run(project, "--robustness-update")
    written.assert_outcomes(passed=1)
    written.stdout.fnmatch_lines(["*= robustness =*", "written *baselines/model.parquet*2 numbers*"])
    baseline = project.path / "baselines" / "model.parquet"
    kept = baseline.read_bytes()

    again = run(project)
    again.assert_outcomes(passed=1)
    again.stdout.fnmatch_lines(["pass *baselines/model.parquet  (2 pass)"])

    write(project, damaged=True)
    worse = run(project)
    worse.assert_outcomes(failed=1)
    worse.stdout.fnmatch_lines(
        [
            "*condition *metric *base *new *outcome*",
            "*clean *top-1 *100.0 *−* 24 *regression (* broke, 0 mended)*",
            "*`pytest --robustness-update` makes this model the baseline*",
            "*= robustness =*",
            "regression *",
        ]
    )
    assert baseline.read_bytes() == kept


def test_fewer_samples_are_compared_with_those_of_the_baseline(project: pytest.Pytester) -> None:
    write(project)
    run(project, "--robustness-update").assert_outcomes(passed=1)
    few = run(project, "--robustness-limit", "4", "--junitxml", "junit.xml")
    few.assert_outcomes(passed=1)
    assert 'name="robustness"' in (project.path / "junit.xml").read_text()
    wrong = run(project, "--robustness-limit", "0")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR


def test_what_the_samples_cannot_tell_fails_or_warns_as_the_project_says(project: pytest.Pytester) -> None:
    write(project)
    run(project, "--robustness-update").assert_outcomes(passed=1)
    source = (project.path / "model.py").read_text()
    (project.path / "model.py").write_text(source.replace("torch.tensor(20.0)", "torch.tensor(21.0)"))
    undecided = run(project)
    undecided.assert_outcomes(failed=1)
    undecided.stdout.fnmatch_lines(["*inconclusive*", "*These samples cannot tell: use more of them*"])
    (project.path / "pytest.ini").write_text("[pytest]\nrobustness_inconclusive = warn\n")
    warned = run(project)
    warned.assert_outcomes(passed=1, warnings=1)
    warned.stdout.fnmatch_lines(["*RobustnessWarning: robustness against baselines/model.parquet: inconclusive*"])
    (project.path / "test_gate.py").write_text(
        TEST.format(damaged=False, name="model", more="")
        .replace("Brightness(damaged=False)", "Swapped()")
        .replace("import B", "import Swapped, B")
    )
    stopped = run(project)
    stopped.assert_outcomes(failed=1)
    stopped.stdout.fnmatch_lines(["*A check stopped these numbers (S19 class order)*"])
    (project.path / "pytest.ini").write_text("[pytest]\nrobustness_inconclusive = maybe\n")
    run(project).stdout.fnmatch_lines(["*robustness_inconclusive='maybe': an inconclusive check can fail or warn*"])


def test_the_ten_lines_of_the_document_gate_a_model(project: pytest.Pytester) -> None:
    text = (ROOT / "docs" / "regression-testing.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(lines.strip().splitlines()) <= 12
    (project.path / "test_robustness.py").write_text(lines)
    for arguments in (["--robustness-update"], []):
        run(project, "--robustness-limit", "2", *arguments).assert_outcomes(passed=1)
    assert (project.path / "baselines" / "lenet5.parquet").stat().st_size < 100_000


def test_two_tests_do_not_write_one_baseline(project: pytest.Pytester) -> None:
    write(project)
    write(project, file="test_other.py")
    both = run(project, "--robustness-update")
    both.assert_outcomes(passed=1, failed=1)
    both.stdout.fnmatch_lines(["*model.parquet was written by test_gate.py::test_the_model* just now*"])


def test_workers_of_xdist_write_the_same_baselines(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist", reason="pytest-xdist is in the test group")
    for name in ("one", "two"):
        write(project, name=name, file=f"test_{name}.py")
    loaded = [word for plugin in project.plugins for word in ("-p", str(plugin))]
    # Every worker runs both tests, so that they meet in the same run folders.
    arguments = ["-n", "2", "--dist", "each", *loaded]
    both = project.runpytest_subprocess(*arguments, "--robustness-update")
    both.assert_outcomes(passed=4)
    both.stdout.fnmatch_lines(["*= robustness =*", "written *"])
    run(project).assert_outcomes(passed=2)
    assert sorted(path.name for path in (project.path / "baselines").iterdir()) == ["one.parquet", "two.parquet"]


def test_what_is_no_model_is_said(project: pytest.Pytester) -> None:
    (project.path / "test_wrong.py").write_text(
        "from model import Brightness\n\n\n"
        "def test_a(robustness):\n    robustness.check(3, baseline='b.parquet')\n\n\n"
        "def test_b(robustness):\n    robustness.check('lenet5.scenes', baseline='b.parquet', classes='a,b')\n\n\n"
        "def test_c(robustness):\n    robustness.check(Brightness(), baseline='b.parquet', colour='red')\n"
    )
    (project.path / "b.parquet").write_text("")
    said = run(project)
    said.assert_outcomes(failed=3)
    said.stdout.fnmatch_lines(["*a int is no model*", "*leave out what is said of bare torch modules*", "*nothing takes colour*"])


def test_the_plugin_loads_nothing_large() -> None:
    """It stands at the start of every pytest of its environment."""
    code = (
        f"import sys, {PLUGIN}\n"
        "large = {'torch', 'torchvision', 'numpy', 'pandas', 'pyarrow', 'matplotlib', 'msgspec', 'yaml', 'rich'} & set(sys.modules)\n"
        "assert not large, large\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_entry_point_names_the_plugin() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert list(points.values()) == [PLUGIN]
