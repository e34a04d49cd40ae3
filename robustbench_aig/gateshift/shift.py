"""How far open probabilities move, without what two draws of one image differ in anyway."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from robustbench_aig.gateshift.arrays import Floats

TOLD = 2.0
"""How many of its standard errors something has to be off zero to be taken for something."""


def corrected(change: Floats, again: Floats) -> Floats:
    """(N, G) the squared change (p' - p)² of each gate's probability of being open, without the noise of its estimate.

    With draws z, z~ of the clean and z', z~' of the attacked image, all independent, and H their Hamming distance,
    E H(z, z') - E H(z, z~) / 2 - E H(z', z~') / 2 = Σ (p' - p)². The gates of a draw may depend on each other.

    The square of an estimated change is too large by the estimate's variance: a deep gate's probability depends on the
    draw's path. The product of two independent estimates isn't. It may be negative; its mean over images hardly is.

    Args:
        change: (N, G) p' - p, estimated on some draws.
        again: (N, G) the same on other draws; `change` itself where nothing is random.
    """
    return change * again


def noise_of_mean(change: Floats, again: Floats) -> float:
    """At most the standard error that draws give the mean corrected shift of N images which nothing moved.

    With normal errors of covariance C the variance of one image's is tr C², and E|d - d'|⁴ / 12 is that or more.

    Args:
        change: (N, G) d.
        again: (N, G) d'; `change` itself where nothing is random, so that nothing is noise.
    """
    fourth = ((change - again) ** 2).sum(axis=1) ** 2
    return float(np.sqrt(fourth.sum() / 12) / len(change))


def divergence(p: Floats, q: Floats) -> Floats:
    """Jensen-Shannon divergence, in bits, of two gates that are open with probability p and q; from 0 to 1.

    Source: J. Lin, "Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 1991.
    """
    between = _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2
    return np.clip(between, 0.0, 1.0)  # rounding


def _entropy(p: Floats) -> Floats:
    """Of a coin, in bits."""
    return np.asarray((entr(p) + entr(1 - p)) / np.log(2), dtype=np.float64)
