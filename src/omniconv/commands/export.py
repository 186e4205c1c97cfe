"""``omniconv export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omniconv.commands.command import Command, own_network_options
from omniconv.commands.terminal import PATH, log
from omniconv.errors import InputError
from omniconv.training.setting_values import parse_size

if TYPE_CHECKING:
    from omniconv.exporting import Exported


@click.command(cls=Command)
@click.argument("source", metavar="RUN|MODEL")
@click.option("--format", "file_format", required=True, help="onnx or torch")
@click.option("--out", type=PATH, help="file to write to; by default model.onnx or model.pt2 in RUN, or here for MODEL")
@click.option("--overwrite", is_flag=True, help="replace existing files")
@click.option("--size", help="N or HxW: fix the input size in pixels; by default any size is accepted")
@own_network_options
def export(
    source: str, file_format: str, out: Path | None, overwrite: bool, size: str | None, network: str | None, trust: bool
) -> None:
    """Write an ONNX or torch.export file.

    RUN is the folder of a run or its model.safetensors; other programs can run the written network. The input is
    "image", float32 (batch, 3, height, width), RGB values from 0 to 1: the normalization is part of the file. The
    output is "logits", (batch, classes, height, width) or (batch, classes). Any batch size is accepted, and any height
    and width from the smallest size stored in the file, unless --size fixes them; networks work best at the size that
    they were trained at. On meshes the input is (batch, 3, samples), as returned by
    omniconv.surface(NAME).from_equirectangular(panorama).

    Of networks that fill holes or draw images the output is "output", an image. Those that fill holes also take "mask".
    Those of edm and flow take a normalized noisy "image" with "sigma" and, with classes, "label"; a generator of gan
    takes random numbers. The metadata of the file describes every input.

    MODEL is your own network, as package.module:callable: a torch.nn.Module, or a function without arguments that
    returns one. It takes (batch, 3, height, width); outputs in dictionaries and tuples are named by their keys.

    Classes, sizes and the normalization are described in the metadata of the ONNX file, or in omniconv.json in the
    archive of the torch file. The file is compared with the network before it is written. ONNX needs omniconv[export].
    """
    from omniconv.commands.load_model import load_model, own_input
    from omniconv.exporting.from_run import check_file, export_predictor
    from omniconv.inference.predictor import Predictor
    from omniconv.run_folder import enclosing_run

    fixed = parse_size(size) if size else None
    run = enclosing_run(source) if Path(source).exists() else None
    path = check_file(file_format, out, run.path if run else Path(), overwrite)
    model = load_model(source, "cpu", trust, network).model
    write = export_predictor if isinstance(model, Predictor) else _export
    try:
        with own_input(source):
            exported = write(model, path, overwrite, fixed)
    except InputError as refused:
        if refused.argument != "any_size":
            raise
        raise InputError("size", size, refused.rule, "fix the input size: size='256x512'") from refused
    for one in exported.differences:
        labels = f", labels agree {one.agreement:.2%}" if one.output != "output" else ""
        difference = f"{one.output}: largest relative difference {one.relative_error:.1e}{labels}"
        log(f"{' × '.join(map(str, one.shape))}, {difference}")
    log(exported.path)


def _export(model: Any, path: Path, overwrite: bool, size: tuple[int, int] | None) -> Exported:
    """Export a network of the user's own."""
    import torch

    from omniconv.commands.load_model import input_shape
    from omniconv.exporting import export as export_network

    example = torch.zeros(1, *input_shape(model, size))
    return export_network(model, path, example, any_size=size is None, overwrite=overwrite)
