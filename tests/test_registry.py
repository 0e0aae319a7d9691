"""Specs, lazy look-up, plug-ins, and what wrong names and arguments say."""

import dataclasses
import gc
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

import robustbench_cv.registry as registry_module
from robustbench_cv.adversary import Adversary
from robustbench_cv.catalogue import ATTACKS, DATASETS, METRICS, MODELS, REGISTRIES, add_plugin
from robustbench_cv.errors import ForeignError, UserError
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.metrics.metric import Metric
from robustbench_cv.registry import Registry, Spec, remember, spec_of
from robustbench_cv.types import Dataset, Model


@pytest.mark.parametrize(
    ("text", "name", "args", "target"),
    [
        ("pgd", "pgd", {}, None),
        ("pgd(norm='l2', eps=8/255, steps=-3)", "pgd", {"norm": "l2", "eps": 8 / 255, "steps": -3}, None),
        ("timm:resnet18(pretrained=True)", "timm", {"pretrained": True}, "resnet18"),
        ("coco:/data/a (b)/val", "coco", {}, "/data/a (b)/val"),
        ("my/file.py:build(a='x(y)', b=None)", "my/file.py", {"a": "x(y)", "b": None}, "build"),
        ("mine (1).py:build(size=3)", "mine (1).py", {"size": 3}, "build"),
        ("folder:photos (1)", "folder", {}, "photos (1)"),
        ("folder:photos (my trip)(upright=True)", "folder", {"upright": True}, "photos (my trip)"),
        ("folder:photos (a=b)()", "folder", {}, "photos (a=b)"),
        ("folder:it's (1)", "folder", {}, "it's (1)"),
        ("folder:odd)", "folder", {}, "odd)"),
        ("masks:x(classes='a)b')", "masks", {"classes": "a)b"}, "x"),
        ("masks:x(classes='(b=1)')", "masks", {"classes": "(b=1)"}, "x"),
        ("pgd(eps=-1e400)", "pgd", {"eps": -math.inf}, None),
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
        ("pgd(eps=1, eps=2)", "gives eps twice"),
        ("pgd(**{})", "'\\*\\*'"),
        ("pgd(eps={[]:1})", "is not a number"),
        ("pgd(eps={{}})", "is not a number"),
        ("pgd(eps=1e400/1e400)", "is not a number"),
        (f"pgd(eps={'9' * 6000})", r"cannot be read"),
        (f"pgd(eps={'(' * 3000}1{')' * 3000})", r"\.\.\. \(6,010 characters\)' cannot be read"),
        (f"pgd(eps={'-' * 4000}1)", "is not a number|cannot be read"),
        (f"pgd(eps={'1/' * 3000}1)", "is not a number|cannot be read"),
        ("pgd(eps=1)(steps=2)", "one pair of parentheses"),
        ("pgd(eps='\ud800')", "cannot be read"),
        ("p" * 20_000, r"more than 10,000 characters"),
        ("pgd\0", "a NUL character"),
        ("pgd.", "no weights after the dot"),
        ("   ", "is not a spec"),
        ("mine.py:build(3)", "positional"),
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


PLUGIN = """
import sys
from typing import Literal
from robustbench_cv.arguments import Budget, PositiveInt
from robustbench_cv.catalogue import attack, metric
from robustbench_cv.errors import UserError
HEAD
@attack()
def mine(eps: Budget = 8 / 255, steps: PositiveInt = 40, how: Literal["fast", "slow"] = "fast", file: str = "", *, unknown: "Path" = None):
    \"\"\"Mine.\"\"\"
    BODY
"""


def _plugin(folder: Path, head: str = "", body: str = "return [eps, steps]") -> Path:
    path = folder / "mine.py"
    path.write_text(PLUGIN.replace("HEAD", head).replace("BODY", body))
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("steps='x'", r"attack 'mine': steps='x' must be a whole number from 1 to 1,000,000,000; leave it out for 40"),
        ("steps='20'", r"write steps=20 without quotes"),
        ("steps=20.0", r"write steps=20$"),
        ("steps=True", r"steps=True must be a whole number"),
        ("steps=0", r"must be a whole number from 1"),
        (f"steps={10**400}", r"steps=a whole number of 1,329 bits must be"),
        ("eps='8/255'", r"write eps=8/255 without quotes"),
        ("eps=8", r"eps=8 can be read as 8/255 = 0.0314 .*write eps=8/255"),
        ("eps=None", r"eps=None must be a number from 0 to 1, in \[0, 1\] pixel units; leave it out for 8/255"),
        ("eps=True", r"eps=True must be a number"),
        ("eps=1e400", r"eps=inf must be from 0 to 1"),
        ("how='medium'", r"how='medium' must be 'fast' or 'slow'; leave it out for 'fast'"),
        ("file=3", r"file=3 must be text in quotes"),
    ],
)
def test_arguments_are_held_to_the_annotations(tmp_path: Path, arguments: str, message: str) -> None:
    registry: Registry[object] = Registry("attack")
    registry.add_file(_plugin(tmp_path))
    for call in (registry.build, registry.check):
        with pytest.raises(UserError, match=message.partition("; leave")[0]):
            call(f"mine({arguments})")
    with pytest.raises(UserError, match=message):
        registry.build(f"mine({arguments})")


def test_what_an_annotation_admits_is_passed_on_as_it_is(tmp_path: Path) -> None:
    registry: Registry[object] = Registry("attack")
    registry.add_file(_plugin(tmp_path, body="return [eps, steps, how, unknown]"))
    assert registry.build("mine(eps=0, steps=3, unknown='a/path')") == [0, 3, "fast", "a/path"]
    assert registry.build("mine") == [8 / 255, 40, "fast", None]


@pytest.mark.parametrize(
    ("head", "body", "message"),
    [
        ("import nope_nope", "pass", r"mine\.py, line 7: ModuleNotFoundError: No module named 'nope_nope'"),
        ("raise RuntimeError('boom')", "pass", r"mine\.py, line 7: RuntimeError: boom"),
        ("sys.exit(0)", "pass", r"mine\.py, line 7: ended the program: sys\.exit\(0\)"),
        ("", "raise ValueError('boom')", r"mine\.py, function mine, line 11: ValueError: boom"),
        ("", "sys.exit(0)", r"mine\.py, function mine, line 11: ended the program"),
        ("", "pass", r"mine\.py, function mine must return an attack; it returned nothing \(None\); is a `return` missing\?"),
        ("", "return 3", r"it returned a int, which has no name, success, reference, accepts, search"),
        ("", "return mine", r"it returned a function, which has no name"),
        ("class A: pass", "return A", r"it returned the class A itself; call it"),
        ("class A:\n  name = property(lambda s: 1 / 0)", "return A()", r"what attack 'mine' built: ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("named", [True, False], ids=["by name", "by file"])
def test_code_that_is_not_ours_is_named_when_it_fails(tmp_path: Path, head: str, body: str, message: str, named: bool) -> None:
    registry: Registry[object] = Registry("attack", product=ATTACKS.product)
    path = _plugin(tmp_path, head, body)
    registry.add_file(path)
    with pytest.raises(ForeignError, match=message if named else message.replace("'mine'", ".*")):
        registry.build("mine" if named else f"{path}:mine")


def test_a_plug_in_says_what_the_user_can_fix_by_itself(tmp_path: Path) -> None:
    registry: Registry[object] = Registry("attack")
    registry.add_file(_plugin(tmp_path, body="raise UserError('no such file: give another')"))
    with pytest.raises(UserError, match="no such file: give another"):
        registry.build("mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"# \xff\n", r"mine\.py: invalid or missing encoding declaration"),
        (b"\n\n# \xff\n", r"mine\.py, line 3 is not UTF-8 text; save it as UTF-8"),
        (b"x = 1\0\n", r"mine\.py.*null bytes"),
        (b"def f(:\n", r"mine\.py, line 1: "),
        (b"@attack\ndef f(): ...\n", r"mine\.py, line 1: write @attack\(\) with parentheses"),
        (b"@attack()\nclass A: ...\n", r"mine\.py, line 1: @attack marks a plain function .* not 'A'"),
        (b"@attack()\nasync def f(): ...\n", r"line 1: @attack marks a plain function"),
        (b"N = {}\n@attack(members=N)\ndef f(name): ...\n", r"line 2: members must be written out, .* not 'N'"),
        (b"@attack(members={'a': 1})\ndef f(name): ...\n", r"line 1: members must be written out"),
        (b"@attack(members={})\ndef f(name): ...\n", r"line 1: members must be written out"),
        (b"@attack(members={'a': {}})\ndef f(): ...\n", r"line 1: f\(\) has several names, so its first argument"),
        (b"@attack(paper=open('x'))\ndef f(): ...\n", r"line 1: .*open\('x'\).* must be written out"),
        (b"@attack(**FACTS)\ndef f(): ...\n", r"line 1: a mark is read without running the file"),
        (b"@attack()\ndef f(): ...\n@attack()\ndef f(): ...\n", r"attack 'f' of .*mine\.py is registered already, by .*mine\.py"),
        (
            b"@attack()\ndef pgd(): ...\n",
            r"attack 'pgd' of .*mine\.py is registered already, by robustbench_cv\.attacks\.pgd; give it",
        ),
        (b"def f(): ...\n", r"mine\.py marks nothing to register"),
    ],
)
def test_a_plug_in_that_cannot_be_registered_says_where_and_why(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(text)
    with pytest.raises(UserError, match=message):
        add_plugin(str(path))
    assert "f" not in ATTACKS.names()


def test_a_plug_in_given_twice_is_one(tmp_path: Path) -> None:
    registry: Registry[object] = Registry("attack")
    path = _plugin(tmp_path)
    assert registry.add_file(path) == registry.add_file(path) == ["mine"]


def test_a_member_whose_name_has_a_default_keeps_the_rest_of_its_signature(tmp_path: Path) -> None:
    path = tmp_path / "sizes.py"
    path.write_text("@attack(members={'small': {}})\ndef either(name='small', steps=1): return name, steps\n")
    registry: Registry[object] = Registry("attack")
    path.write_text("from robustbench_cv.catalogue import attack\n" + path.read_text())
    registry.add_file(path)
    assert registry.entry("small").signature == "(steps=1)"
    assert registry.build("small(steps=2)") == ("small", 2)


@pytest.mark.parametrize(
    ("registry", "spec", "message"),
    [
        (ATTACKS, "pgd(step=3)", r"attack 'pgd' takes no 'step'; it takes pgd\(norm"),
        (ATTACKS, "transfer(source='a')", r"attack 'transfer' needs 'attack'"),
        (ATTACKS, "fgsm:8", r"attack 'fgsm': eps='8' must be a number"),
        (ATTACKS, "pdg", "did you mean 'pgd'"),
        (MODELS, "lenet6.scenes", "did you mean 'lenet5'"),
        (MODELS, "lenet5(weights=3)", r"weights=3 must be text in quotes"),
        (MODELS, "lenet5(num_classes=1.5)", r"num_classes=1.5 must be a whole number from 0"),
        (MODELS, "lenet5.scenes(weights='a')", r"names weights twice"),
        (MODELS, "timm", r"needs 'name'"),
        (DATASETS, "scenes(bias='a')", r"bias='a' must be a number from 0 to 1"),
        (DATASETS, "foldr:x", "did you mean 'folder'"),
        (DATASETS, "gone.py", "no file gone.py"),
    ],
)
def test_specs_are_checked_without_importing_anything(registry: Registry[object], spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        registry.check(spec)


def test_right_specs_pass_the_check(tmp_path: Path) -> None:
    for spec in ("unet.scenes", "timm:resnet18(pretrained=True)", f"{_plugin(tmp_path)}:mine(anything=3)", "lenet5(input_size='32x32')"):
        MODELS.check(spec)
    ATTACKS.check("torchattacks:PGD(eps=8/255, anything=True)")
    METRICS.check("hallucination-rate", ("labels", "operating_score"))


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    """Equal to others of its value, and cannot be referenced weakly."""

    value: int


def test_what_is_built_remembers_its_spec_and_is_otherwise_as_it_was(tmp_path: Path) -> None:
    registry: Registry[object] = Registry("attack")
    registry.add_file(_plugin(tmp_path, "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass A:\n  steps: int", "return A(3)"))
    first, second = registry.build("mine(steps=1)"), registry.build("mine(steps=2)")
    assert first == second
    assert hash(first) == hash(second)
    assert [str(spec_of(one)) for one in (first, second)] == ["mine(steps=1)", "mine(steps=2)"]
    assert spec_of(dataclasses.replace(first, steps=4)) is None  # type: ignore[type-var]
    assert str(spec_of(remember(Slotted(1), Spec("a")))) == "a"
    assert spec_of(Slotted(1)) is None
    assert spec_of("text of no factory") is None


def test_a_spec_is_forgotten_with_what_it_built() -> None:
    attack = ATTACKS.build("fgsm")
    key = id(attack)
    assert key in registry_module._specs
    del attack
    gc.collect()
    assert key not in registry_module._specs


PROTOCOLS = {
    "models": Model, "datasets": Dataset, "interventions": Intervention, "attacks": Adversary, "metrics": Metric,
}  # fmt: skip


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_a_product_is_what_its_protocol_says(kind: str) -> None:
    product = REGISTRIES[kind].product
    said = {*product.attributes, *(["__call__"] if product.is_callable else [])}
    declared = {name for name, value in vars(PROTOCOLS[kind]).items() if callable(value) or isinstance(value, property)}
    assert said == {name for name in declared if not name.startswith("_") or name in ("__call__", "__len__", "__getitem__")}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("square(share=0.5)", "share= is called area= now; write area=0.5"),
        ("nes-pixels(samples=20)", "samples= is called probes= now; write probes=20"),
        ("sparse-rs(share=0.3)", "share= is called swap_fraction= now"),
        ("sticker-hide(plain=True)", "plain= is said of the condition now; beside attack:, write judged: plain"),
    ],
)
def test_an_argument_that_has_another_name_now_is_told_its_name(spec: str, message: str) -> None:
    for bind in (ATTACKS.check, ATTACKS.build):
        with pytest.raises(UserError, match=re.escape(message)):
            bind(spec)


def test_a_name_that_is_another_now_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dataset 'found' is called 'detected-masks' now"):
        DATASETS.check(f"found:{tmp_path}(model='m')")


def test_a_key_is_allowed_beside_the_checkpoint_that_it_chooses_from() -> None:
    MODELS.check("timm:resnet18(checkpoint='a.pth.tar', key='state_dict_ema')")
    with pytest.raises(UserError, match="takes no 'key'"):
        MODELS.check("timm:resnet18(key='state_dict_ema')")
