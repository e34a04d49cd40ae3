"""What training seeds say together, where there are enough of them; one pair of networks would be picked from many."""

from __future__ import annotations

from collections.abc import Collection

from robustbench_aig.records import Claim, Measurement, Report, WorstCase
from robustbench_aig.reporting.words import SAME, around, differs, gates_text, percent, signed, threat_text
from robustbench_aig.statistics.seeds import FEWEST_SEEDS


def over_seeds(report: Report) -> list[str]:
    """A sentence on gated against plain networks for every policy and strength that three seeds of both have met.

    The difference and its interval are the claim's: over further seeds, and where both are not equally accurate
    clean, among the images that all of them get right.
    """
    claims = (claim for claim in report.claims if claim.id == "more-robust")
    several = [claim for claim in claims if min(len(claim.gated), len(claim.plain)) >= FEWEST_SEEDS]
    return [_sentence(report, claim, one) for claim in several for one in claim.measurements if one.threat]


def _sentence(report: Report, claim: Claim, one: Measurement) -> str:
    met = [worst for worst in report.worst_case if worst.threat == one.threat]
    gated = [w for w in met if w.model in claim.gated and w.gate_policy == claim.gate_policy]
    plain = [w for w in met if w.model in claim.plain]
    named = f" ({', '.join(claim.gated)})" if report.several_gated else ""
    who = f"gated networks with {gates_text(str(claim.gate_policy))}{named}"
    # The two accuracies are over all images: a difference over others must not stand beside them unsaid.
    others = f"; on the {one.n} images that all of them classify right when clean, the difference is"
    leads = ": difference" if one.n == report.data.n else others
    failed = any(w.status != "ok" for w in gated + plain)
    word = (
        f"significantly higher for the {'gated' if one.value > 0 else 'plain'} networks"
        if differs(one.low, one.high)
        else SAME
    )
    end = "failed images count as misclassified, so this is no verdict" if failed else word
    return (
        f"At {threat_text(one.threat)}, over {min(len(claim.gated), len(claim.plain))} training seeds, {who} have "
        f"a mean robust accuracy of {_mean(gated)}, plain ones {_mean(plain)}{leads} {signed(one.value)} points "
        f"{around(one.low, one.high)}, {end}."
    )


def _mean(worst: Collection[WorstCase]) -> str:
    """Of the unions' accuracies."""
    return percent(sum(w.accuracy.value for w in worst) / len(worst))
