"""Predictions as files that mirror the images they belong to."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from omniconv.data.images import read_header, read_image
from omniconv.data.preprocessing import resize_labels
from omniconv.errors import FileError
from omniconv.files import write_bytes
from omniconv.inference.predictor import Predictor
from omniconv.report.pictures import contact_sheet, overlay, palette, png_bytes

Listed = Sequence[tuple[Path, Path]]
SHOWN = 40
LARGEST_OVERLAY = 4096
"""Pixels along the longer side."""


def write_labels(
    predictor: Predictor, images: Listed, out: Path, step: Callable[[Path], None] = lambda path: None
) -> list[Path]:
    """Write ``out/labels/STEM.png`` (the class index of each pixel, shown in colours) and ``out/overlays/STEM.png``.

    Args:
        predictor: a segmenting network.
        images: files and the stems of their outputs.
        out: where to.
        step: called with each label file when it is there.
    """
    written = []
    for file, stem in images:
        labels = predictor.labels(file)
        target = write_bytes(out / "labels" / f"{stem}.png", index_png(labels, len(predictor.classes)))
        write_bytes(out / "overlays" / f"{stem}.png", png_bytes(_overlay(file, labels, len(predictor.classes))))
        written.append(target)
        step(target)
    return written


def write_probabilities(
    predictor: Predictor, images: Listed, out: Path, step: Callable[[Path], None] = lambda path: None
) -> list[Path]:
    """Write ``out/predictions.csv``, a row for each image, and ``out/overview.png`` with the first of them.

    Args:
        predictor: a classifying network.
        images: files and the stems of their outputs.
        out: where to.
        step: called with each image when it is done.
    """
    rows: list[list[str]] = []
    tiles: list[tuple[np.ndarray, str]] = []
    for file, _ in images:
        probabilities = predictor.probabilities(file)
        best = int(probabilities.argmax())
        rows.append([str(file), predictor.classes[best], *(f"{value:.6f}" for value in probabilities)])
        if len(tiles) < SHOWN:
            tiles.append((_small(file), f"{predictor.classes[best]} {100 * probabilities[best]:.0f} %"))
        step(file)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "predicted", *predictor.classes])
    writer.writerows(rows)
    table = write_bytes(out / "predictions.csv", text.getvalue().encode(errors="surrogateescape"))
    return [table, write_bytes(out / "overview.png", png_bytes(contact_sheet(tiles, columns=min(5, len(tiles)))))]


def index_png(labels: np.ndarray, classes: int) -> bytes:
    """Labels ``(H, W)`` as a PNG whose pixel values are the class indices and whose palette shows them; 255 is grey."""
    colours = np.full((256, 3), 128, np.uint8)  # all of them: Pillow fits the bits of a pixel to the palette's length
    colours[:classes] = palette(classes)
    picture = Image.fromarray(labels)
    picture.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def check_out(out: Path, images: Listed, inputs: Sequence[Path] = (), overwrite: bool = False) -> None:
    """Check, before anything is written, that predictions overwrite no image and mix with none, and all can be read.

    Raises:
        FileError: ``out`` holds an image or lies in one of the folders ``inputs``; an output is there already and is
            not to be overwritten; a file that is no picture.
    """
    if any(folder.is_dir() and out.resolve().is_relative_to(folder.resolve()) for folder in inputs):
        rule = "lies among the images, and would be taken for images next time"
        raise FileError(out, rule, "choose another folder with --out")
    if any(
        file.resolve().is_relative_to(part.resolve())
        for part in (out / "labels", out / "overlays", out / "overview.png")
        for file, _ in images
    ):
        raise FileError(out, "holds the images themselves", "choose another folder with --out")
    targets = [out / name for name in ("predictions.csv", "overview.png")]
    targets += [out / part / f"{stem}.png" for part in ("labels", "overlays") for _, stem in images]
    for target in targets:
        if target.exists() and not overwrite:
            raise FileError(target, "is there already", "add --overwrite, or choose another folder with --out")
    for file, _ in images:
        read_header(file)


def _overlay(file: Path, labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels over their picture, small enough to look at."""
    scale = min(1.0, LARGEST_OVERLAY / max(labels.shape))
    size = (max(1, round(labels.shape[0] * scale)), max(1, round(labels.shape[1] * scale)))
    return overlay(read_image(file, size), resize_labels(labels, size), classes)


def _small(file: Path) -> np.ndarray:
    picture = Image.fromarray(read_image(file))
    picture.thumbnail((220, 220))
    return np.asarray(picture)
