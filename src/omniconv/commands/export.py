"""``omniconv export``."""

from __future__ import annotations

from pathlib import Path

import click

from omniconv.commands.terminal import PATH, log
from omniconv.training.settings import parse_size


@click.command()
@click.argument("run", type=PATH)
@click.option("--format", "file_format", required=True, help="onnx or torch")
@click.option("--out", type=PATH, help="file to write to; by default RUN/model.onnx or RUN/model.pt2")
@click.option("--overwrite", is_flag=True, help="replace existing files")
@click.option("--size", help="N or HxW: fix the input size in pixels; by default any size is accepted")
def export(run: Path, file_format: str, out: Path | None, overwrite: bool, size: str | None) -> None:
    """Write an ONNX or torch.export file.

    RUN is the folder of a run or its model.safetensors; other programs can run the written network. The input is
    "image", float32 (batch, 3, height, width), RGB values from 0 to 1: the normalization is part of the file. The
    output is "logits", (batch, classes, height, width) or (batch, classes). Any batch size is accepted, and any height
    and width from the smallest size stored in the file, unless --size fixes them; networks work best at the size that
    they were trained at. On meshes the input is (batch, 3, samples), as returned by
    omniconv.surface(NAME).from_equirectangular(panorama).

    Classes, sizes and the normalization are described in the metadata of the ONNX file, or in omniconv.json in the
    archive of the torch file. The file is compared with the network before it is written. ONNX needs omniconv[export].
    """
    from omniconv.exporting import export_run

    exported = export_run(run, file_format, out, overwrite, parse_size(size) if size else None)
    for one in exported.differences:
        errors = f"{one.output} differ by {one.relative_error:.1e} at most, labels agree {one.agreement:.2%}"
        log(f"{' × '.join(map(str, one.shape))}: {errors}")
    log(exported.path)
