"""Many reports in one table: who is ranked where, and who is not."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from robustbench_aig.defence_names import parse_defence
from robustbench_aig.errors import InputError
from robustbench_aig.records import Report, WorstCase
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import aggregate
from robustbench_aig.reporting.leaderboard import Leaderboard, board_csv, board_markdown, board_page, leaderboard
from robustbench_aig.reporting.leaderboard.records import Entry
from robustbench_aig.threat import Threat
from tests.reporting.synthetic import Study, cascaded, corrupted, make_study


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return aggregate(make_study().write(tmp_path_factory.mktemp("evidence"), images=False))


def put(report: Report, directory: Path, **changes: Any) -> Report:
    """A changed copy of a report in a folder of its own."""
    directory.mkdir(parents=True)
    changed = report.model_copy(update=changes)
    (directory / "report.json").write_text(changed.model_dump_json())
    return changed


def valued(worst: WorstCase, value: float) -> dict[str, Any]:
    """The change after which a worst case has another robust accuracy."""
    return {"accuracy": worst.accuracy.model_copy(update={"value": value})}


def keeping(report: Report, value: float, policy: str = "argmax", **changes: Any) -> dict[str, Any]:
    """Changes after which a policy keeps a share in every worst case."""
    worst = [
        w.model_copy(update=valued(w, value) | changes) if w.gate_policy == policy else w for w in report.worst_case
    ]
    return {"worst_case": worst}


def other_images(report: Report, **changes: Any) -> dict[str, Any]:
    return {"data": report.data.model_copy(update={"digest": "99" * 32, **changes})}


def other_weights(report: Report) -> dict[str, Any]:
    return {"models": [m.model_copy(update={"weights_digest": f"{i}" * 64}) for i, m in enumerate(report.models)]}


def attacked_by(report: Report, *attacks: str) -> dict[str, Any]:
    """Changes after which the worst cases are over other attacks."""
    return {"worst_case": [w.model_copy(update={"attacks": list(attacks)}) for w in report.worst_case]}


def order(board: Leaderboard, group: int = 0) -> list[tuple[int | None, str, str]]:
    return [(entry.rank, entry.gate_policy, entry.report) for entry in board.groups[group].ranked]


def ranked(board: Leaderboard) -> list[Entry]:
    """At the threat that comes first."""
    return [entry for group in board.first for entry in group.ranked]


def test_sorted_by_the_worst_case(report: Report, tmp_path: Path) -> None:
    """The networks whose answers are drawn by themselves."""
    put(report, tmp_path / "one")
    groups = leaderboard(tmp_path, Threat.parse("8/255")).groups
    values = {w.gate_policy: w.accuracy.value for w in report.worst_case if w.threat.eps == "8/255"}
    assert [group.stochastic for group in groups] == [False, True]
    assert {entry.gate_policy for entry in groups[1].ranked} == {"sampled"}
    for group in groups:
        policies = [entry.gate_policy for entry in group.ranked]
        assert policies == sorted(policies, key=lambda policy: -values[policy])
        assert [entry.rank for entry in group.ranked] == [*range(1, len(policies) + 1)]
        for entry in group.ranked:
            standing = entry.at(group.by)
            assert standing
            assert standing.accuracy.value == values[entry.gate_policy]
            assert (sorted(standing.attacks), standing.cascade) == (group.attacks, False)


def test_networks_under_other_attacks_are_never_ranked_together(report: Report, tmp_path: Path) -> None:
    """Whoever is attacked by more is not below whoever is attacked by fewer; but the lower bound is named."""
    names = sorted(f"attack {i}" for i in range(11))
    put(report, tmp_path / "six", **attacked_by(report, *names[:6]))
    low = report.model_copy(update=keeping(report, 0.01, policy="none"))
    put(low, tmp_path / "eleven", **attacked_by(low, *names))
    put(low, tmp_path / "others", **attacked_by(low, *names), **other_weights(report))
    groups = [group for group in leaderboard(tmp_path).first if not group.stochastic]
    assert [(len(group.attacks), len(group.ranked)) for group in groups] == [(11, 4), (6, 2)]
    for group in groups:
        assert all(standing.attacks == group.attacks for entry in group.ranked for standing in entry.standings)
    (plain,) = [entry for entry in groups[1].ranked if entry.gate_policy == "none"]
    assert plain.lower
    assert (plain.lower.accuracy.value, plain.lower.report) == (0.01, "eleven/report.json")
    assert all(entry.lower is None for entry in groups[0].ranked)
    page = board_page(leaderboard(tmp_path))
    assert "deterministic networks, 11 attacks" in page
    assert "under another list of attacks, of which 11 apply to it, in eleven." in page


def test_attacks_of_one_name_that_were_set_otherwise_are_others(report: Report, tmp_path: Path) -> None:
    """A file pgd.toml of somebody's own is called pgd, too."""
    other = {"settings_digest": "9" * 64}
    weaker = [e.model_copy(update=other) if e.attack == "pgd" else e for e in report.evaluations]
    put(report, tmp_path / "ours")
    put(report, tmp_path / "theirs", evaluations=weaker, **other_weights(report))
    put(report, tmp_path / "early", evaluations=[e.model_copy(update={"settings_digest": None}) for e in weaker])
    for group in leaderboard(tmp_path).groups:
        assert len({entry.report for entry in group.ranked}) == 1


def test_two_networks_of_a_kind_that_met_other_attacks_are_not_ranked_together(report: Report, tmp_path: Path) -> None:
    """As in a report with transfer, where nobody is the source of attacks on itself."""
    (plain,) = [m for m in report.models if m.family == "plain"]
    twin = plain.model_copy(update={"name": "twin", "weights_digest": "7" * 64})
    own = [w for w in report.worst_case if w.model == plain.name]
    also = [w.model_copy(update={"model": "twin", "attacks": [*w.attacks, "transfer:source=x"]}) for w in own]
    more = [e.model_copy(update={"model": "twin"}) for e in report.evaluations if e.model == plain.name]
    put(
        report,
        tmp_path / "one",
        models=[*report.models, twin],
        worst_case=[*report.worst_case, *also],
        evaluations=[*report.evaluations, *more],
    )
    for group in leaderboard(tmp_path).groups:
        assert not {plain.name, "twin"} <= {entry.model for entry in group.ranked}


def test_one_network_under_one_list_has_one_number_in_all_groups(report: Report, tmp_path: Path) -> None:
    """The plain network of two reports whose gated ones met other attacks."""
    for name, attack, value in (("a", "g1", 0.5), ("b", "g2", 0.3)):
        worst = [
            w.model_copy(update=valued(w, value) if w.gate_policy == "none" else {"attacks": [*w.attacks, attack]})
            for w in report.worst_case
        ]
        put(report, tmp_path / name, worst_case=worst)
    plain = [entry for entry in ranked(leaderboard(tmp_path)) if entry.family == "plain"]
    assert len(plain) == 2
    for entry in plain:
        assert entry.lower is None
        assert {(one.accuracy.value, one.report) for one in entry.standings} == {(0.3, "b/report.json")}


def test_a_check_that_failed_anywhere_is_told(report: Report, tmp_path: Path) -> None:
    reference = load_report(Path(__file__).parents[2] / "reports" / "reference" / "depth20-claims")
    first = reference.checks[0]
    failed = first.findings[0].model_copy(update={"status": "fail"})
    worse = first.model_copy(update={"findings": [failed, *first.findings[1:]]})
    put(reference, tmp_path / "a")
    put(reference, tmp_path / "b", checks=[worse, *reference.checks[1:]])
    told = {(e.model, e.gate_policy): e.checks for e in ranked(leaderboard(tmp_path))}
    assert told[first.run, first.policy] == f"failed: {failed.check}"


def test_attacks_on_gates_do_not_part_a_gated_network_from_its_twin(report: Report, tmp_path: Path) -> None:
    """A report of the plain network alone joins one in which it met the same, whatever the gated one met there."""
    worst = [
        w.model_copy(update={"attacks": ["fgsm", "pgd", *(["gates"] if w.gate_policy != "none" else [])]})
        for w in report.worst_case
    ]
    put(report, tmp_path / "both", worst_case=worst)
    plain = [w for w in worst if w.gate_policy == "none"]
    put(report, tmp_path / "plain", worst_case=plain, **other_weights(report))
    board = leaderboard(tmp_path)
    (group, _) = board.first
    assert {entry.report for entry in group.ranked if entry.gate_policy == "none"} == {
        "both/report.json",
        "plain/report.json",
    }
    assert {entry.gate_policy for entry in group.ranked} == {"none", "argmax"}
    assert len(board.unranked) == 2


def test_each_number_comes_from_the_report_in_which_it_is_lowest(report: Report, tmp_path: Path) -> None:
    small, large = (Threat.parse(eps) for eps in ("4/255", "8/255"))
    for name, threat in (("a", small), ("b", large)):
        worst = [w.model_copy(update=valued(w, 0.01 if w.threat == threat else 0.9)) for w in report.worst_case]
        put(report, tmp_path / name, worst_case=worst)
    for entry in ranked(leaderboard(tmp_path)):
        for threat, source in ((small, "a"), (large, "b")):
            standing = entry.at(threat)
            assert standing
            assert (standing.accuracy.value, standing.report) == (0.01, f"{source}/report.json")


def test_clean_compute_is_that_of_all_clean_images(study: Study, tmp_path: Path) -> None:
    """In a cascade attacks run on what is left, and those images may cost more."""
    put(aggregate(cascaded(study).write(tmp_path / "evidence", images=False)), tmp_path / "reports" / "one")
    report = load_report(tmp_path / "reports" / "one")
    clean = {
        (e.model, e.gate_policy): e.compute.clean_macs for e in report.evaluations if e.role == "clean" and e.compute
    }
    found = ranked(leaderboard(tmp_path / "reports"))
    assert {(entry.model, entry.gate_policy): entry.clean_macs for entry in found} == clean
    left = {e.compute.clean_macs for e in report.evaluations if e.skipped and e.compute and e.gate_policy == "argmax"}
    assert left - {clean["aig-digits", "argmax"]}, "or it would make no difference"


def test_the_reference_studies_compare_like_with_like() -> None:
    """Reports of four lists of attacks, on the released networks."""
    reference = Path(__file__).parents[2] / "reports" / "reference"
    board = leaderboard(reference)
    for group in board.groups:
        met = {
            (entry.family, entry.gate_policy, frozenset(at.attacks)) for entry in group.ranked for at in entry.standings
        }
        assert len({kind[:2] for kind in met}) == len(met), "networks of one kind met the same attacks"
        assert {entry.gate_policy == "sampled" for entry in group.ranked} in ({group.stochastic}, set())
    report = load_report(reference / "depth20-claims")
    verdicts = {c.gate_policy: c.ruled for c in report.claims if c.id == "more-robust"}
    checked = {(checkup.run, checkup.policy) for checkup in report.checks}
    of_claims = [entry for entry in ranked(board) if entry.report.startswith("depth20-claims/")]
    assert {entry.claim for entry in of_claims} == {*verdicts.values(), None}
    assert {(e.model, e.gate_policy) for e in of_claims if e.checks == "none failed"} == checked


def test_threats_are_equal_however_they_are_spelled(report: Report, tmp_path: Path) -> None:
    put(report, tmp_path / "one")
    text = report.model_dump_json().replace('"eps":"8/255"', '"eps":"16/510"')
    put(Report.model_validate_json(text), tmp_path / "two", **other_weights(report))
    board = leaderboard(tmp_path, Threat.parse("24/765"))
    assert len(ranked(board)) == 6
    assert {group.by.value for group in board.groups} == {8 / 255}
    assert len(leaderboard(tmp_path).groups) == 4  # deterministic and stochastic networks at two threats


def test_a_network_has_one_row_from_the_report_in_which_it_keeps_least(report: Report, tmp_path: Path) -> None:
    for name, value in (("a", 0.5), ("b", 0.2), ("c", 0.4)):
        put(report, tmp_path / name, **keeping(report, value))
    board = leaderboard(tmp_path)
    (entry,) = [entry for entry in ranked(board) if entry.gate_policy == "argmax"]
    assert (entry.report, entry.also) == ("b/report.json", ["c/report.json", "a/report.json"])
    assert len(ranked(board)) == 3


def test_a_defence_or_other_weights_make_another_network(report: Report, tmp_path: Path) -> None:
    put(report, tmp_path / "one")
    put(report, tmp_path / "two", **other_weights(report))
    put(
        report,
        tmp_path / "three",
        models=[m.model_copy(update={"defence": parse_defence("jpeg:75")}) for m in report.models],
    )
    assert len(ranked(leaderboard(tmp_path))) == 9


def test_equal_accuracies_share_a_rank(report: Report, tmp_path: Path) -> None:
    kept = keeping(report, 0.9)
    put(report, tmp_path / "a", **kept)
    put(report, tmp_path / "b", **kept, **other_weights(report))
    assert [rank for rank, policy, _ in order(leaderboard(tmp_path)) if policy == "argmax"] == [1, 1]
    assert order(leaderboard(tmp_path))[2][0] == 3


def test_other_images_are_never_mixed(report: Report, tmp_path: Path) -> None:
    put(report, tmp_path / "a")
    put(report, tmp_path / "b", **other_images(report))
    put(report, tmp_path / "c", **other_images(report, n=40))
    put(report, tmp_path / "d", **other_images(report, name="cifar10"))
    board = leaderboard(tmp_path)
    assert [(g.name, g.n, len(g.ranked)) for g in board.first] == [
        (*images, networks)
        for images in (("cifar10", 60), ("digits", 60), ("digits", 60), ("digits", 40))
        for networks in (2, 1)
    ]
    page = board_page(board)
    headings = re.findall(r"<h2>(ε.*)</h2>", page)
    assert len(set(headings)) == len(headings) == 16
    assert "ε = 8/255 (L∞): stochastic networks, 2 attacks, 40 images of digits (test)" in headings


def test_default_threat_is_that_which_most_reports_have(report: Report, tmp_path: Path) -> None:
    large = [w for w in report.worst_case if w.threat.eps == "8/255"]
    put(report, tmp_path / "a")
    first = leaderboard(tmp_path).groups[0].by
    put(report, tmp_path / "b", worst_case=large, **other_weights(report))
    board = leaderboard(tmp_path)
    assert first.eps == "4/255"
    assert board.groups[0].by == large[0].threat
    assert not board.unranked
    left = leaderboard(tmp_path, Threat.parse("4/255")).unranked
    assert [entry.reason for entry in left] == ["no worst case at ε = 4/255 (L∞)"] * 3
    with pytest.raises(InputError, match=r"--by linf:1/255: no report .* known: linf:4/255, linf:8/255"):
        leaderboard(tmp_path, Threat.parse("1/255"))
    with pytest.raises(InputError, match="--by l2:4/255"):
        leaderboard(tmp_path, Threat.parse("4/255", "l2"))


def test_failed_and_unattacked_networks_are_listed_with_the_reason(
    report: Report, study: Study, tmp_path: Path
) -> None:
    failed = [
        e.model_copy(update={"errors": 2, "status": "error"}) if "argmax-pgd" in e.id else e for e in report.evaluations
    ]
    put(report, tmp_path / "failed", status="error", evaluations=failed)
    put(report, tmp_path / "clean", worst_case=[], **other_weights(report))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "report.json").write_text('{"tests": 3}')
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "report.json").write_text('{"schema_version": "9"}')
    board = leaderboard(tmp_path)
    assert board.groups == []
    reasons = {(entry.report, entry.gate_policy): entry.reason for entry in board.unranked}
    assert reasons["failed/report.json", "argmax"] == "images failed (pgd)"
    assert reasons["failed/report.json", "none"] == "images of other networks in this report failed"
    assert reasons["clean/report.json", "none"] == "no worst case at any threat"
    assert [one.report for one in board.unread] == ["foreign/report.json", "later/report.json"]
    assert "is of a newer aigrob" in board.unread[1].reason
    for text in (board_page(board), board_markdown(board)):
        assert "images failed" in text
        assert "newer aigrob" in text
    assert "Nothing can be ranked yet" in board_page(board)


def test_a_report_of_corruptions_alone_is_not_ranked(study: Study, tmp_path: Path) -> None:
    alone = aggregate(corrupted(study, {"jpeg": [1]}, alone=True).write(tmp_path / "evidence", images=False))
    put(alone, tmp_path / "one")
    board = leaderboard(tmp_path / "one")
    assert board.groups == []
    assert {entry.reason for entry in board.unranked} == {"no worst case at any threat"}


def test_cascades_are_marked(study: Study, tmp_path: Path) -> None:
    put(aggregate(cascaded(study).write(tmp_path / "evidence", images=False)), tmp_path / "reports" / "one")
    board = leaderboard(tmp_path / "reports")
    assert all(standing.cascade for entry in ranked(board) for standing in entry.standings)
    assert board_page(board).count("(cascade)") == 6
    assert board_markdown(board).count("(cascade)") == 6


def test_nothing_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report\.json below"):
        leaderboard(tmp_path)


def test_csv_has_every_accuracy(report: Report, tmp_path: Path) -> None:
    put(report, tmp_path / "one")
    lines = list(csv.DictReader(io.StringIO(board_csv(leaderboard(tmp_path)))))
    kept = {
        (line["policy"], line["threat"]): (float(line["value"]), float(line["low"]), float(line["high"]))
        for line in lines
        if line["quantity"] == "accuracy"
    }
    expected = {
        (w.gate_policy, str(w.threat)): (w.accuracy.value, w.accuracy.low, w.accuracy.high) for w in report.worst_case
    }
    assert kept == expected
    assert {line["weights_digest"] for line in lines} == {m.weights_digest for m in report.models}
    assert len(lines) == 3 * 2 * 4


def test_markdown_and_page_show_every_worst_case_and_lead_to_the_report(report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "a #1 report"
    put(report, folder)
    (folder / "report.html").write_text("page")
    (tmp_path / "elsewhere").mkdir()
    board = leaderboard(tmp_path, base=tmp_path / "elsewhere")
    page = board_page(board)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page)).replace("\xa0", " ")
    markdown = board_markdown(board).replace("\xa0", " ")
    for w in report.worst_case:
        interval = f"[{100 * w.accuracy.low:.1f}, {100 * w.accuracy.high:.1f}]"
        assert f"{100 * w.accuracy.value:.1f} % {interval}" in text
        assert f"| {100 * w.accuracy.value:.1f} {interval} |" in markdown
    assert set(re.findall(r'href="([^#"]+)"', page)) == {"../a%20%231%20report/report.html"}
    links = [
        child.attrs["href"]
        for token in MarkdownIt("commonmark").enable("table").parse(markdown)
        for child in token.children or []
        if child.type == "link_open"
    ]
    assert links == ["../a%20%231%20report/report.html"] * 6


def test_page_needs_nothing_from_outside_and_escapes(report: Report, tmp_path: Path) -> None:
    evil = json.loads(report.model_dump_json().replace("aig-digits", "<b>|evil"))
    for e in evil["evaluations"]:  # no name of a file could be one
        e["id"] = e["id"].replace("<b>|evil", "evil")
    put(Report.model_validate(evil), tmp_path / "one")
    board = leaderboard(tmp_path)
    page = board_page(board)
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|@import|url\(", page)
    assert "<b>|evil" not in page
    assert "&lt;b&gt;|evil" in page
    assert r"\<b\>\|evil" in board_markdown(board)
