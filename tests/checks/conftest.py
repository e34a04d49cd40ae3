"""Honest networks: trained when the first test asks for them, or released."""

import os
from collections.abc import Callable

import pytest

from robustbench_aig.evaluation import Network
from tests.checks.grounds import DATA, Ground, digits, real_images, released_network
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


_NEEDS_DATA = pytest.mark.skipif(not DATA, reason="needs the images of the released networks: make evidence DATA=DIR")
_REAL = [pytest.mark.evidence, pytest.mark.timeout(3600), _NEEDS_DATA]


@pytest.fixture(params=["digits", pytest.param("real images", marks=_REAL)])
def ground(request: pytest.FixtureRequest, trained: Callable[[str], Network]) -> Ground:
    """Where defects are planted: on digits, and with `make evidence` on real images, too."""
    return Ground(digits(), trained) if request.param == "digits" else Ground(real_images(), released_network)
