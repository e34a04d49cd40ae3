"""What a leaderboard says, for its page and as JSON."""

from __future__ import annotations

from pydantic import Field

from robustbench_aig.defence_names import JpegDefence
from robustbench_aig.recipes import Family
from robustbench_aig.records import Accuracy, DataRecord, Record, RecordedThreat
from robustbench_aig.threat import Threat

Attacks = tuple[frozenset[str], str | None]
"""Names of attacks, and the digest of their settings."""


class Images(Record):
    """Which images networks were evaluated on."""

    name: str
    split: str
    n: int
    digest: str = Field(description="over images and labels")

    @classmethod
    def of(cls, data: DataRecord) -> Images:
        """Those of a report."""
        return cls(name=data.name, split=data.split, n=data.n, digest=data.digest)


class Standing(Record):
    """Robust accuracy of a network under the worst of some attacks."""

    threat: RecordedThreat
    accuracy: Accuracy
    attacks: list[str] = Field(description="in the union")
    settings: str | None = Field(
        description="digest of their settings, their providers' versions and the number of draws; null in reports of "
        "early versions"
    )
    cascade: bool = Field(description="whether some of them skipped images that were lost before")
    adversarial_macs: float | None = Field(
        description="executed per image under the strongest attack; null where that skipped images"
    )
    report: str = Field(description="path of the report.json that it comes from")

    @property
    def met(self) -> Attacks:
        """What the network met: only what met the same can be compared."""
        return frozenset(self.attacks), self.settings


class Entry(Record):
    """A network under a gate policy: each number from the report in which its robust accuracy is lowest."""

    rank: int | None = Field(None, description="null where it is not ranked; equal accuracies share one")
    reason: str | None = Field(None, description="why it is not ranked")
    images: Images
    model: str
    recipe: str
    family: Family
    gate_policy: str
    defence: JpegDefence | None
    weights_digest: str
    stochastic: bool = Field(description="whether its answer to an image is drawn")
    clean: Accuracy | None
    clean_macs: float | None = Field(description="executed per clean image")
    checks: str = Field(description="what `aigrob check` said of it")
    claim: str | None = Field(description="verdict on whether it is more robust; null where that was not asked")
    standings: list[Standing]
    created: str
    report: str = Field(description="path of the report.json by which it is ranked")
    page: str = Field(description="path of what shows it: report.html where there is one")
    also: list[str] = Field(
        default_factory=list, description="other reports of the same, in which it has a higher robust accuracy"
    )

    lower: Standing | None = Field(
        None, description="its lowest robust accuracy under other attacks at the threat that ranks, where that is lower"
    )

    def at(self, threat: Threat | None) -> Standing | None:
        """Its robust accuracy at a threat, however that is spelled."""
        return next((one for one in self.standings if one.threat == threat), None)


class Group(Images):
    """Networks that can be compared: one threat, the same images and attacks, all deterministic or all stochastic."""

    stochastic: bool
    attacks: list[str] = Field(description="those of them that apply to a network attacked it")
    by: RecordedThreat = Field(description="threat at which they are compared, and sorted by robust accuracy")
    ranked: list[Entry]

    @property
    def images(self) -> Images:
        """Which images these are, as each of its networks has them."""
        return self.ranked[0].images

    @property
    def overlapping(self) -> int:
        """How many networks have an interval that overlaps that of the first."""
        first, *others = [one.accuracy for entry in self.ranked if (one := entry.at(self.by))]
        return sum(other.high >= first.low for other in others)


class Unread(Record):
    """A file of that name that is no report."""

    report: str
    reason: str


class Leaderboard(Record):
    """All reports below a directory."""

    groups: list[Group]
    unranked: list[Entry] = Field(description="each with the reason")
    unread: list[Unread]

    @property
    def first(self) -> list[Group]:
        """Of each set of images, the groups at the threat that most reports have."""
        by = {group.images: group.by for group in reversed(self.groups)}
        return [group for group in self.groups if group.by == by[group.images]]
