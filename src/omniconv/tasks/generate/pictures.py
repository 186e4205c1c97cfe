"""Pictures of samples for the progress of a training and for the report of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from omniconv.data.layouts.dataset_folder import Sample, pick_evenly
from omniconv.data.preprocessing import Preprocessing
from omniconv.generation.noise import SampleNoise, sample_seeds
from omniconv.metrics.copies import nearest_images
from omniconv.models import Model
from omniconv.models.roles import SupportsEncode, SupportsSample, SupportsStepwiseInpaint, as_role
from omniconv.report.globe import globe
from omniconv.report.page import Page
from omniconv.report.pictures import fit_side
from omniconv.tasks.base import Tile, TrainedNetwork
from omniconv.tasks.generate.image_sets import MAX_ROWS, picture_surface, shrink, training_samples
from omniconv.tasks.generate.sampling import has_option, pictures, sample_batches, sample_labels

if TYPE_CHECKING:
    from omniconv.tasks.generate.base import Generate

PROGRESS_SAMPLES, REPORT_SAMPLES = 16, 8
"""Samples in a picture of progress and in the report, and in further rows of the report."""
STEPS_SHOWN = 8
"""Largest number of pictures of the steps from noise to a sample."""
INTERPOLATIONS = 7
"""Samples on the way from one noise to another, both included."""
TILE = 256
"""Longer side in pixels of a picture."""
GLOBE = 192
"""Side in pixels of a globe."""
HOLE_STEPS = 18
"""Noise levels at which holes are filled, half of the default of ``inpaint``."""


def sample_tiles(
    network: Model, preprocessing: Preprocessing, classes: Sequence[str], count: int = PROGRESS_SAMPLES, seed: int = 0
) -> list[Tile]:
    """Return samples with their numbers, or with their classes, each class in turn."""
    labels = sample_labels(classes, count)
    drawn = sample_batches(network, count, labels, seed, batch_size=count)
    images = np.concatenate([pictures(signals, preprocessing) for _, signals in drawn])
    captions = [classes[label] for label in labels] if labels else [f"sample {number}" for number in range(count)]
    return [(fit_side(image, TILE), caption) for image, caption in zip(images, captions, strict=True)]


def draw_report(task: Generate, page: Page, run: TrainedNetwork, samples: Sequence[Sample]) -> None:
    """Add samples, their nearest training images, interpolations, and steps, reconstructions or filled holes.

    The last three are those of networks whose ``sample`` has steps, or that have ``reconstruct`` or ``inpaint``.
    """
    network, preprocessing = run.model, run.preprocessing
    tiles = sample_tiles(network, preprocessing, run.classes)
    page.text("Samples of random noise" + (", each class in turn." if run.classes else "."))
    page.row(tiles)
    if preprocessing.surface.spherical:
        page.row(
            [
                (globe(image, size=GLOBE, background=None), f"{caption}, as a globe")
                for image, caption in tiles[:REPORT_SAMPLES]
            ]
        )
    _draw_nearest(page, run)
    _draw_interpolation(task, page, run)
    if has_option(network, "steps"):
        _draw_steps(page, run)
    if isinstance(network, SupportsEncode):
        _draw_reconstructions(page, run, samples)
    if isinstance(network, SupportsStepwiseInpaint):
        _draw_holes(page, run, samples)


def _draw_nearest(page: Page, run: TrainedNetwork) -> None:
    """Add samples above their nearest training images."""
    training = run.training
    if training is None:
        page.text("The training images are not there any more, so that samples cannot be compared with them.")
        return
    preprocessing, count = run.preprocessing, REPORT_SAMPLES
    labels = sample_labels(run.classes, count)
    (_, signals), *_ = sample_batches(run.model, count, labels, batch_size=count)
    drawn = pictures(signals, preprocessing)
    listed = training_samples(training.samples, preprocessing)
    known = np.concatenate([_small(preprocessing.image(sample.image)[None], preprocessing) for sample in listed])
    small = _small(np.moveaxis(drawn, -1, 1).astype(np.float32) / 255, preprocessing)
    nearest = nearest_images(small, known, picture_surface(preprocessing.surface))
    rows = []
    for number, (image, index) in enumerate(zip(drawn, nearest.indices, strict=True)):
        sample = listed[index]
        columns = round(nearest.roll[number] * preprocessing.size[1] / small.shape[3])
        turned = np.roll(preprocessing.image(sample.image), columns, -1)
        distance = f"{sample.image.name}, distance {nearest.distance[number]:.3f}"
        rows += [(fit_side(image, TILE), f"sample {number}"), (fit_side(_pixels(turned), TILE), distance)]
    of = f" of {len(listed)} of {len(training.samples)}" if len(listed) < len(training.samples) else ""
    rolled, by_area = (", rolled to match", ", by area") if preprocessing.surface.spherical else ("", "")
    page.text(
        f"Samples, each before its nearest training image{of}{rolled}. Distance is the root mean squared difference of "
        f"values from 0 to 1{by_area}, in pictures of at most {MAX_ROWS} rows."
    )
    page.row(rows)


def _small(images: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Return images ``(n, 3, height, width)`` in 0 … 1 as they are compared."""
    compared = images[:, :1] if preprocessing.is_grey else images
    return shrink(np.round(compared * 255).astype(np.uint8), preprocessing.surface)


def _draw_interpolation(task: Generate, page: Page, run: TrainedNetwork) -> None:
    """Add samples between two samples, by spherical interpolation of their noise."""
    network, preprocessing = run.model, run.preprocessing
    device = next(network.parameters()).device
    seeds = sample_seeds(2, torch.Generator().manual_seed(0))
    first, last = SampleNoise(seeds, task.noise_shape(network, preprocessing), device).draw()
    shares = torch.linspace(0, 1, INTERPOLATIONS).tolist()
    noise = torch.stack([slerp(first, last, share) for share in shares])
    label = torch.zeros(len(noise), dtype=torch.long, device=device) if run.classes else None
    with torch.no_grad():
        images = pictures(task.from_noise(network, noise, label, preprocessing), preprocessing)
    of = f" of the class {run.classes[0]}" if run.classes else ""
    page.text(f"From one sample{of} to another, by spherical interpolation of their noise.")
    page.row([(fit_side(image, TILE), f"{100 * share:.0f} %") for image, share in zip(images, shares, strict=True)])


def slerp(first: Tensor, last: Tensor, share: float) -> Tensor:
    """Return the point on the way from one noise to another on which its norm is kept (Shoemake, SIGGRAPH 1985).

    Example:
        >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5).tolist()
        [0.7071067690849304, 0.7071067690849304]
    """
    cosine = (first * last).sum() / (first.norm() * last.norm())
    angle = torch.arccos(cosine.clamp(-1, 1))
    if float(angle) < 1e-6:
        return torch.lerp(first, last, share)
    return (((1 - share) * angle).sin() * first + (share * angle).sin() * last) / angle.sin()


def _draw_steps(page: Page, run: TrainedNetwork) -> None:
    """Add the denoised images on the way from noise to a sample."""
    steps: list[np.ndarray] = []

    def keep(done: int, total: int, denoised: Tensor) -> None:
        steps.append(pictures(denoised, run.preprocessing)[0])

    label = torch.zeros(1, dtype=torch.long) if run.classes else None
    generator = torch.Generator().manual_seed(0)
    as_role(run.model, SupportsSample).sample(1, label, generator=generator, step=keep)
    shown = pick_evenly(list(enumerate(steps, 1)), STEPS_SHOWN)
    page.text("The denoised image at some of the steps from noise to a sample.")
    page.row([(fit_side(image, TILE), f"step {number} of {len(steps)}") for number, image in shown])


def _draw_reconstructions(page: Page, run: TrainedNetwork, samples: Sequence[Sample]) -> None:
    """Add images before their reconstructions."""
    preprocessing = run.preprocessing
    picked = pick_evenly(samples, REPORT_SAMPLES)
    images = [preprocessing.image(sample.image) for sample in picked]
    x = torch.from_numpy(np.stack([preprocessing.on_surface(image) for image in images]))
    device = next(run.model.parameters()).device
    found = pictures(as_role(run.model, SupportsEncode).reconstruct(x.to(device)), preprocessing)
    rows = []
    for sample, image, result in zip(picked, images, found, strict=True):
        rows += [(fit_side(_pixels(image), TILE), sample.image.name), (fit_side(result, TILE), "reconstruction")]
    page.text("Images, each before its reconstruction from its latent signal.")
    page.row(rows)


def _draw_holes(page: Page, run: TrainedNetwork, samples: Sequence[Sample]) -> None:
    """Add images with a hole, and with the hole filled by the network."""
    preprocessing, network = run.preprocessing, run.model
    device = next(network.parameters()).device
    picked = pick_evenly(samples, 3)
    images = np.stack([preprocessing.image(sample.image) for sample in picked])
    hole = _hole(preprocessing.size)
    x = torch.from_numpy(np.stack([preprocessing.on_surface(image) for image in images])).to(device)
    surface = preprocessing.surface
    on_surface = hole if surface.any_size else surface.from_equirectangular(hole, "nearest")
    mask = torch.from_numpy(np.ascontiguousarray(on_surface, np.float32))[None, None].to(device)
    generator = torch.Generator().manual_seed(0)
    filled = as_role(network, SupportsStepwiseInpaint).inpaint(x, mask, steps=HOLE_STEPS, generator=generator)
    page.text("Holes filled by the network, without a training for it; the rest of the image is kept.")
    for sample, image, result in zip(picked, images, pictures(filled, preprocessing), strict=True):
        shown = np.where(hole[..., None], np.uint8(128), _pixels(image))
        rows = [(_pixels(image), sample.image.name), (shown, "hole"), (result, "filled")]
        page.row([(fit_side(picture, TILE), caption) for picture, caption in rows])


def _hole(size: tuple[int, int]) -> np.ndarray:
    """Return a mask, True in a box of half the height and width in the middle."""
    hole = np.zeros(size, bool)
    hole[size[0] // 4 : -(size[0] // 4), size[1] // 4 : -(size[1] // 4)] = True
    return hole


def _pixels(image: np.ndarray) -> np.ndarray:
    """Return an image ``(3, height, width)`` in 0 … 1 as uint8 ``(height, width, 3)``."""
    return np.moveaxis(np.round(image * 255).astype(np.uint8), 0, -1)
