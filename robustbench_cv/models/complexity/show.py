"""A profile as text for people and as JSON for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from robustbench_cv.models.complexity.op_trace import Layer
from robustbench_cv.models.complexity.profile import MAC_CONVENTION, Memory, Profile


def to_json(profile: Profile) -> dict[str, Any]:
    """Every number in full: bytes, seconds, MACs and FLOPs. Strides are [numerator, denominator]."""
    plain = dataclasses.asdict(profile)
    for row, layer in zip(plain["layers"], profile.layers, strict=True):
        row["stride"] = None if layer.stride is None else [s.as_integer_ratio() for s in layer.stride]
    more = {"flops": profile.flops, "convention": MAC_CONVENTION}
    if profile.latency is not None:
        timed = profile.latency
        plain["latency"] |= {
            "interquartile_range_seconds": timed.interquartile_range_seconds,
            "images_per_second": timed.images_per_second,
        }
    return plain | more


def summary(profile: Profile) -> str:
    """The head of the profile: one line a quantity, each with its unit and convention."""
    rows = list(_lines(profile))
    width = max(len(name) for name, _ in rows)
    title = f"{profile.model} · {profile.task} · one image of {_size(profile.image)} px on {profile.device}"
    return "\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows)])


def _lines(profile: Profile) -> Iterator[tuple[str, str]]:
    if profile.network_input is not None:
        yield "network input", f"{_size(profile.network_input)} px, after the model's own resizing"
    yield "parameters", f"{profile.parameters:,} learned; {profile.buffers:,} more numbers in buffers"
    least = "at least " if profile.hidden else ""
    yield "multiply-adds", f"{least}{profile.macs / 1e9:,.4g} GMAC ({profile.flops / 1e9:,.4g} GFLOP), `raw` without decoding"
    yield "", "; ".join(f"{kind} {macs / max(profile.macs, 1):.1%}" for kind, macs in profile.macs_by_kind.items())
    yield "", MAC_CONVENTION
    if profile.hidden:
        yield "not counted", ", ".join(f"{times} x {name}" for name, times in profile.hidden.items())
    yield "activations", f"{profile.learned_values:,} outputs of convolutions and linear layers"
    yield "memory, forward", _memory(profile.forward)
    yield "memory, with gradient", "no gradient reaches the image" if profile.backward is None else _memory(profile.backward)
    yield "widest receptive field", _field(profile.layers)
    if profile.latency is not None:
        yield "latency", _latency(profile)


def _memory(memory: Memory) -> str:
    measured = "" if memory.device_bytes is None else f"; {_bytes(memory.device_bytes)} at the peak, measured by the GPU's allocator"
    return f"{_bytes(memory.made_bytes)} of outputs; at most {_bytes(memory.alive_bytes)} alive at once (both counted){measured}"


def _latency(profile: Profile) -> str:
    timed = profile.latency
    assert timed is not None
    spread = timed.interquartile_range_seconds
    where = f"{timed.device}, {timed.threads} threads" if timed.device == "cpu" else timed.device
    return (
        f"median {timed.median_seconds * 1e3:.4g} ms, interquartile range {spread * 1e3:.3g} ms of {timed.runs} calls "
        f"(batch {timed.batch}, {where}): {timed.images_per_second:.4g} images/s"
    )


def _field(layers: Sequence[Layer]) -> str:
    """Of the last layer that still has places; what follows sees the whole image or is not followed."""
    if not layers:
        return "no layer seen"
    if any(layer.receptive_field == "whole" for layer in layers):
        end = "; the last layers see the whole image"
    else:
        end = "; some layers are not followed" if any(layer.receptive_field is None for layer in layers) else ""
    placed = [layer for layer in layers if isinstance(layer.receptive_field, tuple)]
    if not placed:
        return end.removeprefix("; ")
    last = max(placed, key=lambda layer: layer.receptive_field)  # type: ignore[arg-type, return-value]
    return f"{_size(last.receptive_field)} px at stride {stride_text(last)} ({last.module}){end}"


def layer_rows(profile: Profile) -> list[list[str]]:
    """Headings, then one row for each layer, and one for the parameters that belong to none of them."""
    rows = [["layer", "kind", "output", "parameters", "MAC", "values", "receptive field", "stride"]]
    for layer in profile.layers:
        seen = layer.receptive_field
        field = "?" if seen is None else seen if isinstance(seen, str) else _size(seen)
        numbers = [f"{n:,}" if n else "" for n in (layer.parameters, layer.macs)]
        shape = "x".join(map(str, layer.outputs[1:]))
        rows.append([layer.module or "-", layer.kind, shape, *numbers, f"{layer.values:,}", field, stride_text(layer)])
    rest = profile.parameters - sum(layer.parameters for layer in profile.layers)
    return [*rows, ["normalisation and others", "", "", f"{rest:,}", "", "", "", ""]] if rest else rows


def module_rows(profile: Profile, depth: int = 2) -> list[list[str]]:
    """Headings, then one row for each module down to `depth` below the network, with its share of the whole."""
    rows = [["module", "type", "parameters", "share", "MAC", "share"]]
    root = next((m for m in profile.modules if m.name == "net"), None)  # the network inside its preprocessing
    base = root.depth if root else 0
    for module in profile.modules:
        if module.depth - base > depth:
            continue
        shares = [f"{part / max(whole, 1):.1%}" for part, whole in ((module.parameters, profile.parameters), (module.macs, profile.macs))]
        name = "  " * max(0, module.depth - base) + (module.name.rpartition(".")[2] or "model")
        rows.append([name, module.type, f"{module.parameters:,}", shares[0], f"{module.macs:,}", shares[1]])
    return rows


def align_columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text, the first a heading; columns of numbers flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = [all(not row[i] or row[i][0].isdigit() for row in rows[1:]) for i in range(len(widths))]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip() for row in rows
    )


def stride_text(layer: Layer) -> str:
    """ "16", "1/2" after upsampling, "16x8" where the axes differ."""
    return "" if layer.stride is None else "x".join(map(str, dict.fromkeys(reversed(layer.stride))))


def _size(hw: Sequence[int] | str | None) -> str:
    """Width x height, as sizes are written on the command line.

    >>> _size((48, 64))
    '64x48'
    """
    return "x".join(map(str, reversed(hw))) if isinstance(hw, tuple) else str(hw)


def _bytes(count: int) -> str:
    return f"{count / 1e6:,.4g} MB"
