"""Every mistake S01 to S36 is in exactly one table of docs/checks.md, and what needs no check is held by a test that is there."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.adversary.attack import run
from robustbench_cv.catalogue import ATTACKS, CHECKS
from robustbench_cv.checks.check_declarations import COSTS, STAGES, actions, id_and_title
from robustbench_cv.checks.met_by_design import MET_BY_DESIGN, Met
from robustbench_cv.models.adapt import classifier
from robustbench_cv.noise import Noise
from robustbench_cv.types import ClassTarget, Labels
from tests.docs_checks import page

LISTED = {f"S{k:02d}" for k in range(1, 37)}


def test_every_mistake_has_a_check_or_is_met_by_design_and_none_has_both() -> None:
    checked, met = {id_and_title(name)[0] for name in CHECKS.entries()}, [m.id for m in MET_BY_DESIGN]
    assert LISTED - checked == set(met), "S01 to S36 without a check"
    assert len(set(met)) == len(met)
    rows = re.findall(r"^\| (S\d\d) \|", page(), re.MULTILINE)
    assert set(rows) >= LISTED


@pytest.mark.parametrize("met", MET_BY_DESIGN, ids=lambda m: m.id)
def test_the_test_that_holds_a_design_is_there(met: Met) -> None:
    file, _, name = met.test.partition("::")
    tree = ast.parse((Path(__file__).parent / file).read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert any(isinstance(node, ast.Assert | ast.With) for node in ast.walk(functions[name])), "a test that holds something"


@pytest.mark.parametrize("name", CHECKS.entries())
def test_every_check_declares_when_it_runs_what_it_costs_and_what_it_does(name: str) -> None:
    facts = CHECKS.entry(name).facts
    assert facts["stage"] in STAGES
    assert facts["cost"] in COSTS
    assert actions(name)
    assert set(str(facts["action"]).split()) == set(actions(name)), "known verdicts alone"
    assert len(str(facts["gives"])) > 20


@pytest.mark.parametrize("module", sorted({entry.module for entry in CHECKS.entries().values()}))
def test_a_check_declares_what_its_code_may_say(module: str) -> None:
    """Of a file's checks together: the verdicts that stand in it; what is left to the size of the gain stops or warns."""
    tree = list(ast.walk(ast.parse(inspect.getsource(importlib.import_module(module)))))
    said = {n.value for n in tree if isinstance(n, ast.Constant) and n.value in ("stop", "warn", "note")}
    by_gain = any((isinstance(n, ast.Name) and n.id == "report") or (isinstance(n, ast.Attribute) and n.attr == "verdict") for n in tree)
    declared = {action for name, entry in CHECKS.entries().items() if entry.module == module for action in actions(name)}
    assert declared <= (said | {"stop", "warn"} if by_gain else said)
    assert said <= declared


class Brightness(nn.Module):
    """Two classes by the mean of 8 x 8 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-2:] == (8, 8), "the network's own size"
        mean = x.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5], 1) * 20


def test_a_budget_is_of_the_images_own_pixels_whatever_size_the_network_sees() -> None:
    model = classifier(Brightness(), name="brightness", classes=Labels(("dark", "bright")), input_size=(8, 8))
    generator = torch.Generator().manual_seed(0)
    x0 = 0.48 + 0.01 * torch.rand(4, 3, 24, 40, generator=generator)
    result = run(ATTACKS.build("pgd(eps=8/255, steps=10)"), model, x0, [ClassTarget(0)] * 4, Noise(0, tuple("abcd")))
    change = (result.images - x0).abs()
    assert result.images.shape == x0.shape
    torch.testing.assert_close(result.size, change.amax((1, 2, 3)), atol=1e-6, rtol=0)
    assert (result.size <= 8 / 255 + 1e-6).all()
    assert (change > 0).float().mean() > 0.9, "spent on the image's pixels, not on 8 x 8 of them"
    assert result.success.all()


def test_an_attack_is_judged_by_the_labels_and_says_so() -> None:
    model = classifier(Brightness(), name="brightness", classes=Labels(("dark", "bright")), input_size=(8, 8))
    x0 = torch.stack([torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.1)])
    result = run(ATTACKS.build("pgd(eps=1/255, steps=2)"), model, x0, [ClassTarget(0), ClassTarget(1)], Noise(0, ("right", "wrong")))
    assert result.success.tolist() == [False, True], "the prediction 'dark' holds on both; the label says otherwise of the second"
    assert result.reference == "annotations"
