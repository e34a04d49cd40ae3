"""What `aigrob bench inference` and `aigrob bench attack` compare; how fast anything is, no test says."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import attacked, pairs
from benchmarks.attack import added_memory, verdicts
from benchmarks.forced import Forced, networks, random_batch, ratio
from benchmarks.inference import agreement, infer
from robustbench_aig.attacks import run_attack
from robustbench_aig.data import load_data
from robustbench_aig.gating import Argmax, gating
from robustbench_aig.medians import coverage
from robustbench_aig.models import fused
from robustbench_aig.threat import Threat
from robustbench_aig.training import load_model, train
from tests.command import aigrob_here, refused
from tests.tiny import job, recipe, write_recipe

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "PAUSE", 0.0)


@pytest.fixture
def where(tmp_path: Path) -> Path:
    """A working directory with recipes."""
    write_recipe(tmp_path / "plain.toml", gated=False)
    write_recipe(tmp_path / "gated.toml", gated=True)
    return tmp_path


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_so_many_gates_are_open_anywhere(rate: float) -> None:
    gated, _ = networks(recipe(), CPU)
    x = random_batch(recipe(), 20, CPU)
    with torch.no_grad(), gating(gated, Forced(rate, 20, 3, CPU)) as trace:
        gated(x)
    assert trace.decisions.sum() == round(rate * 60)
    with torch.no_grad(), gating(gated, Forced(rate, 20, 3, CPU)) as of_fewer:
        gated(x[:7])
    assert torch.equal(of_fewer.decisions, trace.decisions[:7])


def test_the_official_form_and_ours_agree_under_forced_gates() -> None:
    gated, plain = networks(recipe(), CPU)
    x, policy = random_batch(recipe(), 6, CPU), Forced(0.5, 6, 3, CPU)
    wanted = infer(gated, x, policy, "dense")
    close = agreement(infer(fused(gated), x, policy, "sparse"), wanted)
    assert close["relative_error"] < 1e-5
    assert close["same_class"] == 1
    assert agreement(infer(plain, x, policy, "dense"), wanted)["relative_error"] > 1e-2
    assert agreement(wanted.flip(1), wanted)["same_class"] == 0
    assert not any(parameter.requires_grad for model in (gated, plain) for parameter in model.parameters())


def test_a_ratio_is_formed_inside_each_pair() -> None:
    assert ratio([2.0] * 8 + [9.0], [1.0] * 9, 2.0) == {"median": 4.0, "low": 4.0, "high": 4.0}


def test_memory_is_what_an_act_adds() -> None:
    kept = torch.ones(1 << 22)

    def add() -> None:
        assert (kept + 1).sum() > 0

    added = added_memory(add, CPU)
    if added is None:
        pytest.skip("this system can't tell")
    assert 0.9 * (1 << 24) < added < 2 * (1 << 24)


def test_inference_gives_one_json_document(where: Path) -> None:
    arguments = ["gated.toml", "--rate", "0.4", "--batch", "1", "--batch", "5", "--steps", "1", "--device", "cpu"]
    ran = aigrob_here(where, "bench", "inference", *arguments, "--json", "--quiet")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    document = json.loads(ran.stdout)
    assert document["coverage"] == coverage(9, 2)
    assert [(part["model"], part["batch"], part["rate"]) for part in document["models"]] == [
        ("gated", 1, 0.4),
        ("gated", 5, 0.4),
    ]
    for part in document["models"]:
        seconds = part["seconds_per_step"]
        assert set(part["images_per_second"]) == set(seconds)
        for kind, error in (("fp32", 1e-4), ("bf16", 0.1)):
            assert part["agreement"][kind]["relative_error"] < error
            for key, above, below, factor in (
                ("official", "official", f"sparse_{kind}", 1),
                ("dense", f"dense_{kind}", f"sparse_{kind}", 1),
                ("ideal", f"sparse_{kind}", f"plain_{kind}", 1 / 0.4),
            ):
                ordered = sorted(factor * a / b for a, b in zip(seconds[above], seconds[below], strict=True))
                found = part[f"ratio_to_{key}"][kind]
                assert [found["low"], found["median"], found["high"]] == pytest.approx([ordered[n] for n in (1, 4, 7)])


def test_attack_gives_one_json_document(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacked, "STEPS", 2)
    arguments = ["plain.toml", "gated.toml", "--batch", "4", "--eps", "2/255", "--steps", "1", "--device", "cpu"]
    ran = aigrob_here(where, "bench", "attack", *arguments, "--json", "--quiet")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    plain, gated = json.loads(ran.stdout)["models"]
    assert (plain["rate"], plain["ratio_to_dense"], gated["rate"], gated["threat"]) == (None, None, 0.6, "linf 2/255")
    for part in (plain, gated):
        seconds = part["seconds_per_step"]
        assert set(part["ratio_to_torchattacks"]) == {"fp32", "bf16", "fp32_dropping", "bf16_dropping"}
        for kind in ("fp32", "bf16"):
            ordered = sorted(a / b for a, b in zip(seconds[kind], seconds[f"floor_{kind}"], strict=True))
            assert part["ratio_to_floor"][kind]["median"] == pytest.approx(ordered[4])
            if part["memory"][kind] is not None:
                assert (
                    part["memory_ratio_to_torchattacks"][kind] == part["memory"][kind] / part["memory"]["torchattacks"]
                )


def test_of_a_trained_network_it_says_what_each_way_leaves(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdicts are those of an evaluation: clean accuracy equals the run's own, and stronger attacks leave less."""
    monkeypatch.setattr(attacked, "STEPS", 3)
    list(train(job(where / "runs" / "plain", gated=False)))
    arguments = ["--run", "plain", "--eps", "1/255", "--eps", "128/255", "--limit", "50", "--batch", "700"]
    ran = aigrob_here(where, "bench", "attack", *arguments, "--steps", "1", "--device", "cpu", "--json", "--quiet")
    assert ran.returncode == 0, ran.stderr
    near, far = json.loads(ran.stdout)["models"]
    assert [(part["model"], part["threat"], part["rate"]) for part in (near, far)] == [
        ("plain", "linf 1/255", None),
        ("plain", "linf 128/255", None),
    ]
    few = len(load_data("digits", seed=0).test)
    assert near["batch"] == far["batch"] == few < 700, "there are no more images"
    images = load_data("digits", seed=0).test.limit(700, 0)
    with gating(model := load_model(where / "runs" / "plain"), Argmax()):
        clean = float((model(images.batch(slice(None))).argmax(1) == images.labels).float().mean())
    ways = {"torchattacks", "fp32", "bf16", "fp32_dropping", "bf16_dropping"}
    for part in (near, far):
        found = part["verdicts"]
        assert (found["images"], found["clean_accuracy"]) == (few, pytest.approx(clean))
        assert set(found["robust_accuracy"]) == set(found["same_verdict"]) == ways
        assert max(found["robust_accuracy"].values()) <= clean
        assert min(found["same_verdict"].values()) > 0.9


def test_verdicts_are_those_of_the_network_itself() -> None:
    """Where labels are its own predictions, nothing is lost in a tiny ball, and much in one that holds every image."""
    x = random_batch(recipe(), 40, CPU)
    network = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 10))
    y = network(x).argmax(1)
    setting = attacked.trained_setting("linear", network, x, y)
    near, far = (verdicts(setting, Threat.parse(eps), batch=15) for eps in ("0.00001", "1.0"))
    assert near["clean_accuracy"] == far["clean_accuracy"] == 1
    assert min(near["robust_accuracy"].values()) == 1
    assert max(far["robust_accuracy"].values()) < 0.9
    wrong = verdicts(replace(setting, y=(y + 1) % 10), Threat.parse("0.00001"), batch=15)
    assert (wrong["clean_accuracy"], max(wrong["robust_accuracy"].values())) == (0, 0)


def test_a_run_that_is_not_there_is_refused(where: Path) -> None:
    refused(aigrob_here(where, "bench", "attack", "--run", "nobody", "--steps", "1"), "nobody")


def test_an_attack_that_crashes_is_no_measurement(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: object, **options: object) -> object:
        return run_attack(lambda *_: 1 / 0, *arguments[1:], **options)  # type: ignore[arg-type]

    monkeypatch.setattr(attacked, "run_attack", failing)
    refused(
        aigrob_here(where, "bench", "attack", "plain.toml", "--batch", "2", "--steps", "1", "--quiet"), "ZeroDivision"
    )


def test_the_commands_show_tables(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacked, "STEPS", 1)
    for command, model in (("inference", "gated"), ("attack", "plain")):
        ran = aigrob_here(where, "bench", command, f"{model}.toml", "--batch", "2", "--steps", "1")
        assert ran.returncode == 0, ran.stderr
        lines = [line.split() for line in ran.stdout.splitlines() if line.split()[:1] == [model]]
        assert [line[1] for line in lines] == ["fp32", "bf16"]
        assert "9 pairs, with 96.1% intervals" in ran.stdout


def test_what_cannot_be_measured_is_refused(where: Path) -> None:
    refused(aigrob_here(where, "bench", "inference", "plain.toml"), "no gates", "cifar10/aig110")
    refused(aigrob_here(where, "bench", "inference", "--rate", "0"), "--rate")
    refused(aigrob_here(where, "bench", "attack", "--eps", "8"), "8/255")
    write_recipe(where / "large.toml", gated=False)
    text = (where / "large.toml").read_text()
    model = 'algorithm = "resnet"\ndepth = 8\nwidths = [4, 4, 4]\n'
    (where / "large.toml").write_text(
        text.replace(model, 'algorithm = "torchvision-resnet"\narchitecture = "resnet18"\n')
    )
    refused(aigrob_here(where, "bench", "attack", "large.toml", "--steps", "1"), "torchvision")
