"""Time of the flat layers relative to torch.nn's, and of every padding mode relative to zeros.

Each group is timed interleaved in one process; its first layer is the reference.
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
from benchmarks.convolutions import BATCH, CHANNELS, PANORAMA, Line, forward, forward_backward, line, signal
from benchmarks.timing import device_of, machine, time_interleaved, write_report

MIXED = (("circular", "reflect"), ("replicate", "zeros"))


@dataclass(frozen=True)
class Comparison:
    """Layers on one input; the first is the reference."""

    layers: dict[str, nn.Module]
    grid: tuple[int, ...] = PANORAMA
    channels: int = CHANNELS


class Unpooling(nn.Module):
    """An unpooling layer with switches for its input."""

    def __init__(self, layer: nn.Module, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.grid = layer, grid
        fine = torch.randn(BATCH, CHANNELS, *grid)
        self.register_buffer("switches", nn.functional.max_pool2d(fine, 2, return_indices=True)[1])

    def forward(self, x: Tensor) -> Tensor:
        """Unpool."""
        return self.layer(x, self.switches)


def paddings(stride: int) -> Comparison:
    """Return every padding mode and the backend's own zeros."""
    arguments = {"in_channels": CHANNELS, "out_channels": CHANNELS, "kernel_size": 3, "stride": stride}
    modes = {mode: {"padding": 1, "padding_mode": mode} for mode in ("zeros", "reflect", "replicate", "circular")}
    arguments_by_name = {
        **modes,
        "('pole', 'circular')": {"padding": 1, "padding_mode": ("pole", "circular")},
        f"{MIXED}": {"padding": 1, "padding_mode": MIXED},
        "padding=((2, 0), (1, 1))": {"padding": ((2, 0), (1, 1))},
        "padding='same_upper'": {"padding": "same_upper"},
        "padding='same_upper', circular": {"padding": "same_upper", "padding_mode": "circular"},
    }
    step = f"stride {stride}, "
    ours = {f"Conv2d {step}{name}": oc.nn.Conv2d(**arguments, **padding) for name, padding in arguments_by_name.items()}
    theirs = {f"torch.nn.Conv2d {step}{mode}": nn.Conv2d(**arguments, **modes[mode]) for mode in ("zeros", "circular")}
    return Comparison({**theirs, **ours})


def transposed() -> Comparison:
    """Return transposed convolutions of every padding mode."""
    arguments = CHANNELS, CHANNELS, 4, 2, 1
    modes = ("zeros", "reflect", "circular", ("pole", "circular"), MIXED)
    ours = {f"ConvTranspose2d {mode}": oc.nn.ConvTranspose2d(*arguments, padding_mode=mode) for mode in modes}
    return Comparison({"torch.nn.ConvTranspose2d": nn.ConvTranspose2d(*arguments), **ours}, (64, 128))


def pairs() -> Iterator[Comparison]:
    """Yield layers of torch.nn, each with ours of the same arguments."""
    for rank, grid in ((1, (32768,)), (2, PANORAMA), (3, (16, 32, 64))):
        arguments = CHANNELS, CHANNELS, 3
        theirs, ours = (getattr(module, f"Conv{rank}d")(*arguments, padding=1) for module in (nn, oc.nn))
        yield Comparison({f"torch.nn.Conv{rank}d": theirs, f"Conv{rank}d": ours}, grid)
    depthwise = {"kernel_size": 3, "padding": 1, "groups": CHANNELS}
    yield Comparison({
        "torch.nn.Conv2d depthwise": nn.Conv2d(CHANNELS, CHANNELS, **depthwise),
        "Conv2d depthwise": oc.nn.Conv2d(CHANNELS, CHANNELS, **depthwise),
    })  # fmt: skip
    yield Comparison({"torch.nn.MaxPool2d(2)": nn.MaxPool2d(2), "MaxPool(2)": oc.nn.MaxPool(2)})
    yield Comparison({"torch.nn.MaxPool2d(3, 2, 1)": nn.MaxPool2d(3, 2, 1), "MaxPool(3, 2, 1)": oc.nn.MaxPool(3, 2, 1)})
    yield Comparison({"torch.nn.AvgPool2d(2)": nn.AvgPool2d(2), "AvgPool(2)": oc.nn.AvgPool(2)})
    uncounted = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
    yield Comparison({"torch.nn.AvgPool2d(3, 2, 1)": uncounted, "AvgPool(3, 2, 1)": oc.nn.AvgPool(3, 2, 1)})
    yield Comparison({"torch.nn.LPPool2d(2, 2)": nn.LPPool2d(2, 2), "LpPool(2)": oc.nn.LpPool(2)})
    yield Comparison({"torch.nn.Upsample": nn.Upsample(scale_factor=2, mode="bilinear"), "Upsample": oc.nn.Upsample()},
                  (64, 128))  # fmt: skip
    theirs, ours = nn.MaxUnpool2d(2), oc.nn.MaxUnpool(2)
    torch.manual_seed(0)
    unpoolings = {"torch.nn.MaxUnpool2d(2)": Unpooling(theirs, PANORAMA), "MaxUnpool(2)": Unpooling(ours, PANORAMA)}
    yield Comparison(unpoolings, (64, 128))


def comparisons() -> Iterator[Comparison]:
    """Yield all comparisons."""
    yield paddings(stride=1)
    yield paddings(stride=2)
    yield transposed()
    yield from pairs()


def measure(device: torch.device, repeats: int) -> Iterator[list[Line]]:
    """Yield the measurements of each comparison, forward and with backward."""
    torch.manual_seed(0)
    for comparison in comparisons():
        x = signal(comparison.grid, device)
        layers = {name: layer.to(device) for name, layer in comparison.layers.items()}
        for work, prepare in (("forward", forward), ("forward + backward", forward_backward)):
            timings = time_interleaved({name: prepare(layer, x) for name, layer in layers.items()}, repeats, device)
            reference = next(iter(timings.values()))
            yield [line(name, x[0, 0].numel(), work, timing, reference) for name, timing in timings.items()]


def show(groups: list[list[Line]]) -> Table:
    """Return the measurements as a table, each group below its reference."""
    table = Table("layer", "work", "median", "iqr", "ratio", title="time, as a ratio to the first line of each group")
    for group in groups:
        for one in group:
            times = f"{1e3 * one.median:.1f} ms", f"{1e3 * one.iqr:.1f} ms"
            table.add_row(one.layer, one.work, *times, f"{one.ratio:.2f}")
        table.add_section()
    return table


@click.command(help=__doc__.splitlines()[0])
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda")
@click.option("--repeats", default=15, show_default=True, type=click.IntRange(1), help="measured rounds")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; by default in benchmarks/results/")
def main(device: str, repeats: int, out: Path | None) -> None:
    """Measure, print the table and write the JSON file."""
    torch_device = device_of(device)
    about = machine(torch_device)
    groups = list(measure(torch_device, repeats))
    Console(width=130).print(show(groups))
    lines = [asdict(one) for group in groups for one in group]
    setting = {"channels": CHANNELS, "batch": BATCH, "dtype": "float32", "repeats": repeats}
    click.echo(f"wrote {write_report('flat', {'machine': about, **setting, 'lines': lines}, out)}")


if __name__ == "__main__":
    main()
