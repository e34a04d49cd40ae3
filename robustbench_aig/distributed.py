"""One training on several processes: a thin layer over torch.distributed, started by torchrun."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from robustbench_aig.errors import AigrobError, InputError

_ERROR = "aigrob: error of the leader"
_PATIENCE = timedelta(seconds=5)
"""For how long a process that fails waits for the leader to fail, too."""
_LONG_PATIENCE = timedelta(seconds=30)
"""For how long it then waits for the leader to tell why, and to end."""


@dataclass(frozen=True)
class World:
    """The processes that work together, seen from one of them; by default it's alone.

    Attributes:
        rank: of this process, from 0; the process of rank 0 leads: it alone writes and shows.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def share(self, index: Tensor) -> Tensor:
        """This process's part (B / size,) of the positions (B,) of a batch, B a multiple of the size."""
        return index[self.rank :: self.size]

    def mean(self, local: Tensor) -> Tensor:
        """Mean over the processes; without gradient."""
        return self.total(local) / self.size if self.size > 1 else local.detach()

    def total(self, local: Tensor) -> Tensor:
        """Sum over the processes; without gradient."""
        if self.size == 1:
            return local.detach()
        total = local.detach().clone()
        dist.all_reduce(total)
        return total

    def gather(self, local: Tensor) -> Tensor:
        """The parts (B / size, …) of all processes in the order of their ranks: (B, …), without gradient."""
        if self.size == 1:
            return local.detach()
        parts = [torch.empty_like(local) for _ in range(self.size)]
        dist.all_gather(parts, local.detach().contiguous())
        return torch.cat(parts)

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is up in any process; waits for the device where there are several."""
        return bool(self.total(torch.tensor(float(flag), device=device))) if self.size > 1 else flag

    def copy_from_leader(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite tensors of one type by those of rank 0, in one message."""
        if self.size == 1 or not tensors:
            return
        # Hundreds of small messages would take longer than all their numbers.
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.broadcast(flat, src=0)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.size > 1:
            dist.barrier()


def end_after_leader(code: int) -> NoReturn:
    """Exit for a reason that the leader tells, and after it: the first process that ends makes torchrun end the others.

    It interrupts them by SIGTERM, which is what ends the waiting here, too.
    """
    time.sleep(_LONG_PATIENCE.total_seconds())
    raise SystemExit(code)


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """The world that torchrun, or a command in its way, has started this process in; and this process's own device.

    NCCL connects CUDA devices, Gloo CPUs. Without such a start the process is alone. What fails in the same way in all
    processes is raised in the leader alone, so that the user is told once; the others exit with the same status.

    Raises:
        InputError: more processes on this machine than it has CUDA devices (in the first one here).
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(), device
        return
    local = int(os.environ["LOCAL_RANK"])
    if device.type == "cuda":
        processes, devices = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if processes > devices:
            if local > 0:
                end_after_leader(InputError.exit_code)
            raise InputError(
                f"{processes} processes on a machine with {devices} CUDA devices: start no more than it has devices, "
                "or choose --device cpu"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    store, rank, size = next(rendezvous("env://"))
    cuda = device if device.type == "cuda" else None
    dist.init_process_group("nccl" if cuda else "gloo", store=store, rank=rank, world_size=size, device_id=cuda)
    world = World(rank, size)
    try:
        yield world, device
    except AigrobError as error:
        if world.leads:
            store.set(_ERROR, str(error))
            raise
        with suppress(dist.DistStoreError):  # the leader doesn't fail
            store.wait([_ERROR], _PATIENCE)
            if store.get(_ERROR) == str(error).encode():
                end_after_leader(error.exit_code)
        raise
    finally:
        dist.destroy_process_group()
