"""A fitted theta in files: the picture of a patch (exact: 8 bits), or the values of a perturbation with a picture to look at; and a record.

NAME.png (or NAME.safetensors) is what `file='...'` takes; NAME.json beside it says where theta goes, how it was made, and on which samples.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from robustbench_cv.adversary.universal.fitting import FittedTheta
from robustbench_cv.adversary.universal.patch_application import Look, Pasted
from robustbench_cv.adversary.universal.perturbation import Overlay, Surface
from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.data.images import read_pixels
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.files import open_regular, read_regular, write_bytes, write_json
from robustbench_cv.run_folder import file_name
from robustbench_cv.types import R

SCHEMA = 1

_LARGEST_RECORD = 2**28
"""Bytes of a record (project choice): it lists the ids of the samples of a fit."""


def write_fitted(folder: Path, attack: UniversalAttack[Any], fitted: FittedTheta, provenance: Mapping[str, Any]) -> Path:
    """Write theta and its record; the path for `file='...'`. provenance: model, data, seed and whatever else the caller knows.

    The record is written last: where it stands, the rest does.
    """
    stem = file_name(attack.name)
    if isinstance(attack.surface, Overlay):
        path = folder / f"{stem}.safetensors"
        content = safetensors.torch.save({"theta": fitted.theta.contiguous()})
        scaled = fitted.theta / (2 * attack.surface.radius) + 0.5 if attack.surface.radius else torch.full_like(fitted.theta, 0.5)
        write_bytes(folder / f"{stem}.png", _png(scaled))
    else:
        path = folder / f"{stem}.png"
        content = _png(fitted.theta)
    write_bytes(path, content)
    record = {
        "schema": SCHEMA, **attack.fit_facts(), **provenance,
        "side_px": list(fitted.theta.shape[1:]), "image_px": list(fitted.image), "forwards": fitted.forwards, "backwards": fitted.backwards,
        "trace": list(fitted.trace), "samples": len(fitted.ids), "ids": list(fitted.ids),
        "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    write_json(folder / f"{stem}.json", record)
    return path


def configure(attack: UniversalAttack[R], *, file: str = "") -> UniversalAttack[R]:
    """What a factory returns: with theta from `file` if one is named."""
    return from_file(attack, file) if file else attack


def read_fitted(folder: Path, attack: UniversalAttack[R]) -> UniversalAttack[R] | None:
    """The attack with the theta that `write_fitted` left in a folder; None where it did not finish. UserError where it is damaged."""
    stem = file_name(attack.name)
    if not (folder / f"{stem}.json").exists():
        return None
    path = folder / f"{stem}{'.safetensors' if isinstance(attack.surface, Overlay) else '.png'}"
    made = from_file(attack, str(path))
    if _record(folder / f"{stem}.json").get("sha256") != hashlib.sha256(path.read_bytes()).hexdigest():
        raise UserError(f"{path} holds other bytes than those that its record names")
    return made


def from_file(attack: UniversalAttack[R], file: str) -> UniversalAttack[R]:
    """The attack with a theta from a file, placed as the record beside it says, or as the attack's own arguments say where there is none.

    Any picture serves as a patch. UserError for a file of another attack, of another kind, or aimed at something else.
    """
    path = Path(file).expanduser()
    theta = _read(path, attack)
    record_path = path.with_suffix(".json")
    if not record_path.exists():
        return attack.with_theta(theta, ())
    record = _record(record_path)
    if record.get("attack") != attack.name:
        raise UserError(f"{path} was fitted as {record.get('attack')!r}: apply it as that attack, not as {attack.name!r}")
    if record.get("aim") != dict(attack.aim):
        raise UserError(f"{path} was fitted with {_aim_text(record.get('aim'))}: say the same, not {_aim_text(attack.aim)}")
    surface = _surface(record.get("surface"), record_path)
    judged_on = surface.plain() if attack.judged_on is not None else None
    return dataclasses.replace(attack.with_theta(theta, record["ids"]), surface=surface, judged_on=judged_on)


def _record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = msgspec.json.decode(read_regular(path, _LARGEST_RECORD), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} is not the record of a fitted attack: {reason}") from error
    if record.get("schema") != SCHEMA or not isinstance(record.get("ids"), list):
        raise UserError(f"{path} is not the record of a fitted attack of this version; remove it to apply the picture alone")
    return record


def _read(path: Path, attack: UniversalAttack[Any]) -> Tensor:
    try:
        if isinstance(attack.surface, Overlay):
            return _perturbation(path, attack.name)
        with open_regular(path):  # what is no file is no picture of whatever kind
            pixels = read_pixels(path)
    except BadSample as error:
        raise UserError(f"{attack.name} takes the PNG of a patch, and this is no picture that can be read: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def _perturbation(path: Path, name: str) -> Tensor:
    try:
        with open_regular(path):  # a pipe or a device is refused before the library waits for it
            theta = safetensors.torch.load_file(path).get("theta")
    except (safetensors.SafetensorError, RecursionError, ValueError) as error:
        raise UserError(f"{path} is no safetensors file; {name} takes the perturbation's exact values, not their picture") from error
    if theta is None or theta.dim() != 3:
        raise UserError(f"{path} holds no perturbation 'theta' (3, H, W)")
    return theta


def _surface(facts: Any, path: Path) -> Surface:
    try:
        fields: dict[str, Any] = {k: v for k, v in facts.items() if k != "kind"}
        if facts["kind"] == "overlay":
            return Overlay(**fields)
        fields["look"] = Look(**fields["look"])
        return Pasted(**fields)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} does not say where the patch goes ({error})") from error


def _aim_text(aim: Mapping[str, str] | None) -> str:
    return ", ".join(f"{k}={v!r}" for k, v in (aim or {}).items()) or "no aim"


def _png(theta: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((theta.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()).save(buffer, format="PNG")
    return buffer.getvalue()
