"""Files of samples of a generative network; writing them goes on after the process was killed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from omniconv.checks import check_integer
from omniconv.errors import InputError
from omniconv.files import read_bytes, write_bytes
from omniconv.inference.predictor import Predictor
from omniconv.locks import check_outputs, unfinished_files, write_outputs
from omniconv.report.pictures import contact_sheet, png_bytes
from omniconv.tasks.generate.sampling import (
    BATCH_SIZE,
    Progress,
    check_count,
    check_network,
    is_image_grid,
    pictures,
    sample_batches,
    sample_labels,
    sampler_options,
)
from omniconv.tasks.pixels import denormalize

OVERVIEW, TABLE = "overview.png", "classes.csv"
OVERVIEW_SAMPLES = 100
"""Most samples on the contact sheet, evenly spaced."""
COLUMNS, TILE = 8, 128
"""Samples in a row of the contact sheet, and their width in pixels; panoramas are twice as wide, half as many."""
MAX_BATCH = 65_536
"""Largest batch size, that of the training's settings."""
MAX_SEED = 2**63 - 1
"""Largest seed that torch's generators take."""
MAX_PNG_BYTES = 2**30
"""Largest size of the file of a sample that is read back for the contact sheet."""
NOTE = "omniconv"
"""Key of the text in each PNG file that tells which sample of which network it is."""


class SampleFiles:
    """Samples of a network, and the files that they are written to.

    Args:
        predictor: the network.
        n: number of samples.
        class_name: class of all samples; by default each class in turn.
        steps: number of steps of the sampler; by default that of the network.
        guidance: factor of the difference that the class makes; by default 1.
        seed: seed of the samples; sample i depends on it and on i, not on ``n`` and ``batch_size``.
        batch_size: samples drawn at once.

    Raises:
        InputError: the network draws no samples, does not know the class, or an argument is out of range.
    """

    def __init__(
        self,
        predictor: Predictor,
        n: int = 16,
        class_name: str | None = None,
        steps: int | None = None,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
        guidance: float | None = None,
    ) -> None:
        check_network(predictor.model, predictor.folder.path if predictor.folder else "")
        self.predictor, self.n = predictor, check_count(n)
        self.seed = check_integer("seed", seed, 0, "use seed=0")
        self.batch_size = check_integer("batch_size", batch_size, 1, f"use batch_size={BATCH_SIZE}")
        for name, value, most in (("seed", self.seed, MAX_SEED), ("batch_size", self.batch_size, MAX_BATCH)):
            if value > most:
                raise InputError(name, value, f"must be at most {most:,}", f"use {name}={min(most, BATCH_SIZE)}")
        self.labels = sample_labels(predictor.classes, self.n, class_name)
        self.options = sampler_options(predictor.model, steps=steps, guidance=guidance)
        self.has_signals = not is_image_grid(predictor.preprocessing)

    def draw(self, step: Progress = lambda done: None) -> np.ndarray:
        """Return the samples as images, uint8 ``(n, height, width, 3)``."""
        drawn = sample_batches(
            self.predictor.model, self.n, self.labels, self.seed, self.batch_size, step, **self.options
        )
        return np.concatenate([pictures(signals, self.predictor.preprocessing) for _, signals in drawn])

    def targets(self, out: Path) -> list[Path]:
        """Return the paths of all files that ``write`` writes."""
        signals = [self.signal_path(out, index) for index in range(self.n) if self.has_signals]
        table = [out / TABLE] if self.labels else []
        return [*(self.image_path(out, index) for index in range(self.n)), *signals, *table, out / OVERVIEW]

    def image_path(self, out: Path, index: int) -> Path:
        """Return the path of the image of a sample."""
        return out / f"sample_{index:0{max(4, len(str(self.n - 1)))}d}.png"

    def signal_path(self, out: Path, index: int) -> Path:
        """Return the path of the signal of a sample."""
        return self.image_path(out, index).with_suffix(".npy")

    def check(self, out: Path, overwrite: bool) -> None:
        """Check before the work that ``write`` will not refuse to write.

        Raises:
            OwnedError: another process writes into ``out``.
            FileError: a file exists already that no unfinished call wrote.
        """
        check_outputs(out, self.targets(out), overwrite)

    def write(self, out: Path, overwrite: bool = False, step: Progress = lambda done: None) -> list[Path]:
        """Write an image for each sample, its signal where the samples of the surface are no pixels, and overviews.

        If it is killed, the same call goes on: a file of the former call is kept if it is of the same network, seed,
        steps and class.

        Args:
            out: folder to write to.
            overwrite: replace earlier files.
            step: called with the number of samples that are done.

        Returns:
            The files to look at first.

        Raises:
            OwnedError: another process writes into ``out``.
            FileError: a file exists already or cannot be written.
        """
        network, preprocessing = self.predictor.model, self.predictor.preprocessing
        shown = set(np.linspace(0, self.n - 1, min(self.n, OVERVIEW_SAMPLES)).astype(int).tolist())
        tiles: dict[int, np.ndarray] = {}
        weights = self.predictor.weights_checksum()
        with write_outputs(out, self.targets(out), overwrite):
            written = unfinished_files(out)

            def is_written(part: range) -> bool:
                return all(self._is_written(out, index, weights, written) for index in part)

            drawn = sample_batches(
                network, self.n, self.labels, self.seed, self.batch_size, step, is_written, **self.options
            )
            for part, signals in drawn:
                values = denormalize(signals, preprocessing).numpy()
                for index, image, signal in zip(part, pictures(signals, preprocessing), values, strict=True):
                    if self.has_signals:
                        write_bytes(self.signal_path(out, index), _npy_bytes(signal))
                    picture = image[..., 0] if preprocessing.is_grey else image
                    write_bytes(self.image_path(out, index), _noted_png(picture, self._note(index, weights)))
            for index in sorted(shown):
                with Image.open(io.BytesIO(read_bytes(self.image_path(out, index), MAX_PNG_BYTES))) as picture:
                    tiles[index] = _thumbnail(picture)
            if self.labels:
                write_bytes(out / TABLE, self._table(out))
            return [write_bytes(out / OVERVIEW, png_bytes(self._sheet(tiles)))]

    def _note(self, index: int, weights: str) -> str:
        label = None if self.labels is None else self.predictor.classes[self.labels[index]]
        drawn = {"weights": weights, "seed": self.seed, "sample": index, "class": label}
        return json.dumps(drawn | self.options)

    def _is_written(self, out: Path, index: int, weights: str, written: set[Path]) -> bool:
        """Return True if a former call that did not finish has written the files of this sample."""
        paths = [self.image_path(out, index), *([self.signal_path(out, index)] if self.has_signals else [])]
        if not all(path in written for path in paths):
            return False
        try:
            with Image.open(paths[0]) as image:
                return bool(image.info.get(NOTE) == self._note(index, weights))
        except (OSError, SyntaxError, ValueError):  # not a file of this command
            return False

    def _table(self, out: Path) -> bytes:
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(["image", "class"])
        for index, label in enumerate(self.labels or ()):
            rows.writerow([self.image_path(out, index).name, self.predictor.classes[label]])
        return text.getvalue().encode(errors="surrogateescape")

    def _sheet(self, tiles: dict[int, np.ndarray]) -> Image.Image:
        scale = 2 if self.predictor.preprocessing.surface.spherical else 1
        captions = {index: self.predictor.classes[self.labels[index]] if self.labels else str(index) for index in tiles}
        columns = min(COLUMNS // scale, len(tiles))
        return contact_sheet([(tile, captions[index]) for index, tile in tiles.items()], columns, TILE * scale)


def _thumbnail(picture: Image.Image) -> np.ndarray:
    copy = picture.convert("RGB")
    copy.thumbnail((2 * TILE, 2 * TILE))
    return np.asarray(copy)


def _noted_png(picture: np.ndarray, note: str) -> bytes:
    text, buffer = PngInfo(), io.BytesIO()
    text.add_text(NOTE, note)
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG", pnginfo=text)
    return buffer.getvalue()


def _npy_bytes(signal: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, signal.astype(np.float32))
    return buffer.getvalue()
