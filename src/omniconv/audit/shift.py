"""Change of a network's output when the panorama is cut at another longitude, by the distance from the cut.

A panorama rolled by some columns shows the same sphere, cut elsewhere. The output for it, rolled back, differs from the
output for the original for two reasons. Near both cuts the borders differ. And a network with a total stride of s
samples every s-th column: a roll by other than a multiple of s moves image content between its samples, which changes
the output everywhere, even without any border effect. Rolls by multiples of s (``exact``), which show border effects
alone, are therefore reported apart from other rolls (``between``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import lcm
from typing import Any

import numpy as np

from omniconv.audit.difference import DifferenceAccumulator, difference, divide
from omniconv.audit.model_adapter import PanoramaFunction, model_name, panorama_function, scores_classes
from omniconv.audit.total_stride import total_stride
from omniconv.convert.network_output import OutputKey, check_panoramas
from omniconv.errors import InputError
from omniconv.surfaces import panorama

ROLL_PARTS = 8
"""Default rolls go by 1/8 to 7/8 of the width, so that every place is compared at several distances from a cut."""
SEAM_PARTS = 32
"""Pixels within 1/32 of the width (11.25°) of a cut count as the seam, and at least those within one total stride,
since one sample of the coarsest signal mixes them with the border."""
MIN_PLACES = 6  # that a spread is computed from
REACH_SHARE = 0.9  # share of all changes within ``Profile.reach`` of a cut


@dataclass(frozen=True)
class Profile:
    """Measure of change over the sphere and by the distance from the nearest cut.

    Attributes:
        everywhere: over the whole sphere, weighted by area.
        at_seam: near a cut; ``None``, as all below, for one output per image.
        elsewhere: farther away.
        seam_share: share of all changes that are at the seam; NaN without changes.
        reach: distance from a cut in degrees that contains 90 % of all changes; NaN without changes.
        by_distance: by output column from the cut; NaN where no roll left a column at that distance.
        noise: excess over ``elsewhere`` that as many columns far from any cut have by chance, from their spread:
            five standard deviations, or twice the largest; ``None`` where too few columns are far from a cut.
    """

    everywhere: float
    at_seam: float | None = None
    elsewhere: float | None = None
    seam_share: float | None = None
    reach: float | None = None
    by_distance: tuple[float, ...] = ()
    noise: float | None = None


@dataclass(frozen=True)
class RollErrors:
    """Change caused by a group of rolls.

    Attributes:
        shifts: rolls in columns of the panorama.
        changed: share of the area whose class changes; ``None`` if channels are not class scores.
        difference: root mean square difference relative to the output's standard deviation.
    """

    shifts: tuple[int, ...]
    changed: Profile | None
    difference: Profile

    @property
    def measure(self) -> Profile:
        """``changed``, or ``difference`` without class scores."""
        return self.changed or self.difference


@dataclass(frozen=True)
class ShiftError:
    """Change caused by rolls of the panorama.

    Attributes:
        width: columns of the panoramas.
        stride: total stride in columns; ``None`` on a surface whose samples are not panorama columns.
        near: columns from a cut that count as the seam.
        degrees: distances from the cut of ``by_distance``; empty for one output per image.
        exact: rolls by multiples of the stride, border effects alone; ``None`` if there are none.
        between: other rolls, which move image content between the network's samples; ``None`` if there are none.
    """

    width: int
    stride: int | None
    near: int
    degrees: tuple[float, ...]
    exact: RollErrors | None
    between: RollErrors | None

    @property
    def named(self) -> dict[str, RollErrors]:
        """Rolls that were tried, by a description of their sizes."""
        if self.stride in (1, None):
            names = {"by any number of columns": self.exact or self.between}
        else:
            names = {f"by multiples of {self.stride} columns": self.exact, "by other shifts": self.between}
        return {name: errors for name, errors in names.items() if errors is not None}

    @property
    def seam(self) -> RollErrors:
        """Rolls that isolate border effects best."""
        return self.exact or self.between  # type: ignore[return-value]  # shift_error makes at least one


def shift_error(
    model: Any,
    panoramas: Any,
    shifts: Sequence[int] | None = None,
    stride: int | None = None,
    classes: bool | None = None,
    output: OutputKey = None,
) -> ShiftError:
    """Measure how much a network's output changes when the panorama is cut at another longitude.

    Args:
        model: a module from ``(B, C, H, W)`` to maps ``(B, K, H', W')`` or vectors ``(B, K)``; a network of
            ``oc.models`` on any surface; a ``Predictor``.
        panoramas: ``(B, C, H, W)`` or ``(C, H, W)``, preprocessed as the network needs them; rows go from pole to pole,
            columns all around. They need not be twice as wide as high.
        shifts: rolls in columns; by default seven multiples of the stride around the circle, and seven other rolls.
        stride: total stride; by default determined from the network.
        classes: channels are class scores, so that predicted classes are compared too; by default if there are
            several. A single channel is the score of class 1 against 0.
        output: key or index of the output to use when there are several; the first tensor by default.

    Raises:
        InputError: an unusable network or panoramas, or shifts that do not match the output's columns.

    Example:
        >>> import torch, omniconv as oc
        >>> network = oc.models.UNet(3, 2, surface=oc.Equirectangular(), width=2, depth=1)
        >>> error = shift_error(network, torch.rand(1, 3, 8, 16))
        >>> error.stride, error.exact.difference.everywhere < 1e-4
        (2, True)
    """
    images = check_panoramas(panoramas)
    width = images.shape[-1]
    stride = total_stride(model, images[0], output) if stride is None else stride
    if stride is not None and not (isinstance(stride, int) and 1 <= stride <= width):
        raise InputError("stride", stride, f"must be a whole number from 1 to the width, {width}", "leave it out")
    near = max(stride or 1, width // SEAM_PARTS)
    with panorama_function(model, output) as function:
        upright = [function(image) for image in images]
        output_width = upright[0].shape[-1]
        if width % output_width and output_width % width:
            rule = f"returns {output_width} columns for a panorama of {width}: one must be a multiple of the other"
            cure = "give panoramas whose width is a multiple of its total stride"
            raise InputError("model", model_name(model), rule, cure)
        # Rolls move whole columns of the panorama and of the output; one output per image has no columns.
        step = max(1, width // output_width) if output_width > 1 else 1
        exact, between = _grouped_shifts(shifts, width, stride, step)
        measure = partial(_roll_errors, function, images, upright, scores_classes(model, upright[0], classes), near)
        errors = [measure(group) if group else None for group in (exact, between)]
    return ShiftError(width, stride, near, tuple(_degrees(output_width).tolist()), *errors)


def profile(amounts: np.ndarray, areas: np.ndarray, near: int, degrees: np.ndarray, take_root: bool = False) -> Profile:
    """Summarise the mean of an additive measure at each distance from the cut, with NaN for empty bins.

    The first ``near`` distances count as the seam. With ``take_root`` amounts are squares: their roots are returned.

    Example:
        >>> change = profile(np.array([0.3, 0.1, 0.0]), np.ones(3), 1, np.array([5.0, 15.0, 25.0]))
        >>> round(change.seam_share, 2), change.reach
        (0.75, 15.0)
    """
    totals = np.nan_to_num(amounts) * areas

    def mean(part: slice) -> float:
        value = float(divide(totals[part].sum(), areas[part].sum()))
        return float(np.sqrt(value)) if take_root else value

    everywhere = mean(slice(None))
    if len(areas) == 1:
        return Profile(everywhere)
    cumulated = np.cumsum(totals)
    seam_share = reach = np.nan
    if cumulated[-1] > 0:
        seam_share = float(cumulated[:near][-1] / cumulated[-1])
        reach = float(degrees[np.searchsorted(cumulated, REACH_SHARE * cumulated[-1])])
    by_distance = tuple((np.sqrt(amounts) if take_root else amounts).tolist())
    return Profile(everywhere, mean(slice(near)), mean(slice(near, None)), seam_share, reach, by_distance)


def _roll_errors(
    function: PanoramaFunction,
    images: np.ndarray,
    upright: list[np.ndarray],
    class_scores: bool,
    near: int,
    shifts: Sequence[int],
) -> RollErrors:
    height, width = upright[0].shape[1:]
    areas = panorama.pixel_areas(height, width)
    accumulator = DifferenceAccumulator()
    columns: dict[int, DifferenceAccumulator] = {shift: DifferenceAccumulator() for shift in shifts}
    for shift in shifts:
        rolled = shift * width // images.shape[-1] if width > 1 else 0
        by_distance = partial(_sums_by_distance, _distances(width, rolled), areas)
        for image, reference in zip(images, upright, strict=True):
            restored = np.roll(function(np.roll(image, shift, -1)), -rolled, -1)
            change = difference(reference, restored, areas, class_scores)
            accumulator.add(change, by_distance)
            columns[shift].add(change, lambda values: (values * areas).sum(axis=0))
    near_output = max(1, near * width // images.shape[-1])
    summed = partial(profile, areas=accumulator.areas, near=near_output, degrees=_degrees(width))
    noise = partial(
        column_noise,
        distances=np.stack(
            [_distances(width, shift * width // images.shape[-1] if width > 1 else 0) for shift in shifts]
        ),
        near=near_output,
    )
    squares, roots = np.stack([part.squared for part in columns.values()]), summed(accumulator.squared, take_root=True)
    roots = replace(roots, noise=noise(squares, take_root=True))
    if accumulator.changed is None:
        return RollErrors(tuple(shifts), None, roots)
    rates = np.stack([part.changed for part in columns.values() if part.changed is not None])
    changed = replace(summed(accumulator.changed), noise=noise(rates))
    return RollErrors(tuple(shifts), changed, roots)


def column_noise(rates: np.ndarray, distances: np.ndarray, near: int, take_root: bool = False) -> float | None:
    """Return the excess that columns have by chance where there is no cut: of changes ``(rolls, columns)`` by column.

    The columns near the cuts are moved to every other longitude, as far as they are farther than 45° from every cut
    there, where borders have little effect; their means would have been the change at the seam.
    """
    width = rates.shape[1]
    far, cut = distances >= max(width // 8, 3 * near), distances < near
    means = [
        rates[places].mean()
        for places in (np.roll(cut, moved, axis=1) & far for moved in range(1, width))
        if places.sum() >= cut.sum() / 4
    ]
    if len(means) < MIN_PLACES:
        return None
    others, usual = (np.sqrt(part) if take_root else part for part in (np.array(means), rates[far].mean()))
    # a few dozen places, whose changes are correlated: this alone named a seam on 3 of 680 random networks on meshes
    # and cube maps; with the comparison to `elsewhere` in `verdict`, on none
    return float(max(5 * others.std(), 2 * (others.max() - usual)))


def _degrees(width: int) -> np.ndarray:
    """Distances of output columns from a cut; empty for one output per image."""
    return (np.arange((width + 1) // 2 if width > 1 else 0) + 0.5) * 360 / width


def _sums_by_distance(distances: np.ndarray, areas: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(distances, (values * areas).sum(axis=0), max(1, (len(distances) + 1) // 2))


def _distances(width: int, rolled: int) -> np.ndarray:
    """Columns from the nearest cut, that of the original or that of the panorama rolled by ``rolled`` columns."""
    column = np.arange(width)
    moved = (column + rolled) % width
    return np.minimum.reduce([column, width - 1 - column, moved, width - 1 - moved])


def _grouped_shifts(
    shifts: Sequence[int] | None, width: int, stride: int | None, step: int
) -> tuple[list[int], list[int]]:
    """Return rolls by multiples of the stride, and other rolls."""
    given = None if shifts is None else [_checked_shift(shift, width, step) for shift in shifts]
    chosen = _default_shifts(width, stride, step) if given is None else given
    if not chosen:
        raise InputError("shifts", shifts, f"must contain a roll for {width} columns and a stride of {stride}",
                         "give wider panoramas, or rolls in columns")  # fmt: skip
    exact = [shift for shift in chosen if stride is not None and shift % stride == 0]
    return exact, [shift for shift in chosen if shift not in exact]


def _default_shifts(width: int, stride: int | None, step: int) -> list[int]:
    """Return up to seven multiples of the stride around the circle, and as many rolls that are no multiples."""
    unit = lcm(stride or 1, step)
    around = [round(part * width / ROLL_PARTS / unit) * unit for part in range(1, ROLL_PARTS)]
    exact = sorted({shift for shift in around if 0 < shift < width})
    offsets = unit // step - 1
    between = {shift + step * (1 + index % offsets) for index, shift in enumerate(exact)} if offsets else set()
    return exact + sorted(shift for shift in between if shift < width)


def _checked_shift(shift: Any, width: int, step: int) -> int:
    if not isinstance(shift, int | np.integer) or shift % width == 0 or shift % step:
        multiple = f", a multiple of {step} as the output's columns are" if step > 1 else ""
        raise InputError("shifts", shift, f"must be whole numbers of columns{multiple}, not a multiple of {width}",
                         "leave them out")  # fmt: skip
    return int(shift) % width
