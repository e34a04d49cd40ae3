"""Which common corruptions a network is measured under, computed or read from files."""

from __future__ import annotations

import torch

from robustbench_aig.cli.attack_request import AttackRequest
from robustbench_aig.corruptions.cifar_c import CorruptedFiles
from robustbench_aig.corruptions.names import ALL, NAMES, Corruption
from robustbench_aig.corruptions.pixels import corrupt
from robustbench_aig.errors import InputError
from robustbench_aig.evaluation import Images
from robustbench_aig.randomness import Stream
from robustbench_aig.records import CorruptionRecord, DataRecord

Chosen = tuple[list[CorruptionRecord], CorruptedFiles | None, list[str]]
"""The corruptions, the files that they are read from or None, and notes for the user."""


def chosen_corruptions(request: AttackRequest, images: Images, data: DataRecord) -> Chosen:
    """The corruptions that were asked for, each once; those that can't be had of these images are refused.

    Raises:
        InputError: an unknown name, a severity that there isn't, or a corruption of images with other channels.
        DataError: the files can't be read, or aren't of these images.
    """
    if request.corruption_files is None:
        return _computed(request, data)
    files = CorruptedFiles(request.corruption_files)
    chosen = [each for text in request.corruptions or [ALL] for each in Corruption.parse(text, files.names)]
    files.check(images.labels, images.ids, data.available)
    digests = {}
    for name in dict.fromkeys(each.name for each in chosen):
        shape = tuple(files.images(Corruption(name, 1), images.ids[:1]).shape[1:])
        if shape != data.shape:
            raise InputError(f"{name} in {files.folder} has images of shape {shape}, the networks take {data.shape}")
        digests[name] = files.digest(name)
    return _records(chosen, digests), files, []


def _computed(request: AttackRequest, data: DataRecord) -> Chosen:
    """Those that are computed; of all together those are left out that need other channels."""
    refused = {name: reason for name in NAMES if (reason := _refused(name, data))}
    chosen, left_out = [], {}
    for text in request.corruptions:
        for each in Corruption.parse(text):
            if each.name not in refused:
                chosen.append(each)
            elif text.strip().partition(":")[0] == ALL:
                left_out[each.name] = refused[each.name]
            else:
                raise InputError(f"--corruption {text}: {refused[each.name]}")
    records = _records(chosen, dict.fromkeys(NAMES, "computed"))
    return records, None, [f"left out: {reason}" for reason in left_out.values()]


def _refused(name: str, data: DataRecord) -> str | None:
    """Why a corruption can't be computed of such images; None where it can."""
    try:
        corrupt(torch.zeros(1, *data.shape), Corruption(name, 1), Stream.of(torch.zeros(1), 0))
    except InputError as error:
        return str(error)
    return None


def _records(chosen: list[Corruption], sources: dict[str, str]) -> list[CorruptionRecord]:
    return [
        CorruptionRecord(name=each.name, severity=each.severity, source=sources[each.name])
        for each in dict.fromkeys(chosen)
    ]
