"""Time of a training step of oc.models.Denoiser, as a ratio to what its multiply-adds cost a dense convolution.

    python -m benchmarks.generation [--surface plane] [--batch 64] [--threads 1] [--cpu-time] [--dtype bfloat16]

A step is forward, backward, AdamW and the average of the weights. The reference is torch.nn.Conv2d(64, 64, 3,
padding=1) in float32, forward and backward, on as many samples as the network has after space to depth; its time is
multiplied by the ratio of the multiply-adds that ``oc.summary`` counts. Both alternate in one process. ``--cpu-time``
counts the processor time of this process, of all its threads, for machines that are busy with other work.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import omniconv as oc
from benchmarks.convolutions import nearest_grid
from benchmarks.timing import Work, device_of, machine, time_interleaved, write_report
from omniconv.models import Denoiser

CHANNELS = 64
IMAGES = 60_000
GRIDS = {"plane": (28, 28), "equirectangular": (32, 64)}
SURFACES = ("plane", "equirectangular", "healpix:16", "icosphere:4")


@dataclass(frozen=True)
class Line:
    """One measurement: seconds of a step and of the reference, and their ratio for equal multiply-adds."""

    surface: str
    samples: int
    parameters: int
    multiply_adds: int
    step: float
    iqr: float
    reference: float
    ratio: float
    minutes: float


def training_step(network: nn.Module, grid: Sequence[int], batch: int, dtype: torch.dtype) -> Work:
    """Return a function that makes one step on noise."""
    device = next(network.parameters()).device
    images, noise = torch.randn(2, batch, 1, *grid, device=device)
    sigma = torch.linspace(0.1, 2, batch, device=device)
    noisy = images + sigma.view(-1, *[1] * (images.ndim - 1)) * noise
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4)
    averages = [parameter.detach().clone() for parameter in network.parameters()]

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        with nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype):
            loss = (network(noisy, sigma) - images).square().mean()
        loss.backward()
        optimizer.step()
        torch._foreach_lerp_(averages, [parameter.detach() for parameter in network.parameters()], 0.01)

    return run


def reference_step(grid: tuple[int, int], batch: int, device: torch.device) -> Work:
    """Return a function that runs a dense convolution forward and backward."""
    conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(device)
    x = torch.randn(batch, CHANNELS, *grid, device=device, requires_grad=True)
    gradient = torch.randn(batch, CHANNELS, *grid, device=device)

    def run() -> None:
        x.grad = None
        conv.zero_grad(set_to_none=True)
        conv(x).backward(gradient)

    return run


def measure(
    surfaces: Sequence[str], batch: int, repeats: int, dtype: torch.dtype, device: torch.device, clock: Any
) -> Iterator[Line]:
    """Yield the measurement of each surface."""
    for name in surfaces:
        torch.manual_seed(0)
        surface = oc.surface(name)
        grid = tuple(size for size in surface.shape if size is not None) or GRIDS[name]
        network = Denoiser(1, surface=surface).to(device)
        coarse = nearest_grid(prod(grid) // 4)
        functions = {
            "step": training_step(network, grid, batch, dtype),
            "reference": reference_step(coarse, batch, device),
        }
        timings = time_interleaved(functions, repeats, device, warm_up=1, clock=clock)
        multiply_adds = oc.summary(network, (1, *grid)).multiply_adds
        share = multiply_adds / (CHANNELS**2 * 9 * prod(coarse))
        step, reference = timings["step"].median, timings["reference"].median
        yield Line(
            name, prod(grid), sum(p.numel() for p in network.parameters()), multiply_adds, step, timings["step"].iqr,
            reference, step / (share * reference), step * IMAGES / batch / 60,
        )  # fmt: skip


def show(lines: list[Line]) -> Table:
    """Return the measurements as a table."""
    title = "training step of a Denoiser, and its ratio to dense convolutions of as many multiply-adds"
    minutes = f"min for {IMAGES:,} images"
    table = Table("surface", "samples", "parameters", "M multiply-adds", "step", "iqr", "ratio", minutes, title=title)
    for one in lines:
        numbers = f"{1e3 * one.step:.0f} ms", f"{1e3 * one.iqr:.0f} ms", f"{one.ratio:.2f}", f"{one.minutes:.1f}"
        table.add_row(
            one.surface, f"{one.samples:,}", f"{one.parameters:,}", f"{one.multiply_adds / 1e6:.0f}", *numbers
        )
    return table


@click.command(help=__doc__.splitlines()[0])
@click.option(
    "--surface", "surfaces", multiple=True, default=SURFACES, show_default=True, help="may be given repeatedly"
)
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="images of a step")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="threads of torch")
@click.option("--dtype", default="float32", show_default=True, type=click.Choice(["float32", "bfloat16"]))
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda")
@click.option("--repeats", default=10, show_default=True, type=click.IntRange(1), help="measured rounds")
@click.option("--cpu-time", is_flag=True, help="processor time of this process")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; by default in benchmarks/results/")
def main(
    surfaces: tuple[str, ...], batch: int, threads: int, dtype: str, device: str, repeats: int, cpu_time: bool,
    out: Path | None,
) -> None:  # fmt: skip
    """Measure, print the table and write the JSON file."""
    torch.set_num_threads(threads)
    torch_device = device_of(device)
    about = machine(torch_device)
    clock = time.process_time if cpu_time else time.perf_counter
    lines = list(measure(surfaces, batch, repeats, getattr(torch, dtype), torch_device, clock))
    Console(width=110).print(show(lines))
    setting = {"batch": batch, "dtype": dtype, "repeats": repeats, "cpu time": cpu_time}
    path = write_report("generation", {"machine": about, **setting, "lines": [asdict(x) for x in lines]}, out)
    click.echo(f"wrote {path}")


if __name__ == "__main__":
    main()
