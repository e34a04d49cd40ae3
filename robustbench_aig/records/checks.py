"""What the checks of one run found. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from robustbench_aig.records.base import Record, RecordedThreat
from robustbench_aig.records.plan import DataRecord


class FindingRecord(Record):
    """The answer of one check."""

    check: str
    title: str
    status: Literal["pass", "warn", "fail", "n/a"]
    value: float | None = Field(description="share of images that show the defect; null: nothing could be asked")
    low: float = Field(description="exact 95 % interval of the true share")
    high: float
    count: int = Field(description="images that show it")
    n: int = Field(description="images that were looked at")
    unit: Literal["images", "gates"] = Field("images", description="what is counted instead, where it isn't images")
    needs: int = Field(description="the fewest images that a pass needs")
    threshold: str = Field(description="the rule, in words")
    evidence: str
    numbers: dict[str, float] = Field(description="what was seen, by name")
    advice: str
    seconds: float

    @property
    def too_few(self) -> bool:
        """Whether it's images that an answer lacks."""
        return self.status == "n/a" and self.n > 0


class Checkup(Record):
    """The document that `aigrob check --json` prints."""

    schema_version: Literal["1"] = "1"
    created: str
    command: str
    run: str
    weights_digest: str | None = Field(None, description="of the network that was checked")
    policy: str = Field(description="of the gates; none: the network has none")
    attack: str = Field(description="that is examined")
    threat: RecordedThreat
    chosen_threat: bool = Field(description="it was chosen so that robust accuracy is about one half")
    others: list[str] = Field(description="networks that attacks were transferred from")
    data: DataRecord
    seed: int
    quick: bool
    findings: list[FindingRecord]

    def named(self, status: str) -> list[str]:
        """The checks that ended so."""
        return [finding.check for finding in self.findings if finding.status == status]
