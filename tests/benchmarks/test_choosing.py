"""Trials of gates that choose: the rival with batch-norm's statistics of its own, against torch's own way to them."""

import copy

import pytest
import torch
from torch.optim.swa_utils import update_bn

from benchmarks.choosing import settling
from robustbench_aig.evaluation.static_path_search import Search
from robustbench_aig.gating import gating
from robustbench_aig.gating.policies import Static
from tests.evaluation.test_static import network, validation
from tests.networks import gated


def test_the_settled_path_is_that_of_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "BATCH", 20)
    monkeypatch.setattr(settling, "BATCHES", 3)
    of = network(gated(depth=8))
    before, some = copy.deepcopy(of.model.state_dict()), validation(of.model)
    model, path = settling.settled(of, some, some, 0)
    assert all(torch.equal(value, before[name]) for name, value in of.model.state_dict().items())

    x, mixed = some.batch(slice(None)), torch.randperm(60, generator=torch.Generator().manual_seed(0))
    search, found = Search(of, some, 0, None), {}
    for each in search.every(search.argmax()[1]):
        theirs = copy.deepcopy(of.model)
        with gating(theirs, Static("static", each)), torch.no_grad():
            update_bn(torch.split(x[mixed], 20), theirs)
            theirs.eval()
            found[tuple(each.tolist())] = theirs, int((theirs(x).argmax(1) == some.labels).sum())
    assert len(found) > 2
    theirs, count = found[tuple(path.tolist())]
    assert count == max(right for _, right in found.values()) == int(settling.right(model, path, some).sum())
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value)
