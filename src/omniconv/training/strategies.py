"""Lightning's strategies for a training in processes that are connected already."""

from __future__ import annotations

from inspect import signature
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy, Strategy
from torch.nn.parallel import DistributedDataParallel

from omniconv.processes import TIMEOUT, Place


class JoinedEnvironment(ClusterEnvironment):
    """Places of the processes of a ``ProcessGroup``, which Lightning neither starts nor connects.

    Args:
        place: place of this process.
    """

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place

    @property
    def creates_processes_externally(self) -> bool:
        """True: Lightning starts no process."""
        return True

    @property
    def main_address(self) -> str:
        """Not used, since the processes are connected."""
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        """Not used, since the processes are connected."""
        return 0

    @staticmethod
    def detect() -> bool:
        """Return False: it is given to the trainer."""
        return False

    def world_size(self) -> int:
        """Return the number of processes."""
        return self.place.size

    def set_world_size(self, size: int) -> None:
        """Keep the number of processes."""

    def global_rank(self) -> int:
        """Return the number of this process."""
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        """Keep the number of this process."""

    def local_rank(self) -> int:
        """Return the number of this process on its machine."""
        return self.place.local_rank

    def node_rank(self) -> int:
        """Return the number of this machine."""
        return self.place.rank // self.place.local_size


def make_strategy(name: str, unused_parameters: bool) -> Strategy:
    """Return the strategy of Lightning for a setting.

    Args:
        name: ``auto``, ``ddp`` or ``fsdp``.
        unused_parameters: a step may have no gradients of some parameters that are trained in others.
    """
    options: dict[str, Any] = {"timeout": TIMEOUT}
    if name == "fsdp":
        return FSDPStrategy(state_dict_type="full", **options)
    # Buffers are equal, since batch norms have the statistics of all processes; sending them would also be a collective
    # operation in the validation, where a process may have more batches than another one.
    known = signature(DistributedDataParallel.__init__).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # until torch 2.12
    options |= {buffers: False, "find_unused_parameters": unused_parameters}
    return DDPStrategy(**options)
