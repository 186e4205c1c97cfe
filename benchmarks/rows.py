"""Speed of convolutions with a kernel for each row, as a share of torch.nn.Conv2d's on the same taps.

    python -m benchmarks.rows [--repeats 20] [--threads 1] [--out FILE]

Batch 4, 64 to 64 channels, 128 × 256, float32: billions of multiplications and additions in a second, forward in
inference mode, and forward with backward to weights and input. The reference has one kernel for all rows, with as many
rows and columns of taps: once on signals that lie channel by channel, as torch.nn has it, and once channels last. Rows
of one width show how the speed depends on it; the surface's own kernels, of 3 × 3 to 5 × 11 taps, stand beside 3 × 7.
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
from benchmarks.convolutions import both_ways, forward
from benchmarks.timing import device_of, machine, time_in_turn, write_report
from omniconv.nn.rows.modules import RowConvolution, init_row_weight

CHANNELS, BATCH, HEIGHT = 64, 4, 128
WIDTHS = (3, 5, 9, 17)
REFERENCE = "torch.nn.Conv2d"
Layer = Callable[[Tensor], Tensor]


class Rows(nn.Module):
    """A convolution with kernels of given shapes, with weights of its own."""

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
    """One measurement: its time, its speed and that as a share of the reference's."""

    kernels: str
    layer: str
    work: str
    median: float
    spread: float
    speed: float
    share: float


def cases() -> Iterator[tuple[str, oc.RowStencil, int]]:
    """Kernels by name, and the width of the reference's kernel."""
    own = oc.Equirectangular(height=HEIGHT, kernels="rows").conv_neighbours()
    yield f"of the surface, {own.taps / HEIGHT:.1f} taps", own, 7
    for width in WIDTHS:
        yield f"3 × {width}", oc.RowStencil(HEIGHT, ((3, width),) * HEIGHT), width


def signal(channels_last: bool, device: torch.device) -> Tensor:
    """A batch of noise that asks for its gradient."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.randn(BATCH, CHANNELS, HEIGHT, 2 * HEIGHT, device=device)
    return x.contiguous(memory_format=layout).requires_grad_()


def measure(device: torch.device, repeats: int) -> Iterator[Line]:
    """All lines, kernels by kernels."""
    torch.manual_seed(0)
    for name, stencil, width in cases():
        dense = nn.Conv2d(CHANNELS, CHANNELS, (3, width), padding=(1, width // 2)).to(device)
        last = nn.Conv2d(CHANNELS, CHANNELS, (3, width), padding=(1, width // 2)).to(device)
        layers = {
            REFERENCE: (dense, False, 3 * width * HEIGHT),
            f"{REFERENCE}, channels last": (last.to(memory_format=torch.channels_last), True, 3 * width * HEIGHT),
            "rows": (Rows(stencil).to(device), False, stencil.taps),
            "rows, channels last": (Rows(stencil).to(device), True, stencil.taps),
        }
        pairs = {key: (layer, signal(is_last, device)) for key, (layer, is_last, _) in layers.items()}
        for kind, passes, prepare in (("forward", 1, forward), ("forward + backward", 3, both_ways)):
            timings = time_in_turn({key: prepare(*pair) for key, pair in pairs.items()}, repeats, device)
            operations = {
                key: passes * 4e-9 * BATCH * HEIGHT * CHANNELS**2 * taps for key, (*_, taps) in layers.items()
            }
            speeds = {key: operations[key] / timing.median for key, timing in timings.items()}
            for key, timing in timings.items():
                share = speeds[key] / speeds[REFERENCE]
                yield Line(name, key, kind, timing.median, timing.spread, speeds[key], share)


def show(lines: list[Line]) -> Table:
    """The lines as a table."""
    table = Table("kernels", "layer", "work", "median", "spread", "GFLOP/s", "share", title="speed on the same taps")
    for found in lines:
        numbers = f"{1e3 * found.median:.1f} ms", f"{1e3 * found.spread:.1f} ms", f"{found.speed:.1f}"
        table.add_row(found.kernels, found.layer, found.work, *numbers, f"{found.share:.2f}")
    return table


@click.command(help=__doc__.splitlines()[0])
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda where there is one.")
@click.option("--repeats", default=20, show_default=True, type=click.IntRange(1), help="Rounds that count.")
@click.option("--threads", type=click.IntRange(1), help="Cores to use; all by default.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; by default in benchmarks/results/.")
def main(device: str, repeats: int, threads: int | None, out: Path | None) -> None:
    """Measure, print and write."""
    where = device_of(device)
    torch.set_num_threads(threads or torch.get_num_threads())
    about = machine(where)
    lines = list(measure(where, repeats))
    Console(width=120).print(show(lines))
    setting = {"channels": CHANNELS, "batch": BATCH, "dtype": "float32", "repeats": repeats}
    path = write_report("rows", {"machine": about, **setting, "lines": [asdict(x) for x in lines]}, out)
    click.echo(f"wrote {path}")


if __name__ == "__main__":
    main()
