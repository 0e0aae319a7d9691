"""Citations: every paper that anything declares has an entry, and every entry is whole."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from robustbench_cv.catalogue import REGISTRIES
from robustbench_cv.errors import UserError
from robustbench_cv.registry import load_file
from robustbench_cv.rendering import citations

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")
BIB = Path(__file__).parents[1] / "reports" / "templates" / "references.bib"


@pytest.mark.parametrize("kind", sorted(REGISTRIES))
def test_every_declared_paper_has_an_entry(kind: str) -> None:
    declared = {name: str(e.facts["paper"]) for name, e in REGISTRIES[kind].entries().items() if e.facts.get("paper")}
    missing = {name: paper for name, paper in declared.items() if paper not in citations.references()}
    assert missing == {}


def test_every_entry_of_the_file_is_read_and_whole() -> None:
    text = BIB.read_text(encoding="utf-8")
    made = citations.references().values()
    assert len(made) == len(re.findall(r"^@", text, re.MULTILINE)), "none is lost, and no paper stands twice"
    assert len({r.key for r in made}) == len(made)
    for reference in made:
        assert {"author", "title", "year"} <= set(reference.fields), reference.key
        assert reference.text.count("{") == reference.text.count("}")
        assert re.fullmatch(r"(19|20)\d\d", reference.fields["year"])
        kind = re.match(r"@(\w+)", reference.text)
        assert kind is not None
        needed = {"article": "journal", "inproceedings": "booktitle", "techreport": "institution", "misc": "year"}
        assert needed[kind[1]] in reference.fields


def test_a_run_cites_what_it_used_once() -> None:
    found = citations.of_run(synthetic.make(n=1))
    keys = [r.key for r in found]
    assert len(set(keys)) == len(keys)
    assert {"madry2018towards", "shetty2019not", "lin2014microsoft", "everingham2015pascal", "holm1979simple"} <= set(keys)


def test_names_of_any_kind_are_cited() -> None:
    assert [r.key for r in citations.of_names(["autoattack", "cifar-resnet20.scenes"])] == ["croce2020reliable", "he2016deep"]
    with pytest.raises(UserError, match="nothing is called 'no-such-thing'"):
        citations.of_names(["no-such-thing"])
    with pytest.raises(UserError, match="declares no paper"):
        citations.of_names(["noise"])
