"""Whether the gates of finished runs choose: `python -m benchmarks.choosing.judge RUN… --data DIR`.

The one path for all images is found on one half of the validation images, among all that cost no more than the argmax
gates do there, and judged with them on the other half; then the halves change places. Of "settled" paths, which have
batch-norm's statistics of their own, the same.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.choosing.settling import right, settled
from robustbench_aig.data import ImageSet, load_data
from robustbench_aig.distributed import World
from robustbench_aig.evaluation import network_of_run
from robustbench_aig.evaluation.judge import judge
from robustbench_aig.evaluation.static_path_search import with_patterns
from robustbench_aig.evaluation.subjects import Network
from robustbench_aig.runs import read_run
from robustbench_aig.statistics import paired_interval
from robustbench_aig.training import load_model
from robustbench_aig.training.scoring import Scorer

BATCH = 100


def judged(network: Network, policy: str, images: ImageSet, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether each image (N,) is answered right, and its multiply-accumulates (N,)."""
    parts = []
    for index in torch.split(torch.arange(len(images)), BATCH):
        x = images.batch(index).contiguous(memory_format=torch.channels_last)
        parts.append(judge(network.subject(policy), x, images.labels[index], ids=images.ids[index], seed=seed, draws=1))
    return torch.cat([part.correct for part in parts]).double(), torch.cat([part.macs for part in parts]).double()


def row(directory: Path, data: str) -> dict[str, Any]:
    """What a finished gated run is worth; accuracies and compute are means over both halves."""
    record = read_run(directory)
    known = load_data(data, seed=record.data.seed, shape=record.data.shape)
    images = known.validation
    network = network_of_run(record, load_model(directory))
    halves = [images.select(torch.arange(first, len(images), 2)) for first in (0, 1)]
    chosen, static, own = [], [], []
    for search, measure in (halves, halves[::-1]):
        found = with_patterns(network, search, record.seed)
        chosen.append(judged(found, "argmax", measure, record.seed))
        static.append(judged(found, "static", measure, record.seed))
        own.append(right(*settled(network, search, known.train, record.seed), measure))
    ours, theirs = (torch.cat([correct for correct, _ in part]) for part in (chosen, static))
    dependence = Scorer("gated", network.profile, record.seed, World()).dependence(network.model, images)
    assert dependence is not None
    return {
        "run": record.name,
        "images": len(ours),
        "argmax": ours.mean().item(),
        "static": theirs.mean().item(),
        **gain("gain", ours, theirs),
        "settled": torch.cat(own).double().mean().item(),
        **gain("settled_gain", ours, torch.cat(own).double()),
        "argmax_macs": torch.cat([macs for _, macs in chosen]).mean().item(),
        "static_macs": torch.cat([macs for _, macs in static]).mean().item(),
        "explained": dependence.explained,
        "gates_30": sum(share is not None and share >= 0.3 for share in dependence.of_gates),
        "of_gates": dependence.of_gates,
        "paths": dependence.paths,
        "paths_of": dependence.n,
    }


def gain(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> dict[str, float]:
    """How much more often we (N,) are right than they, with its 95 % interval."""
    only_ours, only_theirs = (int(((one - other) > 0).sum()) for one, other in ((ours, theirs), (theirs, ours)))
    low, high = paired_interval(only_ours, only_theirs, len(ours))
    return {name: (ours - theirs).mean().item(), f"{name}_low": low, f"{name}_high": high}


def main() -> Iterator[dict[str, Any]]:
    """A row for each run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directory of a finished gated run")
    parser.add_argument("--data", required=True, help="that they were trained on")
    arguments = parser.parse_args()
    for directory in arguments.runs:
        yield row(directory, arguments.data)


if __name__ == "__main__":
    for found in main():
        print(json.dumps(found), flush=True)
