"""Input defences: what is done to an image before a network sees it, as records and as they are typed. No torch."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from robustbench_aig.errors import InputError, did_you_mean

NO_DEFENCE = "none"
_USUAL = "jpeg:75"

Kind = Literal["jpeg"]
_KNOWN = (*get_args(Kind), NO_DEFENCE)


class JpegDefence(BaseModel):
    """Compression as JPEG, after Guo et al. (arXiv 1711.00117) and the paper of the gated network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "jpeg"
    quality: int = Field(ge=1, le=100, description="libjpeg's")

    def __str__(self) -> str:
        return f"jpeg:{self.quality}"


def defended_name(name: str, defence: str) -> str:
    """What a network behind a defence is called; its own name for `none`."""
    parsed = parse_defence(defence)
    return name if parsed is None else f"{name}+{parsed.kind}{parsed.quality}"


def parse_defence(text: str) -> JpegDefence | None:
    """Read `jpeg:75`; None for `none`.

    Raises:
        InputError: naming what is wrong and what to write instead.
    """
    name, colon, setting = text.strip().partition(":")
    if name not in _KNOWN:
        raise InputError(f"unknown defence '{text}': {did_you_mean(name, _KNOWN)} (write {_USUAL} or {NO_DEFENCE})")
    if name == NO_DEFENCE:
        if colon:
            raise InputError(f"defence '{text}': '{NO_DEFENCE}' has no settings; write {NO_DEFENCE} or {_USUAL}")
        return None
    # int() would take "+75", " 75" and "7_5" too, and one defence is to have one name.
    if not (setting.isascii() and setting.isdigit() and 1 <= int(setting) <= 100) or setting.startswith("0"):
        raise InputError(f"defence '{text}' needs a quality from 1 to 100, like {_USUAL}")
    return JpegDefence(quality=int(setting))
