"""The card of a weights file: how it was made, on what, and how well it does, so that anyone can check it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from robustbench_cv.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Card:
    """name: of the model ("unet.scenes"). recipe: spec. data: training set, data_sha256 over its ids and contents, samples its size.
    test: the split on which `metrics` hold, with test_samples. seconds: of the training loop. sha256: of the weights file.
    """

    name: str
    recipe: str
    seed: int
    epochs: int
    data: str
    data_sha256: str
    samples: int
    test: str
    test_samples: int
    metrics: Mapping[str, float]
    parameters: int
    sha256: str
    date: str
    seconds: float
    torch: str

    def to_json(self) -> dict[str, Any]:
        """Fields by name."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """As a JSON file."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")


def read_card(path: Path) -> Card:
    """UserError where the file is no card."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return Card(**{f.name: record[f.name] for f in fields(Card)})
    except OSError as error:
        raise UserError(f"no card {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a card of weights ({error!r}); robustbench-cv train writes them") from error
