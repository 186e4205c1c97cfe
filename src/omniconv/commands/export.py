"""``omniconv export``."""

from __future__ import annotations

from pathlib import Path

import click

from omniconv.commands.terminal import PATH
from omniconv.training.settings import RunConfig, parse_size

SIZE = RunConfig.model_fields["size"].description


@click.command()
@click.argument("run", type=PATH)
@click.option("--format", "kind", required=True, help="onnx or torch")
@click.option("--out", type=PATH, help="file to write to; by default RUN/model.onnx or RUN/model.pt2")
@click.option("--overwrite", is_flag=True, help="replace what is there already")
@click.option("--size", help=SIZE)
def export(run: Path, kind: str, out: Path | None, overwrite: bool, size: str | None) -> None:
    """Write the network of RUN as a file that other programs run.

    The file takes "image", float32 (batch, 3, height, width), RGB values from 0 to 1: the standardisation is inside.
    It gives "logits", (batch, classes, height, width) or (batch, classes). Any batch goes, and any height and width
    from the smallest that is told, unless --size fixes them; networks work best at the size they were trained at. On
    an icosphere image is (batch, 3, samples), made by omniconv.surface(NAME).from_equirectangular(panorama).

    Classes, sizes and the rest stand in the file: in the metadata of ONNX, in omniconv.json in the archive of torch.
    Before it is there, the written bytes are read again and compared with the network. ONNX needs omniconv[export].
    """
    from omniconv.exporting import export_run

    done = export_run(run, kind, out, overwrite, parse_size(size) if size else None)
    for found in done.differences:
        shape = " × ".join(map(str, found.shape))
        click.echo(
            f"{shape}: {found.output} differ by {found.relative_error:.1e} at most, labels agree {found.agreement:.2%}"
        )
    click.echo(done.path)
