"""A small VGG taught here, then on panoramas: SphConv beside equirectangular, circular and tangent, as published.

python -m examples.sphconv [--panoramas FOLDER] [--height H] [--width CHANNELS] [--out FOLDER]
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import click
import torch
from rich.console import Console

import omniconv as oc
from benchmarks.timing import machine
from examples.command_line import run_command
from examples.sphconv import results
from examples.sphconv.data import FOLDS, Panoramas, load, views
from examples.sphconv.training import network, teach

OUT = Path("runs/sphconv")
SIDE = 32


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.option("--panoramas", type=click.Path(path_type=Path, exists=True, file_okay=False), help="jpg or png, 2 : 1.")
@click.option("--fold", type=click.IntRange(1, FOLDS), default=FOLDS, show_default=True,
              help="Which quarter of the folder is held out.")  # fmt: skip
@click.option("--height", type=click.IntRange(32), default=64, show_default=True, help="Rows of the panoramas.")
@click.option("--width", type=click.IntRange(1), default=8, show_default=True, help="Channels of the first layer.")
@click.option("--epochs", type=click.IntRange(1), default=15, show_default=True, help="Of the flat network.")
@click.option("--views", "count", type=click.IntRange(1), default=40, show_default=True, help="Of each panorama.")
@click.option("--turned", type=click.IntRange(0), help="Rotated copies of each: 10, or 50 without a folder.")
@click.option("--steps", type=click.IntRange(0), default=50, show_default=True, help="Of the training of the whole.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=OUT, show_default=True)
def command(
    panoramas: Path | None, fold: int, height: int, width: int, epochs: int, count: int, turned: int | None, steps: int,
    seed: int, out: Path,
) -> None:  # fmt: skip
    """Teach, convert, print and write."""
    found = load(panoramas, fold)
    click.echo(f"learnt from: {', '.join(found.learnt)}\nheld out: {', '.join(found.held_out)}")
    torch.manual_seed(seed)
    chain = network(width)
    teach(chain, *views(found.learnt, height, SIDE, count, seed), epochs, _say(epochs))
    start = time.process_time()
    copies = (10 if panoramas else 50) if turned is None else turned
    kinds = {"turned": copies, "steps": steps, "seed": seed}
    report = _converted(chain, found, height, out, kinds)
    seconds = time.process_time() - start
    console = Console(width=110)
    console.print(report.table())
    console.print(results.table(report))
    about = {"held_out": list(found.held_out), "learnt": list(found.learnt), "height": height, "width": width, **kinds}
    about |= {"core_seconds": seconds, "machine": machine(torch.device("cpu"))}
    path = results.save(report, about, out / "results.json")
    click.echo(f"{results.verdict(report)} {seconds:.0f} seconds of a core to convert and measure; wrote {path}")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong input in one line."""
    return run_command(command, "sphconv", arguments, "the same command goes on from here")


def _converted(
    chain: torch.nn.Sequential, found: Panoramas, height: int, out: Path, kinds: dict[str, int]
) -> oc.convert.SphConvReport:
    """The report of the conversion; ``out`` keeps its kernels, in a folder for each network and setting."""
    held_out, learnt = (list(part.values()) for part in (found.held_out, found.learnt))
    kept = out / f"kernels-{height}-{_name(chain, found, kinds)}"
    return oc.convert.to_sphconv(chain, learnt, height, held_out=held_out, out=kept, **kinds).report  # type: ignore[arg-type]


def _name(chain: torch.nn.Sequential, found: Panoramas, kinds: dict[str, int]) -> str:
    """A short name of what is converted."""
    digest = hashlib.sha256(repr((kinds, sorted(found.learnt))).encode())
    for parameter in chain.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()[:8]


def _say(epochs: int):  # type: ignore[no-untyped-def]
    def say(epoch: int, loss: float, right: float) -> None:
        click.echo(f"  epoch {epoch}/{epochs}: loss {loss:.3f}, {100 * right:.0f} % of the views told right")

    return say


if __name__ == "__main__":
    sys.exit(main())
