"""How much of a shift is that of another class: its part along the difference of two classes' mean probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from robustbench_aig.gateshift.arrays import Bools, Floats, Ints
from robustbench_aig.gateshift.shift import TOLD


class Ways(NamedTuple):
    """From an image's class to the one that it's taken for.

    Attributes:
        vectors: (N, G), what the mean probabilities of the two classes differ in.
        known: (N,) False where there is no such way, or the two classes' gates aren't told apart.
    """

    vectors: Floats
    known: Bools


class Parts(NamedTuple):
    """Per image: α (N,), the fraction of the way gone, and the squared lengths (N,) along it and beside it."""

    alpha: Floats
    explained: Floats
    residual: Floats


def class_ways(p: Floats, label: Ints, to: Ints, *, of: Bools, measured: Bools) -> Ways:
    """The way μ_to - μ_label for some images, where μ_c is the mean of clean images of class c.

    An image is left out of its own class's mean: it'd seem to have moved away from wherever it was.

    Two means are told apart where their squared distance exceeds four times the variance that sampling of images
    gives it, Σ over gates of s²/n of both.

    Args:
        p: (N, G) open probabilities of clean images.
        label: (N,) their classes.
        to: (N,) what they're taken for once attacked.
        of: (N,) the images that are wanted.
        measured: (N,) the images whose p is one.
    """
    vectors, known = np.zeros_like(p), np.zeros(len(p), np.bool_)
    means = {c: _Mean.of(p[measured & (label == c)]) for c in np.unique(label[measured])}
    for i in np.flatnonzero(of & measured & (to != label)):
        own, other = means[label[i]], means.get(to[i])
        # A variance takes two images, and the own class lacks the image itself.
        if other is None or own.n < 3 or other.n < 2:
            continue
        vectors[i] = other.mean - (own.n * own.mean - p[i]) / (own.n - 1)
        noise = own.variance / (own.n - 1) + other.variance / other.n
        known[i] = (vectors[i] ** 2).sum() > TOLD**2 * noise
    return Ways(vectors, known)


class _Mean(NamedTuple):
    """Of n images: mean (G,), and variance summed over gates."""

    n: int
    mean: Floats
    variance: float

    @classmethod
    def of(cls, p: Floats) -> _Mean:
        spread = float(p.var(axis=0, ddof=1).sum()) if len(p) > 1 else 0.0
        return cls(len(p), p.mean(axis=0), spread)


def parts(change: Floats, again: Floats, vectors: Floats) -> Parts:
    """Take a change apart: d = αt + r with r at right angles to t, so that |d|² = α²|t|² + |r|².

    As the corrected shift does, squares take two independent estimates of d; `residual` is what is left of it.

    Args:
        change: (N, G), estimated on some draws.
        again: (N, G), on other ones; `change` itself where nothing is random.
        vectors: (N, G) ways t, none of length 0.
    """
    length = (vectors**2).sum(axis=1)
    along, along_again = ((d * vectors).sum(axis=1) for d in (change, again))
    explained = along * along_again / length
    return Parts((along + along_again) / (2 * length), explained, (change * again).sum(axis=1) - explained)
