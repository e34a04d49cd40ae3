"""A page never fails after the evidence is complete: what can't be made is left out and named."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from PIL import Image

from robustbench_aig.errors import RunError
from robustbench_aig.reporting import gallery, report_page, words, write_report
from robustbench_aig.reporting.pictures import channels_shown, png, thumbnail
from robustbench_aig.training import train
from tests.reporting.synthetic import Study
from tests.tiny import job


def breaks(*_: Any, **__: Any) -> NoReturn:
    raise ValueError("no <such> picture\nand more")


def test_a_picture_that_cannot_be_made_is_named(
    written: Path, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "shelves", breaks)
    write_report(study.write(tmp_path))
    html = (tmp_path / "report.html").read_text()
    assert "these parts could not be made: The gallery (ValueError: no &lt;such&gt; picture)" in html
    assert 'id="accuracy"' in html
    assert (tmp_path / "report.json").read_bytes() == (written / "report.json").read_bytes()
    assert "could not be made" not in (written / "report.html").read_text()


def test_a_section_that_cannot_be_made_leaves_the_others(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "flatten", breaks)
    write_report(study.write(tmp_path))
    html = (tmp_path / "report.html").read_text()
    assert "The section provenance.html (ValueError: no &lt;such&gt; picture) could not be made" in html
    assert 'id="provenance"' not in html
    assert 'id="gallery"' in html
    assert html.rstrip().endswith("</html>")


def test_a_page_that_cannot_be_made_at_all_says_so(
    written: Path, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_page, "all_series", breaks)
    report = write_report(study.write(tmp_path))
    assert report.status == "complete"
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads((written / "report.json").read_text())
    assert "This page (ValueError: no &lt;such&gt; picture) could not be made" in (tmp_path / "report.html").read_text()


def test_damaged_evidence_is_still_refused(study: Study, tmp_path: Path) -> None:
    directory = study.write(tmp_path)
    for path in (directory / "images").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(RunError, match="images"):
        write_report(directory)


@pytest.mark.parametrize(("channels", "seen"), [(1, 1), (2, 1), (3, 3), (4, 3), (13, 3)])
def test_images_of_any_number_of_channels_have_a_picture(channels: int, seen: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (channels, 5, 7))
    for make in (png, thumbnail):
        uri = make((levels / 255).astype(np.float32))
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        assert np.array_equal(picture.reshape(5, 7, seen), np.moveaxis(levels[:seen], 0, -1))
    assert (channels_shown(channels) is None) == (channels == seen)


@pytest.mark.parametrize("what", ["report", "run"])
def test_where_addresses_are_limited_pictures_are_left_out(what: str, study: Study, tmp_path: Path) -> None:
    """The engine that draws would end the process, were it asked to. A run's page is refused in one line."""
    if what == "report":
        study.write(tmp_path / "report")
    else:
        list(train(job(tmp_path / "run", epochs=1)))
    command = f"ulimit -v 8388608; exec {sys.executable} -m robustbench_aig.cli report {what}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    if what == "report":
        assert done.returncode == 0, done.stderr
        html = (tmp_path / "report" / "report.html").read_text()
        assert "The first chart (MemoryError: drawing takes more addresses than the limit of ulimit -v allows)" in html
    else:
        assert done.returncode == 2
        assert done.stderr == "aigrob: out of memory: drawing takes more addresses than the limit of ulimit -v allows\n"
