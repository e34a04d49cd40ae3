"""The page of a run: what stands on it, and what it says where there is nothing to show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from robustbench_aig.errors import RunError
from robustbench_aig.gating import Gate
from robustbench_aig.models.branches import residual_branches
from robustbench_aig.models.network_factory import build_model
from robustbench_aig.recipes.model_recipes import Place, gate_places
from robustbench_aig.reporting.epoch_map import epoch_map
from robustbench_aig.reporting.heatmap import share
from robustbench_aig.reporting.run_page import render_run, write_run_page
from robustbench_aig.reporting.words import gates_text
from robustbench_aig.runs import EpochRecord
from robustbench_aig.zoo import find_model, model_names
from tests.reporting import trained
from tests.reporting.test_inspection import tables, text_of


def marks(page: str) -> list[str]:
    """What the marks of the charts say, lines and points."""
    return re.findall(r'<path aria-label="([^"]*)" role="graphics-symbol"', page)


def lines(page: str, label: str) -> list[str]:
    """What the lines of a curve say: one for each piece."""
    return [said for said in marks(page) if said.startswith(f"{label}: ")]


@pytest.fixture(scope="module")
def attacked() -> str:
    return render_run(*trained.adversarial_run())


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    record, past = trained.adversarial_run()
    directory = trained.write(tmp_path / "runs" / "made", record, past)
    assert write_run_page(directory) == record
    page = (directory / "run.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert page == render_run(record, past)
    assert "default-src 'none'" in page
    assert {link for link in re.findall(r'(?:src|href)="([^"]*)"', page) if not link.startswith("#")} == set()


def test_first_screen_says_what_was_trained_and_what_came_of_it(attacked: str) -> None:
    record, past = trained.adversarial_run()
    first = text_of(attacked).partition("Epoch by epoch")[0]
    assert record.metrics is not None
    argmax, sampled = (record.metrics.test[policy] for policy in ("argmax", "sampled"))
    assert argmax.mean_rate is not None
    assert argmax.mean_macs is not None
    whole = trained.FIXED_MACS + 9 * trained.BLOCK_MACS
    result = (
        f"With {gates_text('argmax')} it classifies 74.1 % of 10000 test images right, executes "
        f"{100 * argmax.mean_rate:.1f} % of its gated blocks and computes {argmax.mean_macs / 1e6:.1f} M MACs per "
        "image, "
        f"{100 * argmax.mean_macs / whole:.1f} % of the compute with every gate open."
    )
    for said in (
        result,
        "ResNet-20 of a test; 277,820 parameters, 9 gates with a target rate of 60.0 %",
        "cifar10: 10 classes, images of 3×32×32",
        "test/made, preset short",
        "27 of 30, in batches of 256",
        "TRADES, 10 steps of 0.25 ε, beta 6; ε = 8/255 (L∞); stochastic (sampled) gates in the inner attack",
        "run cifar10-resnet20-s0, of which 120 tensors were copied",
        "test/made, because this is a CPU",
        f"With {gates_text('sampled')} it classifies {100 * sampled.accuracy:.1f} % of 10000 test images right",
        "The weights are those of epoch 21, which has the highest robust accuracy on 1000 validation images",
        "Training ended early: catastrophic overfitting in epoch 27: a test says so.",
        "with deterministic (argmax) gates, under PGD of one step and of 10 steps at ε = 8/255 (L∞)",
    ):
        assert said in first
    best = max(epoch.robust.pgd for epoch in past if epoch.robust)
    assert f"{100 * best:.1f} % under PGD of 10 steps" in first


def test_legends_tell_the_last_values(attacked: str) -> None:
    _, past = trained.adversarial_run()
    last, words = past[-1], text_of(attacked)
    assert last.robust is not None
    assert last.divergence is not None
    assert last.train_mean_rate is not None
    macs = last.validation["argmax"].mean_macs
    assert macs is not None
    assert last.dependence is not None
    assert last.dependence.explained is not None
    for said in (
        f"validation, sampled gates {100 * last.dependence.explained:.1f} %",
        f"cross-entropy {last.cross_entropy:.3g}",
        f"divergence, weighted {last.divergence:.3g}",
        f"rate loss, weighted {last.rate_loss:.3g}",
        f"training {100 * last.train_accuracy:.1f} %",
        f"validation, sampled gates {100 * last.validation['sampled'].accuracy:.1f} %",
        f"attacked, one step {100 * last.robust.fgsm:.1f} %",
        f"attacked, 10 steps {100 * last.robust.pgd:.1f} %",
        f"training {100 * last.train_mean_rate:.1f} %",
        "target 60.0 %",
        f"validation, argmax gates {macs / 1e6:.1f} M",
        f"learning rate {last.lr:.3g}",
        f"images per second {last.images_per_second:.0f}",
    ):
        assert said in words
    drawn = marks(attacked)
    assert f"training, epoch 27: {100 * last.train_accuracy:.1f}\u00a0%" in drawn
    for epoch in past:
        robust = epoch.robust
        assert robust is not None
        told = f"attacked, 10 steps, epoch {epoch.epoch}: {100 * robust.pgd:.1f}\u00a0%"
        assert (told in drawn) == (epoch.epoch % 3 == 0)  # a third of 27 epochs, the last one among them


def test_gates_in_numbers_are_the_records(attacked: str) -> None:
    record, past = trained.adversarial_run()
    table = tables(attacked)[0]
    assert record.metrics is not None
    assert table[0] == [
        "Gate",
        "Target",
        "Training",
        *(f"{split}, {policy} gates" for split in ("Validation", "Test") for policy in ("argmax", "sampled")),
    ]
    scores = [past[-1].validation, record.metrics.test]
    columns = [past[-1].train_rates, *(one[policy].rates for one in scores for policy in ("argmax", "sampled"))]
    for gate, cells in enumerate(table[1:]):
        assert cells[:2] == [f"{gate // 3 + 1}.{gate % 3 + 1}", "60.0 %"]
        assert cells[2:] == [f"{100 * rates[gate]:.1f} %" for rates in columns]


def places(gates: int) -> list[Place]:
    """Of a network with three stages of equally many gates."""
    return [Place(stage, block) for stage in (1, 2, 3) for block in range(1, gates // 3 + 1)]


GATED = [name for name in model_names() if gate_places(find_model(name)[1].model)]


@pytest.mark.parametrize("name", GATED)
def test_gates_are_called_what_they_are_in_the_network(name: str) -> None:
    """By the place of every gate among the network's own modules; the page of a run knows the recipe alone."""
    of = find_model(name)[1]
    with torch.device("meta"):
        network = build_model(of.model, classes=10, mean=[0.5] * 3, std=[0.5] * 3)
    modules = [path.split(".") for path, module in network.named_modules() if isinstance(module, Gate)]
    found = [(int(stage) + 1, int(block) + 1) for _, stage, block, *_ in modules]
    assert gate_places(of.model) == found
    assert [branch.place for branch in residual_branches(network)] == found
    assert len(found) == len(of.model.targets)


def test_the_page_names_the_gates_of_unequal_stages() -> None:
    of = trained.recipe(epochs=2)
    model = of.model.model_copy(update={"depth": 26, "stages": [3, 4, 5]})
    of = of.model_copy(update={"model": model})
    page = render_run(trained.run(of, trained.history(of)), trained.history(of))
    for name in ("1.3", "2.4", "3.5"):
        assert f">{name}<" in page
    assert not any(f">{name}<" in page for name in ("1.4", "2.5", "3.6"))


def test_map_has_every_rate_of_every_epoch() -> None:
    """Read back cell by cell, from the paths of the colours."""
    past = trained.history(trained.recipe(epochs=40))
    rates: list[list[float] | None] = [epoch.train_rates for epoch in past]
    rates[5] = None
    drawn = epoch_map("t", [epoch.epoch for epoch in past], rates, places(9))
    cells = {}
    for look, line in drawn.lines.items():
        for column, row, length in re.findall(r"M(\d+) (\d+)h(\d+)", line):
            for step in range(int(length)):
                assert (int(column) + step, int(row)) not in cells
                cells[int(column) + step, int(row)] = look
    expected = {
        (column, row): share(rate).look for column, epoch in enumerate(rates) if epoch for row, rate in enumerate(epoch)
    }
    assert cells == expected
    assert drawn.caption.startswith(f"Epoch 40: mean {100 * sum(rates[-1] or []) / 9:.1f}\u00a0%, from ")


def test_map_tells_what_was_not_measured_and_what_does_not_differ() -> None:
    assert epoch_map("t", [1, 2], [[0.5], []], places(3)[:1]).caption == "Epoch 2: not measured."
    assert epoch_map("t", [1], [[0.5] * 3], places(3)).caption.endswith("50.0\u00a0%, the same for every gate.")
    assert epoch_map("t", [1], [[0.5] * 4], [*places(3), Place(3, 2)]).names[2:] == [("3.1", 1), ("3.2", 1)]
    assert [row.name for row in epoch_map("t", [1], [[0.5] * 54], places(54)).names] == [
        "stage 1",
        "stage 2",
        "stage 3",
    ]


def test_gaps_are_not_invented() -> None:
    """A line ends where nothing was measured and begins anew, and a value between two gaps is a point."""
    record, past = trained.adversarial_run()

    def with_gaps(epoch: EpochRecord) -> EpochRecord:
        return epoch if epoch.epoch in {1, 2, 3, 10, 20, 21} else epoch.model_copy(update={"robust": None})

    page = render_run(record, [with_gaps(epoch) for epoch in past])
    pieces = lines(page, "attacked, 10 steps")
    assert [re.findall(r"in epoch (\d+)", piece) for piece in pieces] == [["1", "3"], ["10"], ["20", "21"]]
    assert [said for said in marks(page) if said.startswith("attacked, one step, epoch 10: ")]
    assert not [said for said in marks(page) if said.startswith("attacked, one step, epoch 27: ")]
    assert "attacked, one step not measured" in text_of(page)
    assert len(lines(page, "training")) == 2  # accuracy and execution rate, whole


def test_a_plain_network_has_no_gates_to_show() -> None:
    of = trained.recipe(family="plain", adversarial="fast")
    past = trained.history(of)
    page = render_run(trained.run(of, past), past)
    words = text_of(page)
    assert "It classifies 74.1 % of 10000 test images right and computes 40.9 M MACs per image." in words
    assert "one step of 1.25 ε from a random start; ε = 8/255 (L∞)" in words
    for absent in ("gate", "Execution rate", "divergence", "Executed compute"):
        assert absent not in words.partition("Provenance")[0]
    assert lines(page, "validation")


def test_stochastic_depth_has_rates_that_nothing_learned() -> None:
    of = trained.recipe(family="stochastic")
    past = trained.history(of)
    words = text_of(render_run(trained.run(of, past), past))
    assert "9 blocks with a survival probability of 50.0 % to 94.4 %" in words
    assert "With expected gates it classifies 74.1 %" in words
    assert "Execution rate of every gate" not in words


def test_one_epoch_is_points() -> None:
    of = trained.recipe(epochs=1)
    past = trained.history(of)
    page = render_run(trained.run(of, past), past)
    assert f"cross-entropy, epoch 1: {past[0].cross_entropy:.3g}" in marks(page)
    assert "1, in batches of 256" in text_of(page)


def test_an_unfinished_run_says_so_and_shows_what_there_is() -> None:
    of = trained.recipe()
    past = trained.history(of, 12)
    words = text_of(render_run(trained.unfinished(of, past), past))
    assert "Unfinished. 12 of 24 epochs are done." in words
    assert "no test image was used" in words
    assert "continue with: aigrob train made.toml --data cifar10 --preset short --seed 0 --resume" in words
    score = past[-1].validation["argmax"]
    assert f"After epoch 12, with {gates_text('argmax')} it classifies {100 * score.accuracy:.1f} % of 2500" in words
    assert "Test, argmax gates" not in words
    words = text_of(render_run(trained.unfinished(of, []), []))
    assert "0 of 24 epochs are done" in words
    assert "Epoch by epoch" not in words


def test_an_imported_run_has_a_page_without_curves(tmp_path: Path) -> None:
    of = trained.recipe(family="plain").model_copy(update={"training": None, "preset": None})
    directory = trained.write(tmp_path / "imported", trained.run(of, [], metrics=None), [])
    (directory / "history.jsonl").unlink()
    write_run_page(directory)
    words = text_of((directory / "run.html").read_text())
    assert "It was trained elsewhere, so nothing is known about its training." in words
    assert "Training nothing recorded" in words


def test_provenance_is_the_record(attacked: str) -> None:
    provenance = text_of(attacked).partition("Provenance")[2]
    for said in (
        "aigrob train made.toml --data cifar10 --preset short --seed 0",
        "precision bf16",
        "processes 1",
        "digest of the weights " + "cd34" * 16,
        "optimizer.lr 0.4",
        "schedule.kind triangular",
        "adversarial.method trades",
        "rate_loss.weight 2.0",
        "python 3.11.7",
        "weights of epoch 21",
        "weights_digest " + "ab12" * 16,
    ):
        assert said in provenance


def test_a_long_training_of_a_deep_network_stays_small() -> None:
    of = trained.recipe(depth=110, epochs=349, steps=[150, 250], adversarial="pgd")
    past = trained.history(of)
    page = render_run(trained.run(of, past), past)
    assert len(page.encode()) < 700_000
    assert "349 epochs" in page
    assert len(tables(page)[0]) == 55
    assert len(marks(page)) < 400


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no run"):
        write_run_page(tmp_path)
