"""How often the intervals hold the truth: counted over all outcomes where that can be done, drawn where it cannot.

`python -m robustbench_aig.statistics.simulation` prints the tables of docs/statistics.md; they take some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import binom, norm

from robustbench_aig.statistics.bootstrap import RESAMPLES
from robustbench_aig.statistics.intervals import CONFIDENCE, Interval, wilson
from robustbench_aig.statistics.paired import bootstrap_difference
from robustbench_aig.statistics.seeds import HIERARCHICAL_SEEDS, seed_difference

IMAGES: Final = (500, 1000, 2000)
SHARES: Final = (0.05, 0.1, 0.25, 0.5)
"""And 1 - p, for which all that is counted here is the same."""

CORRELATION: Final = 0.5
"""Of being right, between two networks."""

HARDNESS, TASTE, MEANS = 1.5, 0.5, (0.1, 0.0)
"""In `seed_coverage`, of a latent score with unit noise: spreads of images common to both networks, and of each
network's own; and both networks' means."""

_RARE = 1e-7


def wilson_coverage(n: int, share: float) -> float:
    """How likely Wilson's interval holds the true share of n images: exact, a sum over all counts."""
    counts = np.arange(n + 1)
    low, high = np.array([_wilson(int(count), n) for count in counts]).T
    return float(binom.pmf(counts, n, share) @ ((low <= share) & (share <= high)))


@cache
def _wilson(count: int, n: int) -> Interval:
    return wilson(count, n)


def paired_coverage(n: int, first: float, second: float, *, resamples: int = RESAMPLES) -> float:
    """How likely the paired bootstrap holds the true difference of two networks on n images.

    A sum over all numbers of images that one network alone gets right, but for outcomes rarer than 1e-7.

    Args:
        n: images.
        first: true accuracy of one network, in (0, 1).
        second: of the other; whether they are right correlates with `CORRELATION`.
        resamples: of the bootstrap.
    """
    both = first * second + CORRELATION * np.sqrt(first * (1 - first) * second * (1 - second))
    held = total = 0.0
    for only_first, only_second, likely in _outcomes(n, first - both, second - both):
        low, high = _paired(n, only_first, only_second, resamples)
        total += likely
        held += likely * (low - 1e-12 <= first - second <= high + 1e-12)
    return held / total


def _outcomes(n: int, only_first: float, only_second: float) -> Iterator[tuple[int, int, float]]:
    """Counts of a trinomial distribution and how likely they are, but for the rarest."""
    pairs = np.arange(n + 1)
    for count, likely in zip(pairs, binom.pmf(pairs, n, only_first + only_second), strict=True):
        if likely > _RARE:
            split = likely * binom.pmf(pairs[: count + 1], count, only_first / (only_first + only_second))
            for one in np.flatnonzero(split > _RARE):
                yield int(one), int(count - one), float(split[one])


@cache
def _paired(n: int, only_first: int, only_second: int, resamples: int) -> Interval:
    first, second = np.zeros(n), np.zeros(n)
    first[:only_first] = 1
    second[only_first : only_first + only_second] = 1
    return bootstrap_difference(first, second, seed=only_first * n + only_second, resamples=resamples)


def draws_coverage(n: int, share: float, *, trials: int, draws: int = 10, resamples: int = RESAMPLES) -> float:
    """How often the paired bootstrap holds the true difference where each image is judged by some draws: simulated.

    Args:
        n: images; how likely a draw is right is Beta-distributed over them, and 0.9 times that for the other network.
        share: mean of that distribution.
        trials: simulated studies.
        draws: for each image and network.
        resamples: of the bootstrap.
    """
    generator = np.random.default_rng(0)
    held = 0
    for trial in range(trials):
        right = generator.beta(share, 1 - share, n)
        first, second = (generator.binomial(draws, p) / draws for p in (right, 0.9 * right))
        low, high = bootstrap_difference(first, second, seed=trial, resamples=resamples)
        held += low <= 0.1 * share <= high
    return held / trials


class SeedCoverage(NamedTuple):
    """How often an interval over seeds holds the true difference.

    Attributes:
        these_images: `on_these_images`, of the true difference on the images of the study.
        all_images: `interval`, of the true difference over all images.
        without_images: `on_these_images`, of the true difference over all images, which it does not promise.
    """

    these_images: float
    all_images: float
    without_images: float


def seed_coverage(
    seeds: int, images: int, spread: float, *, paired: bool, trials: int, resamples: int = 1000
) -> SeedCoverage:
    """Simulated studies of two networks with some seeds each on the same images.

    A network is right where a latent normal score is above zero: mean + the image's hardness, which both networks
    share + what this network thinks of the image + the seed's luck + noise. Means over any of them are closed.

    Args:
        seeds: of each network.
        images: on which all are scored.
        spread: standard deviation of the true accuracy over seeds, as a share.
        paired: whether the seeds are taken as pairs, though they have nothing in common.
        trials: simulated studies.
        resamples: of the bootstrap, from 8 seeds on.
    """
    generator = np.random.default_rng(seeds)
    over_images = np.sqrt(1 + HARDNESS**2 + TASTE**2)
    luck = spread * over_images / norm.pdf(0)
    truth = float(np.subtract(*norm.cdf(np.array(MEANS) / np.hypot(over_images, luck))))
    held = np.zeros(3)
    for trial in range(trials):
        hardness = generator.normal(0, HARDNESS, images)
        scores, here = [], []
        for mean in MEANS:
            image = mean + hardness + generator.normal(0, TASTE, images)
            latent = image + generator.normal(0, luck, (seeds, 1)) + generator.normal(0, 1, (seeds, images))
            scores.append((latent > 0).astype(float))
            here.append(float(norm.cdf(image / np.hypot(1, luck)).mean()))
        found = seed_difference(*scores, paired=paired, seed=trial, resamples=resamples)
        held += [
            _holds(found.on_these_images, here[0] - here[1]),
            _holds(found.interval, truth),
            _holds(found.on_these_images, truth),
        ]
    return SeedCoverage(*(float(share) for share in held / trials))


def _holds(interval: Interval | None, truth: float) -> bool:
    """A study that declines to give an interval does not hold the truth."""
    return interval is not None and interval.low <= truth <= interval.high


def worst_wilson(n: int) -> tuple[float, float]:
    """The lowest and highest coverage of Wilson's interval over p = 0.05, 0.051, …, 0.95."""
    found = [wilson_coverage(n, share) for share in np.arange(50, 951) / 1000]
    return min(found), max(found)


def image_table() -> list[list[str]]:
    """Rows (images, p, Wilson at p, paired bootstrap of p and p + 0.02) in percent."""
    return [
        [str(n), f"{share:g}", _percent(wilson_coverage(n, share)), _percent(paired_coverage(n, share, share + 0.02))]
        for n in IMAGES
        for share in SHARES
    ]


def seed_table(trials: int = 4000) -> list[list[str]]:
    """Rows (seeds, spread, pairing, then a `SeedCoverage`) in percent, for 1000 images."""
    return [
        [
            str(seeds),
            f"{100 * spread:g}",
            "paired" if paired else "unpaired",
            *map(_percent, seed_coverage(seeds, 1000, spread, paired=paired, trials=studies)),
        ]
        for seeds in (3, 5, 8)
        for spread in (0.005, 0.02)
        for paired in (True, False)
        for studies in [trials if seeds < HIERARCHICAL_SEEDS else trials // 8]
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells) + "\n"


def main() -> None:
    """Prints the tables as Markdown, each when it's done."""
    write = sys.stdout.write
    write(f"Coverage in percent; nominal {CONFIDENCE:.0%}.\n\n")
    header = ["images", "p or 1 - p", "Wilson", "paired bootstrap"]
    write(_lines(header, image_table()) + "\n")
    for n in IMAGES:
        low, high = worst_wilson(n)
        write(f"Wilson, {n} images, over p = 0.05, 0.051, ..., 0.95: {_percent(low)} to {_percent(high)}.\n")
    for share in (0.05, 0.5):
        write(
            f"Paired, 500 images, 10 draws each, p = {share:g}: {_percent(draws_coverage(500, share, trials=1000))}.\n"
        )
    header = ["seeds", "spread, points", "seeds are", "these images", "all images", "these, taken for all"]
    write("\n" + _lines(header, seed_table()))


if __name__ == "__main__":
    main()
