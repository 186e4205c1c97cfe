"""Convert, run, audit and export a denoiser and a face detector of others, and measure them on panoramas.

python -m examples.trained_networks --weights DIR --panoramas DIR [--rows N] [--out FOLDER]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image

import omniconv as oc
from examples.command_line import run_command
from examples.trained_networks.networks import PNET_STRIDE
from omniconv.cli import main as omniconv
from omniconv.data.images import read_image
from omniconv.data.layouts.image_list import scan_inputs
from omniconv.errors import InputError

NETWORKS = "examples.trained_networks.networks"
SURFACES = {"flat": "plane", "converted": "equirectangular"}
SIGMA = 25
"""Standard deviation of the noise that this DnCNN was trained for, of values from 0 to 255."""
SEAM = 8
"""Columns on each side of the cut that count as the seam."""


@click.command(help=__doc__, context_settings={"max_content_width": 110})
@click.option("--weights", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True,
              help="Folder of dncnn_25.pth and mtcnn_pnet.pt.")  # fmt: skip
@click.option("--panoramas", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True,
              help="Folder of 2:1 images.")  # fmt: skip
@click.option("--rows", type=click.IntRange(32), default=128, show_default=True, help="Rows of the panoramas.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs/trained_networks"))
def command(weights: Path, panoramas: Path, rows: int, out: Path) -> None:
    """Run all steps and write results.json and denoised.png."""
    files = [file for file, _ in scan_inputs([panoramas])[0]]
    clean = [grey(read_image(file, (rows, 2 * rows))) for file in files]
    data = write_pairs(clean, [file.stem for file in files], out / "noised")
    results: dict[str, Any] = {"panoramas": len(files), "rows": rows, "dncnn": {}, "pnet": {}}
    size = f"{rows}x{2 * rows}"
    for name, surface in SURFACES.items():
        run = out / f"dncnn-{name}"
        network = f"{NETWORKS}:DnCNN"
        words = ["--task", "restore", "--channels", "grey", "--weights", weights / "dncnn_25.pth"]
        call("convert", network, *words, "--surface", surface, "--size", size, "--out", run)
        call("predict", run, data / "images", "--out", out / f"denoised-{name}", "--network", network)
        denoised = [read_image(out / f"denoised-{name}/restored/{file.stem}.png")[..., 0] for file in files]
        results["dncnn"][name] = psnr_by_place(denoised, clean)
    results["dncnn"]["noised"] = psnr_by_place(
        [read_image(data / f"images/{file.stem}.png")[..., 0] for file in files], clean
    )
    call("audit", run, data / "images", "--most", 2, "--rotations", 2, "--network", network)
    call("export", run, "--format", "onnx", "--network", network)
    for name, surface in SURFACES.items():
        run = out / f"pnet-{name}"
        network = f"{NETWORKS}:PNet"
        words = ["--classes", "other,face", "--range", 255, "--mean", 127.5, "--std", 128, "--output", "scores"]
        words += ["--weights", weights / "mtcnn_pnet.pt"]
        call("convert", network, *words, "--surface", surface, "--size", size, "--out", run)
        results["pnet"][name] = roll_error(run, files)
    call("audit", run, *files[:2], "--rotations", 2, "--network", network)
    call("export", run, "--format", "onnx", "--size", size, "--network", network)  # its ceil_mode fixes odd sizes
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    click.echo(json.dumps(results, indent=2))
    draw(out, data, files[0].stem)


def call(*words: Any) -> None:
    """Run a command of omniconv; stop if it fails."""
    text = [str(word) for word in words]
    click.echo(f"$ omniconv {' '.join(text)}")
    if omniconv(text):
        raise InputError("command", text[0], "failed", "read the line above")


def grey(picture: np.ndarray) -> np.ndarray:
    """Return the grey values of a picture, uint8."""
    return np.asarray(Image.fromarray(picture).convert("L"))


def write_pairs(clean: list[np.ndarray], names: list[str], folder: Path) -> Path:
    """Write ``images/`` with noise and ``targets/`` without, and return the folder."""
    random = np.random.default_rng(0)
    for name, picture in zip(names, clean, strict=True):
        noised = (picture + SIGMA * random.standard_normal(picture.shape)).round().clip(0, 255).astype(np.uint8)
        for part, pixels in (("images", noised), ("targets", picture)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / part / f"{name}.png")
    return folder


def psnr_by_place(found: list[np.ndarray], true: list[np.ndarray]) -> dict[str, float]:
    """Return the PSNR in dB over all panoramas, at the seam and elsewhere."""
    errors = np.stack([(one.astype(float) - other) ** 2 for one, other in zip(found, true, strict=True)])
    columns = np.arange(errors.shape[-1])
    at_seam = np.minimum(columns, columns[::-1]) < SEAM
    parts = {"everywhere": errors, "at the seam": errors[..., at_seam], "elsewhere": errors[..., ~at_seam]}
    return {name: round(float(10 * np.log10(255**2 / part.mean())), 2) for name, part in parts.items()}


def roll_error(run: Path, files: list[Path]) -> float:
    """Return the largest difference of heat maps when a panorama is rolled by the stride, of all panoramas."""
    predictor = oc.Predictor(run, trust=True)
    network, worst = predictor.model.network, 0.0
    with torch.no_grad():
        for file in files:
            x = torch.from_numpy(predictor.preprocessing.on_surface(predictor.preprocessing.image(file)))[None]
            shift = 10 * PNET_STRIDE
            first, second = (network(image)["scores"] for image in (x, x.roll(shift, -1)))
            worst = max(worst, float((first.roll(shift // PNET_STRIDE, -1) - second).abs().max()))
    return worst


def draw(out: Path, data: Path, name: str) -> None:
    """Write the cut of a panorama, with its right half on the left: with noise, flat, converted, and without noise."""
    files = [data / f"images/{name}.png", *(out / f"denoised-{kind}/restored/{name}.png" for kind in SURFACES)]
    strips = []
    for file in (*files, data / f"targets/{name}.png"):
        picture = grey(read_image(file))
        middle = np.roll(picture, picture.shape[1] // 2, 1)
        quarter = picture.shape[1] // 4
        strips.append(middle[quarter // 2 : -quarter // 2 or None, quarter:-quarter])
    strip = np.concatenate(strips, 1)
    Image.fromarray(strip).resize((2 * strip.shape[1], 2 * strip.shape[0]), Image.Resampling.NEAREST).save(
        out / "denoised.png"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 after an error in the input."""
    return run_command(command, "trained_networks", arguments)


if __name__ == "__main__":
    sys.exit(main())
