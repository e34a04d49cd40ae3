"""Which images fell to what: every line against the study's rows, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from robustbench_aig.reporting import aggregate, image_outcomes, write_report
from robustbench_aig.reporting.evidence import load_evidence
from robustbench_aig.reporting.series import all_series
from robustbench_aig.reporting.table_columns import Ints
from robustbench_aig.reporting.thumbnails import load_thumbnails
from tests.reporting.synthetic import CLASSES, EPSILONS, MODELS, SIZE, N, Study, cascaded, corrupted, evaluation, fail


def table(directory: Path) -> image_outcomes.ImageOutcomes | None:
    report, evidence = aggregate(directory), load_evidence(directory)
    return image_outcomes.image_outcomes(report, evidence, all_series(report))


def by_hand(study: Study, model: str, policy: str, image: int) -> tuple[str, str]:
    """Where an image falls, and to which attack there; an attack that failed is a loss."""

    def row(attack: str, eps: str | None) -> dict[str, object]:
        role = "clean" if attack == "clean" else "attack"
        return study.rows[evaluation(model, policy, attack, role, eps).id][image]  # type: ignore[arg-type]

    def right(one: dict[str, object]) -> float:
        return one["choice_correct"] / max(one["choice_draws"], 1)  # type: ignore[call-overload, no-any-return]

    if right(row("clean", None)) < 0.5:
        return "clean", ""
    for eps in EPSILONS:
        tried = [(name, row(name, eps) if name != "clean" else row("clean", None)) for name in ("clean", "fgsm", "pgd")]
        tried = [(name, one) for name, one in tried if one["status"] != "skipped"]
        name, one = min(tried, key=lambda pair: (right(pair[1]), pair[1]["choice_margin"]))
        if right(one) < 0.5:
            return eps, name
    return "robust", name


@pytest.mark.parametrize("kind", ["plain", "cascade", "failed"])
def test_every_outcome_is_what_the_rows_say(study: Study, tmp_path: Path, kind: str) -> None:
    if kind == "cascade":
        study = cascaded(study)
    if kind == "failed":
        for image in range(0, N, 3):
            fail(study.rows[evaluation("aig-digits", "argmax", "pgd", "attack", "4/255").id][image])
    found = table(study.write(tmp_path))
    assert found is not None
    assert [(one.model, one.policy) for one in found.series] == list(MODELS)
    assert [line.image for line in found.lines] == [row["image"] for row in study.rows[next(iter(study.rows))]]
    seen = set()
    for at, line in enumerate(found.lines):
        places = [one.place for one in line.outcomes]
        for (model, policy), one in zip(MODELS, line.outcomes, strict=True):
            strength, attack = by_hand(study, model, policy, at)
            if kind != "failed" or strength == "robust":
                assert (one.strength, one.attack) == (strength, attack)
            assert one.strength == strength
            assert one.place == ["clean", *EPSILONS, "robust"].index(strength)
            assert bool(one.gates) == (model == "aig-digits" and strength != "clean")
        seen.add(line.outcome)
        assert (line.outcome == "robust in all networks") == (set(places) == {3})
        assert (line.outcome == "broken in all networks") == (max(places) < 3 and min(places) > 0)
        assert line.outcome.startswith("misclassified when clean") == (0 in places)
    assert len(seen) > 2


def test_gates_are_those_of_the_attack_it_fell_to(study: Study, tmp_path: Path) -> None:
    found = table(study.write(tmp_path))
    assert found is not None
    flips = 0
    for at, line in enumerate(found.lines):
        one = line.outcomes[1]
        if not one.gates:
            continue
        eps = EPSILONS[min(one.place, len(EPSILONS)) - 1]
        role = "clean" if one.attack == "clean" else "attack"
        row = study.rows[evaluation("aig-digits", "argmax", one.attack, role, None if role == "clean" else eps).id][at]  # type: ignore[arg-type]
        before, after = (
            np.unpackbits(np.frombuffer(row[name], np.uint8), count=len(one.gates))
            for name in ("gates_clean", "gates_adv")
        )
        assert [gate.opened for gate in one.gates] == after.astype(bool).tolist()
        assert [gate.flipped for gate in one.gates] == (before != after).tolist()
        flips += int((before != after).sum())
    assert flips


def test_of_many_images_the_seeded_and_the_most_telling_are_told(study: Study, tmp_path: Path) -> None:
    everything = table(study.write(tmp_path))
    assert everything is not None
    places = np.array([[one.place for one in line.outcomes] for line in everything.lines]).T
    spread = np.ptp(places, axis=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_outcomes, "MOST", 20)
        patch.setattr(image_outcomes, "_SEEDED", 5)
        few = table(tmp_path)
        again = table(tmp_path)
    assert few == again
    assert few is not None
    assert (len(few.lines), few.total) == (20, N)
    told = {line.image for line in few.lines}
    left = [spread[at] for at, line in enumerate(everything.lines) if line.image not in told]
    chosen = sorted((spread[at] for at, line in enumerate(everything.lines) if line.image in told), reverse=True)
    assert min(chosen[:15]) >= max(left), "but for the five seeded ones none that is left out is more telling"


def test_without_a_finished_worst_case_there_is_no_table(study: Study, tmp_path: Path) -> None:
    only = {name: rows for name, rows in study.rows.items() if "pgd" not in name}
    assert table(Study(study.plan, only).write(tmp_path / "unfinished")) is None
    write_report(tmp_path / "unfinished")
    assert 'id="image-outcomes"' not in (tmp_path / "unfinished" / "report.html").read_text()
    assert table(corrupted(study, {"jpeg": [1]}, alone=True).write(tmp_path / "corrupted")) is None


def test_pictures_of_its_images_are_kept_and_shown_again(study: Study, tmp_path: Path) -> None:
    asked: list[Ints] = []

    def originals(ids: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        asked.append(ids)
        return np.tile((ids / ids.max()).astype(np.float32)[:, None, None, None], (1, 1, SIZE, SIZE))

    study.write(tmp_path)
    write_report(tmp_path)
    without = (tmp_path / "report.html").read_text()
    write_report(tmp_path, originals)
    first = (tmp_path / "report.html").read_text()
    found = table(tmp_path)
    assert found is not None
    assert asked[0].tolist() == [line.image for line in found.lines]
    assert (without.count('class="thumb"'), first.count('class="thumb"')) == (0, N)
    assert set(load_thumbnails(tmp_path)) == set(asked[0].tolist())
    write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == first
    (tmp_path / "images" / "thumbnails.safetensors").write_bytes(b"no such thing")
    write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == without
    assert len({line.label for line in found.lines}) == CLASSES
