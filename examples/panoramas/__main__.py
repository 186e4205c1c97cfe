"""Train a diffusion model of limited receptive field on a few panoramas, and one of the same size on flat images.

python -m examples.panoramas FOLDER [--out FOLDER] [--samples N] [--width N] [--quick]
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.timing import machine
from examples.command_line import run_command
from examples.panoramas import data, figure, measures, model
from omniconv.files import write_bytes
from omniconv.surfaces import Equirectangular, Plane, Surface

OUT = Path("runs/panoramas")
SURFACES = {"panorama": Equirectangular(), "flat, zeros outside": Plane()}
PUBLISHED = {"parameters": 1_106_772, "receptive field": 33, "steps": 120_000, "batch": 32}
"""Numbers of Kulikov et al., ICML 2023, and of their code; they train on one image."""
ROTATIONS = 8
STEPS = (18, 10, 8)
"""Steps of Heun's method at each scale."""


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--samples", type=click.IntRange(2), default=8, show_default=True, help="Panoramas of each network.")
@click.option("--width", type=click.IntRange(2), default=32, show_default=True, help="Channels; published: 160.")
@click.option("--longer", type=click.IntRange(1), default=1, show_default=True, help="Factor of all steps.")
@click.option("--quick", is_flag=True, help="All parts in half a minute; the figures mean nothing.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, show_default=True)
def command(folder: Path, samples: int, width: int, longer: int, quick: bool, seed: int, out: Path) -> None:
    """Train both networks, print a table and write results."""
    recipe = model.Recipe(width=width)
    recipe = replace(recipe, steps=tuple(longer * count for count in recipe.steps))
    rotations, steps = ROTATIONS, STEPS
    if quick:
        recipe = model.Recipe((8, 16, 32), (3, 2, 2), (2, 2, 2), width=4)
        rotations, steps, samples = 1, (2, 2, 2), 2
    panoramas = data.load(folder, recipe.heights, rotations, seed)
    click.echo(f"{len(panoramas.names)} panoramas: {', '.join(panoramas.names)}")
    results: dict[str, Any] = {
        "seed": seed, "recipe": asdict(recipe), "rotations": rotations, "sampling steps": steps,
        "panoramas": panoramas.names, "machine": machine(torch.device("cpu")), "published": PUBLISHED,
        "training images": measures.reference(panoramas), "networks": {},
    }  # fmt: skip
    images = {}
    for name, surface in SURFACES.items():
        images[name], results["networks"][name] = run(name, surface, recipe, panoramas, samples, seed, steps)
        figure.save_sheet(images[name], panoramas, out / name.split(",")[0])
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / "results.json", (json.dumps(results, indent=1, ensure_ascii=False) + "\n").encode())
    figure.draw(images, results["networks"], panoramas, out / "samples.png")
    Console(width=140).print(table(results))
    click.echo(f"wrote {out / 'results.json'} and {out / 'samples.png'}")


def run(
    name: str, surface: Surface, recipe: model.Recipe, panoramas: data.Panoramas, samples: int, seed: int,
    steps: tuple[int, ...],
) -> tuple[torch.Tensor, dict[str, Any]]:  # fmt: skip
    """Train a network; return its samples and their measures."""
    torch.manual_seed(seed)
    network = model.build(surface, recipe)
    click.echo(f"{name}: {parameter_count(network):,} parameters")
    train_seconds = model.train(network, panoramas.rotated, recipe, seed, click.echo)
    began = time.process_time()
    images = model.sample(network, model.first_levels(panoramas.rotated, surface), recipe, samples, seed, steps)
    sample_seconds = (time.process_time() - began) / samples
    return images, measures.measure(images, panoramas) | {
        "parameters": parameter_count(network),
        "receptive field": measures.receptive_field(network),
        "change under a roll": measures.turn_error(network, recipe.heights[0]),
        "training CPU seconds": train_seconds,
        "sampling CPU seconds": sample_seconds,
    }


def parameter_count(network: torch.nn.Module) -> int:
    """Return the number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def table(results: dict[str, Any]) -> Table:
    """Return the table of a run."""
    networks, training = results["networks"], results["training images"]
    found = Table(title="Samples and training images")
    for heading in ("", *networks, "training images", "published"):
        found.add_column(heading)

    def row(heading: str, form: str, read: Any, of_training: str = "–", published: str = "–") -> None:
        found.add_row(heading, *(format(read(one), form) for one in networks.values()), of_training, published)

    row("parameters", ",", lambda one: one["parameters"], published=f"{PUBLISHED['parameters']:,}")
    row("receptive field", "d", lambda one: one["receptive field"], published=str(PUBLISHED["receptive field"]))
    distance = training["median distance"]
    row(
        "distance to the nearest training image", ".2f", lambda one: one["median distance"], f"{distance:.2f} (another)"
    )
    row("authenticity", ".2f", lambda one: one["authenticity"])
    row("copies", ".0%", lambda one: one["copied share"])
    row("variance / training images", ".2f", lambda one: one["variance"], "1")
    for level, value in enumerate(training["patch distances"]):
        read = lambda one, level=level: 1000 * one["patch distances"][level]  # noqa: E731
        row(f"patch distance · 1,000, level {level}", ".0f", read, f"{1000 * value:.0f} (halves)")
    for name in ("seam", "north pole", "south pole"):
        read = lambda one, name=name: one[name]["ratio"] if name == "seam" else one[name]  # noqa: E731
        row(f"discontinuity, {name} / elsewhere", ".2f", read, f"{read(training):.2f}")
    row("change under a roll of 5 columns", ".0e", lambda one: one["change under a roll"])
    row("training, CPU minutes", ".1f", lambda one: one["training CPU seconds"] / 60)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(command, "panoramas", arguments)


if __name__ == "__main__":
    sys.exit(main())
