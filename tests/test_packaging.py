"""The house itself: what is packaged, which way dependencies point, what the command line loads."""

import ast
import graphlib
import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import robustbench_cv

ROOT = Path(__file__).parents[1]
CATALOGUES = ("attacks", "suites", "reports")
LAYERS = ("reports", "suites", "attacks", "robustbench_cv")
"""From the top: each may import only what comes after it, and no catalogue is ever imported by name."""


def _packages_on_disk() -> set[str]:
    found = set()
    for top in ("robustbench_cv", *CATALOGUES):
        prefix = top if top == "robustbench_cv" else f"robustbench_cv.{top}"
        for init in (ROOT / top).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / top).parts
            if top == "robustbench_cv" and inner and inner[0] in CATALOGUES:
                continue
            found.add(".".join((prefix, *inner)))
    return found


def test_the_wheel_lists_every_package_on_disk() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(listed) == _packages_on_disk()
    assert listed == sorted(listed)


def test_the_wheel_takes_every_file_that_is_no_code() -> None:
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    taken = {path for package, patterns in globs.items() for glob in patterns for path in _folder_of(package).glob(glob)}
    found = {path for top in ("robustbench_cv", *CATALOGUES) for path in (ROOT / top).rglob("*") if path.is_file() and _is_no_code(path)}
    assert found
    assert {path.relative_to(ROOT) for path in found} - {path.relative_to(ROOT) for path in taken} == set()


def _folder_of(package: str) -> Path:
    parts = package.split(".")
    return ROOT.joinpath(*(parts[1:] if len(parts) > 1 and parts[1] in CATALOGUES else parts))


def _is_no_code(path: Path) -> bool:
    """What is neither a module nor made by running one."""
    relative = path.relative_to(ROOT).parts
    linked = relative[0] == "robustbench_cv" and len(relative) > 1 and relative[1] in CATALOGUES
    return not linked and path.suffix not in (".py", ".pyc")


@pytest.mark.parametrize("name", CATALOGUES)
def test_a_catalogue_cannot_be_imported_under_its_bare_name(name: str) -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"robustbench_cv.{name}" in done.stderr
    importlib.import_module(f"robustbench_cv.{name}")


def _sources() -> list[Path]:
    return [p for top in LAYERS for p in sorted((ROOT / top).rglob("*.py")) if top != "robustbench_cv" or not _linked(p)]


def _linked(path: Path) -> bool:
    return path.relative_to(ROOT / "robustbench_cv").parts[0] in CATALOGUES


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def test_nobody_imports_a_catalogue_file() -> None:
    for path in [*_sources(), *sorted((ROOT / "tests").rglob("*.py"))]:
        for name in _imports(path):
            parts = name.split(".")
            assert parts[0] not in CATALOGUES, f"{path}: {name}"
            assert len(parts) < 2 or parts[0] != "robustbench_cv" or parts[1] not in CATALOGUES, f"{path}: {name}"


ROOMS = (
    (
        "errors",
        "tasks",
        "files",
        "kept_files",
        "file_hashes",
        "recorded_reads",
        "palette",
        "foreign_errors",
        "terminal",
        "arguments",
        "arrow_compute",
        "arrow_memory",
        "msgspec_messages",
        "bare_paths",
        "bundled_weights",
        "bounded_yaml",
    ),
    (
        "suite",
        "types",
        "noise",
        "specs",
        "registry_scan",
        "code_lookups",
        "python_files",
        "registry",
        "boxes",
        "run_folder",
        "batching",
        "documentation",
    ),
    ("catalogue",),
    ("model_from_predictions", "maite", "starter_suite"),
    ("models", "data", "interventions", "adversary", "metrics", "check_findings", "records", "predictions", "training"),
    ("record_store", "metric_cache"),
    ("results",),
    ("context_results", "checks", "gates", "compare", "baselines", "power", "explain"),
    ("joined_runs",),
    ("command_line_suite", "short_conditions", "suite_conversion", "suite_files", "suite_overrides", "suite_schema"),
    ("rendering", "runner"),
    ("scoring",),
    ("api", "benchmarking", "benchmark_cases", "cli", "sql", "pytest_plugin"),
)
"""The library in dependency order: a room imports only from its own row and the rows above it (types may be named from below)."""


def _runtime_imports(path: Path) -> set[str]:
    """Imports at module level, outside `if TYPE_CHECKING`."""
    tree = ast.parse(path.read_text())
    body = [n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))]
    return _imports_of(ast.Module(body=body, type_ignores=[]))


def _imports_of(tree: ast.Module) -> set[str]:
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names.update(a.name for a in node.names)
    return names


def test_dependencies_point_one_way() -> None:
    level = {room: i for i, row in enumerate(ROOMS) for room in row}
    for path in sorted((ROOT / "robustbench_cv").rglob("*.py")):
        if _linked(path):
            continue
        relative = path.relative_to(ROOT / "robustbench_cv")
        room = relative.parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in level, f"{relative} is in no row of ROOMS"
        for name in _runtime_imports(path):
            parts = name.split(".")
            if parts[0] == "robustbench_cv" and len(parts) > 1:
                assert level[parts[1]] <= level[room], f"{relative} imports {name}, which stands below it"


def _folder(module: str) -> str:
    """The room that a module stands in: its folder, or a file of the library's ground by itself."""
    path = ROOT.joinpath(*module.split("."))
    room = path if path.is_dir() else path.parent
    return path.name if room == ROOT / "robustbench_cv" else room.relative_to(ROOT).as_posix()


def _every_import(path: Path) -> Iterator[str]:
    """The library's modules that a file imports, inside functions too, but not for type checkers alone."""
    tree = ast.parse(path.read_text())
    for_types = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    left_out = {id(inner) for n in for_types for inner in ast.walk(n)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("robustbench_cv") and id(node) not in left_out:
            for alias in node.names:
                inner = ROOT.joinpath(*node.module.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").exists()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def test_no_room_is_part_of_a_ring() -> None:
    uses: dict[str, set[str]] = {}
    for path in sorted((ROOT / "robustbench_cv").rglob("*.py")):
        if _linked(path) or path == ROOT / "robustbench_cv" / "__init__.py":
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        here = _folder(module.removesuffix(".__init__"))
        used = {_folder(name) for name in _every_import(path) if name != "robustbench_cv"}
        uses.setdefault(here, set()).update(used - {here})
    graphlib.TopologicalSorter(uses).prepare()  # CycleError names the rooms of a ring


def test_the_public_names_are_frozen() -> None:
    assert robustbench_cv.__all__ == [
        "Condition", "Gate", "Labels", "ModelInfo", "NotApplicable", "Results", "Sample",
        "Spec", "Suite", "Track", "UserError", "build", "judge", "predict", "query", "render", "report", "run",
        "score", "table",
    ]  # fmt: skip
    for name in robustbench_cv.__all__:
        assert getattr(robustbench_cv, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = robustbench_cv.nothing


HEAVY = ("torch", "torchvision", "timm", "numpy", "pandas", "matplotlib", "seaborn", "scipy", "PIL", "cv2", "pyarrow", "rich")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list", "models"], ["list", "attacks", "--json"], ["list", "suites"], ["run", "--help"]]
)
def test_help_and_lists_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['robustbench-cv', *{arguments!r}]\n"
        "from robustbench_cv.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        f"loaded = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
