"""What numbers over images and training seeds allow to say: intervals, tests, equivalence, power. No torch.

The unit is the image: every function over scores takes one per image, so draws of a random policy are averaged
before they come here. Shares and differences of shares lie in [0, 1] and [-1, 1]. Intervals are two-sided, 95 %,
where nothing else is said; docs/statistics.md says which method answers which question.
"""

from robustbench_aig.statistics.equivalence import EQUIVALENCE_CONFIDENCE, MARGIN, Equivalence, equivalence_of
from robustbench_aig.statistics.families import Family, holm
from robustbench_aig.statistics.few_seeds import cannot_carry
from robustbench_aig.statistics.guessing import commonest
from robustbench_aig.statistics.intervals import CONFIDENCE, Floats, Interval, clopper_pearson, wilson
from robustbench_aig.statistics.jackknife import jackknife
from robustbench_aig.statistics.means import largest_mean, mean_interval
from robustbench_aig.statistics.paired import mcnemar, paired_interval
from robustbench_aig.statistics.power import (
    LEVEL,
    POWER,
    connor_power,
    detectable_difference,
    fewest_images,
    images_needed,
    mcnemar_power,
)
from robustbench_aig.statistics.ratios import ratio_interval
from robustbench_aig.statistics.seeds import SeedDifference, seed_difference
from robustbench_aig.statistics.worst_attack import worst_of

__all__ = [
    "CONFIDENCE",
    "EQUIVALENCE_CONFIDENCE",
    "LEVEL",
    "MARGIN",
    "POWER",
    "Equivalence",
    "Family",
    "Floats",
    "Interval",
    "SeedDifference",
    "cannot_carry",
    "clopper_pearson",
    "commonest",
    "connor_power",
    "detectable_difference",
    "equivalence_of",
    "fewest_images",
    "holm",
    "images_needed",
    "jackknife",
    "largest_mean",
    "mcnemar",
    "mcnemar_power",
    "mean_interval",
    "paired_interval",
    "ratio_interval",
    "seed_difference",
    "wilson",
    "worst_of",
]
