"""From what gates did to two versions of the same images to the record of how far they moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from robustbench_aig.gateshift import explained, paths
from robustbench_aig.gateshift.arrays import Bools, Floats, Ints
from robustbench_aig.gateshift.flips import flipped, overlap
from robustbench_aig.gateshift.shift import TOLD, corrected, divergence, noise_of_mean
from robustbench_aig.records import ClassPart, Excess, GateMoves, LargestFlips
from robustbench_aig.statistics import CONFIDENCE, largest_mean


@dataclass(frozen=True)
class Version:
    """What the gates did to one version of N images: clean, attacked, or with a control's change.

    Attributes:
        measured: (N,) elsewhere nothing else means anything.
        prediction: (N,) the class that most scoring draws vote for.
        decisions: (N, G) with the noise of the first scoring draw, which all versions of an image share.
        p: (N, G) open probabilities, mean over the scoring draws; None where they weren't recorded.
        again: (N, G) the same over other draws; equal to `p` where nothing is random.
    """

    measured: Bools
    prediction: Ints
    decisions: Bools
    p: Floats | None
    again: Floats | None

    @property
    def pooled(self) -> Floats | None:
        """(N, G) open probabilities, mean over all draws."""
        return None if self.p is None or self.again is None else (self.p + self.again) / 2


@dataclass(frozen=True)
class Moved:
    """How far the gates of N images moved, image by image; (N, G) but for `overlap` and `path` (N,).

    Attributes:
        measured: (N,) in both versions.
        flipped, overlap: as in `flips`.
        path: a number for the path of the image as it is now.
        change, again: two independent estimates of p' - p; None where they weren't recorded, as the two below.
        shift: (p' - p)², corrected.
        divergence: Jensen-Shannon, in bits.
    """

    measured: Bools
    flipped: Bools
    overlap: Floats
    path: Ints
    change: Floats | None
    again: Floats | None
    shift: Floats | None
    divergence: Floats | None

    def over(self, images: Bools, ways: explained.Ways | None, *, per_gate: bool) -> GateMoves | None:
        """Summarise some of the images (N,); None where none of them was measured.

        Args:
            images: which.
            ways: to the classes that attacked images are taken for; None to leave out what a change of class explains.
            per_gate: whether to list every gate.
        """
        of = images & self.measured
        if not of.any():
            return None
        taken = paths.count(self.path[of])
        return GateMoves(
            n=int(of.sum()),
            flip_rate=float(self.flipped[of].mean()),
            shift=None if self.shift is None else float(self.shift[of].sum(axis=1).mean()),
            divergence=None if self.divergence is None else float(self.divergence[of].mean()),
            overlap=float(self.overlap[of].mean()),
            paths=taken.distinct,
            path_entropy=taken.entropy,
            class_part=None if ways is None else self._class_part(of & ways.known, ways.vectors),
            largest=_largest(self.flipped[of]) if per_gate else None,
            flip_rates=self.flipped[of].mean(axis=0).tolist() if per_gate else [],
            shifts=self.shift[of].mean(axis=0).tolist() if per_gate and self.shift is not None else [],
            divergences=self.divergence[of].mean(axis=0).tolist() if per_gate and self.divergence is not None else [],
        )

    def _class_part(self, of: Bools, vectors: Floats) -> ClassPart | None:
        if self.change is None or self.again is None or not of.any():
            return None
        part = explained.parts(self.change[of], self.again[of], vectors[of])
        weight = (vectors[of] ** 2).sum(axis=1)
        total = part.explained + part.residual
        told = total.mean() > TOLD * noise_of_mean(self.change[of], self.again[of])
        return ClassPart(
            n=total.size,
            alpha=float((part.alpha * weight).sum() / weight.sum()),
            explained=float(part.explained.mean()),
            residual=float(part.residual.mean()),
            share=float(part.explained.mean() / total.mean()) if told else None,
        )


def _largest(flipped: Bools) -> LargestFlips:
    """Of decisions (N, G) that changed or not."""
    rates = flipped.mean(axis=0)
    low, high = largest_mean(flipped.astype(np.float64), bounds=(0.0, 1.0))
    return LargestFlips(gate=int(rates.argmax()), value=float(rates.max()), low=low, high=high)


def compare(clean: Version, other: Version) -> Moved:
    """How far the gates moved from the clean version of images to another one."""
    change = again = shift = apart = None
    if clean.p is not None and clean.again is not None and other.p is not None and other.again is not None:
        change, again = other.p - clean.p, other.again - clean.again
        shift = corrected(change, again)
        apart = divergence((clean.p + clean.again) / 2, (other.p + other.again) / 2)
    return Moved(
        measured=clean.measured & other.measured,
        flipped=flipped(clean.decisions, other.decisions),
        overlap=overlap(clean.decisions, other.decisions),
        path=paths.numbered(other.decisions),
        change=change,
        again=again,
        shift=shift,
        divergence=apart,
    )


def beyond(attacked: Moved, control: Moved, images: Bools) -> Excess | None:
    """What the attack's shift exceeds a control's by, paired on images (N,), with Student's interval over them.

    None where fewer than two images were measured under both, or probabilities weren't recorded.
    """
    of = images & attacked.measured & control.measured
    n = int(of.sum())
    if n < 2 or attacked.shift is None or control.shift is None:
        return None
    difference = (attacked.shift[of] - control.shift[of]).sum(axis=1)
    value = float(difference.mean())
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2) * difference.std(ddof=1) / math.sqrt(n))
    return Excess(value=value, low=value - half, high=value + half, n=n)
