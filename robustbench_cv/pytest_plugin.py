"""pytest: the fixture `robustness`, with which the tests of any project gate its own model against a baseline file.

It is loaded into every pytest of an environment that has this package, so that nothing large is imported before a check is made.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from robustbench_cv.compare import Comparisons
    from robustbench_cv.results import Results
    from robustbench_cv.suite import Suite

Inconclusive = Literal["fail", "warn"]

UPDATE, LIMIT, INCONCLUSIVE = "--robustness-update", "--robustness-limit", "robustness_inconclusive"

_SAID = "robustness"
"""The property of a test's report that holds a line of the summary: properties are what workers of xdist send home."""

_SESSION = pytest.StashKey[str]()


class RobustnessWarning(UserWarning):
    """A check decided nothing, and was asked not to fail for that."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, and the key of pytest.ini."""
    group = parser.getgroup("robustness", "robustness (robustbench-cv)")
    group.addoption(UPDATE, action="store_true", help="Write the baselines of robustness.check from the models as they are now.")
    group.addoption(LIMIT, type=_count, metavar="N", help="Use only N samples in each robustness.check, the same ones every time.")
    parser.addini(INCONCLUSIVE, "What a robustness.check does that its samples cannot decide: fail or warn.", default="fail")


def pytest_configure(config: pytest.Config) -> None:
    """A name for this session, the same in each of its workers."""
    config.stash[_SESSION] = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each check that was made, whichever worker made it."""
    reports = [report for every in terminalreporter.stats.values() for report in every if isinstance(report, pytest.TestReport)]
    lines = [str(text) for report in reports if report.when == "call" for name, text in report.user_properties if name == _SAID]
    if lines:
        terminalreporter.section("robustness")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture
def robustness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Robustness:
    """`robustness.check(model, baseline="baselines/model.parquet")`: fails where the model is worse than its baseline."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    folder = tmp_path_factory.getbasetemp() / "robustness" if cache is None else cache.mkdir("robustness")
    return Robustness(request.node, request.config, folder)


@dataclass(frozen=True, eq=False)
class Robustness:
    """What a test asks. folder: where runs lie, so that a check of an unchanged model computes nothing again."""

    node: pytest.Item
    config: pytest.Config
    folder: Path

    def check(
        self,
        model: object,
        suite: str | Suite = "quick",
        *,
        baseline: str | Path,
        margin: float = 0.02,
        data: str | Sequence[str] | None = None,
        metrics: Sequence[str] = (),
        limit: int | None = None,
        seed: int | None = None,
        device: str = "cpu",
        class_map: Mapping[str, str] | None = None,
        inconclusive: Inconclusive | None = None,
        **facts: Any,
    ) -> Comparisons:
        """Fail the test where the model is worse than its baseline by more than the margin; the comparison otherwise.

        model: a spec, a model (info, raw, decode), or a bare torch module, of which `facts` say what it is (task="classification",
        classes="cat,dog", and mean, std, input_size, name where they matter); it is copied, not changed. suite, data, limit, seed, device,
        class_map: as of `robustbench_cv.run`. baseline: the file, from pytest's root folder; --robustness-update writes it. metrics: in
        place of each task's first. inconclusive: what to do where the samples cannot tell, in place of robustness_inconclusive in
        pytest.ini.
        """
        __tracebackhide__ = True
        from robustbench_cv.errors import UserError

        made: Comparisons | None = None
        said = ""
        path, folder = self.config.rootpath / baseline, self._run_folder()
        try:
            lenient = self._is_lenient(inconclusive)
            updates = bool(self.config.getoption(UPDATE))
            if not updates and not path.exists():
                raise UserError(
                    f"there is no baseline {baseline} yet: `pytest {UPDATE}` writes it from the model as it is now; commit it, "
                    "and later tests compare with it"
                )
            most = self.config.getoption(LIMIT)
            limit = limit if most is None else most if limit is None else min(limit, most)
            with _alone(folder.with_name(f"{folder.name}.lock")):
                results = self._run(folder, _as_model(model, facts), suite, data, limit, seed, device, class_map)
            if updates:
                self._update(results, path)
            made = self._compare(results, path, margin, metrics, fewer=limit is not None)
        except UserError as error:
            said = str(error)  # failed outside of here, so that pytest shows the sentence alone
        if made is None:
            self._tell("not compared", baseline, said.partition("\n")[0])
            pytest.fail(f"robustness: {said}", pytrace=False)
        from robustbench_cv.rendering.comparison import text, verdict

        if updates:
            self._tell("written", baseline, f"{len(made.rows)} numbers to compare with")
            return made
        self._tell(made.outcome, baseline, verdict(made))
        if made.outcome == "regression" or any(row.blocked for row in made.rows) or (made.outcome == "inconclusive" and not lenient):
            pytest.fail(
                f"robustness against {baseline}, margin {100 * margin:g} points:\n\n{text(made)}\n\n{_ways_out(made, folder)}",
                pytrace=False,
            )
        if made.outcome == "inconclusive":
            warnings.warn(f"robustness against {baseline}: {verdict(made)}", RobustnessWarning, stacklevel=2)
        return made

    def _is_lenient(self, inconclusive: Inconclusive | None) -> bool:
        from robustbench_cv.errors import UserError

        said = inconclusive or self.config.getini(INCONCLUSIVE)
        if said not in ("fail", "warn"):
            raise UserError(f"{INCONCLUSIVE}={said!r}: an inconclusive check can fail or warn")
        return bool(said == "warn")

    def _run(
        self,
        folder: Path,
        model: Any,
        suite: str | Suite,
        data: str | Sequence[str] | None,
        limit: int | None,
        seed: int | None,
        device: str,
        class_map: Mapping[str, str] | None,
    ) -> Results:
        import msgspec

        from robustbench_cv import api
        from robustbench_cv.suite_files import find_suite

        is_file = isinstance(suite, str) and suite.lower().endswith((".yaml", ".yml"))
        chosen = find_suite(str(self.config.rootpath / suite) if is_file else suite) if isinstance(suite, str) else suite
        return api.run(
            msgspec.structs.replace(chosen, reports=()),  # what is drawn of a run is drawn when somebody asks for it
            models=[model],
            data=data or (),
            limit=limit,
            seed=seed,
            device=device,
            class_map=class_map,
            out=folder,
        )

    def _compare(self, results: Results, path: Path, margin: float, metrics: Sequence[str], *, fewer: bool) -> Comparisons:
        from robustbench_cv.baselines import open_results
        from robustbench_cv.compare import compare

        base = open_results(path, {*results.typed, *metrics})
        return compare(base, results, margin=margin, metrics=metrics, fewer=fewer)

    def _update(self, results: Results, path: Path) -> None:
        """Write the file. UserError where another test of this session has written it."""
        from robustbench_cv.baselines import write_baseline
        from robustbench_cv.errors import UserError

        claim = self.folder / f"baseline-{_short_hash(str(path.resolve()))}.txt"
        with _alone(claim.with_suffix(".lock")):
            session, _, other = (claim.read_text(encoding="utf-8") if claim.exists() else "").partition("\n")
            mine = f"{self.node.nodeid} #{self._made}"
            if session == self.config.stash[_SESSION] and other != mine:
                raise UserError(f"{path} was written by {other.rpartition(' #')[0]} just now: give each check a baseline of its own")
            claim.write_text(f"{self.config.stash[_SESSION]}\n{mine}", encoding="utf-8")
            write_baseline(results, path)

    @property
    def _made(self) -> int:
        """How many checks this test has made before."""
        return sum(name == _SAID for name, _ in self.node.user_properties)

    def _run_folder(self) -> Path:
        """One for each check of each test: two workers never share one unless they run the same test."""
        from robustbench_cv.run_folder import file_name

        return self.folder / f"{file_name(self.node.name)[:60]}-{_short_hash(f'{self.node.nodeid} {self._made}')}"

    def _tell(self, outcome: str, baseline: str | Path, text: str) -> None:
        from robustbench_cv.terminal import one_line

        said = text.removeprefix(outcome).removeprefix(":").lstrip()
        self.node.user_properties.append((_SAID, one_line(f"{outcome:<12}  {baseline}  {said}")))


def _ways_out(made: Comparisons, folder: Path) -> str:
    told = f"The run lies in {folder}: `robustbench-cv compare BASELINE {folder} --out FOLDER` writes which samples changed."
    if blocked := sorted({row.blocked for row in made.rows if row.blocked}):
        return f"A check stopped these numbers ({', '.join(blocked)}): `robustbench-cv doctor` says what is wrong.\n{told}"
    if made.outcome == "inconclusive":
        return f"These samples cannot tell: use more of them (limit=...), allow more (margin=...), or pass inconclusive='warn'.\n{told}"
    return f"If the change is wanted, `pytest {UPDATE}` makes this model the baseline.\n{told}"


def _as_model(model: object, facts: Mapping[str, Any]) -> Any:
    """A spec or a model as it is; a copy of a bare module as a model of what the facts say it is."""
    from robustbench_cv.errors import UserError

    if isinstance(model, str) or all(hasattr(model, name) for name in ("info", "raw", "decode")):
        if facts:
            raise UserError(f"{', '.join(facts)}: a spec or a model says itself what it is; leave out what is said of bare torch modules")
        return model
    import copy

    from torch import nn

    from robustbench_cv.models.from_user import FACTS, model_from_module

    if not isinstance(model, nn.Module):
        raise UserError(f"a {type(model).__name__} is no model: give a spec, a model (info, raw, decode), or a torch module")
    if unknown := sorted(set(facts) - set(FACTS)):
        raise UserError(f"nothing takes {', '.join(unknown)}; of a torch module can be said {', '.join(FACTS)}")
    return model_from_module(copy.deepcopy(model), type(model).__name__, facts)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other process is in here with the same file; waits for one that is. Where a system has no such locks, nobody waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        with contextlib.suppress(OSError):  # a file system that locks no files
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number
