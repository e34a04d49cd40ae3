"""What a reader should know of how networks that aren't ours were taken."""

from __future__ import annotations

from robustbench_aig.records import ModelRecord


def remarks(model: ModelRecord) -> list[str]:
    """Sentences on what the trial of a foreign network showed; none where nothing is unusual."""
    foreign = model.foreign
    if foreign is None:
        return []
    found = {
        "writes into the images that it is given; it gets copies": foreign.in_place,
        "cannot answer for one image alone, which therefore goes in twice": foreign.paired,
        f"takes images in {foreign.dtype}; its logits are judged in float32": foreign.dtype != "float32",
        "answers twice differently by dice of its own: it is judged by draws, as random gates are": foreign.restless,
        f"lets no gradient through to the images ({foreign.unattackable})": foreign.unattackable is not None,
    }
    return [f"{model.name} {words}" for words, holds in found.items() if holds]
