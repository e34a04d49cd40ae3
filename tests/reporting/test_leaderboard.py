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
from robustbench_aig.records import Report
from robustbench_aig.reporting import aggregate
from robustbench_aig.reporting.leaderboard import Leaderboard, board_csv, board_markdown, board_page, leaderboard
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


def keeping(report: Report, value: float, policy: str = "argmax", **changes: Any) -> dict[str, Any]:
    """Changes after which a policy keeps a share in every worst case."""
    worst = [
        w.model_copy(update={"accuracy": w.accuracy.model_copy(update={"value": value}), **changes})
        if w.gate_policy == policy
        else w
        for w in report.worst_case
    ]
    return {"worst_case": worst}


def other_images(report: Report, **changes: Any) -> dict[str, Any]:
    return {"data": report.data.model_copy(update={"digest": "99" * 32, **changes})}


def other_weights(report: Report) -> dict[str, Any]:
    return {"models": [m.model_copy(update={"weights_digest": f"{i}" * 64}) for i, m in enumerate(report.models)]}


def order(board: Leaderboard, group: int = 0) -> list[tuple[int | None, str, str]]:
    return [(entry.rank, entry.gate_policy, entry.report) for entry in board.groups[group].ranked]


def test_sorted_by_the_worst_case(report: Report, tmp_path: Path) -> None:
    put(report, tmp_path / "one")
    (group,) = leaderboard(tmp_path, Threat.parse("8/255")).groups
    values = {w.gate_policy: w.accuracy.value for w in report.worst_case if w.threat.eps == "8/255"}
    assert [entry.gate_policy for entry in group.ranked] == sorted(values, key=lambda policy: -values[policy])
    assert [entry.rank for entry in group.ranked] == [1, 2, 3]
    for entry in group.ranked:
        standing = entry.at(group.by)
        assert standing
        assert standing.accuracy.value == values[entry.gate_policy]
        assert (standing.attacks, standing.cascade) == (2, False)
    assert not group.unranked


def test_threats_are_equal_however_they_are_spelled(report: Report, tmp_path: Path) -> None:
    put(report, tmp_path / "one")
    text = report.model_dump_json().replace('"eps":"8/255"', '"eps":"16/510"')
    put(Report.model_validate_json(text), tmp_path / "two", **other_weights(report))
    (group,) = leaderboard(tmp_path, Threat.parse("24/765")).groups
    assert len(group.ranked) == 6
    assert [threat.value for threat in group.threats] == [4 / 255, 8 / 255]


def test_a_network_has_one_row_from_the_report_in_which_it_keeps_least(report: Report, tmp_path: Path) -> None:
    for name, value in (("a", 0.5), ("b", 0.2), ("c", 0.4)):
        put(report, tmp_path / name, **keeping(report, value))
    board = leaderboard(tmp_path)
    (entry,) = [entry for entry in board.groups[0].ranked if entry.gate_policy == "argmax"]
    assert (entry.report, entry.also) == ("b/report.json", ["c/report.json", "a/report.json"])
    assert len(board.groups[0].ranked) == 3


def test_a_defence_or_other_weights_make_another_network(report: Report, tmp_path: Path) -> None:
    put(report, tmp_path / "one")
    put(report, tmp_path / "two", **other_weights(report))
    put(
        report,
        tmp_path / "three",
        models=[m.model_copy(update={"defence": parse_defence("jpeg:75")}) for m in report.models],
    )
    assert len(leaderboard(tmp_path).groups[0].ranked) == 9


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
    assert [(g.name, g.n, len(g.ranked)) for g in board.groups] == [
        ("cifar10", 60, 3),
        ("digits", 40, 3),
        ("digits", 60, 3),
        ("digits", 60, 3),
    ]
    page = board_page(board)
    headings = re.findall(r'<h2 id="title-[^>]*>(.*)</h2>', page)
    assert len(set(headings)) == len(headings) == 4
    assert "40 images of digits (test)" in headings


def test_default_threat_is_that_which_most_reports_have(report: Report, tmp_path: Path) -> None:
    large = [w for w in report.worst_case if w.threat.eps == "8/255"]
    put(report, tmp_path / "a")
    first = leaderboard(tmp_path).groups[0].by
    put(report, tmp_path / "b", worst_case=large, **other_weights(report))
    board = leaderboard(tmp_path)
    assert first
    assert first.eps == "4/255"
    assert board.groups[0].by == large[0].threat
    (group,) = leaderboard(tmp_path, Threat.parse("4/255")).groups
    assert [entry.reason for entry in group.unranked] == ["no worst case at ε = 4/255 (L∞)"] * 3
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
    (group,) = board.groups
    assert (group.ranked, group.by) == ([], None)
    reasons = {(entry.report, entry.gate_policy): entry.reason for entry in group.unranked}
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
    (group,) = leaderboard(tmp_path / "one").groups
    assert {entry.reason for entry in group.unranked} == {"no worst case at any threat"}


def test_cascades_are_marked(study: Study, tmp_path: Path) -> None:
    put(aggregate(cascaded(study).write(tmp_path / "evidence", images=False)), tmp_path / "reports" / "one")
    board = leaderboard(tmp_path / "reports")
    assert all(standing.cascade for entry in board.groups[0].ranked for standing in entry.standings)
    assert board_page(board).count("(cascade)") == 3
    assert board_markdown(board).count("(cascade)") == 3


def test_nothing_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no report\.json below"):
        leaderboard(tmp_path)


def test_csv_has_every_accuracy(report: Report, tmp_path: Path) -> None:
    put(report, tmp_path / "one")
    lines = list(csv.DictReader(io.StringIO(board_csv(leaderboard(tmp_path)))))
    kept = {
        (line["policy"], line["threat"]): (float(line["value"]), float(line["low"]), float(line["high"]))
        for line in lines
        if line["quantity"] == "accuracy" and line["threat"] != "none"
    }
    expected = {
        (w.gate_policy, str(w.threat)): (w.accuracy.value, w.accuracy.low, w.accuracy.high) for w in report.worst_case
    }
    assert kept == expected
    assert {line["weights_digest"] for line in lines} == {m.weights_digest for m in report.models}
    assert len(lines) == 3 * (1 + 2 * 3)


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
    assert links == ["../a%20%231%20report/report.html"] * 3


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
