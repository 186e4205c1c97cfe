"""Train the published network of 61,658 parameters on digits on a sphere; the published accuracy is 99.23 %.

python -m examples.spherical_mnist --data FOLDER [--epochs N] [--limit N] [--laplacian mass|raw] [--out FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import torch
from rich.console import Console

import omniconv as oc
from benchmarks.timing import machine
from examples.command_line import run_command
from examples.spherical_mnist import figure, results
from examples.spherical_mnist.data import Digits, load
from examples.spherical_mnist.network import DigitClassifier, parameter_count
from examples.spherical_mnist.projection import Projection
from examples.spherical_mnist.training import Recipe, Training

LEVEL = 4
OUT = Path("runs/spherical_mnist")


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of MNIST, as npz or idx files.",
)
@click.option("--epochs", type=click.IntRange(1), default=2, show_default=True)
@click.option("--batch", type=click.IntRange(2), default=64, show_default=True, help="Digits in a step.")
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=0.01,
    show_default=True,
    help="Initial learning rate of Adam.",
)
@click.option("--published", is_flag=True, help="Halve the learning rate every ten epochs, as published.")
@click.option(
    "--laplacian",
    type=click.Choice(["mass", "raw"]),
    default="mass",
    show_default=True,
    help="Laplacian of the icosphere, see README.",
)
@click.option("--limit", type=click.IntRange(2), help="Largest number of training and of test digits.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, show_default=True)
def command(
    data: Path | None, epochs: int, batch: int, lr: float, published: bool, laplacian: str, limit: int | None,
    seed: int, device: str, out: Path,
) -> None:  # fmt: skip
    """Train the network, print a table and write results."""
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda: CUDA is not available; use --device cpu")
    train, test = (digits.first(limit) for digits in load(data))
    if batch > len(train):
        raise click.UsageError(f"--batch {batch}: there are {len(train):,} training digits; use a smaller one")
    recipe = Recipe(epochs, batch, lr, published)
    _run(laplacian, "MNIST" if data else "scikit-learn's", train, test, recipe, seed, torch.device(device), out)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(command, "spherical_mnist", arguments)


def _run(
    laplacian: str, name: str, train: Digits, test: Digits, recipe: Recipe, seed: int, device: torch.device, out: Path
) -> None:
    earlier = results.load(out / "results.json")  # refuse another file of that name before the training
    torch.manual_seed(seed)
    surface = oc.Icosphere(LEVEL, laplacian)
    network, about = DigitClassifier(surface), machine(device)
    count = parameter_count(network)
    click.echo(f"{name}: {len(train):,} training and {len(test):,} test digits; {count:,} parameters")
    training = Training(network, Projection(surface), recipe, device)
    fit = training.fit(train, test, lambda epoch: click.echo(results.epoch_text(epoch, recipe.epochs, name)))
    counts = len(train), len(test)
    found = results.record(laplacian, name, count, seed, recipe, counts, about, fit, test)
    records = results.save(found, out / "results.json")
    Console(width=140).print(results.table(records))
    path = figure.draw(records, found, test, out / "digits.png")
    click.echo(f"wrote {out / 'results.json'} and {path}{' beside earlier results' if earlier else ''}")


if __name__ == "__main__":
    sys.exit(main())
