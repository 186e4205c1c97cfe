"""Time of the flat layers beside torch.nn's, and of every padding beside zeros.

Each group is timed in turn in one process: a layer of torch.nn first, then what is compared to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import omniconv as oc
from benchmarks.convolutions import BATCH, CHANNELS, PANORAMA, Line, both_ways, forward, line, signal
from benchmarks.timing import device_of, machine, time_in_turn, write_report

MIXED = (("circular", "reflect"), ("replicate", "zeros"))


@dataclass(frozen=True)
class Contest:
    """Layers to compare on one input; the first is the reference."""

    layers: dict[str, nn.Module]
    grid: tuple[int, ...] = PANORAMA
    channels: int = CHANNELS


class Unpooling(nn.Module):
    """A layer that takes switches, with switches for its input."""

    def __init__(self, layer: nn.Module, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.grid = layer, grid
        fine = torch.randn(BATCH, CHANNELS, *grid)
        self.register_buffer("switches", nn.functional.max_pool2d(fine, 2, return_indices=True)[1])

    def forward(self, x: Tensor) -> Tensor:
        """Unpool."""
        return self.layer(x, self.switches)


def paddings(stride: int) -> Contest:
    """Every kind of padding beside the backend's own zeros."""
    arguments = {"in_channels": CHANNELS, "out_channels": CHANNELS, "kernel_size": 3, "stride": stride}
    modes = {mode: {"padding": 1, "padding_mode": mode} for mode in ("zeros", "reflect", "replicate", "circular")}
    kinds = {
        **modes,
        "('pole', 'circular')": {"padding": 1, "padding_mode": ("pole", "circular")},
        f"{MIXED}": {"padding": 1, "padding_mode": MIXED},
        "padding=((2, 0), (1, 1))": {"padding": ((2, 0), (1, 1))},
        "padding='same_upper'": {"padding": "same_upper"},
        "padding='same_upper', circular": {"padding": "same_upper", "padding_mode": "circular"},
    }
    step = f"stride {stride}, "
    ours = {f"Conv2d {step}{name}": oc.nn.Conv2d(**arguments, **kind) for name, kind in kinds.items()}
    theirs = {f"torch.nn.Conv2d {step}{mode}": nn.Conv2d(**arguments, **modes[mode]) for mode in ("zeros", "circular")}
    return Contest({**theirs, **ours})


def transposed() -> Contest:
    """The transposed convolution."""
    arguments = CHANNELS, CHANNELS, 4, 2, 1
    modes = ("zeros", "reflect", "circular", ("pole", "circular"), MIXED)
    ours = {f"ConvTranspose2d {mode}": oc.nn.ConvTranspose2d(*arguments, padding_mode=mode) for mode in modes}
    return Contest({"torch.nn.ConvTranspose2d": nn.ConvTranspose2d(*arguments), **ours}, (64, 128))


def pairs() -> Iterator[Contest]:
    """Layers of torch.nn, each beside ours of the same arguments."""
    for rank, grid in ((1, (32768,)), (2, PANORAMA), (3, (16, 32, 64))):
        arguments = CHANNELS, CHANNELS, 3
        theirs, ours = (getattr(where, f"Conv{rank}d")(*arguments, padding=1) for where in (nn, oc.nn))
        yield Contest({f"torch.nn.Conv{rank}d": theirs, f"Conv{rank}d": ours}, grid)
    depthwise = {"kernel_size": 3, "padding": 1, "groups": CHANNELS}
    yield Contest({
        "torch.nn.Conv2d depthwise": nn.Conv2d(CHANNELS, CHANNELS, **depthwise),
        "Conv2d depthwise": oc.nn.Conv2d(CHANNELS, CHANNELS, **depthwise),
    })  # fmt: skip
    yield Contest({"torch.nn.MaxPool2d(2)": nn.MaxPool2d(2), "MaxPool(2)": oc.nn.MaxPool(2)})
    yield Contest({"torch.nn.MaxPool2d(3, 2, 1)": nn.MaxPool2d(3, 2, 1), "MaxPool(3, 2, 1)": oc.nn.MaxPool(3, 2, 1)})
    yield Contest({"torch.nn.AvgPool2d(2)": nn.AvgPool2d(2), "AvgPool(2)": oc.nn.AvgPool(2)})
    uncounted = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
    yield Contest({"torch.nn.AvgPool2d(3, 2, 1)": uncounted, "AvgPool(3, 2, 1)": oc.nn.AvgPool(3, 2, 1)})
    yield Contest({"torch.nn.LPPool2d(2, 2)": nn.LPPool2d(2, 2), "LpPool(2)": oc.nn.LpPool(2)})
    yield Contest({"torch.nn.Upsample": nn.Upsample(scale_factor=2, mode="bilinear"), "Upsample": oc.nn.Upsample()},
                  (64, 128))  # fmt: skip
    theirs, ours = nn.MaxUnpool2d(2), oc.nn.MaxUnpool(2)
    torch.manual_seed(0)
    unpoolings = {"torch.nn.MaxUnpool2d(2)": Unpooling(theirs, PANORAMA), "MaxUnpool(2)": Unpooling(ours, PANORAMA)}
    yield Contest(unpoolings, (64, 128))


def contests() -> Iterator[Contest]:
    """All of them."""
    yield paddings(stride=1)
    yield paddings(stride=2)
    yield transposed()
    yield from pairs()


def measure(device: torch.device, repeats: int) -> Iterator[list[Line]]:
    """The lines of each contest and kind of work."""
    torch.manual_seed(0)
    for contest in contests():
        x = signal(contest.grid, device)
        layers = {name: layer.to(device) for name, layer in contest.layers.items()}
        for kind, prepare in (("forward", forward), ("forward + backward", both_ways)):
            timings = time_in_turn({name: prepare(layer, x) for name, layer in layers.items()}, repeats, device)
            reference = next(iter(timings.values()))
            yield [line(name, x[0, 0].numel(), kind, timing, reference) for name, timing in timings.items()]


def show(groups: list[list[Line]]) -> Table:
    """The lines as a table, each group under its reference."""
    table = Table(
        "layer", "work", "median", "spread", "ratio", title="time, as a ratio to the first line of each group"
    )
    for group in groups:
        for found in group:
            times = f"{1e3 * found.median:.1f} ms", f"{1e3 * found.spread:.1f} ms"
            table.add_row(found.layer, found.work, *times, f"{found.ratio:.2f}")
        table.add_section()
    return table


@click.command(help=__doc__.splitlines()[0])
@click.option("--device", default="cpu", show_default=True, help="cpu, or cuda where there is one.")
@click.option("--repeats", default=15, show_default=True, type=click.IntRange(1), help="Rounds that count.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; by default in benchmarks/results/.")
def main(device: str, repeats: int, out: Path | None) -> None:
    """Measure, print and write."""
    where = device_of(device)
    about = machine(where)
    groups = list(measure(where, repeats))
    Console(width=130).print(show(groups))
    lines = [asdict(found) for group in groups for found in group]
    setting = {"channels": CHANNELS, "batch": BATCH, "dtype": "float32", "repeats": repeats}
    click.echo(f"wrote {write_report('flat', {'machine': about, **setting, 'lines': lines}, out)}")


if __name__ == "__main__":
    main()
