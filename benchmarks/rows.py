"""Speed of convolutions with a kernel for each row, relative to torch.nn.Conv2d with the same taps.

    python -m benchmarks.rows [--repeats 20] [--threads 1] [--out FILE]

Batch 4, 64 to 64 channels, 128 × 256, float32: GFLOP/s, forward in inference mode, and forward with backward to weights
and input. The reference has one kernel for all rows, with as many rows and columns of taps, on contiguous signals and
on channels-last ones. Kernels of one width show how the speed depends on it; the surface's own kernels, of 3 × 3 to
5 × 11 taps, are compared with 3 × 7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import omniconv as oc
from benchmarks.convolutions import forward, forward_backward
from benchmarks.timing import device_of, machine, time_interleaved, write_report
from omniconv.nn.rows.modules import RowConvolution, init_row_weight

CHANNELS, BATCH, HEIGHT = 64, 4, 128
WIDTHS = (3, 5, 9, 17)
REFERENCE = "torch.nn.Conv2d"
Layer = Callable[[Tensor], Tensor]


class RowConv(nn.Module):
    """A row convolution with its weights, without the checks of ``oc.nn.Conv``."""

    def __init__(self, stencil: oc.RowStencil) -> None:
        super().__init__()
        self.op = RowConvolution(stencil, 1)
        self.weight = nn.Parameter(init_row_weight(stencil, (CHANNELS, CHANNELS, stencil.taps), 1e-3))
        self.bias = nn.Parameter(init_row_weight(stencil, (CHANNELS,), 1e-3))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        return self.op(x, self.weight, self.bias)


@dataclass(frozen=True)
class Line:
    """One measurement: median and interquartile range in seconds, GFLOP/s, and its ratio to the reference."""

    kernels: str
    layer: str
    work: str
    median: float
    iqr: float
    speed: float
    ratio: float


def cases() -> Iterator[tuple[str, oc.RowStencil, int]]:
    """Yield kernels by name, and the width of the reference's kernel."""
    own = oc.Equirectangular(height=HEIGHT, kernels="rows").conv_neighbours()
    yield f"of the surface, {own.taps / HEIGHT:.1f} taps", own, 7
    for width in WIDTHS:
        yield f"3 × {width}", oc.RowStencil(HEIGHT, ((3, width),) * HEIGHT), width


def signal(channels_last: bool, device: torch.device) -> Tensor:
    """Return a batch of noise that requires its gradient."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(BATCH, CHANNELS, HEIGHT, 2 * HEIGHT, device=device)
    return x.contiguous(memory_format=layout).requires_grad_()


def measure(device: torch.device, repeats: int) -> Iterator[Line]:
    """Yield the measurements of each set of kernels."""
    torch.manual_seed(0)
    for name, stencil, width in cases():
        dense = nn.Conv2d(CHANNELS, CHANNELS, (3, width), padding=(1, width // 2)).to(device)
        last = nn.Conv2d(CHANNELS, CHANNELS, (3, width), padding=(1, width // 2)).to(device)
        layers = {
            REFERENCE: (dense, False, 3 * width * HEIGHT),
            f"{REFERENCE}, channels last": (last.to(memory_format=torch.channels_last), True, 3 * width * HEIGHT),
            "rows": (RowConv(stencil).to(device), False, stencil.taps),
            "rows, channels last": (RowConv(stencil).to(device), True, stencil.taps),
        }
        pairs = {key: (layer, signal(is_last, device)) for key, (layer, is_last, _) in layers.items()}
        for work, passes, prepare in (("forward", 1, forward), ("forward + backward", 3, forward_backward)):
            timings = time_interleaved({key: prepare(*pair) for key, pair in pairs.items()}, repeats, device)
            operations = {
                key: passes * 4e-9 * BATCH * HEIGHT * CHANNELS**2 * taps for key, (*_, taps) in layers.items()
            }
            speeds = {key: operations[key] / timing.median for key, timing in timings.items()}
            for key, timing in timings.items():
                ratio = speeds[key] / speeds[REFERENCE]
                yield Line(name, key, work, timing.median, timing.iqr, speeds[key], ratio)


def show(lines: list[Line]) -> Table:
    """Return the measurements as a table."""
    table = Table("kernels", "layer", "work", "median", "iqr", "GFLOP/s", "ratio", title="speed on the same taps")
    for one in lines:
        numbers = f"{1e3 * one.median:.1f} ms", f"{1e3 * one.iqr:.1f} ms", f"{one.speed:.1f}"
        table.add_row(one.kernels, one.layer, one.work, *numbers, f"{one.ratio:.2f}")
    return table


@click.command(help=__doc__.splitlines()[0])
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda")
@click.option("--repeats", default=20, show_default=True, type=click.IntRange(1), help="measured rounds")
@click.option("--threads", type=click.IntRange(1), help="threads; by default all cores")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; by default in benchmarks/results/")
def main(device: str, repeats: int, threads: int | None, out: Path | None) -> None:
    """Measure, print the table and write the JSON file."""
    torch_device = device_of(device)
    torch.set_num_threads(threads or torch.get_num_threads())
    about = machine(torch_device)
    lines = list(measure(torch_device, repeats))
    Console(width=120).print(show(lines))
    setting = {"channels": CHANNELS, "batch": BATCH, "dtype": "float32", "repeats": repeats}
    path = write_report("rows", {"machine": about, **setting, "lines": [asdict(x) for x in lines]}, out)
    click.echo(f"wrote {path}")


if __name__ == "__main__":
    main()
