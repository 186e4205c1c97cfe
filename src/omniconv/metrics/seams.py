"""Continuity of panoramas across their seam and poles, and the Fréchet distance by faces of a cube.

Both are by Christensen et al., Geometry Fidelity for Spherical Images (ECCV 2024): the Discontinuity Score compares
gradients across the left and right edge of a panorama with those beside it, OmniFID compares cube faces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from omniconv.checks import check_integer, check_number
from omniconv.errors import InputError
from omniconv.metrics.copies import as_images
from omniconv.metrics.distances import frechet_distance
from omniconv.surfaces import Cubemap, Equirectangular
from omniconv.surfaces.panorama import pad_panorama

SCHARR = np.array([3.0, 10.0, 3.0]) / 16
"""Smoothing of the Scharr operator along the edge; across the edge it is a central difference."""
RELATIVE_OFFSET = 0.1
"""Default offset of the denominators relative to the mean response, which makes the score independent of units; the
text of the paper that we could read does not give the constant c."""
FACE_GROUPS = {"up": (4,), "down": (5,), "sides": (0, 1, 2, 3)}
"""Faces of a ``Cubemap`` that OmniFID compares with each other."""


class EdgeScore(NamedTuple):
    """Discontinuity Score of an edge beside those of all other lines of samples."""

    score: float
    """Discontinuity Score of the edge."""
    elsewhere: float
    """Mean of the scores between all other pairs of adjacent columns, or rows."""
    spread: float
    """Standard deviation of these scores."""

    @property
    def ratio(self) -> float:
        """Score of the edge divided by that elsewhere: 1 without a seam, within ``spread / elsewhere``."""
        return self.score / self.elsewhere if self.elsewhere else 1.0


def seam_score(images: Any, offset: float | None = None) -> EdgeScore:
    """Return the Discontinuity Score of the seam, where the last column meets the first, and of all other columns.

    With Scharr responses a₁, a₂ | a₃, a₄ in the two columns on each side of the seam, on circular panoramas, the score
    is the mean of ½ (|a₂| / (|a₁| + c) + |a₃| / (|a₄| + c)) over rows, channels and images.

    Args:
        images: panoramas ``(n, C, H, W)`` with at least 3 rows and 6 columns.
        offset: c, in units of the pixels; by default a tenth of the mean response.

    Returns:
        The score is 0 or more, above that of other columns with a visible seam. It depends on the images' spectrum and
        on c, so that the score elsewhere is its reference: seamless images have a ratio of 1 within the spread.
        Meaningless for constant images (0), and noisy for few images of few rows.

    Raises:
        InputError: images of another shape, too small ones, or values that are not finite.

    Example:
        >>> ramp = np.broadcast_to(np.arange(32.0), (1, 1, 16, 32))
        >>> found = seam_score(ramp)
        >>> round(found.elsewhere), found.ratio > 10
        (1, True)
    """
    x = _panoramas(images)
    response = np.abs(_scharr(np.concatenate([x[..., -1:], x, x[..., :1]], axis=-1), axis=-1))
    offset = _offset(offset, response)
    # Column j has the score of the edge between columns j − 1 and j; edge 0 is the seam.
    before, after = np.roll(response, 1, axis=-1), response
    outside, beyond = np.roll(response, 2, axis=-1), np.roll(response, -1, axis=-1)
    scores = 0.5 * (before / (outside + offset) + after / (beyond + offset)).mean(axis=(0, 1, 2))
    return EdgeScore(float(scores[0]), float(scores[1:].mean()), float(scores[1:].std()))


def pole_scores(images: Any, offset: float | None = None) -> tuple[EdgeScore, EdgeScore]:
    """Return the Discontinuity Score across the north and the south pole, and between all other adjacent rows.

    The analogue of ``seam_score``: beyond a pole an image goes on with its rows mirrored and rolled by half the width.
    Rows elsewhere are only a rough reference, since pixels near the poles are narrow: compare the ratio with that of
    training images.

    Args:
        images: panoramas ``(n, C, H, W)`` with at least 6 rows and 3 columns.
        offset: as in ``seam_score``.

    Returns:
        Scores of the north pole and of the south pole.

    Raises:
        InputError: as ``seam_score``.

    Example:
        >>> from omniconv.surfaces.panorama import pixel_directions
        >>> smooth = pixel_directions(32, 64)[None, None, ..., 0]
        >>> step = np.sign(smooth) * (np.arange(32) < 16)[:, None]
        >>> pole_scores(step + smooth)[0].ratio > 3 * pole_scores(smooth)[0].ratio
        True
    """
    x = _panoramas(images)
    response = np.abs(_scharr(pad_panorama(x, 3, 1), axis=-2))  # rows −2 … H + 1
    offset = _offset(offset, response)
    outside, before, after, beyond = (response[..., i : i + x.shape[-2] + 1, :] for i in (0, 1, 2, 3))
    # Row i has the score of the edge between rows i − 1 and i; the first and last edge are the poles.
    scores = 0.5 * (before / (outside + offset) + after / (beyond + offset)).mean(axis=(0, 1, 3))
    inner = scores[1:-1]
    north, south = (EdgeScore(float(scores[i]), float(inner.mean()), float(inner.std())) for i in (0, -1))
    return north, south


def cube_faces(images: Any, size: int | None = None) -> dict[str, np.ndarray]:
    """Return the cube faces of panoramas in OmniFID's three groups: up, down, and the four sides together.

    Args:
        images: panoramas ``(n, C, H, W)``.
        size: pixels along an edge of a face; by default a quarter of the width.

    Returns:
        ``up`` and ``down``: ``(n, C, size, size)``; ``sides``: ``(4n, C, size, size)``, image by image.

    Raises:
        InputError: as ``seam_score``.

    Example:
        >>> [faces.shape for faces in cube_faces(np.zeros((2, 3, 16, 32))).values()]
        [(2, 3, 8, 8), (2, 3, 8, 8), (8, 3, 8, 8)]
    """
    x = _panoramas(images)
    size = check_integer("size", x.shape[-1] // 4 if size is None else size, 1, "leave it out")
    faces = Cubemap(size).from_equirectangular(x)  # (n, C, 6, size, size)
    faces = np.moveaxis(faces, 2, 1)
    return {name: faces[:, list(group)].reshape(-1, *faces.shape[2:]) for name, group in FACE_GROUPS.items()}


def omni_frechet_distance(
    images_a: Any, images_b: Any, features: Callable[[np.ndarray], np.ndarray], size: int | None = None
) -> float:
    """Return OmniFID's mean of three Fréchet distances: of the faces up, of those down, and of all four sides.

    Args:
        images_a: panoramas ``(n, C, H, W)``.
        images_b: panoramas ``(m, C, H, W)``.
        features: maps faces ``(n, C, size, size)`` to features ``(n, d)``.
        size: pixels along an edge of a face; by default a quarter of the width.

    Returns:
        0 for equal statistics, unbounded above. As ``frechet_distance``, it depends on the features and on n, and is
        meaningless below some 10·d panoramas.

    Raises:
        InputError: as ``seam_score`` and ``frechet_distance``.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(8, 1, 16, 32))
        >>> round(omni_frechet_distance(x, x + 1, lambda faces: faces.mean((2, 3))), 6)
        1.0
    """
    a, b = cube_faces(images_a, size), cube_faces(images_b, size)
    return float(np.mean([frechet_distance(features(a[name]), features(b[name])) for name in FACE_GROUPS]))


def _panoramas(images: Any) -> np.ndarray:
    x = as_images("images", images, Equirectangular()).astype(np.float64)
    if min(x.shape[2:]) < 6:
        raise InputError("images", x.shape, "must have at least 6 rows and 6 columns", "use larger panoramas")
    return x


def _scharr(x: np.ndarray, axis: int) -> np.ndarray:
    """Return Scharr responses to edges across an axis, without padding: both axes become shorter by 2."""
    along = -1 if axis == -2 else -2
    inner = x.shape[axis] - 2
    difference = (x.take(range(2, 2 + inner), axis) - x.take(range(inner), axis)) / 2
    size = x.shape[along] - 2
    return sum(weight * difference.take(range(i, i + size), along) for i, weight in enumerate(SCHARR))


def _offset(offset: float | None, response: np.ndarray) -> float:
    if offset is not None:
        return check_number("offset", offset, lambda c: c > 0, "must be above 0", "leave it out")
    return RELATIVE_OFFSET * float(response.mean()) or 1.0
