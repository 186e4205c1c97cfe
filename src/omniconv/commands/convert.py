"""``omniconv convert``."""

from __future__ import annotations

from pathlib import Path

import click

from omniconv.commands.command import Command
from omniconv.commands.terminal import PATH, log
from omniconv.errors import InputError
from omniconv.training.setting_values import parse_size
from omniconv.training.settings import RunConfig


@click.command(cls=Command)
@click.argument("network")
@click.option("--task", default="segment", show_default=True, help="task of the network, as of train")
@click.option("--weights", type=PATH, help="its weights, .safetensors or .pth; by default those that its code makes")
@click.option(
    "--surface", help="plane (it stays flat), equirectangular, or tangent:ROWS (kernels on tangent planes); by default "
    "equirectangular, or with --panoramas the best of all",
)  # fmt: skip
@click.option("--poles", default="flat", show_default=True, help=RunConfig.model_fields["poles"].description)
@click.option(
    "--panoramas", type=PATH, multiple=True,
    help="files or folders of panoramas, on which all conversions are measured to choose one; may be repeated",
)  # fmt: skip
@click.option("--classes", help="names of the classes: a,b,c or a text file classes.txt; by default they are numbered")
@click.option("--size", help="N or HxW: size that images are resized to  [default: 256, on a sphere 256x512]")
@click.option("--range", "value_range", type=int, default=1, show_default=True, help="value of white: 1 or 255")
@click.option("--mean", default="0", show_default=True, help="mean that is subtracted from these values, A or A,B,C")
@click.option("--std", default="1", show_default=True, help="standard deviation that they are divided by, A or A,B,C")
@click.option(
    "--channels", "channel_order", default="rgb", show_default=True,
    help=RunConfig.model_fields["channel_order"].description,
)  # fmt: skip
@click.option("--output", "output_key", help=RunConfig.model_fields["output_key"].description)
@click.option("--name", help="name of the run's folder in runs/; by default that of the network")
@click.option("--out", help="folder of the run, instead of runs/NAME")
def convert(
    network: str, task: str, weights: Path | None, surface: str | None, poles: str, panoramas: tuple[Path, ...],
    classes: str | None, size: str | None, value_range: int, mean: str, std: str, channel_order: str,
    output_key: str | None, name: str | None, out: str | None,
) -> None:  # fmt: skip
    """Write a trained network of your own, converted to panoramas, as a run that every command takes.

    NETWORK is package.module:callable: a torch.nn.Module for images (batch, 3, height, width), or a function without
    arguments that returns one. Its outputs are (batch, classes, height, width), also of a coarser grid, or (batch,
    classes) with --task classify. Write down the values that it was trained with, in its own order of channels:

    \b
        omniconv convert mine:network --weights net.pth --classes road,sky,other --out runs/streets \\
            --range 255 --mean 104,117,123 --channels bgr --panoramas PANORAMAS
        omniconv predict runs/streets PANORAMAS --out OUT --network mine:network

    The run names the network by its import path, and has its weights. Its code runs only if you name it again
    (--network) or trust the run (--trust). Everything is checked, and the network runs once, before anything is
    written. omniconv train TASK DATA --from RUN trains it further.
    """
    from omniconv.data.classes import parse_class_names
    from omniconv.data.layouts.dataset_folder import pick_evenly
    from omniconv.data.layouts.image_list import drop_masks, scan_inputs
    from omniconv.runs.conversion import MOST_PANORAMAS, ImageValues, convert_network

    if panoramas and surface is not None:
        raise InputError("panoramas", str(panoramas[0]), "choose the surface, which is given", "leave out one of both")
    values = ImageValues(value_range, _numbers("mean", mean), _numbers("std", std), channel_order)
    images = [image for image, _ in drop_masks(scan_inputs(panoramas)[0], panoramas)] if panoramas else []
    run = convert_network(
        network, task=task, weights=weights, surface=surface, poles=poles,
        panoramas=pick_evenly(images, MOST_PANORAMAS), classes=parse_class_names(classes) if classes else (),
        size=parse_size(size) if size else None, values=values, output_key=output_key, name=name, out=out, log=log,
    )  # fmt: skip
    log(run.path)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        rule = "must be numbers with commas between them"
        raise InputError(name, text, rule, f"use {name}='0.5,0.5,0.5'") from None
