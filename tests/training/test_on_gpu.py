"""Training on a GPU, from start to end; skipped where there is none."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robustbench_aig.training import Hardware, train
from tests.tiny import job, result

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICE = torch.device("cuda")


def test_a_training_killed_in_its_second_epoch_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole, cut = (replace(job(tmp_path / name, epochs=2), hardware=Hardware(DEVICE)) for name in ("whole", "cut"))
    list(train(whole))
    events = train(cut, tick=0)
    for _ in range(8):  # 5 steps and the end of an epoch make 6 events
        next(events)
    events.close()  # type: ignore[attr-defined]
    list(train(cut, resume=True))
    assert result(cut.directory) == result(whole.directory)
