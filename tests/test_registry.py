"""Specs, lazy look-up, plug-ins, and what wrong names and arguments say."""

import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_cv.catalogue import ATTACKS, REGISTRIES
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Registry, Spec


@pytest.mark.parametrize(
    ("text", "name", "args", "target"),
    [
        ("pgd", "pgd", {}, None),
        ("pgd(norm='l2', eps=8/255, steps=-3)", "pgd", {"norm": "l2", "eps": 8 / 255, "steps": -3}, None),
        ("timm:resnet18(pretrained=True)", "timm", {"pretrained": True}, "resnet18"),
        ("coco:/data/a (b)/val", "coco", {}, "/data/a (b)/val"),
        ("my/file.py:build(a='x(y)', b=None)", "my/file.py", {"a": "x(y)", "b": None}, "build"),
    ],
)
def test_specs_parse_and_print_back(text: str, name: str, args: dict[str, object], target: str | None) -> None:
    spec = Spec.parse(text)
    assert (spec.name, dict(spec.args), spec.target) == (name, args, target)
    assert Spec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pgd(8)", "positional"),
        ("pgd(eps=__import__('os'))", "is not a number"),
        ("pgd(eps=1/0)", "is not a number"),
        ("pgd(eps=[1])", "is not a number"),
        ("pgd(eps=)", "cannot be read"),
        ("pgd)", "is not a spec|no '\\(' opens|no .* named"),
        (":x", "is not a spec"),
        ("", "is not a spec"),
    ],
)
def test_bad_specs_say_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ATTACKS.entry(Spec.parse(text).name)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(
        '"""Mine."""\n'
        "from robustbench_cv.catalogue import attack\n"
        "@attack(paper='arXiv:0')\n"
        "def my_attack(eps: float = 0.5) -> float:\n"
        '    """Half."""\n'
        "    return eps\n"
    )
    return path


def test_plugin_is_listed_without_running_and_built_by_name(plugin: Path) -> None:
    registry: Registry[float] = Registry("attack")
    assert registry.add_file(plugin) == ["my-attack"]
    entry = registry.entry("my_attack")
    assert (entry.summary, entry.facts, entry.signature) == ("Half.", {"paper": "arXiv:0"}, "(eps: float=0.5)")
    assert registry.build("my-attack(eps=1/4)") == 0.25


def test_unknown_names_suggest(plugin: Path) -> None:
    registry: Registry[float] = Registry("attack")
    registry.add_file(plugin)
    with pytest.raises(UserError, match="did you mean 'my-attack'"):
        registry.build("my-atack")


def test_unknown_arguments_name_those_that_exist(plugin: Path) -> None:
    registry: Registry[float] = Registry("attack")
    registry.add_file(plugin)
    with pytest.raises(UserError, match=r"'epsilon'; it takes my-attack\(eps"):
        registry.build("my-attack(epsilon=1)")


def test_a_file_with_a_factory_is_a_spec(plugin: Path) -> None:
    registry: Registry[float] = Registry("attack")
    assert registry.build(f"{plugin}:my_attack(eps=2)") == 2
    with pytest.raises(UserError, match="has no function 'nothing'"):
        registry.build(f"{plugin}:nothing")
    with pytest.raises(UserError, match="no file"):
        registry.build(f"{plugin.parent / 'gone.py'}:build")


def test_extra_arguments_reach_only_factories_that_name_them(plugin: Path) -> None:
    registry: Registry[float] = Registry("attack")
    registry.add_file(plugin)
    assert registry.build("my-attack", labels="unused") == 0.5


def test_every_registry_lists_something_without_importing_torch() -> None:
    code = (
        "import sys; from robustbench_cv.catalogue import REGISTRIES\n"
        "assert all(r.names() for r in REGISTRIES.values()), {k: r.names() for k, r in REGISTRIES.items()}\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_are_dashed_and_described() -> None:
    for registry in REGISTRIES.values():
        for entry in registry.entries().values():
            assert "_" not in entry.name
            assert entry.summary, f"{registry.kind} {entry.name} has no docstring"


def test_one_factory_has_a_member_for_each_name(tmp_path: Path) -> None:
    path = tmp_path / "sizes.py"
    path.write_text(
        "from robustbench_cv.catalogue import attack\n"
        "@attack(year=2015, members={'small': {'parameters': 3}, 'large': {'parameters': 30}})\n"
        "def either(name: str, steps: int = 1) -> tuple[str, int]:\n"
        '    """Of one size."""\n'
        "    return name, steps\n"
    )
    registry: Registry[tuple[str, int]] = Registry("attack")
    assert registry.add_file(path) == ["large", "small"]
    assert registry.entry("large").facts == {"year": 2015, "parameters": 30}
    assert registry.entry("large").signature == "(steps: int=1)"
    assert registry.build("large(steps=2)") == ("large", 2)
    with pytest.raises(UserError, match="step"):
        registry.build("large(step=2)")
