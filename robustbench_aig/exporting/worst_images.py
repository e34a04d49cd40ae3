"""Each image as its worst attack left it: what another evaluation needs to see the same robust accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robustbench_aig.records import WorstCase
from robustbench_aig.reporting.evidence import Evidence, load_images
from robustbench_aig.reporting.union import members_of, worst


def worst_images(directory: Path, evidence: Evidence | None, of: WorstCase) -> NDArray[np.float32] | str:
    """Put together what the attacks of a worst case left of each image.

    Args:
        directory: of the report.
        evidence: in it; None where the report came without.
        of: the worst case of a network under its policy, at one threat.

    Returns:
        (N, C, H, W) in [0, 1], in the order of the test split; or why there is no such file.

    Raises:
        RunError: an image file or a table is damaged.
    """
    if evidence is None:
        return "the report came without its images"
    if of.status != "ok":
        return "an attack failed on some images"
    wanted = (of.model, of.gate_policy, of.threat)
    members = next(
        members
        for threat, members in members_of(evidence.plan)
        if (members[0].model, members[0].policy, threat) == wanted
    )
    rows = [evidence.rows[member.id].without_gates() for member in members]
    chosen, _ = worst(rows)
    ids = rows[0].image
    pixels = np.empty((ids.size, *evidence.plan.data.shape), np.float32)
    for index, member in enumerate(members):
        mine = chosen == index
        if not mine.any():
            continue
        kept = load_images(directory, member.id, evidence.plan.data.shape)
        if kept is None or not np.isin(ids[mine], kept.ids).all():
            return "not all of them were kept: attack again with --keep-images"
        pixels[mine] = kept.pixels[kept.positions(ids[mine])]
    return pixels
