"""Train a small VGG on flat views, convert it to panoramas, and compare the errors of SphConv with other methods.

python -m examples.sphconv [--panoramas FOLDER] [--height H] [--width CHANNELS] [--out FOLDER]
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from rich.console import Console

import omniconv as oc
from benchmarks.timing import machine
from examples.command_line import run_command
from examples.sphconv import results
from examples.sphconv.data import FOLDS, Split, load, views
from examples.sphconv.training import network, train

OUT = Path("runs/sphconv")
VIEW_SIZE = 32
"""Height and width of the flat views, in pixels."""


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.option(
    "--panoramas", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder of 2:1 images."
)
@click.option("--fold", type=click.IntRange(1, FOLDS), default=FOLDS, show_default=True, help="Held-out quarter.")
@click.option("--height", type=click.IntRange(32), default=64, show_default=True, help="Rows of the panoramas.")
@click.option("--width", type=click.IntRange(1), default=8, show_default=True, help="Channels of the first layer.")
@click.option("--epochs", type=click.IntRange(1), default=15, show_default=True, help="Epochs of the flat network.")
@click.option("--views", "count", type=click.IntRange(1), default=40, show_default=True, help="Views of each panorama.")
@click.option("--turned", type=click.IntRange(0), help="Rotated copies of each: 10, or 50 without --panoramas.")
@click.option("--steps", type=click.IntRange(0), default=50, show_default=True, help="Steps of training all kernels.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, show_default=True)
def command(
    panoramas: Path | None, fold: int, height: int, width: int, epochs: int, count: int, turned: int | None, steps: int,
    seed: int, out: Path,
) -> None:  # fmt: skip
    """Train, convert, print the tables and write the results."""
    split = load(panoramas, fold)
    click.echo(f"training: {', '.join(split.training)}\nheld out: {', '.join(split.held_out)}")
    torch.manual_seed(seed)
    chain = network(width)
    train(chain, *views(split.training, height, VIEW_SIZE, count, seed), epochs, _progress_printer(epochs))
    start = time.process_time()
    copies = (10 if panoramas else 50) if turned is None else turned
    settings = {"turned": copies, "steps": steps, "seed": seed}
    report = _converted(chain, split, height, out, settings)
    seconds = time.process_time() - start
    console = Console(width=110)
    console.print(report.table())
    console.print(results.table(report))
    metadata = {"held_out": list(split.held_out), "learnt": list(split.training), "height": height, "width": width}
    metadata |= {**settings, "core_seconds": seconds, "machine": machine(torch.device("cpu"))}
    path = results.save(report, metadata, out / "results.json")
    click.echo(f"{results.verdict(report)} {seconds:.0f} s of CPU time to convert and measure. Wrote {path}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 after an error in the input."""
    return run_command(command, "sphconv", arguments, "run the same command again to continue")


def _converted(
    chain: torch.nn.Sequential, split: Split, height: int, out: Path, settings: dict[str, int]
) -> oc.convert.SphConvReport:
    """Convert the network and return the report; each network and setting has a checkpoint folder in ``out``."""
    held_out, training = (list(part.values()) for part in (split.held_out, split.training))
    folder = out / f"kernels-{height}-{_digest(chain, split, settings)}"
    return oc.convert.to_sphconv(chain, training, height, held_out=held_out, out=folder, **settings).report  # type: ignore[arg-type]


def _digest(chain: torch.nn.Sequential, split: Split, settings: dict[str, int]) -> str:
    """Return a short digest of the network, the names of its training images and the settings."""
    digest = hashlib.sha256(repr((settings, sorted(split.training))).encode())
    for parameter in chain.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()[:8]


def _progress_printer(epochs: int) -> Callable[[int, float, float], None]:
    def print_progress(epoch: int, loss: float, accuracy: float) -> None:
        click.echo(f"  epoch {epoch}/{epochs}: loss {loss:.3f}, accuracy {100 * accuracy:.0f} %")

    return print_progress


if __name__ == "__main__":
    sys.exit(main())
