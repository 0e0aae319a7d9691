"""Suites by name: registered, from a user's Python file, or from YAML; read, and checked as far as that takes no heavy import."""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from robustbench_cv.arguments import shorten
from robustbench_cv.catalogue import ATTACKS, DATASETS, INTERVENTIONS, METRICS, MODELS, REPORTS, SUITES
from robustbench_cv.errors import UserError
from robustbench_cv.explain.methods import check_method
from robustbench_cv.registry import Registry
from robustbench_cv.specs import Spec
from robustbench_cv.suite import Fault, FieldPath, Suite, faults, spoken_path, validate
from robustbench_cv.tasks import Task

LARGEST_BYTES = 2**19
LARGEST_NODES = 50_000
"""Of a suite, aliases written out: a few lines of aliases of aliases make billions."""

_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"


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
    for track in suite.tracks:
        for spec in () if models else track.models:
            MODELS.check(spec)
        for spec in () if data else track.datasets:
            DATASETS.check(spec)
        for spec in track.metrics:
            METRICS.check(spec, given=("labels", "operating_score"))
            _require_task(METRICS, spec, track.task)
        for spec in track.explanations:
            check_method(spec)
        for condition in track.conditions:
            for spec in condition.interventions:
                INTERVENTIONS.check(spec)
            if condition.attack is not None:
                ATTACKS.check(condition.attack)
                _require_task(ATTACKS, condition.attack, track.task)
    for spec in suite.reports:
        REPORTS.check(spec)


def _require_task(registry: Registry[Any], spec: str, task: Task) -> None:
    """UserError for what its entry says is for another task. Of a user's own file nothing is known before it is built."""
    name = Spec.parse(spec).name
    if name.endswith(".py"):
        return
    declared = registry.entry(name).facts.get("task", "any")
    if declared not in ("any", task):
        fitting = sorted(e.name for e in registry.entries().values() if e.facts.get("task") == task)
        raise UserError(f"{registry.kind} {name!r} is for {declared}, and the track is for {task}; there are {', '.join(fitting)}")


def read_suite(path: Path) -> Suite:
    """A suite from a YAML file. UserError naming file, line and field; severities and bounds may be written as fractions ("8/255")."""
    try:
        node, value = _load(_text(path))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line} is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except (RecursionError, ValueError, OverflowError) as error:  # ValueError: the 13th month, a number of 5,000 digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"{path} cannot be read: {reason}") from error
    if node is None or value is None:
        raise UserError(f"{path} is empty; a suite has a name, a version and tracks")
    try:
        suite = msgspec.convert(_with_numbers(value), Suite)
        fault = next(faults(suite), None)
    except msgspec.ValidationError as error:
        fault = _of_validation(error)
    if fault is not None:
        field = f"{spoken_path(fault.path)}: " if fault.path else ""
        raise UserError(f"{path}, line {_line(node, fault.path)}: {field}{fault.text}")
    return suite


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


def _load(text: str) -> tuple[yaml.Node | None, object]:
    """The document as nodes, which know their lines, and as values. yaml.YAMLError for what is not one, RecursionError for deep nesting."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, None
        _require_small(node)
        return node, loader.construct_document(node)
    finally:
        loader.dispose()


def _require_small(root: yaml.Node) -> None:
    """YAMLError where a document, its aliases written out, is too large or endless, or a mapping names a key twice."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = -1
            sizes[id(node)] = 1 + sum(map(size, _children(node)))
        if sizes[id(node)] < 0:
            raise _problem(node, "an alias stands inside what it stands for")
        if sizes[id(node)] > LARGEST_NODES:
            raise _problem(node, f"with its aliases written out it has more than {LARGEST_NODES:,} parts")
        return sizes[id(node)]

    size(root)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return list(node.value) if isinstance(node, yaml.SequenceNode) else []
    first: dict[tuple[str, str], yaml.Node] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and first.setdefault((key.tag, key.value), key) is not key:
            line = first[key.tag, key.value].start_mark.line + 1
            raise _problem(key, f"{shorten(key.value)!r} stands twice in one mapping, first in line {line}; leave one out")
    return [part for pair in node.value for part in pair]


def _problem(node: yaml.Node, text: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=text, problem_mark=node.start_mark)


def _with_numbers(value: Any) -> Any:
    """Fractions in `severity` and `at_least` fields, which YAML reads as text, as numbers; what is no number is left as it is."""
    if isinstance(value, list):
        return [_with_numbers(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {key: _number(part) if key in ("severity", "at_least") else _with_numbers(part) for key, part in value.items()}


def _number(value: object) -> object:
    match = re.fullmatch(f"{_NUMBER}(?:/{_NUMBER})?", value) if isinstance(value, str) else None
    if match is None or (match[2] is not None and float(match[2]) == 0):
        return value
    return float(match[1]) / float(match[2] or 1)


def _of_validation(error: msgspec.ValidationError) -> Fault:
    """What msgspec says, and where, as a fault: "Expected `int`, got `str` - at `$.tracks[0].samples`"."""
    text, _, place = str(error).partition(" - at `$")
    path: FieldPath = tuple(int(index) if index else name for name, index in re.findall(r"\.([^.\[\]`]+)|\[(\d+)\]", place))
    unknown = re.search("unknown field `(.+)`", text)
    if unknown:
        return Fault((*path, unknown[1]), f"there is no such field; {_spoken_fields(path)}")
    if path and path[-1] in ("severity", "at_least"):
        text += "; write a number such as 0.5 or a fraction such as 8/255"
    elif "Expected `str" in text:
        text += "; put quotes around text that YAML takes for something else"
    return Fault(path, text)


def _spoken_fields(path: FieldPath) -> str:
    """The fields of the record at a path."""
    record: Any = msgspec.inspect.type_info(Suite)
    for key in path:
        record = record.item_type if isinstance(key, int) else next(field.type for field in record.fields if field.name == key)
    return f"there are {', '.join(field.name for field in record.fields)}"


def _line(node: yaml.Node, path: FieldPath) -> int:
    """The line of a field, or of the nearest part above it that is there."""
    line: int = node.start_mark.line + 1
    for key in path:
        step = _child(node, key)
        if step is None:
            break
        line, node = step[0].start_mark.line + 1, step[1]
    return line


def _child(node: yaml.Node, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Where a key or position is written, and what stands there."""
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    if not isinstance(node, yaml.MappingNode):
        return None
    return next(((name, part) for name, part in node.value if name.value == key), None)
