"""The JSON schema of suite files, for editors: made from the declarations that the parser converts to, with what YAML may write shorter."""

from __future__ import annotations

from typing import Any

import msgspec

from robustbench_cv.short_conditions import Budgets
from robustbench_cv.suite import Condition, Gate, Suite, Track
from robustbench_cv.suite_conversion import NUMBER_FIELDS, WRITTEN_NUMBER

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def suite_schema() -> dict[str, Any]:
    """As `robustbench-cv schema` prints it."""
    (root,), parts = msgspec.json.schema_components([Suite], ref_template="#/$defs/{name}")
    (short,), more = msgspec.json.schema_components([Budgets], ref_template="#/$defs/{name}")
    parts = {**parts, **more}
    for record in (Suite, Track, Condition, Gate, Budgets):
        _describe(parts[record.__name__], record)
    for part in parts.values():
        for name in NUMBER_FIELDS & part["properties"].keys():
            part["properties"][name] = _or_fraction(part["properties"][name])
    condition = parts["Condition"]
    condition["required"] = []
    condition["properties"]["interventions"] = {"anyOf": [{"type": "string"}, condition["properties"]["interventions"]]}
    spec = {"type": "string", "description": "clean, or the spec of an attack or an edit: pgd(eps=8/255), remove()"}
    parts["Track"]["properties"]["conditions"]["items"] = {"anyOf": [spec, {"$ref": "#/$defs/Condition"}, short]}
    return {"$schema": DIALECT, "title": "A suite of robustbench-cv", **root, "$defs": parts}


def _describe(part: dict[str, Any], record: type) -> None:
    """Each field's sentence of the record's documentation ("severity: the x value ..."), where it has one."""
    text = " ".join((record.__doc__ or "").split())
    names = list(part["properties"])
    starts = sorted((text.find(f" {name}: "), name) for name in names if f" {name}: " in text)
    ends = [start for start, _ in starts[1:]] + [len(text)]
    for (start, name), end in zip(starts, ends, strict=False):
        part["properties"][name] = {**part["properties"][name], "description": text[start + len(name) + 3 : end].strip()}


def _or_fraction(field: dict[str, Any]) -> dict[str, Any]:
    """A number, or text that the parser reads as one."""
    kept: dict[str, Any] = {key: field[key] for key in ("description", "default") if key in field}
    empty: list[Any] = [{"type": "null"}] if "null" in str(field) else []
    return {"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"^{WRITTEN_NUMBER}$"}, *empty], **kept}
