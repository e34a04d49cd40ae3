from pathlib import Path

import pytest

from robustbench_aig.reporting import write_report
from tests.reporting.synthetic import Study, make_study


@pytest.fixture
def study() -> Study:
    return make_study()


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished report directory that no test may change."""
    return make_study().write(tmp_path_factory.mktemp("evidence"))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with its report written."""
    path = make_study().write(tmp_path_factory.mktemp("report"))
    write_report(path)
    return path
