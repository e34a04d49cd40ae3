"""Honest networks, trained when the first test asks for them."""

import os
from collections.abc import Callable

import pytest

from robustbench_aig.evaluation import Network
from tests.checks.trained import network, train_into


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Network]:
    """From a name of `trained.NAMES` to the network; test processes share them."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "checked"
    folder.mkdir(exist_ok=True)

    def of(name: str) -> Network:
        train_into(folder / name, name)
        return network(folder / name)

    return of
