"""What the registry says of each architecture by name, against the network that it builds."""

import pytest

from robustbench_cv.catalogue import MODELS
from robustbench_cv.models.build import build
from tests.laws.test_models import NAMED, installed


@pytest.mark.parametrize("name", sorted(NAMED))
def test_at_paper_size_it_has_the_parameters_that_the_registry_says(name: str) -> None:
    installed(name)
    assert build(name, device="meta").info.parameters == NAMED[name].facts["parameters"]


@pytest.mark.parametrize("name", sorted(NAMED))
def test_its_row_is_whole(name: str) -> None:
    installed(name)
    facts = NAMED[name].facts
    assert {"task", "family", "paper", "year", "source"} <= set(facts)
    assert facts["task"] == build(name, device="meta").info.task
    assert 1980 < int(str(facts["year"])) < 2100


def test_every_own_network_states_its_size() -> None:
    """A source ('timm:NAME') and a kind of file ('darknet:FILE') have no size of their own; everything else has."""
    folders = ("robustbench_cv.models.sources", "robustbench_cv.models.files")
    sources = {name for name, entry in MODELS.entries().items() if entry.module.startswith(folders)}
    assert set(MODELS.names()) - set(NAMED) == sources
