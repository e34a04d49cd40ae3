"""What a leaderboard says, for its page and as JSON."""

from __future__ import annotations

from pydantic import Field

from robustbench_aig.defence_names import JpegDefence
from robustbench_aig.recipes import Family
from robustbench_aig.records import Accuracy, Record, RecordedThreat
from robustbench_aig.threat import Threat


class Standing(Record):
    """Robust accuracy of a network under the worst of some attacks."""

    threat: RecordedThreat
    accuracy: Accuracy
    attacks: int = Field(description="in the union")
    cascade: bool = Field(description="whether some of them skipped images that were lost before")
    clean_macs: float | None = Field(description="executed per image, over those that the strongest attack was run on")
    adversarial_macs: float | None = Field(description="the same under that attack")


class Entry(Record):
    """A network under a gate policy, as one report has it."""

    rank: int | None = Field(None, description="null where it is not ranked; equal accuracies share one")
    reason: str | None = Field(None, description="why it is not ranked")
    model: str
    recipe: str
    family: Family
    gate_policy: str
    defence: JpegDefence | None
    weights_digest: str
    clean: Accuracy | None
    standings: list[Standing]
    created: str
    report: str = Field(description="path of its report.json")
    page: str = Field(description="path of what shows it: report.html where there is one")
    also: list[str] = Field(
        default_factory=list, description="other reports of the same, in which it has a higher robust accuracy"
    )

    def at(self, threat: Threat | None) -> Standing | None:
        """Its robust accuracy at a threat, however that is spelled."""
        return next((one for one in self.standings if one.threat == threat), None)


class Group(Record):
    """Entries that were measured on the same images."""

    name: str
    split: str
    n: int
    digest: str = Field(description="over images and labels")
    by: RecordedThreat | None = Field(description="what they are sorted by; null where nothing is ranked")
    threats: list[RecordedThreat]
    ranked: list[Entry]
    unranked: list[Entry]


class Unread(Record):
    """A file of that name that is no report."""

    report: str
    reason: str


class Leaderboard(Record):
    """All reports below a directory."""

    groups: list[Group]
    unread: list[Unread]
