"""Who is cited for what: BibTeX of the papers that registered entries declare, of a run or of names.

An entry's `paper` fact ("arXiv:1706.06083", "doi:10...", an address) is looked up in templates/references.bib by eprint, doi or url.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files

from robustbench_cv.catalogue import REGISTRIES
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Entry
from robustbench_cv.results import Results
from robustbench_cv.specs import Spec

STATISTICS = ("doi:10.1080/01621459.1927.10502953", "doi:10.1007/BF02295996", "https://www.jstor.org/stable/4615733")
"""Wilson's interval, McNemar's test and Holm's correction, which every robustness table rests on."""

_ENTRY = re.compile(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}$", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^  (\w+) = \{(.*)\},$", re.MULTILINE)


@dataclass(frozen=True)
class Reference:
    r"""One entry. key: what \cite takes. fields: as written. text: the entry itself."""

    key: str
    fields: Mapping[str, str]
    text: str

    @property
    def paper(self) -> str:
        """As a `paper` fact names it."""
        if "eprint" in self.fields:
            return f"arXiv:{self.fields['eprint']}"
        return f"doi:{self.fields['doi']}" if "doi" in self.fields else self.fields["url"]


@functools.cache
def references() -> Mapping[str, Reference]:
    """Every entry of the file, by its paper."""
    text = files("robustbench_cv.reports").joinpath("templates/references.bib").read_text(encoding="utf-8")
    made = [Reference(m[2], dict(_FIELD.findall(m[3])), m[0]) for m in _ENTRY.finditer(text)]
    return {reference.paper: reference for reference in made}


def of_run(results: Results) -> list[Reference]:
    """Of everything that a run used, in its order, each once; the statistics of its tables last."""
    return _known([*(p for specs in used(results) for kind, spec in [specs] for p in papers(kind, spec)), *STATISTICS])


def used(results: Results) -> Iterator[tuple[str, str]]:
    """Kind and spec of every registered thing that a run was made of."""
    yield "suites", results.run.suite
    for track in results.run.tracks:
        for model in results.run.models:
            if model.task == track.task:
                yield "models", model.spec
        for data in results.run.datasets:
            if data.task == track.task:
                yield "datasets", data.spec
        for condition in track.conditions:
            if condition.attack is not None:
                yield "attacks", condition.attack
            for spec in condition.interventions:
                yield "interventions", spec
        for metric in track.metrics:
            yield "metrics", metric.name


def papers(kind: str, spec: str) -> list[str]:
    """What an entry declares; none for what is not registered."""
    entry = _entry(kind, spec)
    paper = entry.facts.get("paper") if entry is not None else None
    return [str(paper)] if paper else []


def key_of(kind: str, spec: str) -> str:
    r"""What \cite takes for an entry; empty where it declares no paper."""
    known = _known(papers(kind, spec))
    return known[0].key if known else ""


def of_names(names: Iterable[str]) -> list[Reference]:
    """Of entries by name, of whatever kind. UserError for a name that nothing has, or that declares no paper."""
    found: list[str] = []
    for name in names:
        entries = [e for kind in REGISTRIES if (e := _entry(kind, name)) is not None]
        if not entries:
            raise UserError(
                f"nothing is called {name!r}; see robustbench-cv list attacks, models, datasets, metrics, suites or interventions"
            )
        declared = [str(e.facts["paper"]) for e in entries if e.facts.get("paper")]
        if not declared:
            raise UserError(f"{name!r} declares no paper: it is this project's own, or cites several (robustbench-cv show)")
        found += declared
    return _known(found)


def bibtex(found: Iterable[Reference]) -> str:
    """The entries as a .bib file."""
    return "\n\n".join(reference.text for reference in found) + "\n"


def _known(declared: Iterable[str]) -> list[Reference]:
    return [references()[paper] for paper in dict.fromkeys(declared) if paper in references()]


def _entry(kind: str, spec: str) -> Entry | None:
    """The entry of a spec's name, weights left out; None where there is none, or a file of code is named."""
    registry = REGISTRIES[kind]
    try:
        name = Spec.parse(spec).name
    except UserError:
        return None
    for candidate in (name, name.partition(".")[0]):
        if candidate.endswith(".py"):
            return None
        try:
            return registry.entry(candidate)
        except UserError:
            continue
    return None
