"""`report.json`. No torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from robustbench_aig.records.base import SCHEMA_VERSION, Record
from robustbench_aig.records.checks import Checkup
from robustbench_aig.records.claims import Claim
from robustbench_aig.records.comparison import CleanMatch, Comparison, Ladder
from robustbench_aig.records.evaluation import CorruptionMean, Evaluation, WorstCase, guessing
from robustbench_aig.records.networks import ModelRecord
from robustbench_aig.records.plan import Asked, DataRecord
from robustbench_aig.records.report_answers import Answer


class Report(Record):
    """`report.json`: every number a function of the sample table."""

    schema_version: str = SCHEMA_VERSION
    status: Literal["complete", "partial", "error"]
    created: str
    command: str
    seed: int
    digest: str
    environment: dict[str, Any]
    data: DataRecord
    models: list[ModelRecord]
    evaluations: list[Evaluation]
    worst_case: list[WorstCase]
    corruptions: list[CorruptionMean] = Field(default_factory=list)
    comparisons: list[Comparison]
    clean_matches: list[CleanMatch] = Field(
        default_factory=list, description="for gated networks with further plain ones beside their usual twins"
    )
    ladder: Ladder | None = None
    answers: list[Answer] = Field(
        default_factory=list, description="what is asked first of every gated recipe; empty in earlier reports"
    )
    checks: list[Checkup] = Field(default_factory=list, description="of networks of the report, under its policies")
    claims: list[Claim] = Field(default_factory=list)
    asked: Asked | None = Field(None, description="null where no command line asked for it, or an early version wrote")
    rules: Literal[1, 2] = Field(2, description="by which differences are told; 1: verdicts of schema version 1")
    commonest: float | None = Field(None, description="share of images in the largest class: what guessing is right on")
    rows_digest: str | None = Field(
        None,
        description="SHA-256 over the sample tables' digests in manifest.json: equal for equal rows. null where there "
        "is no manifest, as early versions wrote none: then nothing shows whether a table was changed",
    )

    @property
    def first_answers(self) -> list[Answer]:
        """Those of the first gated recipe."""
        return [one for one in self.answers if one.gated == self.answers[0].gated]

    @property
    def guessing(self) -> list[Evaluation]:
        """Evaluations on clean images not significantly better than always guessing the largest class."""
        return [] if self.commonest is None else guessing(self.evaluations, self.commonest)

    @property
    def several_gated(self) -> bool:
        """Whether claims are about more than one recipe, so that each has to name its networks."""
        return len({tuple(claim.gated) for claim in self.claims}) > 1


def report_json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `report.json`."""
    schema = Report.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
