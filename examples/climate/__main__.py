"""Generate annual temperature maps by a diffusion model on a panorama, on HEALPix and by two flat networks.

The surface `circular` is a plane whose convolutions pad circularly along longitude, `plane` has padding by zeros.

python -m examples.climate --data FOLDER [--surface NAME ...] [--steps N] [--samples N] [--out FOLDER]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console

import omniconv as oc
from benchmarks.timing import machine
from examples.climate import data, figure, measures, results, training
from examples.command_line import run_command

SURFACES: dict[str, Callable[[int], oc.Surface]] = {
    "equirectangular": lambda height: oc.Equirectangular(),
    "healpix": lambda height: oc.Healpix(height // 4),
    "circular": lambda height: data.CircularConvolutions(),
    "plane": lambda height: oc.Plane(),
}
"""Surface of a network for maps of some height, by name."""
OUT = Path("runs/climate")


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.option(
    "--data", "folder", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of trefht_member*.nc.",
)  # fmt: skip
@click.option(
    "--surface", "names", type=click.Choice(tuple(SURFACES)), multiple=True, default=tuple(SURFACES), show_default=True,
    help="Surface of the network; may be repeated.",
)  # fmt: skip
@click.option("--height", type=click.Choice(["32", "64"]), default="32", show_default=True, help="Rows of the maps.")
@click.option("--steps", type=click.IntRange(1), default=3000, show_default=True, help="Training steps of 8 maps.")
@click.option("--samples", type=click.IntRange(3), default=66, show_default=True)
@click.option("--width", type=click.IntRange(4), default=16, show_default=True, help="Channels at the finest level.")
@click.option("--depth", type=click.IntRange(1, 3), default=2, show_default=True, help="Downsampling steps.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, show_default=True)
def command(
    folder: Path, names: tuple[str, ...], height: str, steps: int, samples: int, width: int, depth: int, seed: int,
    out: Path,
) -> None:  # fmt: skip
    """Train the networks, draw samples, print a table and write results."""
    results.load(out / "results.json")  # refuse another file of that name before the training
    rows, drawn = int(height), {}
    climate = data.load(folder, rows)
    member = len(climate.held_out)
    click.echo(f"{len(climate.training)} training maps; held out: {climate.names[-1]}")
    records = [{"name": "a training member", **measures.measure(climate.training[:member], climate, is_sample=False)}]
    for name in names:
        surface = SURFACES[name](rows)
        torch.manual_seed(seed)
        network = training.PlacedDenoiser(surface, data.places(climate, surface), width, depth)
        count = sum(parameter.numel() for parameter in network.parameters())
        click.echo(f"{name}: {count:,} parameters")
        fit = training.fit(network, data.to_surface(climate.training, surface), steps, seed, click.echo)
        drawn[name] = data.to_panorama(training.sample(fit.network, samples, seed), surface, rows)
        about = {"parameters": count, "steps": steps, "samples": samples, "seed": seed, "loss": fit.loss}
        about |= {"step_cpu_seconds": fit.step_seconds, "machine": machine(torch.device("cpu"))}
        records.append({"name": name, **measures.measure(drawn[name], climate), **about})
        resampled = data.to_panorama(data.to_surface(climate.held_out, surface), surface, rows)
        if not np.array_equal(resampled, climate.held_out):
            records.append({"name": f"held-out member through {name}", **measures.measure(resampled, climate)})
    records.append({"name": "held-out member", **measures.measure(climate.held_out, climate)})
    out.mkdir(parents=True, exist_ok=True)
    Console(width=160).print(results.table(results.save(records, out / "results.json")))
    click.echo(f"wrote {out / 'results.json'} and {figure.draw(drawn, climate, out / 'samples.png')}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(command, "climate", arguments)


if __name__ == "__main__":
    sys.exit(main())
