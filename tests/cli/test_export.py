"""Results in the formats of others, held against what these formats' owners say of them."""

import json
import sys
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub import ModelCard
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from robustbench_aig.data import load_data
from robustbench_aig.records.documents import load_report
from robustbench_aig.reporting import write_report
from robustbench_aig.reporting.palette import light_colours
from robustbench_aig.training.weights import load_model
from tests.command import aigrob_here, refused
from tests.reporting.synthetic import make_study

FORMATS = Path(__file__).parent / "formats"


def exported(report: Path, target: str, where: Path, *options: str) -> list[Path]:
    """The files that a command says it wrote, all there."""
    result = aigrob_here(where, "export", str(report), "--to", target, "--out", "out", *options)
    assert result.returncode == 0, result.stderr
    files = [where / line for line in result.stdout.splitlines()]
    assert sorted(files) == sorted(path for path in (where / "out").rglob("*") if path.is_file())
    return files


def test_robustbench_shows_them_on_its_leaderboard(uninterrupted: Path, tmp_path: Path) -> None:
    """Its own template, on our files beside one of its own."""
    files = [path for path in exported(uninterrupted, "robustbench", tmp_path) if path.suffix == ".json"]
    own = json.loads((FORMATS / "Kang2021Stable.json").read_text())
    infos = [json.loads(path.read_text()) for path in files]
    for info in infos:
        assert info.keys() <= own.keys()
        said = {key: value for key, value in info.items() if value is not None}
        assert all(type(value) is type(own[key]) for key, value in said.items())
    template = Environment(loader=FileSystemLoader(FORMATS), autoescape=True).get_template("leaderboard.html.j2")
    page = template.render(models=[own, *infos], acc_field="external")
    report = load_report(uninterrupted)
    assert {path.parent.relative_to(tmp_path / "out").as_posix() for path in files} == {"model_info/digits/Linf"}
    for w in report.worst_case:
        assert f'<td class="aatd">{round(100 * w.accuracy.value, 2)}%</td>' in page


def test_the_images_show_the_same_accuracy_to_the_network_alone(uninterrupted: Path, tmp_path: Path) -> None:
    """The tensor, judged by the network in plain torch, on labels that don't come from the report."""
    files = exported(uninterrupted, "robustbench", tmp_path)
    images = torch.load(next(path for path in files if path.name == "plain_32of255.pt"))
    report, test = load_report(uninterrupted), load_data("digits", seed=0).test
    places = torch.tensor(pq.read_table(next((uninterrupted / "samples").iterdir()))["image"].to_numpy())
    clean = test.select(places)
    assert images.shape == (60, *report.data.shape)
    assert (images.min() >= 0, images.max() <= 1) == (True, True)
    assert (images - clean.images).abs().max() <= 32 / 255 + 1e-6
    network = load_model(uninterrupted.parent.parent / "runs" / "plain").eval()
    with torch.no_grad():
        right = network(images).argmax(1) == clean.labels
    (of,) = [w for w in report.worst_case if (w.model, w.threat.eps) == ("plain", "32/255")]
    assert right.double().mean().item() == pytest.approx(of.accuracy.value)


def test_without_all_images_there_is_no_file_of_them(tmp_path: Path) -> None:
    directory = make_study().write(tmp_path / "some")
    write_report(directory)
    result = aigrob_here(tmp_path, "export", str(directory), "--to", "robustbench", "--out", "out")
    assert "not all of them were kept: attack again with --keep-images" in result.stderr
    assert not list((tmp_path / "out").rglob("*.pt"))
    assert list((tmp_path / "out").rglob("*.json"))


def test_the_hub_s_own_library_reads_the_card(uninterrupted: Path, tmp_path: Path) -> None:
    report, files = load_report(uninterrupted), exported(uninterrupted, "huggingface", tmp_path)
    assert {path.parent.name for path in files} == {model.name for model in report.models}
    for path in files:
        data = ModelCard.load(path).data
        name = path.parent.name
        assert data.model_name == name
        results = data.eval_results
        assert results is not None
        shown = [(one.metric_value, (one.metric_args or {}).get("eps")) for one in results]
        clean = [(e.clean_accuracy, None) for e in report.evaluations if (e.model, e.role) == (name, "clean")]
        robust = [(w.accuracy, w.threat.eps) for w in report.worst_case if w.model == name]
        assert sorted(map(str, shown)) == sorted(str((round(100 * a.value, 2), eps)) for a, eps in [*clean, *robust])


def test_records_hold_against_the_schema_of_every_eval_ever(uninterrupted: Path, tmp_path: Path) -> None:
    schema = json.loads((FORMATS / "every_eval_ever.schema.json").read_text())
    report, files = load_report(uninterrupted), exported(uninterrupted, "every-eval-ever", tmp_path)
    scores = []
    for path in files:
        record = json.loads(path.read_text())
        jsonschema.validate(record, schema, jsonschema.Draft7Validator)
        assert record["schema_version"] == schema["version"]
        for result in record["evaluation_results"]:
            bounds, score = result["metric_config"], result["score_details"]["score"]
            assert bounds["min_score"] <= score <= bounds["max_score"]
            scores.append((result["evaluation_name"], score))
    names = [(path.parent.name, *json.loads(path.read_text())["evaluation_id"].split("/")) for path in files]
    assert len(set(names)) == len(files) == 3  # of the plain network, and of the gated one under two policies
    for w in report.worst_case:
        assert (f"aigrob.digits.linf-{w.threat.eps}.worst-case", w.accuracy.value) in scores
    for e in report.evaluations:
        if e.gates and e.threat:
            assert (f"aigrob.digits.linf-{e.threat.eps}.{e.attack}.decisions", e.gates.flip_rate) in scores


def test_exported_again_a_record_keeps_its_name(uninterrupted: Path, tmp_path: Path) -> None:
    first, second = (exported(uninterrupted, "every-eval-ever", tmp_path) for _ in range(2))
    assert first == second


def test_pictures_have_the_page_s_colours(uninterrupted: Path, tmp_path: Path) -> None:
    """Each opens, and has pixels of the colours of plain and gated networks as the page has them."""
    files = {path.name: Image.open(path).convert("RGB") for path in exported(uninterrupted, "png", tmp_path)}
    pixels = {colour for _, colour in files["more-robust.png"].getcolors(maxcolors=2**24) or []}
    assert {tuple(bytes.fromhex(light_colours()[one][1:])) for one in ("--s0", "--s1")} <= pixels


def test_one_network_is_chosen(uninterrupted: Path, tmp_path: Path) -> None:
    files = exported(uninterrupted, "huggingface", tmp_path, "--network", "gated")
    assert [path.parent.name for path in files] == ["gated"]


def test_an_unknown_network_is_named_with_the_nearest(uninterrupted: Path, tmp_path: Path) -> None:
    result = aigrob_here(tmp_path, "export", str(uninterrupted), "--to", "huggingface", "--network", "gatd")
    refused(result, "gatd", "gated")


@pytest.mark.parametrize("target", ["robustbench", "huggingface", "every-eval-ever"])
def test_a_report_that_came_alone_is_exported_too(target: str, uninterrupted: Path, tmp_path: Path) -> None:
    alone = tmp_path / "report.json"
    alone.write_bytes((uninterrupted / "report.json").read_bytes())
    assert exported(alone, target, tmp_path)


def test_without_the_extra_the_way_out_is_named(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    result = aigrob_here(tmp_path, "export", str(uninterrupted), "--to", "huggingface")
    refused(result, "pip install", "robustbench_aig[hub]")
