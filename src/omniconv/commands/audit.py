"""``omniconv audit``."""

from __future__ import annotations

import warnings
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omniconv.checks import check_integer
from omniconv.commands.command import Command, own_network_options
from omniconv.commands.terminal import PATH, log, print_table, progress_bar
from omniconv.errors import FileError, InputError, pluralize
from omniconv.training.setting_values import parse_size
from omniconv.training.settings import RunConfig

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from omniconv.audit.run import Audit
    from omniconv.commands.load_model import Colour, LoadedModel
    from omniconv.convert.choice import ConversionChoice

Table = tuple[list[str], list[list[str | float]]]
QUALITY_NAMES = {"iou": "mean IoU", "accuracy": "accuracy", "rmse": "RMSE"}


@click.command(cls=Command)
@click.argument("source", metavar="RUN|MODEL")
@click.argument("images", type=PATH, nargs=-1, required=True)
@click.option("--labels", type=PATH, help="folder of masks with the images' names; by default IMAGES/masks")
@click.option("--out", type=PATH, help="folder for audit.png and audit.json; by default RUN/audit, or audit")
@click.option("--json", "json_file", type=PATH, help="also write the measures to this JSON file")
@click.option("--overwrite", is_flag=True, help="replace existing files")
@click.option("--rotations", default=12, show_default=True, help="number of random rotations of the sphere")
@click.option("--seed", default=0, show_default=True, help="seed of all random numbers")
@click.option("--most", default=16, show_default=True, help="maximum number of images, evenly spaced")
@click.option("--bands", default=12, show_default=True, help="number of latitude bands")
@click.option("--size", help="N or HxW: size that panoramas are resized to; by default that of the run, or their own")
@click.option("--stride", type=int, help="total stride of the network in columns; measured if not given")
@click.option("--values", is_flag=True, help="MODEL returns values (depths, colours), not class scores")
@click.option("--conversions", is_flag=True, help="also measure the conversions of MODEL, a flat network, to panoramas")
@click.option("--output", help=RunConfig.model_fields["output_key"].description)
@click.option("--mean", help="R,G,B mean to subtract for MODEL, for values from 0 to 1; by default the one it knows")
@click.option("--std", "--spread", "std", help="R,G,B standard deviation to divide by")
@own_network_options
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda")
def audit(source: str, images: tuple[Path, ...], **options: Any) -> None:
    """Measure errors at the seam of a panorama, at its poles and under rotations of the sphere.

    RUN is the folder of a run or its model.safetensors. MODEL is your own network, as package.module:callable: a
    torch.nn.Module, or a function without arguments that returns one; or with --trust a torch.export program (.pt2). It
    takes RGB values from 0 to 1 (or normalized by --mean and --std), (batch, 3, height, width), and returns
    (batch, K, H, W) or (batch, K):

    \b
        omniconv audit runs/DATA PANORAMAS
        omniconv audit runs/DATA DATA --json audit.json
        omniconv audit my_module:network PANORAMAS --size 512x1024 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

    IMAGES are files or folders of panoramas of the full sphere: rows from pole to pole, columns all around. If a folder
    contains images/ and masks/, the quality by latitude is measured against the masks.

    The outputs of networks that return images are compared as values. A denoiser is measured as a function of the image
    at one noise level, half the standard deviation of the data, and for the first class if it has any.

    --conversions compares what MODEL and its conversions (oc.convert.to_equirectangular with each choice of poles, and
    to_tangent) say about a panorama with what MODEL says about perspective views of it, by latitude, in the middle of
    the picture and at its cut, and recommends one of them.

    Errors are graded none, slight, clear or strong: slight, clear and strong begin at 0.2, 1 and 5 % of the area
    changing class (for values: at a change of 1, 5 and 20 % of their standard deviation), in excess of the baseline.
    """
    from omniconv.audit.run import audit as run_audit
    from omniconv.commands.audit_data import read_data
    from omniconv.commands.load_model import load_model
    from omniconv.locks import write_outputs

    _check_numbers(options)
    mean, std = (_parse_colour(name, options[name]) for name in ("mean", "std"))
    size = parse_size(options["size"]) if options["size"] else None
    written = {"json_file": options["json_file"], "overwrite": options["overwrite"]}
    targets = _targets(options["out"], **written) if options["out"] else []
    loaded = load_model(source, options["device"], options["trust"], options["network"], programs=True)
    flat = _flat_network(loaded) if options["conversions"] else None
    mean, std = loaded.choose_normalization(mean, std)
    loaded = loaded.with_normalization(mean, std)
    targets = targets or _targets(loaded.run / "audit" if loaded.run else Path("audit"), **written)
    with write_outputs(targets[0].parent, targets[:2], options["overwrite"]):
        panoramas, truth, trained_on = read_data(loaded, images, options["labels"], options["most"], size)
        with progress_bar(len(panoramas) * max(options["rotations"], 0), "audit") as step:
            same_name = {name: options[name] for name in ("rotations", "seed", "stride", "bands")}
            classes, output = False if options["values"] else None, _parse_output(options["output"])
            result = run_audit(loaded.model, panoramas, truth, classes=classes, output=output, step=step, **same_name)
        result = replace(result, network=f"{loaded.title} ({result.network})", trained_on=trained_on)
        choice = None
        if flat is not None:
            choice = _choose(flat, _normalized(panoramas, mean, std), classes, output)
        _write(result, panoramas[0], targets, {"conversions": choice.as_dict()} if choice else {})
    _print(result)
    if choice is not None:
        _print_choice(choice)
    log(targets[0])


def change_table(result: Audit) -> Table:
    """Return a row for each measured change, by distance from the seam for dense outputs."""
    from omniconv.audit.verdict import percent

    rates: dict[str, tuple[float | None, float | None]] = {}
    for name, errors in result.shift.named.items():
        for suffix, key in (("", "everywhere"), (": at the seam", "at_seam"), (": farther away", "elsewhere")):
            changed = getattr(errors.changed, key, None)
            rates[f"seam moved {name}{suffix}"] = changed, getattr(errors.difference, key)
    rotation = result.rotation
    others = {"sphere rotated at random": rotation.rotated, "resampled only": rotation.resampling_baseline}
    if result.position is not None:
        others["near a pole, against the image centre"] = result.position.poles
        others["same places, twice at the image centre"] = result.position.control
    rates |= {name: (rate.changed, rate.difference) for name, rate in others.items()}
    classes = rotation.rotated.changed is not None
    rows: list[list[str | float]] = [
        [name, *([percent(changed or 0.0)] if classes else []), percent(difference)]
        for name, (changed, difference) in rates.items()
        if difference is not None
    ]
    return ["", *(["area that changes class"] if classes else []), "change / standard deviation"], rows


def latitude_table(result: Audit) -> Table | None:
    """Return a row for each latitude band; ``None`` for a network with one output per image."""
    from omniconv.audit.verdict import percent

    rotation = result.rotation_by_latitude
    if rotation is None:
        return None
    columns: dict[str, list[str | float]] = {"latitude": list(rotation.names)}
    if result.quality is not None:
        columns |= {QUALITY_NAMES[name]: list(values) for name, values in result.quality.measures.items()}
    for name, measure in (("change under rotation", rotation.main), ("resampled only", f"baseline_{rotation.main}")):
        columns[name] = [percent(value) for value in rotation.measures[measure]]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def _targets(out: Path, json_file: Path | None, overwrite: bool) -> list[Path]:
    """Return the files to write, checked before the audit, which takes long."""
    from omniconv.files import check_writable
    from omniconv.locks import check_outputs
    from omniconv.run_folder import check_json

    if json_file:
        check_json(json_file)
    if out.exists() and not out.is_dir():
        raise FileError(out, "is a file, not a folder", "choose another out=FOLDER")
    own = [out / "audit.png", out / "audit.json"]
    check_outputs(out, own, overwrite)
    targets = [*own, json_file] if json_file else own
    for target in targets:
        check_writable(target)
    return targets


def _write(result: Audit, panorama: np.ndarray, targets: list[Path], more: dict[str, Any]) -> None:
    """Write the plot and the numbers, both computed before the first byte is written."""
    from omniconv.audit.plot import draw
    from omniconv.files import make_folder, write_bytes
    from omniconv.run_folder import write_json

    png, numbers = draw(result, panorama), result.as_dict() | more
    write_bytes(targets[0], png)
    for target in targets[1:]:
        make_folder(target.parent)
        write_json(target, numbers)


def _print(result: Audit) -> None:
    count = f"{pluralize(result.panoramas, 'panorama')} of {result.size[0]}x{result.size[1]}"
    log(f"{result.network}: {count}")
    for table in (change_table(result), latitude_table(result)):
        if table is not None:
            print_table(*table, "")
    for line in (*result.verdict, *result.notes):
        log(str(line))


def _flat_network(loaded: LoadedModel) -> nn.Module:
    """Return the network whose conversions are measured, checked before the audit, which takes long."""
    from torch import nn

    from omniconv.convert.choice import check_flat

    if not isinstance(loaded.model, nn.Module):
        rule = "is not a flat network of your own, and only such networks are converted"
        raise InputError("conversions", loaded.title, rule, "leave out --conversions")
    check_flat(loaded.model)
    return loaded.model


def _normalized(panoramas: np.ndarray, mean: Colour, std: Colour) -> np.ndarray:
    """Return panoramas as ``LoadedModel.with_normalization`` passes them to the network."""
    import numpy as np

    shift, scale = (
        np.reshape(value or default, (-1, 1, 1)).astype(np.float32) for value, default in ((mean, 0), (std, 1))
    )
    return (panoramas - shift) / scale


def _choose(flat: nn.Module, panoramas: np.ndarray, classes: bool | None, output: str | int | None) -> ConversionChoice:
    from omniconv.convert.choice import CONVERSIONS, choose
    from omniconv.convert.finding import SeamWarning

    with progress_bar(len(panoramas) * len(CONVERSIONS), "conversions") as step, warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=SeamWarning)  # what a seam changes is measured
        return choose(flat, panoramas, classes=classes, output=output, step=step)


def _print_choice(choice: ConversionChoice) -> None:
    title, *_, recommended, rule = str(choice).splitlines()
    log(title)
    print_table(*choice.table(), "")
    for entry in choice.figures:
        if entry.failure:
            log(f"{entry.name}: {entry.failure}")
    log(recommended)
    log(rule)


def _check_numbers(options: dict[str, Any]) -> None:
    """Check the numbers before the network and the images are read."""
    from omniconv.audit.latitude import band_edges
    from omniconv.audit.rotation import rotation_matrices

    rotation_matrices(options["rotations"], options["seed"])
    band_edges(options["bands"])
    check_integer("most", options["most"], 1, "use most=16")
    if options["stride"] is not None:
        check_integer("stride", options["stride"], 1, "leave it out to measure it")
    if options["json_file"]:
        from omniconv.run_folder import check_json

        check_json(options["json_file"])


def _parse_colour(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(map(float, text.split(",")))
    except ValueError:
        values = ()
    positive = name == "std"
    if len(values) != 3 or not all(map(isfinite, values)) or (positive and min(values) <= 0):
        rule = f"must be three numbers{' above 0' * positive}, with commas between them"
        raise InputError(name, text, rule, f"use {name}='0.5,0.5,0.5'")
    return values


def _parse_output(output: str | None) -> str | int | None:
    return int(output) if output and output.isdecimal() else output
