"""Small data sets, small runs, and damaged files, for the tests of training and of the commands."""

from __future__ import annotations

import csv
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open

from omniconv.data.layouts.dataset_folder import DatasetFolder, find_splits, scan_folder
from omniconv.models.storage.tensor_file import to_bytes
from omniconv.run_folder import RunFolder
from omniconv.runs.start import start_run
from omniconv.tasks import get_task

SMALL = {"width": 2, "depth": 1, "epochs": 1, "batch_size": 4, "device": "cpu"}
"""Settings of a small network and one epoch."""
PLAIN_UNET = {
    "stem_stride": 1, "residual": False, "up": "linear", "normalization": "batch", "loss": "ce", "learning_rate": 2e-3,
}  # fmt: skip
"""Settings of the plain U-Net, ``UNet`` without further arguments."""


def words(**settings: object) -> list[str]:
    """Return settings as options of the command line, on top of ``SMALL``."""
    return [word for name, value in (SMALL | settings).items() for word in (f"--{name.replace('_', '-')}", str(value))]


def save(path: Path, pixels: np.ndarray) -> Path:
    """Save pixels as an image, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def picture(seed: int, height: int = 16, width: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return an RGB image of a bright box on a dark ground, and its labels: 1 in the box."""
    random = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.uint8)
    top, left = int(random.integers(height // 2)), int(random.integers(width // 2))
    labels[top : top + height // 2, left : left + width // 2] = 1
    pixels = random.integers(0, 60, (height, width, 3)) + 150 * labels[..., None]
    return pixels.astype(np.uint8), labels


def segment_folder(root: Path, count: int = 5, classes: str = "", height: int = 16, width: int = 32) -> Path:
    """Write ``images/`` and ``masks/``, and ``classes.txt`` where names are given."""
    for index in range(count):
        image, labels = picture(index, height, width)
        save(root / "images" / f"{index}.png", image)
        save(root / "masks" / f"{index}.png", labels)
    if classes:
        (root / "classes.txt").write_text("\n".join(classes.split()))
    return root


def classify_folder(root: Path, count: int = 4) -> Path:
    """Write the class folders ``bright`` and ``dark``."""
    for index in range(count):
        image, _ = picture(index)
        save(root / "dark" / f"{index}.png", image // 2)
        save(root / "bright" / f"{index}.png", 255 - image // 2)
    return root


def multilabel_folder(root: Path, count: int = 10) -> Path:
    """Write pictures that are red or not, and whose box is green or not, with ``labels.csv``; one label is unknown."""
    rows: list[list[object]] = [["image", "red", "green"]]
    for index in range(count):
        pixels, labels = picture(index)
        red, green = index % 2, int(index % 3 == 0)
        pixels = pixels // 3 + np.array([120 * red, 0, 0], np.uint8)
        pixels[..., 1] = np.where(labels & green, 255, 0)
        save(root / f"{index}.png", pixels)
        rows.append([f"{index}.png", red, green if index else ""])
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


def scan(task: str, root: Path) -> DatasetFolder:
    """List the samples of a folder without splits."""
    return scan_folder(get_task(task).scan, root, get_task(task).expected)


def splits(task: str, root: Path) -> dict[str, DatasetFolder]:
    """List the samples of a folder split by split."""
    return find_splits(get_task(task).scan, root, get_task(task).expected)


def trained(root: Path, task: str, data: Path, **settings: object) -> RunFolder:
    """Train a run in ``root``."""
    given = SMALL | {"task": task, "data": str(data)} | settings
    return start_run(given, log=lambda text: None, out=str(root))


def rows_without_seconds(path: Path) -> list[dict[str, str]]:
    """Return the rows of a ``metrics.csv`` without their times."""
    with path.open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def cut(path: Path, share: float = 0.5) -> Path:
    """Cut the end off a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def poison(path: Path, value: float = math.nan) -> Path:
    """Put NaN or infinity into a saved network, and write the checksum that belongs to it."""
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    tensors["head.0.bias" if "head.0.bias" in tensors else "head.bias"][0] = value
    del metadata["checksum"]
    path.write_bytes(to_bytes(tensors, metadata))
    return path


def claim_size(path: Path, width: int, height: int) -> Path:
    """Make a PNG's header say another size than its pixels have."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
    path.write_bytes(content)
    return path
