"""What a reader should know of how networks that aren't ours were taken."""

from __future__ import annotations

from robustbench_aig.records import ModelRecord


def remarks(model: ModelRecord) -> list[str]:
    """Sentences on what the trial of a foreign network showed; none where nothing is unusual."""
    foreign = model.foreign
    unknown = {
        "differs": "runs different numbers of multiply-accumulates for different images with all its gates open",
        "uncounted": "runs an operation whose multiply-accumulates nobody knows",
        "unnamed": "makes decisions that no blocks are named for",
        None: "",
    }[model.macs_unknown]
    if foreign is None:
        return []
    still = f"gate{'s' if len(foreign.still) > 1 else ''} {', '.join(map(str, foreign.still))}"
    found = {
        "writes into the images that it is given; it gets copies": foreign.in_place,
        "cannot answer for one image alone, which therefore goes in twice": foreign.paired,
        f"takes images in {foreign.dtype}; its logits are judged in float32": foreign.dtype != "float32",
        "answers twice differently by dice of its own: it is judged by draws, as random gates are": foreign.restless,
        f"{unknown}: its compute is unknown, and not attacked": model.macs_unknown is not None,
        "rounds decisions between 0 and 1: no gate of it can be soft, neither judged nor attacked so": not model.soft,
        f"decides alike for all images of its trial at {still}, and no gradient of that reaches them": bool(
            foreign.still
        ),
        f"lets no gradient through to the images ({foreign.unattackable})": foreign.unattackable is not None,
    }
    return [f"{model.name} {words}" for words, holds in found.items() if holds]
