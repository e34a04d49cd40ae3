"""The wheel, installed outside the checkout, and versions: in the environment and wherever they are said."""

import os
import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import version
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from robustbench_aig import __version__
from tests.command import refused

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_wheel_works_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built, installed into an environment of its own, and run where there is no checkout.

    The environment sees this one's libraries through a .pth file that leaves out the editable install's.
    """
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    carried = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert {name for name in carried if not name.endswith(".dist-info")} == {"robustbench_aig"}
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    site = next((tmp_path / "env" / "lib").glob("python*/site-packages"))
    libraries = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (site / "libraries.pth").write_text(f"import sys; sys.path.append({str(libraries)!r})\n")

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    where = [str(python), "-c", "import robustbench_aig; print(robustbench_aig.__file__)"]
    out = subprocess.run(where, check=True, capture_output=True, text=True).stdout
    assert out.startswith(str(tmp_path))
    aigrob = tmp_path / "env" / "bin" / "aigrob"
    for command, expected in (("models", "digits/aig14"), ("attacks", "pgd-foolbox")):
        shown = subprocess.run([aigrob, command], check=True, capture_output=True, text=True).stdout
        assert expected in shown
    alone = subprocess.run([aigrob, "bench", "train"], check=False, capture_output=True, text=True)
    refused(alone, "isn't part of the installed package", "clone the repository")


@pytest.mark.parametrize(("package", "at_least"), [("requests", "2.33"), ("urllib3", "2.7"), ("idna", "3.15")])
def test_the_pin_of_torchattacks_is_overridden(package: str, at_least: str) -> None:
    """torchattacks pins a requests of 2020 that it never imports; `make` upgrades it, and what it needs."""
    assert Version(version(package)) >= Version(at_least)


def test_version_and_date_are_the_same_wherever_they_stand() -> None:
    """In the package, in what is cited and in the newest dated heading of the changelog."""
    cited = dict(re.findall(r"^(version|date-released): (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE))
    released = re.search(r"^## \[(\d\S*)\] - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released
    assert (cited["version"], cited["date-released"]) == released.groups()
    assert released[1] == __version__


def test_constraints_pin_what_the_package_asks_for_by_public_versions() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "no folders, hosts or builds of a machine"
    pinned = {canonicalize_name(name): text for name, text in pins.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["dev"])]
    for each in wanted:
        assert each.specifier.contains(pinned[canonicalize_name(each.name)]), each


def test_what_ci_runs_is_the_script_of_the_checkout() -> None:
    steps = re.findall(r"^ +- run: (.*)$", (ROOT / ".github" / "workflows" / "ci.yml").read_text(), re.MULTILINE)
    assert steps == ["bash .ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.R_OK)
