"""Interleaved timing of candidates in one process, and a description of the machine."""

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
    """Median and interquartile range of the seconds of one candidate."""

    median: float
    iqr: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        """Summarise the seconds of each repeat."""
        low, middle, high = np.quantile(seconds, [0.25, 0.5, 0.75])
        return cls(float(middle), float(high - low))


def time_interleaved(
    functions: Mapping[str, Work],
    repeats: int,
    device: torch.device,
    warm_up: int = 3,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time every candidate once in each round, so that a slow phase of the machine affects all of them alike.

    Args:
        functions: candidates by name.
        repeats: measured rounds.
        device: device of the work; a GPU is synchronised around each call.
        warm_up: rounds before the measured ones.
        clock: ``time.process_time`` counts this process alone, on a machine that others use too.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round_index in range(warm_up + repeats):
        for name, function in functions.items():
            taken = _seconds(function, device, clock)
            if round_index >= warm_up:
                seconds[name].append(taken)
    return {name: Timing.of(taken) for name, taken in seconds.items()}


def device_of(name: str) -> torch.device:
    """Return the device of a command-line name."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise click.BadParameter(f"{name}: CUDA is not available; use --device cpu")
    return torch.device(name)


def machine(device: torch.device) -> dict[str, Any]:
    """Return processor, thread count, load and versions as plain data."""
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
    """Return the model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def write_report(name: str, content: Mapping[str, Any], path: Path | None = None) -> Path:
    """Write a result as JSON and return its path, by default ``benchmarks/results/NAME-DATE.json``."""
    path = path or Path(__file__).parent / "results" / f"{name}-{date.today().isoformat()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _seconds(function: Work, device: torch.device, clock: Callable[[], float]) -> float:
    _wait(device)
    start = clock()
    function()
    _wait(device)
    return clock() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _commit() -> str | None:
    """Return the commit of the sources, marked dirty if they were changed since; ``None`` outside a checkout."""
    command = ["git", "describe", "--always", "--dirty"]
    try:
        result = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
