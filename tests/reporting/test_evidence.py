import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robustbench_aig.errors import RunError
from robustbench_aig.reporting import aggregate, load_plan
from robustbench_aig.reporting.evidence import load_images
from tests.reporting.synthetic import Study, evaluation

NAME = evaluation("aig-digits", "argmax", "fgsm", "attack", "4/255").id


def test_plan_comes_back_as_written(study: Study, tmp_path: Path) -> None:
    assert load_plan(study.write(tmp_path)) == study.plan


def test_missing_plan(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"has no plan\.json"):
        aggregate(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "schema_version is None"),
        ('{"schema_version": "99"}', "schema_version is '99'"),
        ('{"schema_version": "1"}', "created: Field required"),
    ],
)
def test_damaged_plan_is_told_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(RunError, match=message) as caught:
        load_plan(tmp_path)
    assert "plan.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_table(study: Study, tmp_path: Path) -> None:
    path = study.write(tmp_path) / "samples" / f"{NAME}.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(RunError, match=f"{NAME}.parquet.*--resume"):
        aggregate(tmp_path)


def test_missing_rows(study: Study, tmp_path: Path) -> None:
    study.rows[NAME].pop()
    with pytest.raises(RunError, match="59 rows for 60 images"):
        aggregate(study.write(tmp_path))


def test_foreign_columns(study: Study, tmp_path: Path) -> None:
    study.write(tmp_path)
    pq.write_table(pa.table({"image": np.arange(60)}), tmp_path / "samples" / f"{NAME}.parquet")
    with pytest.raises(RunError, match="other columns"):
        aggregate(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "skipped", "lost_to": "pgd", "correct_draws": 0, "choice_correct": 0}, "only attacks of a cascade"),
        ({"model": "another"}, "from another run"),
        ({"threat": "linf 16/255"}, "the plan says 'linf 4/255'"),
        ({"image": 3}, "not sorted by image"),
        ({"label": 99}, "labels beyond"),
        ({"margin": float("nan")}, "margin that is not a number"),
        ({"correct_draws": 5}, "correct_draws does not fit draws"),
        ({"choice_draws": 0, "choice_correct": 0}, "choice_correct does not fit"),
        ({"gates_adv": b"x"}, "gate decisions that do not fit"),
        ({"p_adv": []}, "gate probabilities that do not fit"),
        ({"status": "lost"}, "status .'lost'.*cannot count"),
        ({"status": "error", "correct_draws": 1, "choice_correct": 0}, "counts images as right that failed"),
        ({"status": "error", "correct_draws": 0, "choice_correct": 1}, "counts images as right that failed"),
        ({"label": 0}, "hold different images"),
    ],
)
def test_rows_that_break_the_contract(study: Study, tmp_path: Path, change: dict[str, object], message: str) -> None:
    study.rows[NAME][7].update(change)
    with pytest.raises(RunError, match=message) as caught:
        aggregate(study.write(tmp_path))
    assert NAME in str(caught.value)


def test_a_table_from_before_there_was_a_column(study: Study, tmp_path: Path) -> None:
    study.write(tmp_path / "new")
    path = study.write(tmp_path / "old") / "samples" / f"{NAME}.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["batch"]), path)
    plan = json.loads((tmp_path / "old" / "plan.json").read_text())
    del plan["cascade"]
    (tmp_path / "old" / "plan.json").write_text(json.dumps(plan))
    assert aggregate(tmp_path / "old") == aggregate(tmp_path / "new")


def test_times_of_another_shape(study: Study, tmp_path: Path) -> None:
    (study.write(tmp_path) / "times.json").write_text("[1]")
    with pytest.raises(RunError, match="not a map"):
        aggregate(tmp_path)


@pytest.mark.parametrize("content", ["[1]", "{", '{"x": {"ratio": 1.2}}', '{"x": {"ratio": -1}}'])
def test_damaged_latency(study: Study, tmp_path: Path, content: str) -> None:
    (study.write(tmp_path) / "latency.json").write_text(content)
    with pytest.raises(RunError, match=r"latency\.json: is not .*delete it"):
        aggregate(tmp_path)


def test_images(directory: Path) -> None:
    images = load_images(directory, NAME, (1, 8, 8))
    assert images is not None
    assert images.pixels.shape == (20, 1, 8, 8)
    assert load_images(directory, "nowhere", (1, 8, 8)) is None


def test_damaged_images(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.safetensors").write_bytes(b"123")
    with pytest.raises(RunError, match=r"x\.safetensors: cannot be read"):
        load_images(tmp_path, "x", (1, 8, 8))


@pytest.mark.parametrize("shape", [(1, 8, 9), (3, 8, 8), (8, 8)])
def test_images_of_another_shape(directory: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(RunError, match="does not hold images of shape"):
        load_images(directory, NAME, shape)
