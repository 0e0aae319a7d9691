"""Laws of every registered factory: each argument says what it takes, its default is that, and nothing else is let through."""

import inspect
from typing import Any

import pytest

from robustbench_cv.arguments import accepts, annotation_of, is_checkable
from robustbench_cv.catalogue import MODELS, REGISTRIES
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Entry, Registry, Spec
from robustbench_cv.registry_scan import read_arguments

# one entry for each factory: those of several names have one signature
ENTRIES = list({(e.module, e.function): (r, e) for r in REGISTRIES.values() for e in r.entries().values()}.values())
IDS = [f"{registry.kind} {entry.name}" for registry, entry in ENTRIES]


@pytest.mark.parametrize(("registry", "entry"), ENTRIES, ids=IDS)
def test_every_argument_says_what_it_takes_and_its_default_is_that(registry: Registry[Any], entry: Entry) -> None:
    factory = registry.factory(Spec(entry.name))
    assert set(read_arguments(entry)) >= set(inspect.signature(factory).parameters) - {"arguments"}
    for name, parameter in inspect.signature(factory).parameters.items():
        hint = annotation_of(factory, name)
        assert is_checkable(hint) or parameter.kind is parameter.VAR_KEYWORD, f"{name}: {hint} has no range (see arguments.py)"
        assert parameter.default is parameter.empty or accepts(hint, parameter.default), f"{name}={parameter.default!r} is not {hint}"
        assert not accepts(hint, float("nan"))
        read = read_arguments(entry).get(name)
        assert read is None or read.hint in (Any, hint), f"{name}: read as {read}, evaluated as {hint}"
        assert read is None or read.default in (parameter.empty, parameter.default)


@pytest.mark.parametrize(("registry", "entry"), ENTRIES, ids=IDS)
def test_an_argument_of_the_wrong_kind_is_refused_before_anything_is_built(registry: Registry[Any], entry: Entry) -> None:
    factory = registry.factory(Spec(entry.name))
    wanted = {n: "" for n, p in inspect.signature(factory).parameters.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD or accepts(annotation_of(factory, name), -3.25):
            continue
        with pytest.raises(UserError, match=f"{registry.kind} '{entry.name}'.*: {name}=-3.25 must be"):
            registry.build(Spec(entry.name, {name: -3.25} | {k: v for k, v in wanted.items() if k != name}))


def test_the_specs_of_suites_pass_the_check_that_imports_nothing() -> None:
    MODELS.check("unet.scenes")
    MODELS.check("timm:resnet18(pretrained=True)")
    with pytest.raises(UserError, match="steps=0 must be a whole number from 1"):
        REGISTRIES["attacks"].check("pgd(steps=0)")
