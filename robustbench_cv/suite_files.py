"""Suites by name: registered, from a user's Python file, or from YAML; read, and checked as far as that takes no heavy import."""

from __future__ import annotations

import codecs
import difflib
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import yaml

from robustbench_cv.arguments import shorten
from robustbench_cv.bounded_yaml import load_yaml
from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, METRICS, MODELS, REPORTS, SUITES
from robustbench_cv.errors import UserError
from robustbench_cv.explain.methods import check_method
from robustbench_cv.registry import Registry
from robustbench_cv.short_conditions import written_out
from robustbench_cv.specs import Spec
from robustbench_cv.suite import Fault, FieldPath, Suite, faults, spoken_path, validate
from robustbench_cv.tasks import Task

LARGEST_BYTES = 2**19
LARGEST_NODES = 50_000
"""Of a suite, aliases written out."""

_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
NUMBER_FIELDS = frozenset({"severity", "at_least", "at_most"})
"""They hold a number or a fraction."""
_NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
WRITTEN_NUMBER = f"{_NUMBER}(?:/{_NUMBER})?"
"""A number or a fraction as text; YAML takes "8/255" and "1e-3" for text."""


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
    """UserError for what its entry says is for another task. Of a user's own file nothing is known before it is built."""
    name = Spec.parse(spec).name
    if name.endswith(".py"):
        return
    declared = registry.entry(name).facts.get("task", "any")
    if declared not in ("any", task):
        fitting = sorted(e.name for e in registry.entries().values() if e.facts.get("task") == task)
        raise UserError(f"{registry.kind} {name!r} is for {declared}, and the track is for {task}; there are {', '.join(fitting)}")


@dataclass(frozen=True, eq=False)
class _Document:
    """A suite as its file has it: nodes, which know their places, and values with short conditions written out.

    origins: of each track, at which position in the file each of its conditions stands.
    """

    path: Path
    node: yaml.Node
    value: object
    origins: Mapping[int, Sequence[int]]

    def complain(self, fault: Fault) -> str:
        """File, line, column and field of a fault, and what is wrong there."""
        path = self._written(fault.path)
        field, mark = f"{spoken_path(path)}: " if path else "", _mark(self.node, path)
        return f"{self.path}, line {mark.line + 1}, column {mark.column + 1}: {field}{fault.text}"

    def _written(self, path: FieldPath) -> FieldPath:
        """A path in the file, of one in the values."""
        head, rest = path[:4], path[4:]
        if len(head) < 4 or head[2] != "conditions" or not isinstance(head[1], int) or not isinstance(head[3], int):
            return path
        origins = self.origins.get(head[1], ())
        return (*head[:3], origins[head[3]] if head[3] < len(origins) else head[3], *rest)


def read_suite(path: Path) -> Suite:
    """A suite from a YAML file. UserError naming file, line, column and field; severities and bounds may be fractions ("8/255")."""
    document = _document(path)
    suite = _suite_of(document)
    fault = next(faults(suite), None)
    if fault is not None:
        raise UserError(document.complain(fault))
    return suite


def problems(path: Path) -> list[str]:
    """All that can be told of a suite's file without running anything, each with its place. UserError where it cannot be read at all."""
    document = _document(path)
    suite = _suite_of(document)
    return list(dict.fromkeys(document.complain(fault) for fault in (*faults(suite), *spec_faults(suite))))


def _suite_of(document: _Document) -> Suite:
    try:
        return msgspec.convert(_with_numbers(document.value), Suite)
    except msgspec.ValidationError as error:
        raise UserError(document.complain(_of_validation(error))) from error


def _document(path: Path) -> _Document:
    node, value = _parsed(path)
    origins: dict[int, list[int]] = {}
    held = value.get("tracks") if isinstance(value, dict) else None
    tracks: list[Any] = held if isinstance(held, list) else []
    for i, track in enumerate(tracks):
        if not isinstance(track, dict) or not isinstance(track.get("conditions"), list):
            continue
        written = written_out(track["conditions"])
        if isinstance(written, Fault):
            fault = Fault(("tracks", i, "conditions", *written.path), written.text)
            raise UserError(_Document(path, node, value, {}).complain(fault))
        # a mapping may stand in the document twice, by an alias: the value is changed in a copy
        tracks[i] = track | {"conditions": written.conditions}
        origins[i] = written.origins
    return _Document(path, node, value, origins)


def _parsed(path: Path) -> tuple[yaml.Node, Any]:
    try:
        node, value = load_yaml(_text(path), LARGEST_NODES)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise UserError(f"{path}{line} is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except (RecursionError, ValueError, OverflowError) as error:  # ValueError: the 13th month, a number of 5,000 digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path} cannot be read: {reason}") from error
    if node is None or value is None:
        raise UserError(f"{path} is empty; a suite has a name, a version and tracks")
    return node, value


def _text(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size > LARGEST_BYTES:
            raise UserError(f"{path} has {path.stat().st_size:,} bytes; a suite takes up to {LARGEST_BYTES:,}")
        if path.exists() and not path.is_file():
            raise UserError(f"cannot read the suite {path}: it is no file")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the suite {shorten(str(path))}: {error.strerror}") from error
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


def _with_numbers(value: Any) -> Any:
    """Fractions in `severity`, `at_least` and `at_most` fields, which YAML reads as text, as numbers; other text stays."""
    if isinstance(value, list):
        return [_with_numbers(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {key: number_of(part) if key in NUMBER_FIELDS else _with_numbers(part) for key, part in value.items()}


def number_of(value: object) -> object:
    """The number that text such as "8/255" means; anything else as it is."""
    match = re.fullmatch(WRITTEN_NUMBER, value) if isinstance(value, str) else None
    if match is None or (match[2] is not None and float(match[2]) == 0):
        return value
    return float(match[1]) / float(match[2] or 1)


def _of_validation(error: msgspec.ValidationError) -> Fault:
    """What msgspec says, and where, as a fault: "Expected `int`, got `str` - at `$.tracks[0].samples`"."""
    text, _, place = str(error).partition(" - at `$")
    path: FieldPath = tuple(int(index) if index else name for name, index in re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]", place))
    unknown = re.search("unknown field `(.+)`", text)
    if unknown:
        return Fault((*path, unknown[1]), f"there is no such field; {_spoken_fields(path, unknown[1])}")
    if path and path[-1] in NUMBER_FIELDS:
        text += "; write a number such as 0.5 or a fraction such as 8/255"
    elif "Expected `str" in text:
        text += "; put quotes around text that YAML takes for something else"
    return Fault(path, text)


def _spoken_fields(path: FieldPath, wrong: str) -> str:
    """The closest field of the record at a path, and all of them."""
    record: Any = msgspec.inspect.type_info(Suite)
    for key in path:
        record = record.item_type if isinstance(key, int) else next(field.type for field in record.fields if field.name == key)
    names = [field.name for field in record.fields]
    close = difflib.get_close_matches(wrong, names, n=1)
    return f"{f'did you mean {close[0]!r}? ' if close else ''}there are {', '.join(names)}"


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
