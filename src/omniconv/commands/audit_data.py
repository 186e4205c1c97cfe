"""Panoramas named on the command line, with or without label maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omniconv.commands.load_model import LoadedModel
from omniconv.commands.terminal import log, log_facts
from omniconv.data.classes import match_classes, read_class_names
from omniconv.data.file_listing import Skipped, find_images, normalized
from omniconv.data.image_notes import check_images, describe_skipped
from omniconv.data.images import read_header
from omniconv.data.layouts.dataset_folder import pick_evenly
from omniconv.data.layouts.image_list import drop_masks, scan_inputs
from omniconv.data.masks import check_labels
from omniconv.data.preprocessing import Preprocessing, full_size
from omniconv.errors import FileError
from omniconv.inference.evaluation import trained_images
from omniconv.inference.predictor import Predictor
from omniconv.surfaces import Equirectangular


def list_images(paths: Sequence[Path]) -> tuple[list[Path], Path | None, list[Skipped]]:
    """Return the images of files and folders, the masks of a folder with images/ and masks/, and the skipped files."""
    root, masks = paths[0], None
    if len(paths) == 1 and (root / "images").is_dir() and (root / "masks").is_dir():
        paths, masks = [root / "images"], root / "masks"
    images, skipped = scan_inputs(list(paths))
    images = images if masks else drop_masks(images, paths)
    return [image for image, _ in images], masks, skipped


def read_data(
    loaded: LoadedModel, paths: Sequence[Path], masks: Path | None, most: int, size: tuple[int, ...] | None
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Read at most ``most`` panoramas, and label maps if there are any.

    Returns:
        The panoramas, float32 ``(B, 3, H, W)`` from 0 to 1; the label maps ``(B, H, W)`` with the classes of the
        network; and the number of panoramas with label maps that the network was trained on.
    """
    images, own_masks, skipped = list_images(paths)
    log_facts(describe_skipped(skipped))
    chosen = pick_evenly(images, most)
    if len(chosen) < len(images):
        log(f"{len(chosen)} of {len(images)} images, at equal distances; use --most for more")
    log_facts(check_images(chosen, spherical=True))
    headers = [read_header(image) for image in chosen]
    preprocessing = loaded.preprocessing(size, [full_size(header, Equirectangular()) for header in headers])
    part = next((image for image, header in zip(chosen, headers, strict=True) if header.crop), None)
    if part and not preprocessing.surface.spherical:
        rule = "is a part of a panorama by its GPano metadata, which a flat network does not place in the whole"
        raise FileError(part, rule, "give a whole panorama")
    masks = masks or (None if loaded.is_global else own_masks)
    panoramas = np.stack([preprocessing.image(image) for image in chosen])
    if not masks:
        return panoramas, None, 0
    predictor = loaded.model if isinstance(loaded.model, Predictor) else None
    named = read_class_names(masks.parent) or () if predictor else ()
    indices = match_classes(masks.parent, named, predictor.classes, "the network") if predictor else None
    truth = read_truth(preprocessing, chosen, masks, len(named) or loaded.classes)
    if predictor and indices is not None:
        truth = predictor.task.relabel(truth, indices)
    trained_on = trained_images(loaded.file, chosen) if loaded.file else None
    return panoramas, truth, len(trained_on or ())


def read_truth(preprocessing: Preprocessing, images: Sequence[Path], masks: Path, classes: int) -> np.ndarray:
    """Read label maps ``(B, H, W)`` at the panoramas' size, from masks named as the images."""
    if not masks.is_dir():
        raise FileError(masks, "is not a folder", "give the folder of masks, named as the images")
    by_name: dict[str, list[Path]] = {}
    for mask in find_images(masks)[0]:
        by_name.setdefault(normalized(mask.stem), []).append(mask)
    labels = []
    for image in images:
        matches = by_name.get(normalized(image.stem), [])
        if len(matches) != 1:
            rule = f"has {len(matches)} masks" if matches else "has no mask"
            raise FileError(image, f"{rule} in {masks}", f"put one there, named {image.stem}.png")
        labels.append(preprocessing.labels(matches[0], read_header(image)))
        cure = "set labels that the network does not know to 255 to ignore them"
        check_labels(matches[0], labels[-1], classes, cure)
    return np.stack(labels)
