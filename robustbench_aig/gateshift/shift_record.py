"""The whole record of one evaluation: every stratum, attacked and beside it under the controls."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_aig.gateshift import paths
from robustbench_aig.gateshift.arrays import Ints
from robustbench_aig.gateshift.explained import Ways, class_ways
from robustbench_aig.gateshift.measure import Moved, Version, beyond, compare
from robustbench_aig.gateshift.strata import Stratum, outcomes, strata
from robustbench_aig.records import GateStratum


@dataclass(frozen=True)
class Versions:
    """The same N images four times; None where a control didn't run."""

    clean: Version
    attacked: Version
    corners: Version | None
    permuted: Version | None


def moved_gates(label: Ints, of: Versions, classes: list[str]) -> list[GateStratum]:
    """How far an attack moved the gates of all images, of each outcome and of each class.

    What the change of class explains is of the fooled images alone: others aren't taken for another class, or were
    in no class of their own to begin with. Controls are projected on the attacked image's way, to be comparable.

    Args:
        label: (N,) true classes.
        of: the versions.
        classes: names of the labels.
    """
    clean, attacked = of.clean, of.attacked
    found = strata(
        label,
        clean.prediction,
        attacked.prediction,
        measured=clean.measured & attacked.measured,
        classes=classes,
    )
    moved = compare(clean, attacked)
    controls = [None if one is None else compare(clean, one) for one in (of.corners, of.permuted)]
    ways, before = _ways(label, of), paths.numbered(clean.decisions)
    return [_record(stratum, before, moved, controls, ways) for stratum in found]


def _ways(label: Ints, of: Versions) -> Ways | None:
    p = of.clean.pooled
    if p is None:
        return None
    fooled = outcomes(label, of.clean.prediction, of.attacked.prediction)["fooled"] & of.attacked.measured
    return class_ways(p, label, of.attacked.prediction, of=fooled, measured=of.clean.measured)


def _record(
    stratum: Stratum, before: Ints, moved: Moved, controls: list[Moved | None], ways: Ways | None
) -> GateStratum:
    images, per_gate = stratum.images, stratum.by != "class"
    attacked = moved.over(images, ways, per_gate=per_gate)
    assert attacked is not None
    corners, permuted = (None if one is None else one.over(images, ways, per_gate=per_gate) for one in controls)
    beyond_corners, beyond_permuted = (None if one is None else beyond(moved, one, images) for one in controls)
    clean = paths.count(before[images])
    return GateStratum(
        by=stratum.by,
        name=stratum.name,
        clean_paths=clean.distinct,
        clean_path_entropy=clean.entropy,
        attacked=attacked,
        corners=corners,
        permuted=permuted,
        beyond_corners=beyond_corners,
        beyond_permuted=beyond_permuted,
    )
