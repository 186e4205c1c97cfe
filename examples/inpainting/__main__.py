"""Train gated, partial and plain convolutions, and a flat network, to fill free-form holes of panoramas.

python -m examples.inpainting DATA [--network NETWORK] [--steps N] [--width CHANNELS] [--quick] [--out FOLDER]

DATA is a folder of panoramas (jpg, png) or an .npz file with the Earth as an array 'rgb'.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

import omniconv as oc
from benchmarks.timing import machine
from examples.command_line import run_command
from examples.inpainting import data, results
from examples.inpainting.training import NETWORKS, PLACES, Recipe, Result, fill, measure, train
from omniconv.files import check_writable

OUT = Path("runs/inpainting")
TRAINING_HOLES, TEST_HOLES = 400, 40
QUICK = {"steps": 4, "width": 4}
FIGURE = "holes.png"


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.argument("path", metavar="DATA", type=click.Path(path_type=Path, exists=True))
@click.option("--network", type=click.Choice(["all", *NETWORKS]), default="all", show_default=True)
@click.option("--height", type=click.IntRange(16), default=32, show_default=True, help="Rows of the panoramas.")
@click.option("--steps", type=click.IntRange(1), default=Recipe.steps, show_default=True, help="Steps of each network.")
@click.option("--batch-size", type=click.IntRange(1), default=Recipe.batch_size, show_default=True)
@click.option("--learning-rate", type=float, default=Recipe.learning_rate, show_default=True)
@click.option("--width", type=click.IntRange(1), default=Recipe.width, show_default=True, help="Channels at full size.")
@click.option("--copies", type=click.IntRange(1), default=48, show_default=True, help="Rotated copies of each image.")
@click.option("--quick", is_flag=True, help="Few steps and holes, to try the command; the numbers mean nothing.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, show_default=True)
def command(
    path: Path, network: str, height: int, steps: int, batch_size: int, learning_rate: float, width: int, copies: int,
    quick: bool, seed: int, out: Path,
) -> None:  # fmt: skip
    """Train the networks that have no measures in the folder yet, print the tables and draw the figure."""
    out.mkdir(parents=True, exist_ok=True)
    check_writable(out / FIGURE)
    recipe = Recipe(steps, batch_size, learning_rate, width, seed)
    counts = (TRAINING_HOLES, TEST_HOLES)
    if quick:
        recipe, copies, counts = replace(recipe, **QUICK), 1, (8, 5)
    split = data.load(path, height, copies, seed)
    for name, files in split.names.items():
        click.echo(f"{name}: {', '.join(files)}")
    settings = {"data": split.names, "height": height, "copies": copies, "holes": list(counts), **asdict(recipe)}
    holes: dict[str, Tensor] = {}
    for name in NETWORKS if network == "all" else [network]:
        if results.load(out / f"{name}.json", settings) is None:
            holes = holes or {
                "training": data.training_holes(counts[0], height, seed),
                "test": data.test_holes(counts[1], height, seed + 1),
            }
            click.echo(f"{name}:")
            _run(name, split, holes, recipe, settings, out)
    _show(split, settings, height, out)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 after an error in the input."""
    return run_command(command, "inpainting", arguments, "run the same command again: finished networks are kept")


def _run(
    name: str, split: data.Split, holes: dict[str, Tensor], recipe: Recipe, settings: dict[str, Any], out: Path
) -> None:
    trained, result = train(name, split.training, holes["training"], recipe, _printer(recipe.steps))
    measure(trained, split.test, holes["test"], result)
    oc.save(trained, out / f"{name}.safetensors")
    results.save(result, settings | {"machine": machine(torch.device("cpu"))}, out / f"{name}.json")


def _show(split: data.Split, settings: dict[str, Any], height: int, out: Path) -> None:
    """Print the tables of all networks in the folder that were trained with these settings, and draw their holes."""
    found: dict[str, Result] = {}
    for name in NETWORKS:
        result = results.load(out / f"{name}.json", settings)
        if result is not None:
            found[name] = result
            seconds, count = result.core_seconds, result.parameters
            click.echo(f"{name}: {count:,} parameters, {seconds:.0f} CPU seconds, training loss {result.loss:.3f}")
    click.echo(f"\n{results.table(found)}\n\n{results.cap_table(found)}")
    networks = {name: oc.load(out / f"{name}.safetensors") for name in found}
    click.echo(f"\nWrote {results.figure(_panels(split, networks, height), out / FIGURE)}")


def _panels(split: data.Split, networks: dict[str, Any], height: int) -> dict[str, dict[str, Tensor]]:
    """Return the first test image with a cap at each place, and what the networks make of it."""
    rows = {}
    image = split.test.images[:1]
    for place, (latitude, longitude) in PLACES.items():
        mask = data.cap(height, latitude, longitude)
        panels = {"image": image[0], "hole": torch.where(mask != 0, 1.0, image)[0]}
        panels |= {name: fill(network, image, mask)[0] for name, network in networks.items()}
        # Turned by 180°, so that the seam is in the middle of the picture.
        rows[place] = {title: panel.roll(height, -1) for title, panel in panels.items()} if place == "seam" else panels
    return rows


def _printer(steps: int) -> Callable[[int, float], None]:
    def print_progress(step: int, loss: float) -> None:
        click.echo(f"  step {step}/{steps}: loss {loss:.3f}")

    return print_progress


if __name__ == "__main__":
    sys.exit(main())
