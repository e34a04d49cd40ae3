"""The record of an evaluation: the plan written before, the report made after. No torch.

A report directory holds `plan.json` (what is measured, written first), `samples/<evaluation>.parquet` (one row per
image: the evidence), `names.parquet` (names of the images' files, where they have any),
`images/<evaluation>.safetensors` (a sample of the attacked images), `times.json` (seconds spent), `latency.json` and
`pace.json` (`Latency` and `Pace` of some evaluations), `checks/` (a `Checkup` for each network and policy) and
`report.json`, which is a function of the former.
"""

from robustbench_aig.records.base import (
    EXACT,
    SCHEMA_VERSION,
    CorruptionRecord,
    Draws,
    Precision,
    Record,
    Role,
    Status,
    ThreatRecord,
)
from robustbench_aig.records.checks import Checkup, FindingRecord
from robustbench_aig.records.claims import CheckState, Claim, ClaimVerdict, Measurement, Source
from robustbench_aig.records.comparison import Accuracies, Comparison, Ladder, Step
from robustbench_aig.records.compute import Clocked, Compute, ComputeSpread, Cost, Latency, Pace
from robustbench_aig.records.evaluation import Accuracy, CorruptionMean, Distance, Evaluation, WorstCase
from robustbench_aig.records.gates import (
    ClassPart,
    ClassShift,
    Dependence,
    Excess,
    ExplainedShare,
    GateDependence,
    GateMoves,
    Gates,
    GateShift,
    GateStratum,
    LargestFlips,
)
from robustbench_aig.records.networks import (
    AdversarialRecord,
    ForeignRecord,
    GateRecord,
    InitialWeights,
    MacsUnknown,
    ModelRecord,
    StaticPattern,
    TrainedOn,
    TrainingRecord,
    TrainingSpeed,
)
from robustbench_aig.records.plan import Asked, DataRecord, EvaluationPlan, Named, Plan, Rung
from robustbench_aig.records.report import Report, report_json_schema

__all__ = [
    "EXACT",
    "SCHEMA_VERSION",
    "Accuracies",
    "Accuracy",
    "AdversarialRecord",
    "Asked",
    "CheckState",
    "Checkup",
    "Claim",
    "ClaimVerdict",
    "ClassPart",
    "ClassShift",
    "Clocked",
    "Comparison",
    "Compute",
    "ComputeSpread",
    "CorruptionMean",
    "CorruptionRecord",
    "Cost",
    "DataRecord",
    "Dependence",
    "Distance",
    "Draws",
    "Evaluation",
    "EvaluationPlan",
    "Excess",
    "ExplainedShare",
    "FindingRecord",
    "ForeignRecord",
    "GateDependence",
    "GateMoves",
    "GateRecord",
    "GateShift",
    "GateStratum",
    "Gates",
    "InitialWeights",
    "Ladder",
    "LargestFlips",
    "Latency",
    "MacsUnknown",
    "Measurement",
    "ModelRecord",
    "Named",
    "Pace",
    "Plan",
    "Precision",
    "Record",
    "Report",
    "Role",
    "Rung",
    "Source",
    "StaticPattern",
    "Status",
    "Step",
    "ThreatRecord",
    "TrainedOn",
    "TrainingRecord",
    "TrainingSpeed",
    "WorstCase",
    "report_json_schema",
]
