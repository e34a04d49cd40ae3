"""How often the intervals hold the truth: counted over all outcomes where that can be done, drawn where it cannot.

`python -m tools.interval_coverage` prints the tables of docs/statistics.md; they take some minutes.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import binom, norm

from robustbench_aig.statistics.intervals import CONFIDENCE, Floats, Interval, wilson
from robustbench_aig.statistics.means import mean_interval
from robustbench_aig.statistics.paired import paired_interval
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


def paired_coverage(n: int, first: float, second: float) -> float:
    """How likely the paired interval holds the true difference of two networks on n images.

    Args:
        n: images.
        first: true accuracy of one network, in (0, 1).
        second: of the other; whether they are right correlates with `CORRELATION`.
    """
    both = first * second + CORRELATION * np.sqrt(first * (1 - first) * second * (1 - second))
    return discordant_coverage(n, first - both, second - both)


def discordant_coverage(n: int, only_first: float, only_second: float, *, confidence: float = CONFIDENCE) -> float:
    """The same where two networks alone get some share of all images right.

    A sum over all numbers of images that one network alone gets right, but for outcomes rarer than 1e-7.

    Args:
        n: images.
        only_first: true share of images that the first network alone gets right.
        only_second: that the second does; together above 0 and at most 1.
        confidence: of the interval.
    """
    held = total = 0.0
    for first, second, likely in _outcomes(n, only_first, only_second):
        low, high = paired_interval(first, second, n, confidence=confidence)
        total += likely
        held += likely * (low - 1e-12 <= only_first - only_second <= high + 1e-12)
    return held / total


def worst_paired(n: int, *, confidence: float = CONFIDENCE) -> float:
    """The lowest coverage of the paired interval over a grid of shares, the denser the nearer to 0 and to 1.

    Most grids miss where it is lowest: where one network alone gets nearly all, or hardly any, of the images right.
    """
    few = np.array([0.0, 0.1, 0.2, 0.35, 0.5, 0.8, 1.2, 2.0, 3.5, 6.0]) / n
    shares = np.linspace(0.05, 0.95, 10)
    pairs = itertools.chain(
        itertools.product([*few, *shares], repeat=2), ((1 - one - other, one) for one in few for other in few)
    )
    grid = [(one, other) for one, other in pairs if 0 <= other <= one and 0 < one + other <= 1]
    return min(discordant_coverage(n, float(one), float(other), confidence=confidence) for one, other in grid)


def _outcomes(n: int, only_first: float, only_second: float) -> Iterator[tuple[int, int, float]]:
    """Counts of a trinomial distribution and how likely they are, but for the rarest."""
    pairs = np.arange(n + 1)
    for count, likely in zip(pairs, binom.pmf(pairs, n, min(1.0, only_first + only_second)), strict=True):
        if likely > _RARE:
            split = likely * binom.pmf(pairs[: count + 1], count, only_first / (only_first + only_second))
            for one in np.flatnonzero(split > _RARE):
                yield int(one), int(count - one), float(split[one])


SCORES: Final = ("alike", "hard", "rare losses", "small gains")
"""Kinds of scores of `draws_coverage`."""


def draws_coverage(n: int, kind: str, *, trials: int, draws: int = 10) -> float:
    """How often the interval of a mean holds the true difference where images are judged by some draws: simulated.

    Args:
        n: images.
        kind: "alike": half of all draws are right, on most images all or none, and 0.9 times as many of the other
            network's. "hard": the same with a tenth. "rare losses": it gains one draw on nearly all images and loses
            three in a hundred wholly, so that few images show gains alone. "small gains": one image in twenty gains a
            draw, and none loses.
        trials: simulated studies.
        draws: for each image and network.
    """
    generator = np.random.default_rng(0)
    truth = {"alike": 0.05, "hard": 0.01, "rare losses": 0.97 / draws - 0.03, "small gains": 0.05 / draws}[kind]
    held = 0
    for _ in range(trials):
        low, high = mean_interval(_scores(kind, n, draws, generator), bounds=(-1.0, 1.0))
        held += low <= truth <= high
    return held / trials


def _scores(kind: str, n: int, draws: int, generator: np.random.Generator) -> Floats:
    """(n,) differences of shares of draws, of a kind of `SCORES`."""
    if kind in {"alike", "hard"}:
        share = 0.5 if kind == "alike" else 0.1
        right = generator.beta(share, 1 - share, n)
        return np.asarray((generator.binomial(draws, right) - generator.binomial(draws, 0.9 * right)) / draws)
    if kind == "rare losses":
        return np.where(generator.random(n) < 0.03, -1.0, 1 / draws)
    return np.where(generator.random(n) < 0.05, 1 / draws, 0.0)


class SeedCoverage(NamedTuple):
    """How often an interval over seeds holds the true difference.

    Attributes:
        these_images: `on_these_images`, of the true difference on the images of the study.
        all_images: `interval`, of the true difference over all images.
        close: the same, in the quarter of the studies in which the seeds' means lie closest together.
        without_images: `on_these_images`, of the true difference over all images, which it does not promise.
    """

    these_images: float
    all_images: float
    close: float
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
    held, apart = np.zeros((trials, 3)), np.zeros(trials)
    for trial in range(trials):
        hardness = generator.normal(0, HARDNESS, images)
        scores, here = [], []
        for mean in MEANS:
            image = mean + hardness + generator.normal(0, TASTE, images)
            latent = image + generator.normal(0, luck, (seeds, 1)) + generator.normal(0, 1, (seeds, images))
            scores.append((latent > 0).astype(float))
            here.append(float(norm.cdf(image / np.hypot(1, luck)).mean()))
        found = seed_difference(*scores, paired=paired, seed=trial, resamples=resamples)
        held[trial] = (
            _holds(found.on_these_images, here[0] - here[1]),
            _holds(found.interval, truth),
            _holds(found.on_these_images, truth),
        )
        apart[trial] = np.ptp(found.on_these_images) if found.on_these_images else 0.0
    here_held, all_held, without = held.mean(axis=0)
    closest = held[np.argsort(apart)[: trials // 4], 1]
    return SeedCoverage(float(here_held), float(all_held), float(closest.mean()), float(without))


def _holds(interval: Interval | None, truth: float) -> bool:
    """A study that declines to give an interval does not hold the truth."""
    return interval is not None and interval.low <= truth <= interval.high


def worst_wilson(n: int) -> tuple[float, float]:
    """The lowest and highest coverage of Wilson's interval over p = 0.05, 0.051, …, 0.95."""
    found = [wilson_coverage(n, share) for share in np.arange(50, 951) / 1000]
    return min(found), max(found)


def image_table() -> list[list[str]]:
    """Rows (images, p, Wilson at p, paired interval of p and p + 0.02) in percent."""
    return [
        [str(n), f"{share:g}", _percent(wilson_coverage(n, share)), _percent(paired_coverage(n, share, share + 0.02))]
        for n in IMAGES
        for share in SHARES
    ]


def worst_table() -> list[list[str]]:
    """Rows (images, confidence, lowest coverage of the paired interval) in percent."""
    return [
        [str(n), _percent(confidence), _percent(worst_paired(n, confidence=confidence))]
        for n in (5, 10, 20, 50, 100, 200)
        for confidence in (0.9, CONFIDENCE, 0.99, 0.999)
    ]


def draws_table(trials: int = 10_000) -> list[list[str]]:
    """Rows (images, then the coverage for each of `SCORES`) in percent."""
    return [
        [str(n), *(_percent(draws_coverage(n, kind, trials=trials)) for kind in SCORES)]
        for n in (10, 20, 50, 100, 500, 2000)
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
        for spread in (0.0, 0.005, 0.02)
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
    header = ["images", "p or 1 - p", "Wilson", "paired"]
    write(_lines(header, image_table()) + "\n")
    for n in IMAGES:
        low, high = worst_wilson(n)
        write(f"Wilson, {n} images, over p = 0.05, 0.051, ..., 0.95: {_percent(low)} to {_percent(high)}.\n")
    write("\n" + _lines(["images", "nominal", "paired, lowest"], worst_table()))
    write("\n" + _lines(["images, 10 draws each", *SCORES], draws_table()))
    header = [
        "seeds",
        "spread, points",
        "seeds are",
        "these images",
        "all images",
        "close means",
        "these, taken for all",
    ]
    write("\n" + _lines(header, seed_table()))


if __name__ == "__main__":
    main()
