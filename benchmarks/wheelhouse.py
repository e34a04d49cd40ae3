"""`make wheelhouse`: wheels, for another Python, of what aigrob needs and a machine with torch but no network lacks.

python -m benchmarks.wheelhouse --python 3.12 --out build/wheelhouse [--all]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TESTS = ("pytest", "pytest-timeout")

WITH_TORCH = frozenset({"torch", "torchvision", "triton", "numpy", "pillow", "setuptools", "filelock", "fsspec"})
"""What is there wherever torch and torchvision are."""

LARGE = frozenset({"pyarrow", "scipy", "scikit-learn", "vl-convert-python"})
"""9 to 55 MB each; training, its benchmark, that of inference and most tests on a GPU do without."""

UNPINNED = "requests"
"""torchattacks pins one of 2020 that it never imports; foolbox takes any (see the Makefile)."""

_GLIBC = 35
"""Wheels for glibc 2.35, that of Ubuntu 22.04, and older ones."""


def requirements(pyproject: Path) -> list[Requirement]:
    """What the package depends on, and what its tests on a GPU do."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = [Requirement(text) for text in project["optional-dependencies"]["dev"]]
    return [*map(Requirement, project["dependencies"]), *(each for each in extras if each.name in TESTS)]


def needed(texts: Iterable[str], python: str, left_out: frozenset[str]) -> list[Requirement]:
    """Of a wheel's `Requires-Dist` lines those that hold for a Python on Linux, but for some packages."""
    there = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux", "extra": ""}
    there |= {"platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
    there |= {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    found = map(Requirement, texts)
    return [
        each
        for each in found
        if canonicalize_name(each.name) not in left_out and (each.marker is None or each.marker.evaluate(there))
    ]


def collect(python: str, out: Path, left_out: frozenset[str]) -> None:
    """Download wheel after wheel, until nothing that one of them needs is missing."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.whl"):
        old.unlink()
    waiting = [each for each in requirements(ROOT / "pyproject.toml") if canonicalize_name(each.name) not in left_out]
    known: set[str] = set()
    while waiting:
        batch = {canonicalize_name(each.name): each for each in waiting}
        known |= set(batch)
        before = set(out.glob("*.whl"))
        wanted = [name if name == UNPINNED else f"{name}{each.specifier}" for name, each in batch.items()]
        _download(wanted, python, out)
        texts = [text for wheel in set(out.glob("*.whl")) - before for text in _requires(wheel)]
        waiting = [each for each in needed(texts, python, left_out) if canonicalize_name(each.name) not in known]


def _download(wanted: list[str], python: str, out: Path) -> None:
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    options = [text for name in platforms for text in ("--platform", name)]
    options += [
        "--python-version",
        python,
        "--implementation",
        "cp",
        "--only-binary=:all:",
        "--no-deps",
        "--dest",
        str(out),
    ]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, *wanted], check=True)


def _requires(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist") or []


def main() -> None:
    """Collect, and say how much it is."""
    parser = argparse.ArgumentParser(description="Wheels of what aigrob needs and a machine with torch lacks.")
    parser.add_argument("--python", required=True, metavar="3.12", help="the other machine's")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "wheelhouse")
    parser.add_argument("--all", action="store_true", help=f"also {', '.join(sorted(LARGE))}")
    asked = parser.parse_args()
    collect(asked.python, asked.out, WITH_TORCH | (frozenset() if asked.all else LARGE))
    wheels = sorted(asked.out.glob("*.whl"), key=lambda wheel: wheel.stat().st_size)
    for wheel in wheels:
        print(f"{wheel.stat().st_size / 1e6:6.1f} MB  {wheel.name}")
    print(f"{sum(wheel.stat().st_size for wheel in wheels) / 1e6:6.1f} MB in {asked.out}")


if __name__ == "__main__":
    main()
