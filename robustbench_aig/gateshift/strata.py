"""The images that belong together: all, by what came of them, and by class."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from robustbench_aig.gateshift.arrays import Bools, Ints


class Stratum(NamedTuple):
    """Some images (N,) out of N, at least one."""

    by: Literal["all", "outcome", "class"]
    name: str
    images: Bools


def outcomes(label: Ints, clean: Ints, attacked: Ints) -> dict[str, Bools]:
    """What came of images, by the class (N,) that most scoring draws voted for, clean and attacked.

    "fooled": right, then wrong; "held": right both times; "already wrong": whatever the attack made of it.
    """
    right, stays = clean == label, attacked == label
    return {"fooled": right & ~stays, "held": right & stays, "already wrong": ~right}


def strata(label: Ints, clean: Ints, attacked: Ints, *, measured: Bools, classes: list[str]) -> list[Stratum]:
    """All images that were measured, those of each outcome and those of each true class; what is empty is left out.

    Args:
        label: (N,) true classes.
        clean: (N,) predictions, clean.
        attacked: (N,) predictions, attacked.
        measured: (N,).
        classes: names of the labels.
    """
    found = [
        Stratum("all", "all", measured),
        *(Stratum("outcome", name, of & measured) for name, of in outcomes(label, clean, attacked).items()),
        *(Stratum("class", classes[c], measured & (label == c)) for c in np.unique(label[measured])),
    ]
    return [stratum for stratum in found if stratum.images.any()]
