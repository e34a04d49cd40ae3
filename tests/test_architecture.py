"""The layout's promises: imports go one way, data folders hold data, light modules stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_aig.cli.app import COMMANDS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "robustbench_aig"

LAYERS = {
    "errors": 0,
    "norms": 0,
    "threat": 1,
    "randomness": 1,
    "files": 1,
    "locks": 2,
    "commands": 1,
    "medians": 1,
    "precision": 1,
    "defence_names": 1,
    "hub_names": 1,
    "distributed": 1,
    "network_modes": 1,
    "policy_traits": 1,
    "recipes": 2,
    "records": 3,
    "manifest": 4,
    "sample_table": 2,
    "statistics": 2,
    "zoo": 3,
    "environment": 2,
    "run_names": 2,
    "runs": 3,
    "gating": 3,
    "inspection_record": 4,
    "ladder": 4,
    "models": 4,
    "attacks": 4,
    "corruptions": 5,
    "data": 4,
    "gateshift": 4,
    "reporting": 7,
    "training": 6,
    "evaluation": 6,
    "checks": 7,
    "opened_report": 8,
    "exporting": 8,
    "study": 8,
    "cli": 9,
}
"""A module imports its own room and lower layers, never a neighbour on its own."""

NO_TORCH = [
    "errors",
    "norms",
    "threat",
    "files",
    "locks",
    "commands",
    "medians",
    "defence_names",
    "hub_names",
    "policy_traits",
    "recipes",
    "records",
    "manifest",
    "sample_table",
    "statistics",
    "zoo",
    "run_names",
    "runs",
    "inspection_record",
    "ladder",
    "reporting",
    "gateshift",
    "opened_report",
]


def modules() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of the package that a file imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} uses a relative import"
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("robustbench_aig.")}
    return found - {room(path)}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    own = LAYERS[room(path)]
    wrong = {other for other in imported_rooms(path) if LAYERS[other] >= own}
    assert not wrong, f"{room(path)} must not import {wrong}"


def reached(module: str) -> set[str]:
    """Modules that one imports, wherever the import stands, and the commands that `aigrob` loads by name."""
    text = path_of(module).read_text()
    found = {command.partition(":")[0] for command, _ in COMMANDS.values()} if module.endswith("cli.app") else set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    above = {module.rpartition(".")[0]} if "." in module else set()
    return {name for name in found | above if name.startswith(PACKAGE.name) and path_of(name).exists()}


def path_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_the_package_holds_nothing_that_users_cannot_reach() -> None:
    """What only a checkout needs is in tools/ and benchmarks/, and not in the wheel."""
    seen, waiting = set[str](), {PACKAGE.name, f"{PACKAGE.name}.cli.__main__"}
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= reached(module) - seen
    assert {path_of(module) for module in seen} == {*modules(), PACKAGE / "__init__.py"}


def test_only_cli_knows_click_and_rich() -> None:
    for path in modules():
        text = path.read_text()
        if room(path) != "cli":
            assert "import click" not in text, path
            assert "from rich" not in text, path


@pytest.mark.parametrize(
    ("needless", "rooms"),
    [("torch", [*NO_TORCH, "cli"]), ("torchvision", ["evaluation", "training", "checks", "study"])],
)
def test_who_does_not_use_a_large_library_does_not_wait_for_it(needless: str, rooms: list[str]) -> None:
    """All in one process, which names the first room whose import brings the library along."""
    code = f"""if True:
        import importlib, sys
        for room in {rooms}:
            importlib.import_module("robustbench_aig." + room)
            if {needless!r} in sys.modules:
                sys.exit(room)
    """
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("folder", ["models", "attacks", "claims", "reports"])
def test_data_folders_hold_no_code(folder: str) -> None:
    assert not list((ROOT / folder).rglob("*.py"))


def test_no_two_files_have_the_same_name() -> None:
    """Who looks for a file by its name finds one; one of `cli/` is called as its command."""
    seen: dict[str, Path] = {}
    for path in modules():
        if path.stem != "__init__" and room(path) != "cli":
            assert seen.setdefault(path.stem, path) == path


def test_no_file_is_a_hall_and_no_function_a_corridor() -> None:
    for path in modules():
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 80, f"{path}: {node.name}"
