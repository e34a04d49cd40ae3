"""One path for all images: the rival that shows whether choosing paths by the image is worth anything.

It is found on validation images alone. Where gates are few every path that is cheap enough is tried; passes share what
paths have in common, so that all 512 of nine gates cost about 57.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from robustbench_aig.data import ImageSet
from robustbench_aig.evaluation.judge import Judgement, judge
from robustbench_aig.evaluation.subjects import Network
from robustbench_aig.gating import Policy, gating
from robustbench_aig.models import shares_draws
from robustbench_aig.policy_traits import DETERMINISTIC, STATIC, Traits
from robustbench_aig.precision import float32
from robustbench_aig.records import StaticPattern

FEW = 12
"""Gates up to which every path is tried."""

_IMAGES, _FEWER = 1000, 250
"""Validation images: where every path is tried, and where gates are closed one by one."""

# As in the judge: more images at once gain little on a CPU.
_AT_ONCE = 100
_ROWS = 4096
"""At most so many paths of so many images in a pass, which ends with about as many rows."""

Progress = Callable[[int, int], None]
"""Told how many images of how many are done."""


class _Listed(Policy):
    """Path k of a list in draw k, for all images.

    Args:
        patterns: (K, G) 0 or 1.
    """

    name = "listed"
    traits = Traits(draws=True, skips=True)

    def __init__(self, patterns: Tensor) -> None:
        self._patterns = patterns

    def decide(self, logits: Tensor, gate: int, draw: int) -> Tensor:
        """The same for all (B,)."""
        return self._patterns[draw, gate].to(logits).expand(len(logits))


@float32()
def with_patterns(network: Network, validation: ImageSet, seed: int, progress: Progress | None = None) -> Network:
    """The network with the paths of the policies "majority" and "static", found on validation images.

    Args:
        network: gated; on its device.
        validation: images that no number of a report is about.
        seed: chooses some of them.
        progress: told after every batch.
    """
    few = len(network.profile.blocks) <= FEW
    search = Search(network, validation.limit(_IMAGES if few else _FEWER, seed), seed, progress)
    majority, most = search.argmax()
    allowed = search.every(most) if few else None
    tried = _unique(torch.cat([majority[None], search.downwards(most) if allowed is None else allowed]))
    right = search.right(tried)
    cheap = search.macs(tried) <= most
    best = max(
        # Of equally accurate paths the cheapest, then the first in order: a resumed run finds the same.
        cheap.nonzero()[:, 0].tolist(),
        key=lambda k: (int(right[k]), -float(search.macs(tried)[k]), tried[k].tolist()),
    )
    found = {
        name: StaticPattern(
            opened=[bool(z) for z in tried[k].tolist()],
            accuracy=int(right[k]) / len(search.images),
            n=len(search.images),
            macs=float(search.macs(tried)[k]),
            most_macs=most,
            tried=1 if name == "majority" else int(cheap.sum()),
            every=few and name != "majority",
        )
        for name, k in zip(STATIC, (_place(majority, tried), best), strict=True)
    }
    return replace(network, record=network.record.model_copy(update={"patterns": found}))


@dataclass
class Search:
    """Counts what paths get right on the same images. Paths are rows of (K, G), float32, 0 or 1.

    Attributes:
        network: gated; on its device.
        images: to count on.
        seed: for networks that draw.
        progress: told after every batch.
    """

    network: Network
    images: ImageSet
    seed: int
    progress: Progress | None
    done: int = 0

    def macs(self, patterns: Tensor) -> Tensor:
        """(K,) float64."""
        return self.network.profile.executed(patterns)

    def argmax(self) -> tuple[Tensor, float]:
        """(G,) each gate's majority, of equals open, and the mean compute of argmax gates."""
        parts = [self._judged(index) for index in self._batches(_AT_ONCE)]
        opened = torch.cat([part.decisions for part in parts]).cpu().double().mean(0)
        return (opened >= 0.5).float(), float(torch.cat([part.macs for part in parts]).mean())

    def every(self, most: float) -> Tensor:
        """All paths that cost no more."""
        gates, free = len(self.network.record.gates), self.network.record.free_gates
        states = [(0.0, 1.0) if place in free else (1.0,) for place in range(gates)]
        patterns = torch.tensor(list(product(*states)))
        return patterns[self.macs(patterns) <= most]

    def downwards(self, most: float) -> Tensor:
        """(1, G) or none: from all open, the gate is closed that is missed least, until the path costs no more."""
        now = torch.ones(len(self.network.record.gates))
        while self.macs(now[None])[0] > most:
            closable = [place for place in self.network.record.free_gates if now[place]]
            if not closable:
                return now.new_zeros(0, len(now))
            ways = now.repeat(len(closable), 1)
            # Row k is the path so far with its k-th open gate closed, too.
            ways[range(len(closable)), closable] = 0.0
            now = ways[int(self.right(ways).argmax())]
        return now[None]

    def right(self, patterns: Tensor) -> Tensor:
        """(K,) images that each path gets right."""
        together = shares_draws(self.network.model)
        parts = [patterns] if together else list(torch.split(patterns, 1))
        return torch.cat([self._right(part, together=together) for part in parts])

    @torch.no_grad()
    def _right(self, patterns: Tensor, *, together: bool) -> Tensor:
        count, model = len(patterns), self.network.model
        found = torch.zeros(count, dtype=torch.int64)
        draws = count if together else None
        for index in self._batches(max(1, min(_AT_ONCE, _ROWS // count))):
            x, y = self._some(index)
            with gating(model, _Listed(patterns.to(x.device)), execution="sparse", draws=draws) as trace:
                logits = model(x)
                each: Tensor = trace.draws.each(logits) if trace.draws else logits[None]
            found += (each.argmax(2) == y).sum(1).cpu()
        return found

    def _judged(self, index: Tensor) -> Judgement:
        x, y = self._some(index)
        ids = self.images.ids[index].to(x.device)
        return judge(self.network.subject(DETERMINISTIC), x, y, ids=ids, seed=self.seed, draws=1)

    def _some(self, index: Tensor) -> tuple[Tensor, Tensor]:
        device = next(self.network.model.parameters()).device
        x = self.images.batch(index).to(device).contiguous(memory_format=torch.channels_last)
        return x, self.images.labels[index].to(device)

    def _batches(self, size: int) -> list[Tensor]:
        return list(torch.split(torch.arange(len(self.images)), size))


def _unique(patterns: Tensor) -> Tensor:
    found: Tensor = torch.unique(patterns, dim=0)
    return found


def _place(pattern: Tensor, among: Tensor) -> int:
    return int((among == pattern).all(1).nonzero()[0])
