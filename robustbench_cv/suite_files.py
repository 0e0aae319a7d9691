"""Suites by name: registered, from a user's Python file, or from YAML; read, and checked as far as that takes no heavy import."""

from __future__ import annotations

import codecs
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from robustbench_cv.arguments import shorten
from robustbench_cv.bounded_yaml import Loaded, fault_of, load_yaml
from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, METRICS, MODELS, REPORTS, SUITES
from robustbench_cv.errors import UserError
from robustbench_cv.explain.methods import check_method
from robustbench_cv.registry import Registry
from robustbench_cv.short_conditions import written_out
from robustbench_cv.specs import Spec
from robustbench_cv.suite import Fault, FieldPath, Suite, faults, spoken_path, validate
from robustbench_cv.suite_conversion import fitted, respelt, with_numbers
from robustbench_cv.tasks import Task

LARGEST_BYTES = 2**19
LONGEST_PATH = 300
"""Characters of a path in a message; longer ones are no file's."""
LARGEST_NODES = 50_000
"""Of a suite, aliases written out."""

_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def find_suite(name: str) -> Suite:
    """A suite by registered name, `file.py:factory`, or YAML file; validated. Imports no torch."""
    if name.lower().endswith((".yaml", ".yml")):
        return read_suite(Path(name))
    _require_suite(name)
    return validate(SUITES.build(name))


def _require_suite(text: str) -> None:
    """UserError for what is an attack or an edit, with the line to type; and for arguments that the suite does not take."""
    name = Spec.parse(text).name
    for option, registry in (("--attack", ATTACKS), ("--condition", INTERVENTIONS)):
        if name.replace("_", "-") not in SUITES.entries() and name.replace("_", "-") in registry.entries():
            raise UserError(
                f"{name!r} is no suite: it is an {registry.kind}. One command makes a table of it: "
                f"robustbench-cv run {option} {shlex.quote(text)} --model MODEL --data DATA"
            )
    SUITES.check(text)


def check_specs(suite: Suite, models: Sequence[object] = (), data: Sequence[str] = ()) -> None:
    """UserError for the first name or argument in a suite that no entry takes, and for a track with nothing to run. Imports no torch.

    models (specs, or models that are built), data: what the run puts in the place of the suite's own.
    """
    validate(suite, models=models, data=data)
    for model in models:
        if isinstance(model, str):
            MODELS.check(model)
    for spec in data:
        DATASETS.check(spec)
    fault = next(spec_faults(suite, own_models=not models, own_data=not data), None)
    if fault is not None:
        raise UserError(fault.text)


def spec_faults(suite: Suite, *, own_models: bool = True, own_data: bool = True) -> Iterator[Fault]:
    """Every name and argument in a suite that no entry takes. own_models, own_data: those of the suite are looked at too."""
    for path, check in _checks_of_specs(suite, own_models=own_models, own_data=own_data):
        try:
            check()
        except UserError as error:
            yield Fault(path, str(error))


def _checks_of_specs(suite: Suite, *, own_models: bool, own_data: bool) -> Iterator[tuple[FieldPath, Callable[[], object]]]:
    for i, track in enumerate(suite.tracks):
        at: FieldPath = ("tracks", i)
        for j, spec in enumerate(track.models if own_models else ()):
            yield (*at, "models", j), partial(MODELS.check, spec)
        for j, spec in enumerate(track.datasets if own_data else ()):
            yield (*at, "datasets", j), partial(DATASETS.check, spec)
        for j, spec in enumerate(track.metrics):
            yield (*at, "metrics", j), partial(METRICS.check, spec, given=("labels", "operating_score"))
            yield (*at, "metrics", j), partial(_require_task, METRICS, spec, track.task)
        for j, spec in enumerate(track.explanations):
            yield (*at, "explanations", j), partial(check_method, spec)
        for j, condition in enumerate(track.conditions):
            for k, spec in enumerate(condition.interventions):
                yield (*at, "conditions", j, "interventions", k), partial(INTERVENTIONS.check, spec)
            if condition.attack is not None:
                yield (*at, "conditions", j, "attack"), partial(ATTACKS.check, condition.attack)
                yield (*at, "conditions", j, "attack"), partial(_require_task, ATTACKS, condition.attack, track.task)
    for j, spec in enumerate(suite.reports):
        yield ("reports", j), partial(REPORTS.check, spec)


def _require_task(registry: Registry[Any], spec: str, task: Task) -> None:
    """UserError for what its entry says is for another task. Of a user's own file nothing is known before it is built.

    task: "" of a track whose task is misspelt beyond guessing.
    """
    name = Spec.parse(spec).name
    if name.endswith(".py") or not task:
        return
    declared = registry.entry(name).facts.get("task", "any")
    if declared not in ("any", task):
        fitting = sorted(e.name for e in registry.entries().values() if e.facts.get("task") == task)
        raise UserError(f"{registry.kind} {name!r} is for {declared}, and the track is for {task}; there are {', '.join(fitting)}")


@dataclass(frozen=True, eq=False)
class _Document:
    """A suite as its file has it: nodes, which know their places, and the suite that they hold, as far as they hold one.

    unknown: fields that there are not, and misfits: values that do not fit; both by their places in the file. origins: of each track, at
    which position in the file each of its conditions stands. spelling: of a path in the suite, the key that stands at its end in the file.
    doubles: keys that come twice; the first counts.
    """

    path: Path
    node: yaml.Node
    suite: Suite
    unknown: Sequence[Fault]
    misfits: Sequence[Fault]
    origins: Mapping[int, Sequence[int]]
    spelling: Mapping[FieldPath, str]
    doubles: Sequence[yaml.MarkedYAMLError] = ()

    def written(self, path: FieldPath) -> FieldPath:
        """A path in the file, of one in the suite: behind budgets positions differ, and fields may be misspelt."""
        if len(path) > 3 and path[2] == "conditions" and isinstance(path[1], int) and isinstance(path[3], int):
            origins = self.origins.get(path[1], ())
            path = (*path[:3], origins[path[3]] if path[3] < len(origins) else path[3], *path[4:])
        return _spelt(path, self.spelling)

    def complaints(self, found: Iterable[Fault] = ()) -> list[str]:
        """Keys that come twice, what does not fit, and faults of the suite, by lines. Of what does not fit itself nothing else is said."""
        wrong = {fault.path for fault in self.misfits}
        more = [Fault(self.written(fault.path), fault.text) for fault in found]
        more = [fault for fault in more if not any(fault.path[:k] in wrong for k in range(len(fault.path) + 1))]
        said = [(self._place(fault), self._said(fault)) for fault in dict.fromkeys([*self.unknown, *self.misfits, *more])]
        said += [(_place_of(double), f"{self.path}{_where(double)}: {fault_of(double)}") for double in self.doubles]
        return [text for _, text in sorted(said, key=lambda one: one[0])]

    def _place(self, fault: Fault) -> tuple[int, int]:
        mark = _mark(self.node, fault.path)
        return mark.line + 1, mark.column + 1

    def _said(self, fault: Fault) -> str:
        """File, line, column and field of a fault, and what is wrong there."""
        line, column = self._place(fault)
        field = f"{spoken_path(fault.path)}: " if fault.path else ""
        return f"{self.path}, line {line}, column {column}: {field}{fault.text}"


def read_suite(path: Path) -> Suite:
    """A suite from a YAML file. UserError naming file, line, column and field; severities and bounds may be fractions ("8/255")."""
    document = _document(path)
    found = document.complaints(faults(document.suite))
    if found:
        more = f" (the first of {len(found)} mistakes: robustbench-cv validate {path} shows all)" if len(found) > 1 else ""
        raise UserError(found[0] + more)
    return document.suite


def problems(path: Path) -> list[str]:
    """All that can be told of a suite's file without running anything, each with its place. UserError where it cannot be read at all."""
    document = _document(path)
    suite, of_specs = document.suite, list(spec_faults(document.suite))
    wrong = {fault.path[:4] for fault in document.misfits} | {document.written(fault.path)[:4] for fault in of_specs}
    misspelt = {
        name
        for i, track in enumerate(suite.tracks)
        for field, names in (("metrics", track.metrics), ("conditions", [condition.name for condition in track.conditions]))
        for j, name in enumerate(names)
        if document.written(("tracks", i, field, j)) in wrong
    }
    return document.complaints([*faults(suite, misspelt=misspelt), *of_specs])


def _document(path: Path) -> _Document:
    """A suite's file. UserError where it cannot be read, or holds nothing like a suite."""
    node, loaded = _parsed(path)
    value, unknown, spelling = respelt(loaded.value)
    misfits = list[Fault]()
    origins: dict[int, list[int]] = {}
    held = value.get("tracks") if isinstance(value, dict) else None
    tracks: list[Any] = held if isinstance(held, list) else []
    for i, track in enumerate(tracks):
        if isinstance(track, dict) and isinstance(track.get("conditions"), list):
            full = written_out(track["conditions"])
            misfits += [Fault(_spelt(("tracks", i, "conditions", *fault.path), spelling), fault.text) for fault in full.faults]
            # a mapping may stand in the document twice, by an alias: the value is changed in a copy
            tracks[i] = track | {"conditions": full.conditions}
            origins[i] = full.origins
    suite, unfit = fitted(with_numbers(value))
    document = _Document(path, node, suite, unknown, misfits, origins, spelling, loaded.doubles)
    return replace(document, misfits=[*misfits, *(Fault(document.written(fault.path), fault.text) for fault in unfit)])


def _spelt(path: FieldPath, spelling: Mapping[FieldPath, str]) -> FieldPath:
    """The keys of a path as the file has them."""
    return tuple(spelling.get(path[: k + 1], key) for k, key in enumerate(path))


def _place_of(error: yaml.MarkedYAMLError) -> tuple[int, int]:
    mark = error.problem_mark or error.context_mark
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _where(error: yaml.MarkedYAMLError) -> str:
    line, column = _place_of(error)
    return f", line {line}, column {column}" if line else ""


def _parsed(path: Path) -> tuple[yaml.Node, Loaded]:
    try:
        loaded = load_yaml(_text(path), LARGEST_NODES)
    except yaml.MarkedYAMLError as error:
        raise UserError(f"{path}{_where(error)} is not YAML: {fault_of(error)}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise UserError(f"{path} cannot be read: it is nested too deeply") from error
    if loaded.node is None or loaded.value is None:
        raise UserError(f"{path} is empty; a suite has a name, a version and tracks")
    return loaded.node, loaded


def _text(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size > LARGEST_BYTES:
            raise UserError(f"{path} has {path.stat().st_size:,} bytes; a suite takes up to {LARGEST_BYTES:,}")
        if path.exists() and not path.is_file():
            raise UserError(f"cannot read the suite {path}: it is no file")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the suite {shorten(str(path), LONGEST_PATH)}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"cannot read the suite {shorten(str(path))!r}: {error}") from error
    encoding = next((name for mark, name in _BOMS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte {content[error.start]:#04x} is not {encoding.upper()}; save the file as UTF-8"
        ) from error


def _mark(node: yaml.Node, path: FieldPath) -> yaml.Mark:
    """Where a field stands, or the nearest part above it that is there."""
    mark = node.start_mark
    for key in path:
        step = _child(node, key)
        if step is None:
            break
        mark, node = step[0].start_mark, step[1]
    return mark


def _child(node: yaml.Node, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Where a key or position is written, and what stands there."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((name, part) for name, part in node.value if name.value == key), None)
