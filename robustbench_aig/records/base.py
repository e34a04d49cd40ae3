"""What all records are made of. No torch."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetPydanticSchema
from pydantic_core import CoreSchema, core_schema

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


class WrittenThreat(Record):
    """A threat in a file: `{norm: "linf", eps: "4/255", value: 0.0157}`."""

    norm: Norm
    eps: str
    value: float


def _read(written: WrittenThreat) -> Threat:
    try:
        return Threat.parse(written.eps, written.norm)
    except ThreatError as error:
        raise ValueError(str(error)) from None


def _write(threat: Threat) -> WrittenThreat:
    return WrittenThreat(norm=threat.norm, eps=threat.eps, value=threat.value)


def _between(_: object, schema_of: GetCoreSchemaHandler) -> CoreSchema:
    written = schema_of.generate_schema(WrittenThreat)
    read = core_schema.no_info_after_validator_function(_read, written)
    return core_schema.json_or_python_schema(
        json_schema=read,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(Threat), read]),
        serialization=core_schema.plain_serializer_function_ser_schema(_write, return_schema=written),
    )


RecordedThreat = Annotated[Threat, GetPydanticSchema(_between)]
"""A threat, which a file holds as `WrittenThreat`: read and written here, and nowhere else."""


class CorruptionRecord(Record):
    """A common corruption: `{name: "jpeg", severity: 3, source: "computed"}`."""

    name: str
    severity: int
    source: str = Field(description="'computed', or the SHA-256 of the file that its images are read from")

    def __str__(self) -> str:
        return f"corruption {self.name} {self.severity}"
