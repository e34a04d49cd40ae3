"""The page as text: what it says, what it must not load, and the pieces it is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from robustbench_aig.errors import RunError
from robustbench_aig.records import Report, report_json_schema
from robustbench_aig.reporting import aggregate, charts, words, write_report
from robustbench_aig.reporting.heatmap import MOST_CLASSES, cell, choices, heat_maps
from robustbench_aig.reporting.palette import contrast, steps
from robustbench_aig.reporting.seed_series import by_seed
from robustbench_aig.reporting.series import all_series, headline
from tests.reporting.synthetic import EPSILONS, Study, evaluation, fail, threat, with_many_attacks

PGD = evaluation("aig-digits", "argmax", "pgd", "attack", "8/255").id


@pytest.fixture(scope="module")
def report(written: Path) -> Report:
    return Report.model_validate_json((written / "report.json").read_text())


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    return (written / "report.html").read_text()


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)).replace("&nbsp;", " ").replace("\xa0", " ")


def test_written_report_is_the_aggregated_one(written: Path, report: Report) -> None:
    assert report == aggregate(written)


def test_report_follows_its_schema(written: Path) -> None:
    content = json.loads((written / "report.json").read_text())
    schema = json.loads((written / "report.schema.json").read_text())
    assert schema == report_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema, cls=jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"unknown": 1}, schema, cls=jsonschema.Draft202012Validator)


def test_equal_evidence_gives_equal_bytes_wherever_it_lies(written: Path, study: Study, tmp_path: Path) -> None:
    write_report(study.write(tmp_path))
    for name in ("report.json", "report.schema.json", "report.html"):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_numbers_that_json_cannot_hold_are_refused(study: Study, tmp_path: Path) -> None:
    plan = study.plan.model_copy(update={"environment": {"load": float("inf")}})
    Study(plan, study.rows).write(tmp_path)
    path = tmp_path / "plan.json"
    path.write_text(path.read_text().replace('"load": null', '"load": Infinity'))
    with pytest.raises(RunError, match="not finite"):
        write_report(tmp_path)


def test_page_needs_nothing_from_outside(html: str) -> None:
    assert "default-src 'none'" in html
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    assert not re.search(r"https?://|@import|url\(", without_names)
    assert len(html) < 2_000_000


def test_first_screen_says_the_verdict_with_its_interval(html: str, report: Report) -> None:
    text = text_of(html)
    for c in report.comparisons:
        if c.attack == "union" and c.gate_policy == "argmax":
            found = f"difference {words.signed(c.difference)} points {words.around(c.low, c.high)}"
            assert found.replace("\xa0", " ") in text
    assert "union over fgsm and pgd. It is an upper bound" in text
    assert "None of these attacks is gate-aware" in text
    assert "Unfinished" not in text


def test_every_accuracy_stands_in_the_table(html: str, report: Report) -> None:
    text = text_of(html)
    for accuracy in [e.robust_accuracy for e in report.evaluations] + [w.accuracy for w in report.worst_case]:
        assert words.accuracy_text(accuracy).replace("\xa0", " ") in text


def test_failed_images_raise_a_banner(study: Study, tmp_path: Path) -> None:
    for row in study.rows[PGD][:3]:
        fail(row)
    write_report(study.write(tmp_path))
    text = text_of((tmp_path / "report.html").read_text())
    assert "Some images failed." in text
    assert "3 of 60 images: pgd at ε = 8/255 (L∞) on gated · argmax" in text
    assert "failed images count as misclassified, so this is no verdict" in text


@pytest.mark.parametrize("kept", ["nothing", "plain", "clean"])
def test_unfinished_reports_still_render(study: Study, tmp_path: Path, kept: str) -> None:
    study.write(tmp_path, images=False)
    for path in (tmp_path / "samples").iterdir():
        plain, clean = path.stem.startswith("resnet"), "-clean-" in path.stem
        if not {"nothing": False, "plain": plain, "clean": clean}[kept]:
            path.unlink()
    assert write_report(tmp_path).status == "partial"
    assert "Unfinished." in (tmp_path / "report.html").read_text()


def test_missing_images_are_said(study: Study, tmp_path: Path) -> None:
    write_report(study.write(tmp_path, images=False))
    assert "No images were kept for this evaluation." in (tmp_path / "report.html").read_text()


def test_an_attack_that_failed_everywhere_still_renders(study: Study, tmp_path: Path) -> None:
    for name, rows in study.rows.items():
        if name.startswith("aig-digits-argmax") and "clean" not in name:
            for row in rows:
                fail(row)
    write_report(study.write(tmp_path))
    assert "failed on every image" in (tmp_path / "report.html").read_text()


def test_measured_time_stands_beside_the_compute(study: Study, tmp_path: Path) -> None:
    latency = {"ratio": 1.254, "low": 1.2, "high": 1.3, "clean_ms_per_image": 0.4, "images": 64, "pairs": 15}
    found = {
        PGD: latency | {"device": "cpu", "threads": 2},
        "of a plan before": latency | {"device": "x", "threads": 1},
    }
    (study.write(tmp_path) / "latency.json").write_text(json.dumps(found))
    report = write_report(tmp_path)
    assert [e.id for e in report.evaluations if e.compute and e.compute.latency] == [PGD]
    text = text_of((tmp_path / "report.html").read_text())
    assert text.count("× 1.25 [1.20, 1.30]") == 1
    gated = [e for e in report.evaluations if e.gates and e.threat]
    assert text.count("not measured") == len(gated) - 1
    assert "64 images at once, cpu, 2 threads;" in text
    (tmp_path / "latency.json").unlink()
    write_report(tmp_path)
    without = text_of((tmp_path / "report.html").read_text())
    assert without.count("not measured") == len(gated)
    assert "Measured time: the time for" not in without


def foreign(study: Study, attack: str) -> Study:
    """The same study, with an attack of another provider."""
    evaluations = [
        e.model_copy(update={"provider": "foolbox"}) if e.attack == attack else e for e in study.plan.evaluations
    ]
    return Study(study.plan.model_copy(update={"evaluations": evaluations}), study.rows)


def test_what_other_providers_alone_break_is_said_once_per_model_and_epsilon(study: Study, tmp_path: Path) -> None:
    report = write_report(foreign(study, "pgd").write(tmp_path))
    text = text_of((tmp_path / "report.html").read_text())
    for w in report.worst_case:
        listed = ", ".join(map(str, w.others_only[:20])) + (", …" if len(w.others_only) > 20 else "")
        assert (
            f"Only attacks of other providers break {len(w.others_only)} of 60 images{listed and ': '}{listed}. Robust"
            in text
        )
    assert text.count("Only attacks of other providers break") == len(report.worst_case) == 6
    assert any(len(w.others_only) > 20 for w in report.worst_case)
    write_report(study.write(tmp_path / "ours"))
    assert "Only attacks of other providers" not in (tmp_path / "ours" / "report.html").read_text()


def test_labels_of_attacks_lead_to_their_names_and_settings(study: Study, tmp_path: Path) -> None:
    """A label stands for one attack, and its target tells which, once."""
    write_report(with_many_attacks(study).write(tmp_path))
    html = (tmp_path / "report.html").read_text()
    links = set(re.findall(r'<a class="attack" href="#(A\d+)" title="([^"]*)">(A\d+) fgsm</a>', html))
    assert len(links) == len({anchor for anchor, _, _ in links}) == 11
    for anchor, name, label in links:
        assert anchor == label
        listed = html.index(f'id="{anchor}"')
        assert html.count(f'id="{anchor}"') == 1
        assert f"{anchor} = {name} (" in html[listed : listed + 400]


def test_many_attacks_are_counted_first_and_listed_in_the_table(study: Study, tmp_path: Path) -> None:
    """Thirteen attacks of which one is stronger: the first screen counts, few are drawn, none is left out."""
    report = write_report(with_many_attacks(study).write(tmp_path))
    html = (tmp_path / "report.html").read_text()
    first = text_of(html[html.index('id="answer"') : html.index('id="networks"')])
    assert "13 attacks and 1 control" in first
    assert "fgsm:steps=3," not in first
    assert "Attacks 13 attacks and 1 control, each in the table of accuracies" in text_of(html)
    accuracy = html[html.index('id="accuracy"') : html.index('id="flips"')]
    for count in range(11):
        link = rf'class="name"><a[^>]* title="fgsm:steps={count},[^>]*>A\d+ fgsm</a>'
        assert len(re.findall(link, accuracy)) >= len(EPSILONS)
    titles = re.findall(r"<figcaption>(.*?)</figcaption>", accuracy)[: words.FEW]
    strongest = max((w.strongest for w in report.worst_case), key=lambda counts: counts["pgd"])
    assert strongest["pgd"] > 0
    assert titles[0] == "worst case over attacks"
    assert "pgd" in titles
    assert accuracy.count("<figure>") == words.FEW
    assert "the 7 attacks that were worst for most images. The table has all 14" in text_of(html)


def test_names_are_escaped(study: Study, tmp_path: Path) -> None:
    data = study.plan.data.model_copy(update={"classes": ["<b>0</b>", "</script>", "2", "3", "4"]})
    Study(study.plan.model_copy(update={"data": data}), study.rows).write(tmp_path)
    write_report(tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "<b>0</b>" not in html
    assert html.count("</script>") == 2


def test_headline_is_the_costliest_attack_at_the_largest_epsilon(report: Report) -> None:
    for series in all_series(report):
        found = headline(report.evaluations, series.model, series.policy)
        assert found is not None
        rivals = [
            e.robust_accuracy.value
            for e in report.evaluations
            if (e.model, e.gate_policy, e.role) == (series.model, series.policy, "attack")
            and e.threat
            and e.threat.eps == "8/255"
        ]
        assert found.robust_accuracy.value == min(rivals)


def test_heat_maps_hold_the_rates(report: Report) -> None:
    labels = {(one.model, one.policy): one.label for one in all_series(report)}
    found = heat_maps(report, labels)["gated · argmax|pgd|ε = 8/255 (L∞)"]
    gates = next(e.gates for e in report.evaluations if e.id == PGD)
    assert gates is not None
    assert found["columns"] == ["all", "zero", "one", "two", "three", "four"]
    assert found["counts"] == [60, 12, 12, 12, 12, 12]
    assert found["attacked"][3][0] == round(1000 * gates.per_gate[3].rate_adv)
    assert found["clean"][3][2] == round(1000 * gates.per_class[1].rates_clean[3])
    assert len(found["columns"]) <= MOST_CLASSES + 1


def test_epsilons_of_the_slider_go_upwards_whatever_their_order(report: Report) -> None:
    backwards = report.model_copy(update={"evaluations": report.evaluations[::-1]})
    labels = {(one.model, one.policy): one.label for one in all_series(report)}
    assert choices(backwards, labels)[2] == [words.threat_text(threat(eps)) for eps in EPSILONS]


@pytest.mark.parametrize(
    ("kind", "before", "after", "text", "look"),
    [
        ("clean", 746, 0, "75", "h7"),
        ("attacked", 0, 1000, "100", "h10"),
        ("change", 500, 487, "\u22121", "d5"),
        ("change", 500, 502, "0", "d5"),
        ("change", 200, 900, "+70", "d10"),
        ("change", 900, 750, "\u221215", "d2"),
    ],
)
def test_heat_cells(kind: str, before: int, after: int, text: str, look: str) -> None:
    assert cell(kind, before, after) == (text, look)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_cell_colour_is_legible(scheme: str) -> None:
    assert len({name for name, _, _ in steps(scheme)}) == 22
    assert all(contrast(background, text) >= 4.5 for _, background, text in steps(scheme))


def test_limits_say_whether_attacks_knew_of_the_gates() -> None:
    assert "None of these attacks is gate-aware" in words.limits(["fgsm", "pgd"], [])[1]
    many = words.limits([f"pgd:steps={steps}" for steps in range(9)], ["open", "bpda"])
    assert many[0].startswith("The worst case over attacks is the per-image union over 9 attacks.")
    assert many[1] == "Some of these attacks are gate-aware; their gradients treat gates in these ways: open and bpda."


def test_words() -> None:
    assert words.percent(0.1204) == "12.0\xa0%"
    assert words.signed(-0.016) == "\u22121.6"
    assert words.signed(-0.0001) == "0.0"
    assert words.bracket(-0.004, 0.036) == "[\u22120.4,\xa03.6]"
    assert words.around(-0.038, 0.0002) == "[\u22123.8,\xa0+0.02]"
    assert words.around(-0.0000004, 0.0) == "[\u22120.00004,\xa00.0]"
    assert words.listing(["a", "b", "c"]) == "a, b and c"
    assert words.macs(253_100_000) == "253.1\xa0M"
    assert words.flatten({"a": {"b": [1, 2]}, "c": None}) == [("a.b", "1, 2"), ("c", "none")]


def test_epsilons_of_the_first_picture_go_upwards(report: Report) -> None:
    """As numbers: 16/255 sorts before 4/255 as text."""
    larger = Report.model_validate_json(report.model_dump_json().replace('"8/255"', '"16/255"'))
    picture = charts.worst_case(larger, by_seed(larger, all_series(larger)))
    assert picture.index("clean images") < picture.index("ε = 4/255") < picture.index("ε = 16/255")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.0002, 0.009, "not significantly different"),
        (0.007, 0.057, "gated significantly higher"),
        (-0.088, -0.033, "plain significantly higher"),
        (-0.01, 0.01, "not significantly different"),
    ],
)
def test_a_difference_is_read_by_its_interval(report: Report, low: float, high: float, said: str) -> None:
    changes = {"low": low, "high": high, "difference": (low + high) / 2, "status": "ok"}
    one = report.comparisons[0].model_copy(update=changes)
    assert words.reading(one) == said
