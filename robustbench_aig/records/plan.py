"""What is to be measured, fixed before the first pass. No torch."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from robustbench_aig.records.base import (
    SCHEMA_VERSION,
    CorruptionRecord,
    Draws,
    FileName,
    Precision,
    Record,
    RecordedThreat,
    Role,
)
from robustbench_aig.records.networks import ModelRecord
from robustbench_aig.threat import Shape


class DataRecord(Record):
    """The images that were evaluated."""

    name: str
    split: str
    n: int = Field(description="images evaluated")
    available: int = Field(description="images in the split")
    shape: Shape = Field(description="channels, height, width")
    classes: list[str]
    digest: str = Field(description="SHA-256 over the evaluated images and labels")


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _GatesSetting(_Part):
    mode: str | None = None
    draws: int = 1


class _ObjectiveSetting(_Part):
    name: str | None = None


class _Settings(_Part):
    """What code reads of an attack's settings; the rest is for readers."""

    algorithm: str | None = None
    direction: str | None = None
    keep_prediction: bool = False
    gates: _GatesSetting = _GatesSetting()
    objective: _ObjectiveSetting = _ObjectiveSetting()


class EvaluationPlan(Record):
    """One measurement: a model under a gate policy, an attack and a threat."""

    id: FileName = Field(description="file name of its rows")
    model: str
    policy: str
    attack: str
    role: Role
    provider: str
    provider_version: str
    settings: dict[str, Any] = Field(default_factory=dict, description="the attack's resolved recipe")
    threat: RecordedThreat | None = None
    corruption: CorruptionRecord | None = None

    @field_validator("settings")
    @classmethod
    def _readable(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """As they were recorded, once what code reads of them is what it expects."""
        try:
            _Settings.model_validate(settings)
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        return settings

    @property
    def _read(self) -> _Settings:
        return _Settings.model_validate(self.settings)

    @property
    def algorithm(self) -> str:
        """The attack without its settings."""
        return self._read.algorithm or self.attack

    @property
    def gates_mode(self) -> str | None:
        """How its gradient treats gates; None for what has no gradient, and for attacks of other providers."""
        return self._read.gates.mode

    @property
    def gate_draws(self) -> int:
        """Draws of the gates that its gradient is a mean over."""
        return self._read.gates.draws

    @property
    def objective(self) -> str | None:
        """The name of what it raises; None as `gates_mode`."""
        return self._read.objective.name

    @property
    def raises_compute(self) -> bool:
        """Whether it is to raise the compute; where settings aren't known its name says so."""
        direction = self._read.direction or ("down" if "down" in self.attack else "up")
        return self.role == "compute" and direction == "up"

    @property
    def keeps_prediction(self) -> bool:
        """Whether it may change no predicted class; where settings aren't known its name says so."""
        return self._read.keep_prediction if self.settings else "kept" in self.attack


class Named(Record):
    """What a command line calls a network under evaluation: a run, or a factory of the user's."""

    run: str | None = Field(None, description="its name, or its directory")
    model: str | None = Field(None, description="package.module:function")
    weights: str | None = Field(None, description="file of the factory's weights")
    defence: str | None = None


class Asked(Record):
    """How networks and images were named, so that further commands find the same; decides no number."""

    runs: str = Field(description="folder that runs are looked for in")
    data: str | None = Field(None, description="null: where the runs say")
    images: str | None = Field(None, description="file that names some of the images")
    norm: str
    seed: int
    device: str
    networks: dict[str, Named] = Field(description="by the names that the evaluation calls them")


class Rung(Record):
    """One member of the ablation: a model under a gate policy."""

    key: str = Field(description="R0, R0', R1, …")
    title: str
    model: str | None = Field(description="null where the control has not been trained")
    policy: str
    note: str | None = Field(None, description="why it is missing, or how its training differs")
    needed: bool = Field(True, description="false for R0' where R0 itself is nearest in compute")


class Plan(Record):
    """What is measured, fixed before the first pass: the digest covers all that decides the numbers."""

    schema_version: str = SCHEMA_VERSION
    created: str
    command: str
    seed: int
    digest: str
    chunk: int = Field(description="images per unit of work")
    draws: Draws = Field(
        description="scoring draws per image of a random policy; 'exact': every pattern of the gates counts by its "
        "probability"
    )
    cascade: bool = Field(
        False, description="attacks skip images that an earlier attack has broken, in the plan's order"
    )
    precision: Precision = Field("fp32", description="in which our own attacks work; what they say is judged in fp32")
    environment: dict[str, Any]
    data: DataRecord
    models: list[ModelRecord]
    evaluations: list[EvaluationPlan]
    ladder: list[Rung] = Field(default_factory=list, description="empty without an ablation (--ladder)")
    asked: Asked | None = Field(None, description="null where no command line asked for it, or an early version wrote")

    @property
    def chunks(self) -> int:
        """Units of work of each evaluation."""
        return -(-self.data.n // self.chunk)

    def size_of(self, chunk: int) -> int:
        """Images of the chunk of that number; 0 past the last one."""
        return max(0, min(self.chunk, self.data.n - chunk * self.chunk))
