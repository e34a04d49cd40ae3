"""One thread per test process: tests run side by side, and sums are added in one order."""

import os

import torch

os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
torch.set_num_threads(1)
