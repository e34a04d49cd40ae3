"""Several processes that evaluate together wait for each other, for as long as it takes."""

from __future__ import annotations

import time
from datetime import timedelta

import torch.distributed as dist

from robustbench_aig.distributed import World
from robustbench_aig.errors import LostProcessError

_PATIENCE = timedelta(days=30)
"""Longer than any evaluation: torch's own limits, ten minutes under NCCL, are for processes that keep in step."""

# Twenty looks a second: unnoticed by a user, and hardly any load.
_PAUSE = 0.05


class Together:
    """Where the processes of a world meet. Gloo connects them, so that whoever waits hears when another one ends.

    A process that waits looks up twenty times a second, so that Ctrl-C and SIGTERM, by which torchrun ends the
    others when one has failed, reach it.
    """

    def __init__(self, world: World | None = None) -> None:
        """For the processes of a world, all of which come here at the same time; one alone by default."""
        self.world = world or World()
        self._group: dist.ProcessGroup | None = None
        if self.world.size > 1:
            group = dist.new_group(backend="gloo", timeout=_PATIENCE)
            assert isinstance(group, dist.ProcessGroup), "every process is a member"
            self._group = group
        self._arrival: dist.Work | None = None

    def arrive(self) -> None:
        """Say that this process is here."""
        if self._group is not None:
            self._arrival = dist.barrier(group=self._group, async_op=True)

    def all_here(self) -> bool:
        """Whether all have arrived; takes a moment where they haven't.

        Raises:
            RunError: another process has ended (in the leader; the others follow it silently).
        """
        if self._arrival is None:
            return True
        if not self._arrival.is_completed():
            time.sleep(_PAUSE)
            return False
        try:
            self._arrival.wait()
        except RuntimeError:
            if not self.world.leads:
                raise SystemExit(1) from None
            raise LostProcessError from None
        self._arrival = None
        return True

    def wait(self) -> None:
        """Until all are here."""
        self.arrive()
        while not self.all_here():
            pass
