"""Networks of a program's own, from tensors to a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from robustbench_aig.data import digest_of
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import Evaluator, Images, Network, network_of_module
from robustbench_aig.models.foreign import Defaults, enter, neutral
from robustbench_aig.norms import DEFAULT
from robustbench_aig.policy_traits import refuse_unknown
from robustbench_aig.records import DataRecord, Report
from robustbench_aig.study.preparing import prepare
from robustbench_aig.study.study_request import Wanted
from robustbench_aig.threat import Threat


def evaluate(
    models: nn.Module | Mapping[str, nn.Module],
    images: Tensor,
    labels: Tensor,
    out: str | Path,
    *,
    eps: str | Sequence[str],
    norm: str = DEFAULT,
    suite: str = "quick",
    attacks: Sequence[str] = (),
    policies: Sequence[str] = (),
    data: str = "images",
    classes: Sequence[str] | None = None,
    seed: int = 0,
    chunk: int = 100,
    draws: int = 10,
    amp: bool = False,
    clocks: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Attack networks and write a report, as `aigrob attack` does for runs.

    Attacks run on copies of the networks in eval mode, on the device of the first; the networks themselves are not
    changed. Finished parts are stored in `out`: the same call continues after an interruption, and only reads a
    finished evaluation.

    Args:
        models: from images in [0, 1] to logits (B, classes): one network, or several by their names in the
            report. Gates are found if they are a `gating.Gate`, or were adapted by `models.adapt`.
        images: (N, C, H, W), float32 in [0, 1], which played no role in choosing the networks.
        labels: (N,) int64.
        out: directory for the report and its evidence.
        eps: perturbation budget ε, or several: "4/255".
        norm: of `norms.BALLS`: "linf", "l2", and so on.
        suite: of attacks, a recipe's name or path.
        attacks: by name, with changes as in "pgd:steps=50", instead of the suite.
        policies: of the gates at test time; by default deterministic.
        data: name of the images in reports.
        classes: their names; by default numbers from 0.
        seed: of all randomness.
        chunk: images per unit of work; the numbers depend on it.
        draws: scoring draws per image for stochastic gates.
        amp: run our own attacks in bfloat16; scoring is always in float32.
        clocks: at the end measure the time that gated networks take.
        progress: told how many images of how many are done, over all measurements.

    Returns:
        The content of `report.json`; `report.html` is beside it. If an attack crashed, its `status` is "error",
        and the images concerned count as misclassified.

    Raises:
        InputError: some input cannot be measured; the text says which, and nothing was run.
        RunError: `out` holds another evaluation.
    """
    for policy in policies:
        refuse_unknown(policy)
    threats = [Threat.parse(text, norm) for text in ([eps] if isinstance(eps, str) else eps)]
    if not threats:
        raise InputError("nothing to evaluate: name at least one epsilon, such as eps='4/255'")
    wanted = Wanted(threats, attacks, suite, seed=seed, chunk=chunk, draws=draws, amp=amp)
    chosen = f"eps={[threat.eps for threat in threats]}, norm={norm!r}, suite={suite!r}, attacks={list(attacks)}"
    theirs = Defaults.now()
    with neutral():
        given = _checked(images, labels)
        networks, names = _entered(_named(models), given, classes, chunk, theirs)
        evaluator, _ = prepare(
            [(network, network.policies(policies)) for network in networks],
            given,
            _record(data, given, names),
            wanted,
            place=lambda _: Path(out),
            command=f"robustbench_aig.evaluate(…, {chosen})",
            device=_device(networks[0].model),
            resume=True,
        )
        return _carried_out(evaluator, progress, clocks=clocks)


def _carried_out(evaluator: Evaluator, progress: Callable[[int, int], None] | None, *, clocks: bool) -> Report:
    with evaluator.store.held_if_well():
        for done in evaluator:
            if progress is not None:
                progress(done.done, done.total)
    # Imported at the end: most processes of `aigrob attack`, which need this module, make no report.
    from robustbench_aig.study.timing import finish  # noqa: PLC0415

    return finish(evaluator, lambda _: None, clocks=clocks)


def _checked(images: object, labels: object) -> Images:
    """The images in the given order; InputError where they aren't what networks are attacked on."""
    if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
        raise InputError(
            f"images and labels must be tensors of torch, got {type(images).__name__} and {type(labels).__name__}"
        )
    shaped = images.dim() == 4 and labels.shape == images.shape[:1] and len(labels) > 0
    if not shaped or images.dtype != torch.float32 or labels.dtype != torch.int64:
        raise InputError(
            f"images must be float32 (N, C, H, W) with labels int64 (N,), got {images.dtype} {tuple(images.shape)}, "
            f"{labels.dtype} {tuple(labels.shape)}"
        )
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):
        raise InputError(f"images must lie in [0, 1], these lie in [{low:.3g}, {high:.3g}]: normalise inside the model")
    if int(labels.min()) < 0:
        raise InputError(f"labels must count from 0, got {int(labels.min())}")
    # Copies, because what inference mode made would carry no gradient, and what the program changes must not count.
    return Images(images.detach().to("cpu", copy=True), labels.to("cpu", copy=True), torch.arange(len(labels)))


def _named(models: nn.Module | Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The networks by the names that reports call them."""
    if not isinstance(models, Mapping):
        return {type(models).__name__: models}
    named = {str(name): model for name, model in models.items()}
    if len(named) < len(models):
        raise InputError("two of the networks have the same name: name each once")
    return named


def _entered(
    models: Mapping[str, nn.Module], images: Images, classes: Sequence[str] | None, chunk: int, theirs: Defaults
) -> tuple[list[Network], list[str]]:
    """The networks, entered, on the device of the first; and the names of the classes."""
    if not models:
        raise InputError("nothing to evaluate: name at least one network")
    device = _device(next(iter(models.values())))
    entered = {
        name: enter(model, _origin(model), images.pixels, chunk=chunk, device=device, defaults=theirs)
        for name, model in models.items()
    }
    names = list(classes or map(str, range(next(iter(entered.values())).classes)))
    networks = [network_of_module(name, model, images.pixels, len(names)) for name, model in entered.items()]
    if int(images.labels.max()) >= len(names):
        raise InputError(f"there is a label {int(images.labels.max())}, and only {len(names)} classes, counted from 0")
    return networks, names


def _origin(model: object) -> str:
    return f"{type(model).__module__}.{type(model).__qualname__}"


def _device(model: object) -> torch.device:
    """Where its first weight lies; the CPU for something that has none."""
    tensors = chain(model.parameters(), model.buffers()) if isinstance(model, nn.Module) else ()
    return next((tensor.device for tensor in tensors if not tensor.is_meta), torch.device("cpu"))


def _record(name: str, images: Images, classes: list[str]) -> DataRecord:
    _, channels, height, width = images.pixels.shape
    return DataRecord(
        name=name,
        split="given",
        n=len(images),
        available=len(images),
        shape=(channels, height, width),
        classes=classes,
        digest=digest_of(images.pixels, images.labels),
    )
