"""What a reader should know about networks that are not ours, and about the evidence."""

from __future__ import annotations

from robustbench_aig.records import HubRecord, ModelRecord

UNVERIFIED = (
    "The sample tables could not be verified, since the report directory has no manifest.json; versions before 0.2 "
    "wrote none"
)


def remarks(model: ModelRecord) -> list[str]:
    """Sentences on what the trial of a foreign network showed; none where nothing is unusual."""
    foreign = model.foreign
    unknown = {
        "differs": "executes more multiply-accumulates for some images than for others although all its gates are open",
        "uncounted": "executes an operation whose multiply-accumulates are unknown",
        "unnamed": "makes decisions, but no blocks are named for them",
        None: "",
    }[model.macs_unknown]
    if foreign is None:
        return []
    still = f"gate{'s' if len(foreign.still) > 1 else ''} {', '.join(map(str, foreign.still))}"
    found = {
        "writes into the images that it gets, so it gets copies": foreign.in_place,
        "cannot classify a batch of one image, so such an image is passed twice": foreign.paired,
        f"takes images in {foreign.dtype}; its logits are judged in float32": foreign.dtype != "float32",
        "is random by itself, so it is scored over several draws, like stochastic gates": foreign.restless,
        f"{unknown}, so its compute is unknown and not attacked": model.macs_unknown is not None,
        "rounds decisions between 0 and 1, so neither scoring nor attacks can use soft gates": not model.soft,
        f"made the same decision for all images of its trial at {still}, and these decisions have no gradient": bool(
            foreign.still
        ),
        f"passes no gradient to the images ({foreign.unattackable})": foreign.unattackable is not None,
    }
    told = [words for words, holds in found.items() if holds]
    return [f"{model.name} {words}" for words in [*_of_hub(foreign.hub), *told]]


def _of_hub(hub: HubRecord | None) -> list[str]:
    """How images are normalised for a network of a hub, and whether that is known."""
    if hub is None:
        return []
    if hub.mean is None or hub.std is None:
        return ["gets images in [0, 1]: its hub says no normalisation; if it needs one, write a function that adds it"]
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (hub.mean, hub.std))
    size = f", and was trained on images of {'×'.join(map(str, hub.image))}" if hub.image else ""
    return [f"gets images normalised by mean {mean} and std {std}, as its hub says{size}"]
