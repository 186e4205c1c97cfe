"""Fair timing: candidates in turn in one process, medians and spreads, and on what machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import click
import numpy as np
import scipy
import torch

import omniconv

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of one candidate: the median of all repeats and the distance between their quartiles."""

    median: float
    spread: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        """From the seconds of each repeat."""
        low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
        return cls(float(middle), float(high - low))


def time_in_turn(works: Mapping[str, Work], repeats: int, device: torch.device, warm_up: int = 3) -> dict[str, Timing]:
    """Time candidates one after the other, round after round, so that a slow minute meets all of them alike.

    Args:
        works: what to time, by name.
        repeats: rounds that count.
        device: where the work is done; a GPU is waited for.
        warm_up: rounds before, that do not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(warm_up + repeats):
        for name, work in works.items():
            taken = _seconds(work, device)
            if turn >= warm_up:
                seconds[name].append(taken)
    return {name: Timing.of(taken) for name, taken in seconds.items()}


def device_of(name: str) -> torch.device:
    """The device of a name that the command line was given."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise click.BadParameter(f"{name}: there is no CUDA here; use --device cpu")
    return torch.device(name)


def machine(device: torch.device) -> dict[str, Any]:
    """What the numbers were measured on, and with what."""
    return {
        "platform": platform.platform(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "load before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "omniconv": omniconv.__version__,
        },
    }


def processor_name() -> str:
    """The model of the processor, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def write_report(name: str, content: Mapping[str, Any], path: Path | None = None) -> Path:
    """Write a result as JSON, by default to ``benchmarks/results/NAME-DATE.json``."""
    path = path or Path(__file__).parent / "results" / f"{name}-{date.today().isoformat()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _seconds(work: Work, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _commit() -> str | None:
    """The commit of the sources, with a mark where they were changed since; ``None`` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
