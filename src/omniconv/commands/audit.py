"""``omniconv audit``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omniconv.commands.export import SIZE
from omniconv.commands.terminal import PATH, log, print_table, progress_bar
from omniconv.errors import FileError, InputError
from omniconv.training.settings import parse_size

if TYPE_CHECKING:
    import numpy as np

    from omniconv.audit.run import Audit
    from omniconv.commands.load_model import Opened


@click.command()
@click.argument("network", metavar="RUN|MODEL")
@click.argument("images", type=PATH, nargs=-1, required=True)
@click.option("--labels", type=PATH, help="folder of masks with the images' names; by default IMAGES/masks")
@click.option("--out", type=PATH, help="folder for audit.png and audit.json; by default RUN/audit, or audit")
@click.option("--json", "json_file", type=PATH, help="also write the measures to this JSON file")
@click.option("--overwrite", is_flag=True, help="replace what is there already")
@click.option("--rotations", default=12, show_default=True, help="of the sphere, drawn at random")
@click.option("--seed", default=0, show_default=True, help="seed of all random numbers")
@click.option("--most", default=16, show_default=True, help="images to look at, evenly picked")
@click.option("--bands", default=12, show_default=True, help="of latitude")
@click.option("--size", help=SIZE)
@click.option("--stride", type=int, help="total stride of the network in columns; by default found")
@click.option("--values", is_flag=True, help="MODEL gives values (depths, colours), not scores of classes")
@click.option("--output", help="which output of MODEL, by key or place; by default the first")
@click.option("--mean", help="R,G,B to subtract for MODEL, from 0 to 1")
@click.option("--spread", help="R,G,B to divide by")
@click.option("--trust", is_flag=True, help="open a .pt2 file, which can run code that it holds")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda")
def audit(network: str, images: tuple[Path, ...], **options: Any) -> None:
    """Find what a network loses at the seam of a panorama, at its poles, and when the sphere is turned.

    RUN is the folder of a run or its model.safetensors. MODEL is a network of your own, as package.module:callable: a
    torch.nn.Module, or a function without arguments that gives one; or a .pt2 program of torch with --trust. It takes
    RGB values from 0 to 1 (or as --mean and --spread make them), (batch, 3, height, width), and gives maps or vectors:

    \b
        omniconv audit runs/DATA PANORAMAS
        omniconv audit runs/DATA DATA --json audit.json
        omniconv audit mine:network PANORAMAS --size 512x1024 --mean 0.485,0.456,0.406 --spread 0.229,0.224,0.225

    IMAGES are files or folders, taken for whole spheres: rows from pole to pole, columns all around. Of a folder that
    holds images/ and masks/, the masks tell the quality by latitude.

    What is found is called none, slight, clear or strong: from 0.2, 1 and 5 % of the area that changes class, or, of
    values, from a change by 1, 5 and 20 % of their spread.
    """
    from omniconv.audit.run import audit as run_audit
    from omniconv.commands.load_model import open_network

    given = {name: _colours(name, options[name]) for name in ("mean", "spread")}
    size = parse_size(options["size"]) if options["size"] else None
    opened = open_network(network, options["device"], options["trust"]).standardised(**given)
    out = options["out"] or (opened.run / "audit" if opened.run else Path("audit"))
    targets = _targets(out, options["json_file"], options["overwrite"])
    panoramas, truth = _material(opened, images, options["labels"], options["most"], size)
    with progress_bar(len(panoramas) * max(options["rotations"], 0), "audit") as step:
        found = run_audit(
            opened.model, panoramas, truth, options["rotations"], options["seed"], options["stride"], options["bands"],
            False if options["values"] else None, _place(options["output"]), step,
        )  # fmt: skip
    found = replace(found, network=f"{opened.title} ({found.network})")
    _write(found, panoramas[0], targets)
    _tell(found)
    click.echo(targets[0])


def _material(
    opened: Opened, images: tuple[Path, ...], labels: Path | None, most: int, size: tuple[int, ...] | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Panoramas, and the truth where there is one."""
    from omniconv.commands.audit_data import list_images, pick, read_panoramas, read_truth
    from omniconv.data.images import read_header

    listed, beside = list_images(images)
    picked = pick(listed, most)
    if len(picked) < len(listed):
        log(f"{len(picked)} of {len(listed)} images, evenly picked; more with --most")
    preprocessing = opened.preprocessing(size, [read_header(image).size for image in picked])
    masks = labels or (None if opened.classifies else beside)
    truth = read_truth(preprocessing, picked, masks, opened.classes) if masks else None
    return read_panoramas(preprocessing, picked), truth


def _targets(out: Path, json_file: Path | None, overwrite: bool) -> list[Path]:
    """The files to write, checked before anything is computed."""
    from omniconv.files import check_writable
    from omniconv.run_folder import check_json

    if json_file:
        check_json(json_file)
    if out.exists() and not out.is_dir():
        raise FileError(out, "is a file, not a folder", "choose another folder with --out")
    own = [out / "audit.png", out / "audit.json"]
    for target in own:
        if target.exists() and not overwrite:
            raise FileError(target, "is there already", "add --overwrite, or choose another folder with --out")
    targets = [*own, *([json_file] if json_file else [])]
    for target in targets:
        check_writable(target)
    return targets


def _write(found: Audit, panorama: np.ndarray, targets: list[Path]) -> None:
    """The picture, and the numbers after it: all is drawn before anything is written."""
    from omniconv.audit.plot import draw
    from omniconv.files import make_folder, write_bytes
    from omniconv.run_folder import write_json

    picture, numbers = draw(found, panorama), found.plain()
    write_bytes(targets[0], picture)
    for target in targets[1:]:
        make_folder(target.parent)
        write_json(target, numbers)


def _tell(found: Audit) -> None:
    from omniconv.audit.tables import latitude_table, losses_table

    many = f"{found.panoramas} panorama{'s' * (found.panoramas > 1)} of {found.size[0]}x{found.size[1]}"
    log(f"{found.network}: {many}")
    for part in (losses_table(found), latitude_table(found)):
        if part is not None:
            print_table(*part, "")
    for line in (*found.verdict, *found.notes):
        log(str(line))


def _colours(name: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(map(float, text.split(",")))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise InputError(name, text, "must be three numbers", f"use --{name} 0.5,0.5,0.5")
    return values


def _place(output: str | None) -> str | int | None:
    """Outputs are named by key or by place."""
    return int(output) if output and output.isdecimal() else output
