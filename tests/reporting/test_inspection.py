"""The page of an inspection: what stands on it, and what it says where there is nothing to show."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustbench_aig.inspection_record import Factor, Inspection
from robustbench_aig.reporting.inspection_page import kept_classes, render_inspection, write_inspection
from robustbench_aig.reporting.pictures import thumbnail
from tests.reporting.inspected import GATES, inspection, pixels


def text_of(page: str) -> str:
    """What a reader sees, one space between words."""
    visible = re.sub(r"<(style|script|svg).*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", visible)).split())


def tables(page: str) -> list[list[list[str]]]:
    """Text of every cell, by table and row."""
    return [
        [
            [text_of(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.DOTALL)]
            for row in re.findall(r"<tr>(.*?)</tr>", table, flags=re.DOTALL)
        ]
        for table in re.findall(r"<table.*?</table>", page, flags=re.DOTALL)
    ]


@pytest.fixture(scope="module")
def page() -> str:
    of = inspection()
    return render_inspection(of, pixels(of))


def test_files_are_the_record_and_a_page_that_needs_nothing_else(tmp_path: Path) -> None:
    of = inspection()
    write_inspection(tmp_path / "new", of, pixels(of))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["inspect.html", "inspect.json"]
    assert Inspection.model_validate_json((tmp_path / "new" / "inspect.json").read_text()) == of
    page = (tmp_path / "new" / "inspect.html").read_text()
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert {link for link in links if not link.startswith(("#", "data:"))} == {"https://arxiv.org/abs/1605.06431"}


def test_rates_and_counts_are_the_records(page: str) -> None:
    of = inspection()
    assert of.gates is not None
    rates, counts, *_ = tables(page)
    assert rates[0] == ["gate", "all", *of.data.classes]
    for gate, row in enumerate(rates[1:]):
        shares = [of.gates.rates[gate], *(c.rates[gate] for c in of.gates.per_class)]
        assert row[0] == GATES[gate]
        assert [int(cell) for cell in row[1:]] == pytest.approx([100 * share for share in shares], abs=0.501)
    assert counts[0][0] == "blocks"
    for row in counts[1:]:
        share = of.gates.histogram[int(row[0])] / of.gates.n
        assert int(row[1]) == pytest.approx(100 * share, abs=0.501)
    assert sum(of.gates.histogram[int(row[0])] for row in counts[1:]) == of.gates.n


def test_lesion_table_stands_beside_the_intact_network(page: str) -> None:
    table = tables(page)[2]
    assert table[1][0] == "none (intact)"
    assert table[1][3].startswith("90.0 % [")
    assert [row[0] for row in table[2:]] == [f"{g} ▲" if g in {"2.1", "3.1"} else g for g in GATES]
    last = table[-1]
    assert last[3].startswith("78.0 % [")
    assert last[4:] == ["−12.0", "25", "1", "< 0.001"]


def test_every_named_image_is_shown_with_its_gates_and_verdict(page: str) -> None:
    of = inspection()
    assert of.gates is not None
    uses = [use for c in of.gates.per_class for use in [*c.fewest, *c.most]]
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == len(uses)
    words = text_of(page)
    for use in uses:
        verdict = "right" if use.correct else "wrong"
        plural = "" if use.blocks == 1 else "s"
        said = (
            f"{use.blocks} block{plural} , Σp {use.open_probability:.2f} {verdict}: {use.prediction} image {use.image}"
        )
        assert said in words
        named = ", ".join(name for name, ran in zip(GATES, use.executed, strict=True) if ran)
        assert f'aria-label="{use.blocks} of 9 blocks executed: {named}"' in page


def test_first_screen_says_what_was_found(page: str) -> None:
    words = text_of(page)
    assert "Open for every image: 1.1. Closed for every image: 2.2." in words
    assert "decide by the image" not in words, "nothing is known of it"
    assert "Removing block 3.3 lowers the accuracy most, to 78.0 %" in words
    assert "2 of 9 blocks can be removed, one at a time" in words


def test_nothing_is_made_of_what_does_not_differ() -> None:
    of = inspection()
    assert of.gates is not None
    same = [c.model_copy(update={"histogram": [0] * 6 + [c.n] + [0] * 3}) for c in of.gates.per_class]
    gates = of.gates.model_copy(
        update={"histogram": [0] * 6 + [of.gates.n] + [0] * 3, "per_class": same, "rates": [1.0] * 9}
    )
    lesions = [lesion.model_copy(update={"difference": 0.0}) for lesion in of.lesions]
    words = text_of(render_inspection(of.model_copy(update={"gates": gates, "lesions": lesions}), pixels(of)))
    assert "Every image executes 6 of 9 gated blocks." in words
    assert "Open for every image: 9 gates." in words
    assert "Removing any single block does not lower the accuracy." in words
    assert "the most blocks" not in words.partition("Limits of these numbers")[0]


def test_epochs_have_a_panel_per_stage(page: str) -> None:
    assert re.findall(r"<figcaption>(Stage \d)</figcaption>", page) == ["Stage 1", "Stage 2", "Stage 3"]
    assert page.count("gate 2.3, epoch 12: executed for") >= 1
    of = inspection(history=0)
    assert "has no training history" in text_of(render_inspection(of, pixels(of)))
    of = inspection(history=1)
    assert "epoch 1: executed for" in render_inspection(of, pixels(of))


def test_other_policy_than_the_history_is_said() -> None:
    of = inspection().model_copy(update={"policy": "random"})
    assert "with deterministic (argmax) gates (training did not measure random gates)" in text_of(
        render_inspection(of, pixels(of))
    )


def test_a_plain_network_says_so_and_keeps_its_lesion_study() -> None:
    page = render_inspection(inspection(gated=False), {})
    words = text_of(page)
    assert "made is a plain network: it has no gates" in words
    for absent in ("Execution rate", "fewest", "Blocks per image"):
        assert absent not in words
    assert tables(page)[0][0] == ["Removed block", "Accuracy", "Difference", "Lost", "Gained", "p"]
    assert len(tables(page)[0]) == 11


def test_soft_gates_are_not_said_to_be_a_policy() -> None:
    of = inspection()
    assert of.gates is not None
    gates = of.gates.model_copy(update={"rates": [1.0] * 9, "histogram": [0] * 9 + [of.gates.n], "history": None})
    of = of.model_copy(update={"gates": gates, "policy": "none"})
    words = text_of(render_inspection(of, pixels(of)))
    assert f"The gates of {of.model.name} are soft: every block is executed for every image and scaled" in words
    assert "Under none gates" not in words


def test_factors_stand_where_rates_would() -> None:
    of = inspection()
    assert of.gates is not None
    factors = [Factor(mean=0.1 * k, low=0.09 * k, high=0.1 * k + 0.01 * (k == 4)) for k in range(1, 10)]
    per_class = [
        c.model_copy(update={"rates": [1.0] * 9, "factors": [0.05 * k for k in range(9)]}) for c in of.gates.per_class
    ]
    update = {"rates": [1.0] * 9, "histogram": [0] * 9 + [of.gates.n], "factors": factors, "per_class": per_class}
    of = of.model_copy(update={"gates": of.gates.model_copy(update=update), "policy": "none"})
    page = render_inspection(of, pixels(of))
    words = text_of(page)
    assert "Blocks are scaled by 10.0 % (1.1) to 90.0 % (3.3) on average." in words
    assert "Images differ most at block 3.3: the middle 90 % of them have factors from 81.0 % to 90.0 %." in words
    assert page.count("block 2.1: times 40.0") >= 1
    assert "Execution rate by class" not in words
    by_class, lesions = tables(page)[:2]
    assert by_class[1] == ["1.1", "10", *["0"] * 10]
    assert by_class[9] == ["3.3", "90", *["40"] * 10]
    assert lesions[0][1] == "Mean factor"
    assert lesions[2][1] == "10.0 %"


def test_where_every_block_runs_for_every_image_nothing_is_compared() -> None:
    of = inspection()
    assert of.gates is not None
    n = of.gates.n
    gates = of.gates.model_copy(update={"rates": [1.0] * 9, "histogram": [0] * 9 + [n], "history": None})
    model = of.model.model_copy(update={"family": "stochastic"})
    of = of.model_copy(update={"gates": gates, "policy": "expected", "model": model})
    words = text_of(render_inspection(of, pixels(of)))
    assert "With expected gates every block is executed for every image, scaled by its open probability" in words
    assert "do not look at the image" in words
    assert "Execution rate by class" not in words
    assert "during training" not in words


def test_of_many_classes_those_are_shown_that_differ_most() -> None:
    of = inspection(classes=30)
    assert of.gates is not None
    kept = kept_classes(of.gates)
    assert len(kept) == 24
    dropped = [c for c in of.gates.per_class if c not in kept]
    mean = np.array(of.gates.rates)
    distances = [[np.abs(np.array(c.rates) - mean).sum() for c in part] for part in (kept, dropped)]
    assert min(distances[0]) >= max(distances[1])
    assert "Shown are the 24 of 30 classes" in text_of(render_inspection(of, pixels(of)))


def test_page_stays_small_and_thumbnails_too() -> None:
    of = inspection(history=164)
    assert len(render_inspection(of, pixels(of))) < 600_000
    assert len(render_inspection(of, pixels(of, side=224))) < 1_500_000
    for side, expected in ((8, 8), (64, 64), (224, 64)):
        uri = thumbnail(np.full((1, side, side), 0.5, np.float32))
        picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert picture.size == (expected, expected)
