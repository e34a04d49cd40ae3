"""What all records are made of. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = "1"

Status = Literal["ok", "error"]
Role = Literal["clean", "attack", "control", "compute", "corruption"]
"""Only attacks count in the union: not controls (random noise), attacks on the compute and common corruptions."""

Precision = Literal["fp32", "bf16"]


class Record(BaseModel):
    """Base: unknown keys are refused, so a typo or a foreign file cannot pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ThreatRecord(Record):
    """A threat as written: `{norm: "linf", eps: "4/255", value: 0.0157}`."""

    norm: Literal["linf", "l2"]
    eps: str
    value: float

    def __str__(self) -> str:
        return f"{self.norm} {self.eps}"


class CorruptionRecord(Record):
    """A common corruption: `{name: "jpeg", severity: 3, source: "computed"}`."""

    name: str
    severity: int
    source: str = Field(description="'computed', or the SHA-256 of the file that its images are read from")

    def __str__(self) -> str:
        return f"corruption {self.name} {self.severity}"
