"""Groups of processes that share a training or a prediction, on one machine or on several.

``launch`` starts processes on this machine; ``join`` joins those that ``torchrun`` or SLURM's ``srun`` has started. In
both cases process 0 does what a single process does, and calls functions in all of them (``ProcessGroup.call``); the
others only serve these calls (``ProcessGroup.serve``), so that one process prints, locks and writes.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore
from torch.distributed.rendezvous import rendezvous

from omniconv.errors import InputError, one_line

TIMEOUT = timedelta(days=1)
"""Longest time that a process waits for another one, for example while the first one reads the data."""
GUIDE = "see docs/many-machines.md"
_ERROR, _READY = "omniconv_error", "omniconv_ready"
"""Keys in the store that all processes share."""
_SECONDS = 10.0
"""Time that process 0 has to raise the error of another process before it is ended."""
_WORK = "from omniconv.processes import _work; _work()"


@dataclass(frozen=True)
class Place:
    """Place of a process among those that a launcher started.

    Attributes:
        rank: its number among all processes, from 0.
        size: number of all processes.
        local_rank: its number among those on its machine.
        local_size: number of processes on its machine.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int

    @property
    def nodes(self) -> int:
        """Number of machines."""
        return self.size // self.local_size


SINGLE = Place(0, 1, 0, 1)
"""A process without others."""


def launched_place() -> Place | None:
    """Return the place of this process among those of ``torchrun`` or ``srun``; ``None`` if it is a single one."""
    given = os.environ
    try:
        if all(name in given for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")):  # torchrun
            size = int(given["WORLD_SIZE"])
            local_size = int(given.get("LOCAL_WORLD_SIZE", size))
            place = Place(int(given["RANK"]), size, int(given.get("LOCAL_RANK", given["RANK"])), local_size)
        elif "SLURM_STEP_NUM_TASKS" in given and "SLURM_PROCID" in given:  # srun; sbatch alone does not set the first
            size = int(given["SLURM_STEP_NUM_TASKS"])
            local_size = size // int(given.get("SLURM_STEP_NUM_NODES", 1))
            place = Place(int(given["SLURM_PROCID"]), size, int(given["SLURM_LOCALID"]), local_size)
        else:
            return None
    except (KeyError, ValueError) as error:
        rule = f"are not those of a launcher ({one_line(error)})"
        raise InputError(
            "environment variables", "RANK, WORLD_SIZE, …", rule, f"use torchrun or srun, {GUIDE}"
        ) from None
    if place.local_size < 1 or place.size % place.local_size:
        rule = f"are started on machines with {place.local_size} each"
        raise InputError("processes", place.size, rule, f"start as many on each machine, {GUIDE}")
    return place if place.size > 1 else None


def is_first_process() -> bool:
    """Return True in the process that prints and writes: process 0 of a launcher, or a single one."""
    place = launched_place()
    return place is None or place.rank == 0


def check_devices(devices: int, nodes: int, device: torch.device, given: Container[str] = ()) -> Place:
    """Return the place of this process, the first one, in a group of so many processes.

    Args:
        devices: processes on each machine, each with a device of its own.
        nodes: machines.
        device: device of the training.
        given: which of ``devices`` and ``nodes`` the user gave; a launcher's number replaces another one.

    Raises:
        InputError: there are not as many devices, or no launcher started processes on other machines.
    """
    place = launched_place()
    if place is not None:
        for name, value, launched in (("devices", devices, place.local_size), ("nodes", nodes, place.nodes)):
            if name in given and value != launched:
                rule = f"is not the number that the launcher started, {launched}"
                raise InputError(name, value, rule, "leave it out, or start as many")
    elif nodes > 1:
        rule = "needs a launcher that starts the processes on each machine, and there is none"
        raise InputError("nodes", nodes, rule, f"use nodes=1, or torchrun or srun ({GUIDE})")
    place = place or Place(0, devices, 0, devices)
    found = torch.cuda.device_count() if device.type == "cuda" else place.local_size
    if place.local_size > found:
        rule = f"needs {place.local_size} CUDA devices on each machine, and this one has {found}"
        raise InputError("devices", place.local_size, rule, f"use devices={max(1, found)}")
    return place


class ProcessGroup:
    """Processes that are connected by ``torch.distributed``.

    Args:
        place: place of this process.
        store: store that all processes share.
        device: kind of their devices, ``cpu`` or ``cuda``.
        workers: the processes that this one has started.

    Attributes:
        place: place of this process.
    """

    def __init__(self, place: Place, store: Any, device: str, workers: Sequence[subprocess.Popen] = ()) -> None:
        self.place, self.store, self.workers = place, store, workers
        backend = "gloo"
        if device == "cuda":
            backend = "cpu:gloo,cuda:nccl"
            torch.cuda.set_device(place.local_rank)
        self._ended = threading.Event()
        if place.rank == 0:
            threading.Thread(target=self._watch, daemon=True).start()
        dist.init_process_group(
            backend, store=PrefixStore("omniconv", store), rank=place.rank, world_size=place.size, timeout=TIMEOUT
        )

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...], own: Callable[[], Any]) -> Any:
        """Call ``function(group, *arguments)`` in the other processes, and ``own()`` in this one, process 0.

        Args:
            function: a function of a module, which the other processes import.
            arguments: its arguments after the group; they are pickled.
            own: its result is returned.

        Raises:
            InputError: one that was raised in another process, or another process ended.
        """
        with self.calling(function, arguments):
            return own()

    @contextmanager
    def calling(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Iterator[None]:
        """Call a function in the other processes, as ``call``, while the body of the ``with`` statement runs here."""
        try:
            _broadcast((function, arguments))
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise self._not_importable(error) from error
        try:
            yield
        except (RuntimeError, OSError) as error:
            if not is_lost_connection(error):
                raise
            raise self._error_of_others(_SECONDS / 2) from error

    def serve(self) -> Any:
        """Run the calls of process 0 until it ends; return the last result.

        Raises:
            SystemExit: this process or process 0 has failed, which process 0 reports.
        """
        result = None
        try:
            while True:
                try:
                    call = _broadcast(None)
                except (AttributeError, ImportError) as error:
                    raise self._not_importable(error) from error
                if call is None:
                    return result
                function, arguments = call
                result = function(self, *arguments)
        except InputError as error:
            self._report(error)
        except KeyboardInterrupt:
            pass
        except Exception as error:
            if not is_lost_connection(error):
                is_memory = isinstance(error, MemoryError) or "memory" in str(error)
                if not is_memory:
                    traceback.print_exc()
                self._report(RuntimeError(f"process {self.place.rank}: {one_line(error)}"))
        raise SystemExit(2)

    def close(self) -> None:
        """End ``serve`` in the other processes, and the connection to them."""
        self._ended.set()
        if dist.is_initialized():
            if self.place.rank == 0:
                _broadcast(None)
            dist.destroy_process_group()

    def abandon(self) -> None:
        """End the connection to the other processes after a failure: they fail, too."""
        self._ended.set()
        for worker in self.workers:
            worker.kill()
        if dist.is_initialized():
            with suppress(RuntimeError):
                dist.destroy_process_group()

    def _error_of_others(self, seconds: float) -> Exception:
        """Return the error that another process reported, or that it ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(RuntimeError, OSError):
                if self.store.check([_ERROR]):
                    return pickle.loads(self.store.get(_ERROR))
            if any(worker.poll() not in (None, 2) for worker in self.workers):
                break
            time.sleep(0.1)
        codes = {rank: worker.poll() for rank, worker in enumerate(self.workers, 1)}
        ended = [f"process {rank} by {signal.Signals(-code).name}" for rank, code in codes.items() if code and code < 0]
        rule = f"was ended: {', '.join(ended) or 'another process'}"
        return InputError("devices", self.place.local_size, rule, "look for lack of memory, or use fewer")

    def _watch(self) -> None:
        """End this process if another one has failed and this one cannot notice, since it waits for its GPU."""
        failed = None
        while not self._ended.wait(0.5):
            is_dead = any(worker.poll() not in (None, 0) for worker in self.workers)
            failed = failed or (time.monotonic() if is_dead else None)
            if failed and time.monotonic() > failed + _SECONDS:
                sys.stderr.write(f"omniconv: {self._error_of_others(0.5)}\n")
                sys.stderr.flush()
                os._exit(2)

    def _report(self, error: Exception) -> None:
        with suppress(RuntimeError, OSError):
            self.store.set(_ERROR, pickle.dumps(error))

    def _not_importable(self, error: Exception) -> InputError:
        rule = f"needs a task and a network that other processes can import ({one_line(error)})"
        return InputError("devices", self.place.local_size, rule, "define them in a module of their own")


def is_lost_connection(error: BaseException) -> bool:
    """Return True if an error says that another process has ended."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or "gloo" in text or "connection" in text or "socket" in text


@contextmanager
def join(device: str) -> Iterator[ProcessGroup | None]:
    """Join the processes of ``torchrun`` or ``srun``; yields ``None`` in a single process.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
    """
    place = launched_place()
    if place is None:
        yield None
        return
    if "RANK" in os.environ:
        store = next(iter(rendezvous("env://", timeout=TIMEOUT)))[0]
    else:
        from lightning.fabric.plugins.environments.slurm import SLURMEnvironment  # late: needed by SLURM only

        slurm = SLURMEnvironment(auto_requeue=False)
        store = TCPStore(slurm.main_address, slurm.main_port, place.size, place.rank == 0, TIMEOUT)
    with _closing(ProcessGroup(place, store, _kind(device))) as group:
        yield group


@contextmanager
def launch(size: int, device: str) -> Iterator[ProcessGroup]:
    """Start processes on this machine that share work with this one.

    The CPU's threads are divided between them. They end when this process ends, however it ends.

    Args:
        size: number of processes, with this one.
        device: ``auto``, ``cpu`` or ``cuda``.
    """
    store = TCPStore("127.0.0.1", 0, size, is_master=True, timeout=TIMEOUT, wait_for_workers=False)
    threads = torch.get_num_threads()
    own, workers = max(1, threads // size), []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    words = [str(store.port), str(size), _kind(device), str(own)]
    torch.set_num_threads(own)
    try:
        for rank in range(1, size):
            command = [sys.executable, "-c", _WORK, str(rank), *words]
            # In a session of their own: ^C is for this process, which ends them. They end when their input does.
            workers += [subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)]
        with _closing(ProcessGroup(Place(0, size, 0, size), store, _kind(device), workers)) as group:
            yield group
        for worker in workers:
            worker.wait()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            if worker.stdin is not None:
                worker.stdin.close()
        torch.set_num_threads(threads)


def _work() -> None:
    """Serve a process that has launched this one."""
    rank, port, size, device, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    store = TCPStore("127.0.0.1", int(port), int(size), is_master=False, timeout=TIMEOUT)
    place = Place(int(rank), int(size), int(rank), int(size))
    group = ProcessGroup(place, store, device)
    group.serve()
    group.close()


def _exit_with_parent() -> None:
    while os.read(0, 1):  # not by sys.stdin, whose lock a thread may not hold when Python ends
        pass
    os._exit(1)


@contextmanager
def _closing(group: ProcessGroup) -> Iterator[ProcessGroup]:
    try:
        yield group
    except BaseException:
        group.abandon()
        raise
    group.close()


def _broadcast(value: Any) -> Any:
    """Return the value of process 0 in every process."""
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def _kind(device: str) -> str:
    return "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
