"""One thread per test process: tests run side by side, and sums are added in one order. Clocks are asked in passing."""

import gc
import os

import torch

from robustbench_aig.evaluation import latency

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
torch.set_num_threads(1)
latency._TURN = 1e-9  # no test is about what a clock says
gc.disable()  # until all is imported, and nothing of it is garbage


def pytest_collection_finish() -> None:
    """Search for garbage among what tests make alone: that takes a twentieth of the time otherwise."""
    gc.freeze()
    gc.enable()
