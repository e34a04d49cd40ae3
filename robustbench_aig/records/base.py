"""What all records are made of. No torch."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from robustbench_aig.errors import ThreatError
from robustbench_aig.files import safe_name
from robustbench_aig.threat import Norm, Threat

SCHEMA_VERSION = "2"

Status = Literal["ok", "error"]
Role = Literal["clean", "attack", "control", "compute", "corruption"]
"""Only attacks count in the union: not controls (random noise), attacks on the compute and common corruptions."""

Precision = Literal["fp32", "bf16"]

EXACT: Final = "exact"
Draws = int | Literal["exact"]
"""How a random policy is judged: by so many draws of it, or by every pattern of its gates with its probability."""


def _leads_nowhere_else(name: str) -> str:
    if safe_name(name) != name:
        raise ValueError(f"'{name}' is no name of a file: letters, digits and ._,=+- only, and a letter or digit first")
    return name


FileName = Annotated[str, AfterValidator(_leads_nowhere_else)]
"""A name that files are given, and that may come from a stranger's file: it never leads out of a folder."""


class Record(BaseModel):
    """Base: unknown keys are refused, so a typo or a foreign file cannot pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ThreatRecord(Record):
    """A threat as written: `{norm: "linf", eps: "4/255", value: 0.0157}`."""

    norm: Norm
    eps: str
    value: float

    @classmethod
    def of(cls, threat: Threat) -> ThreatRecord:
        """The record of a threat."""
        return cls(norm=threat.norm, eps=threat.text, value=threat.value)

    @model_validator(mode="after")
    def _meant(self) -> Self:
        try:
            _ = self.threat
        except ThreatError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def threat(self) -> Threat:
        """The threat itself, exact."""
        return _threat(self.eps, self.norm)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same ball, however it is spelled."""
        return isinstance(other, ThreatRecord) and self.threat.key == other.threat.key

    def __hash__(self) -> int:
        return hash(self.threat.key)

    def __str__(self) -> str:
        return f"{self.norm} {self.eps}"


class CorruptionRecord(Record):
    """A common corruption: `{name: "jpeg", severity: 3, source: "computed"}`."""

    name: str
    severity: int
    source: str = Field(description="'computed', or the SHA-256 of the file that its images are read from")

    def __str__(self) -> str:
        return f"corruption {self.name} {self.severity}"


@cache
def _threat(eps: str, norm: Norm) -> Threat:
    """Read once, however often a record is asked."""
    return Threat.parse(eps, norm)
