"""``omniconv sample``."""

from __future__ import annotations

from pathlib import Path

import click

from omniconv.commands.command import Command
from omniconv.commands.terminal import PATH, counting_bar, log
from omniconv.errors import FileError, pluralize


@click.command(cls=Command)
@click.argument("run")
@click.option("--n", type=int, default=16, show_default=True, help="number of images")
@click.option("--class", "class_name", metavar="NAME", help="class of all images; by default each class in turn")
@click.option("--steps", type=int, help="steps from noise to an image, of edm and flow  [default: 18]")
@click.option(
    "--guidance", type=float, help="factor of the difference that the class makes, of edm and flow  [default: 1]"
)
@click.option("--seed", type=int, default=0, show_default=True, help="seed of all random numbers")
@click.option("--batch-size", type=int, default=64, show_default=True, help="images drawn at once")
@click.option("--out", type=PATH, required=True, help="folder to write to")
@click.option("--overwrite", is_flag=True, help="replace existing files")
@click.option("--device", help="auto, cpu or cuda  [default: auto]")
def sample(
    run: str,
    n: int,
    class_name: str | None,
    steps: int | None,
    guidance: float | None,
    seed: int,
    batch_size: int,
    out: Path,
    overwrite: bool,
    device: str | None,
) -> None:
    """Draw new images from the network of RUN, a run of the task generate or its model.safetensors.

    Writes sample_0000.png and so on, of the size of the training images, and overview.png with up to 100 of them; with
    classes also classes.csv. On a sphere the images are panoramas; on a cube map or a mesh each comes with its signal
    sample_0000.npy, float32 (3, samples), where black is 0 and white 1 (on planes and panoramas the samples of the
    surface are the pixels, so that the image is the signal).

    Image i depends on --seed and on i only, not on --n and, but for rounding, --batch-size. The memory is that of the
    network on --batch-size images. If it is interrupted, the same command goes on.
    """
    from omniconv.commands.load_model import open_predictor
    from omniconv.files import as_path, check_writable
    from omniconv.inference.write_samples import SampleFiles

    if as_path(out).exists() and not out.is_dir():
        raise FileError(out, "is a file, not a folder", "choose another out=FOLDER")
    if not out.exists():
        check_writable(out)
    samples = SampleFiles(open_predictor(run, device), n, class_name, steps, seed, batch_size, guidance)
    samples.check(out, overwrite)
    with counting_bar(n, "sample") as step:
        samples.write(out, overwrite, step)
    log(f"{pluralize(n, 'image')} drawn into {out}")
