"""Time of oc.nn.Conv on every surface, as a ratio to torch.nn.Conv2d(64, 64, 3, padding=1) on as many samples.

    python -m benchmarks.convolutions [--device cuda] [--repeats 30] [--out FILE]

Batch 4, float32, forward in inference mode, and forward with backward to weights and input. A ratio of 1 is the speed
of the backend's own dense convolution. The first line of each group is that reference itself; its interquartile range
over its median tells how far the other numbers can be trusted. A mesh is timed on contiguous signals (B, C, N), as an
image comes in, and on channels-last ones, as layers pass them on. If torch-harmonics is installed, its convolutions on
the same panorama are timed too (``pip install --no-deps torch-harmonics``; its wheel requires another torch).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import isqrt, prod
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import omniconv as oc
from benchmarks import peers
from benchmarks.timing import Timing, Work, device_of, machine, time_interleaved, write_report

CHANNELS, BATCH = 64, 4
PANORAMA = (128, 256)
REFERENCE = "torch.nn.Conv2d"
MESHES = (
    "icosphere:5",
    "icosphere:6",
    "icosahedron:5",
    "icosahedron:6",
    "healpix:32",
    "healpix:64",
    "cubemap:74",
    "equirectangular:height=128,kernels=tangent",
)
Pair = tuple[nn.Module, Tensor]


@dataclass(frozen=True)
class Line:
    """One measurement: median and interquartile range in seconds, and the ratio to the reference."""

    layer: str
    samples: int
    work: str
    median: float
    iqr: float
    ratio: float


def groups() -> Iterator[tuple[tuple[int, int], dict[str, oc.surfaces.Surface]]]:
    """Yield the grid of the reference, and surfaces with as many samples."""
    grids = {f"Plane(border={border!r})": oc.Plane(border=border) for border in ("zeros", "reflect", "circular")}
    yield PANORAMA, {**grids, "Equirectangular()": oc.Equirectangular()}
    for name in MESHES:
        surface = oc.surface(name)
        yield nearest_grid(prod(size or 0 for size in surface.shape)), {name: surface}


def nearest_grid(samples: int) -> tuple[int, int]:
    """Return height and width ≈ 2 · height whose product is as near to ``samples`` as possible.

    Example:
        >>> nearest_grid(10242)
        (77, 133)
    """
    heights = range(isqrt(samples // 2) - 8, isqrt(samples // 2) + 9)
    sizes = [(height, round(samples / height)) for height in heights if height > 0]
    return min(sizes, key=lambda size: (abs(size[0] * size[1] - samples), abs(size[1] - 2 * size[0])))


def layers(grid: tuple[int, int], surfaces: dict[str, oc.surfaces.Surface], device: torch.device) -> dict[str, Pair]:
    """Return the reference and the layers to compare, each with its input."""
    pairs: dict[str, Pair] = {REFERENCE: (nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(device), signal(grid, device))}
    for name, surface in surfaces.items():
        layer = oc.nn.Conv(CHANNELS, CHANNELS, surface=surface).to(device)
        samples = tuple(size for size in surface.shape if size is not None)
        pairs[name] = layer, signal(samples or grid, device)
        if samples:
            pairs[f"{name}, channels last"] = layer, signal(samples, device, channels_last=True)
    return pairs


def signal(shape: tuple[int, ...], device: torch.device, channels_last: bool = False) -> Tensor:
    """Return a batch of noise that requires its gradient."""
    x = torch.randn(BATCH, CHANNELS, *shape, device=device)
    x = x.movedim(1, -1).contiguous().movedim(-1, 1) if channels_last else x
    return x.requires_grad_()


def forward(layer: nn.Module, x: Tensor) -> Work:
    """Return a function that runs the layer in inference mode."""

    def run() -> Tensor:
        with torch.inference_mode():
            return layer(x)

    return run


def forward_backward(layer: nn.Module, x: Tensor) -> Work:
    """Return a function that runs the layer and the gradients of its weights and input."""
    with torch.no_grad():
        gradient = torch.randn_like(layer(x))

    def run() -> None:
        x.grad = None
        layer.zero_grad(set_to_none=True)
        layer(x).backward(gradient)

    return run


def measure(device: torch.device, repeats: int) -> Iterator[Line]:
    """Yield the measurements of each group."""
    torch.manual_seed(0)
    for grid, surfaces in groups():
        pairs = layers(grid, surfaces, device)
        if "Equirectangular()" in surfaces:
            others = peers.sphere_layers(CHANNELS, grid).items()
            pairs |= {name: (layer.to(device), signal(grid, device)) for name, layer in others}
        for work, prepare in (("forward", forward), ("forward + backward", forward_backward)):
            functions = {name: prepare(layer, x) for name, (layer, x) in pairs.items()}
            timings = time_interleaved(functions, repeats, device)
            for name, (_, x) in pairs.items():
                yield line(name, x[0, 0].numel(), work, timings[name], timings[REFERENCE])


def line(name: str, samples: int, work: str, timing: Timing, reference: Timing) -> Line:
    """Return a measurement with its ratio to the reference."""
    return Line(name, samples, work, timing.median, timing.iqr, timing.median / reference.median)


def show(lines: list[Line]) -> Table:
    """Return the measurements as a table."""
    table = Table("layer", "samples", "work", "median", "iqr", "ratio", title="time, as a ratio to torch.nn.Conv2d")
    for one in lines:
        numbers = f"{1e3 * one.median:.1f} ms", f"{1e3 * one.iqr:.1f} ms", f"{one.ratio:.2f}"
        table.add_row(one.layer, f"{one.samples:,}", one.work, *numbers)
    return table


@click.command(help=__doc__.splitlines()[0])
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda")
@click.option("--repeats", default=30, show_default=True, type=click.IntRange(1), help="measured rounds")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; by default in benchmarks/results/")
def main(device: str, repeats: int, out: Path | None) -> None:
    """Measure, print the table and write the JSON file."""
    torch_device = device_of(device)
    about = machine(torch_device)
    lines = list(measure(torch_device, repeats))
    Console(width=110).print(show(lines))
    setting = {"peers": peers.versions(), "channels": CHANNELS, "batch": BATCH, "dtype": "float32", "repeats": repeats}
    path = write_report(
        "convolutions",
        {"machine": about, **setting, "lines": [asdict(x) for x in lines]},
        out,
    )
    click.echo(f"wrote {path}")


if __name__ == "__main__":
    main()
