"""Not-so-Clevr with convolution and with CoordConv, on both splits.

python -m examples.coordconv [--task TASK] [--split SPLIT] [--network NETWORK] [--quick | --published] [--out FOLDER]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
import torch
from rich.console import Console

from benchmarks.timing import machine
from examples.command_line import run_command
from examples.coordconv import figure, results
from examples.coordconv.data import SPLITS, split
from examples.coordconv.networks import parameter_count
from examples.coordconv.recipes import OURS, PUBLISHED, QUICK_STEP, Recipe, network_for, quick
from examples.coordconv.tasks import NETWORKS, TASKS
from examples.coordconv.training import Epoch, fit
from omniconv.files import check_writable

OUT = Path("runs/coordconv")


def _choice(name: str, values: tuple[str, ...], text: str) -> object:
    return click.option(f"--{name}", type=click.Choice(["all", *values]), default="all", show_default=True, help=text)


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@_choice("task", tuple(TASKS), "Task to train.")
@_choice("split", SPLITS, "Split into training and test positions.")
@_choice("network", NETWORKS, "Network to train.")
@click.option("--quick", is_flag=True, help="One epoch of every fifth position, to try the command.")
@click.option("--published", is_flag=True, help="The published settings: many hours.")
@click.option("--epochs", type=click.IntRange(1), help="Largest number of epochs.")
@click.option(
    "--multiple",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="Factor for the channels of networks without coordinates.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, show_default=True)
def command(
    task: str, split: str, network: str, quick: bool, published: bool, epochs: int | None,
    multiple: int, seed: int, device: str, out: Path,
) -> None:  # fmt: skip
    """Train the chosen networks, print a table and write results."""
    if quick and published:
        raise click.UsageError("--quick and --published exclude each other: leave one out")
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("--device cuda: CUDA is not available; use --device cpu")
    for name in (results.NUMBERS, figure.POSITIONS):
        check_writable(out / name)
    for key in _combinations(task, split, network):
        recipe = _recipe(key[0], key[2], quick, published, epochs)
        _run(*key, recipe, QUICK_STEP if quick else 1, multiple, seed, torch.device(device), out)
    _report(out)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(command, "coordconv", arguments)


def _combinations(task: str, split: str, network: str) -> list[tuple[str, str, str]]:
    tasks, splits, networks = (
        list(values) if chosen == "all" else [chosen]
        for chosen, values in ((task, TASKS), (split, SPLITS), (network, NETWORKS))
    )
    return [(one, two, three) for one in tasks for two in splits for three in networks]


def _recipe(task: str, network: str, quick_one: bool, published: bool, epochs: int | None) -> Recipe:
    recipe = (PUBLISHED if published else OURS)[task, network]
    recipe = quick(recipe) if quick_one else recipe
    return recipe if epochs is None else replace(recipe, epochs=epochs)


def _run(
    task: str,
    split_name: str,
    kind: str,
    recipe: Recipe,
    step: int,
    multiple: int,
    seed: int,
    device: torch.device,
    out: Path,
) -> None:
    torch.manual_seed(seed)
    network = network_for(task, kind, split_name, multiple)
    count = parameter_count(network)
    click.echo(f"{task}, {split_name}, {kind}: {count:,} parameters")
    about, positions = machine(device), split(split_name).thinned(step)
    found = fit(network, TASKS[task], positions, recipe, device, lambda epoch: _log(task, epoch, recipe.epochs))
    results.save(results.record(TASKS[task], positions, kind, count, seed, recipe, about, found), out)


def _log(task: str, epoch: Epoch, epochs: int) -> None:
    scores = ""
    if epoch.train is not None and epoch.test is not None:
        train, test = (results.score_text(task, mean) for mean in (epoch.train, epoch.test))
        scores = f", train {train}, test {test}"
    click.echo(f"  epoch {epoch.number}/{epochs}, {epoch.seconds:.1f} s: loss {epoch.loss:.4g}{scores}")


def _report(out: Path) -> None:
    found = results.load(out)
    Console(width=140).print(results.table(found))
    numbers = results.save_numbers(found, out / results.NUMBERS)
    click.echo(f"wrote {numbers} and {figure.draw(found, out / figure.POSITIONS)}")


if __name__ == "__main__":
    sys.exit(main())
