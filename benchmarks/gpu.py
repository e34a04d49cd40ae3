"""`make gpu`: what is worth knowing of a CUDA machine that is there for minutes, in boxes, on one page.

    python -m benchmarks.gpu --device cuda [--data DIR] [--out build/gpu] [--wheels build/wheelhouse]

It needs the standard library alone. Python's packages come from the environment, or from wheels (`make wheelhouse`),
which are unpacked beside the results and nowhere else.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.boxes import Ledger, Outcome, Part, Refused, run_parts
from benchmarks.gpu_page import page

ROOT = Path(__file__).parent.parent
SECONDS = 9 * 60.0
"""For everything, from the first line to the last."""

_SLACK = 10.0
"""Of them, for ending what is cut and writing the page."""

_CALM = {"GOMP_SPINCOUNT": "1000", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "4096"}
"""As the command `aigrob` has it: threads that wait by spinning make a shared machine several times slower."""

_MODEL = ("numpy", "PIL", "pydantic", "safetensors", "torch", "torchvision")
_BENCH = (*_MODEL, "click", "rich")
_ATTACK = (*_BENCH, "scipy", "torchattacks")  # which imports scipy
_PYTEST = (*_MODEL, "pytest", "pytest_timeout")
_EVALUATION = (*_PYTEST, "pyarrow", "scipy", "sklearn")

LIGHT_TESTS = ("tests/test_gpu.py",)
"""Those that need no more than the model's own libraries."""

OTHER_TESTS = ("tests/evaluation/test_on_gpu.py", "tests/training/test_on_gpu.py")


def parts_of(device: str, data: str | None, out: Path) -> list[Part]:
    """What is measured, the most precious first; on a CPU the same in small, to see that it runs."""
    small = device == "cpu"
    return [
        _tests("tests", LIGHT_TESTS, _PYTEST, box=40 if small else 110),
        *(_epochs(model, device, data, out, small=small) for model in ("cifar10/aig110", "cifar10/resnet110")),
        *_bench_train(device, small=small),
        *_bench_inference(device, small=small),
        *_bench_attack(device, small=small),
        _tests("tests-of-all-libraries", OTHER_TESTS, _EVALUATION, box=40 if small else 60),
    ]


def _tests(name: str, files: Sequence[str], needs: Sequence[str], *, box: float) -> Part:
    return Part(name, [sys.executable, "-m", "benchmarks.gpu_tests", *(str(ROOT / file) for file in files)], box, needs)


def _epochs(model: str, device: str, data: str | None, out: Path, *, small: bool) -> Part:
    images = 64 if small else 45000
    command = [sys.executable, "-m", "benchmarks.paper_epochs", model, "--device", device, "--images", str(images)]
    source = ["--data", data] if data else []
    smaller = f"{images} images instead of 45,000" if small else ""
    return Part(f"epochs-{_short(model)}", [*command, *source, "--out", str(out / "runs")], 80, _MODEL, smaller)


def _bench(name: str, device: str, needs: Sequence[str], smaller: str, *arguments: str, box: float = 75) -> Part:
    command = [
        sys.executable,
        "-m",
        "robustbench_aig.cli",
        "bench",
        *arguments,
        "--device",
        device,
        "--quiet",
        "--json",
    ]
    return Part(name, command, box, needs, smaller)


def _short(model: str) -> str:
    return model.rpartition("/")[2]


def _bench_train(device: str, *, small: bool) -> list[Part]:
    models, steps = (("digits/aig14",), 1) if small else (("cifar10/resnet20", "cifar10/aig20"), 20)
    smaller = "digits/aig14 instead of networks of depth 20, turns of one step" if small else ""
    return [
        _bench(
            f"bench-train-{model.rpartition('/')[2]}", device, _BENCH, smaller, "train", model, "--steps", str(steps)
        )
        for model in models
    ]


def _bench_inference(device: str, *, small: bool) -> list[Part]:
    batches, steps = ((8,), 1) if small else ((1, 128), 10)
    smaller = "8 images at a time, turns of one step" if small else ""
    return [
        _bench(
            f"bench-inference-{batch}",
            device,
            _BENCH,
            smaller,
            *("inference", "cifar10/aig110", "--batch", str(batch), "--steps", str(steps)),
        )
        for batch in batches
    ]


def _bench_attack(device: str, *, small: bool) -> list[Part]:
    models = ("digits/aig14",) if small else ("cifar10/aig20", "cifar10/resnet20")
    batch, steps = ("8", "1") if small else ("128", "2")
    smaller = "digits/aig14 instead of networks of depth 20, 8 images at a time, turns of one step" if small else ""
    return [
        _bench(
            f"bench-attack-{_short(model)}",
            device,
            _ATTACK,
            smaller,
            *("attack", model, "--batch", batch, "--steps", steps),
        )
        for model in models
    ]


_PROBE = """
import json, os, torch
from robustbench_aig.environment import environment
cuda = torch.cuda.is_available()
found = environment(torch.device("cuda" if cuda and DEVICE == "cuda" else "cpu"))
found |= {"cuda": torch.version.cuda, "cores": os.cpu_count(), "has_cuda": cuda}
if found["device"] != "cpu":
    about = torch.cuda.get_device_properties(0)
    found |= {"memory": about.total_memory, "capability": f"{about.major}.{about.minor}"}
    found |= {"cudnn": torch.backends.cudnn.version()}
print(json.dumps(found))
"""


def look_at(device: str, environ: dict[str, str]) -> dict[str, Any]:
    """Where the parts will be measured.

    Raises:
        Refused: there is no torch, or no such device.
    """
    code = f"DEVICE = {device!r}\n{_PROBE}"
    ran = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or ["no word"])[-1]
        raise Refused(f"{sys.executable} cannot begin: {last}")
    found: dict[str, Any] = json.loads(ran.stdout)
    if not found.pop("has_cuda") and device == "cuda":
        raise Refused("there is no CUDA device here; DEVICE=cpu is the dry run")
    return found


def unpack(wheels: Path, site: Path) -> Path | None:
    """A folder with the packages of all wheels, unpacked once; None where there are no wheels.

    Raises:
        Refused: they are for another Python or machine.
    """
    found = sorted(wheels.glob("*.whl"))
    if not found:
        return None
    listed = "\n".join(f"{wheel.name} {wheel.stat().st_size}" for wheel in found)
    done = site / ".wheels"
    if not done.exists() or done.read_text() != listed:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
        options = ["--no-deps", "--no-compile", "--upgrade", "--target", str(site)]
        ran = subprocess.run([*pip, *options, *map(str, found)], capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            last = (ran.stderr.strip().splitlines() or ["no word"])[-1]
            raise Refused(f"{wheels} cannot be unpacked: {last}")
        done.write_text(listed)
    return site


def missing(names: Sequence[str]) -> list[str]:
    """Those of some modules that aren't installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def measure(device: str, data: str | None, out: Path, wheels: Path, seconds: float) -> list[Outcome]:
    """Everything that isn't done yet, in so many seconds; document and page are written after every part."""
    end = time.monotonic() + seconds
    out.mkdir(parents=True, exist_ok=True)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    site = unpack(wheels, out / "site")
    if site is not None:
        paths.insert(0, str(site.resolve()))
        sys.path.insert(0, str(site.resolve()))
        importlib.invalidate_caches()
    environ = {**_CALM, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    ledger = Ledger(out / f"{device}.json", look_at(device, environ))
    parts = parts_of(device, data, (out / device).resolve())
    ledger.load(parts)

    def told(outcome: Outcome) -> None:
        words = f"{outcome.name}: {outcome.state}, {outcome.seconds:.0f} s"
        print(words + (f" ({outcome.reason})" if outcome.reason else ""), flush=True)
        write()

    def write() -> None:
        (out / f"{device}.md").write_text(page(device, ledger.environment, list(ledger.outcomes.values())))

    try:
        run_parts(
            parts, ledger, out / device, seconds=end - time.monotonic(), missing=missing, told=told, environ=environ
        )
    finally:
        write()
    return list(ledger.outcomes.values())


def main() -> int:
    """Measure, and say where the results are: 0 all well, 1 a part failed, 2 nothing could begin, 3 interrupted."""
    parser = argparse.ArgumentParser(description="What is worth knowing of a CUDA machine, in boxes, on one page.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--data", default=None, help="a folder of images, or random ones")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu")
    parser.add_argument("--wheels", type=Path, default=ROOT / "build" / "wheelhouse")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this ends the part under way, too
    try:
        found = measure(asked.device, asked.data or None, asked.out, asked.wheels, SECONDS - _SLACK)
    except Refused as refused:
        print(f"make gpu: {refused}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("make gpu: interrupted; the same command goes on", file=sys.stderr)
        return 3
    print(f"page: {asked.out / asked.device}.md")
    return int(any(each.state == "failed" for each in found))


if __name__ == "__main__":
    sys.exit(main())
