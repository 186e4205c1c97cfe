"""A measure of change by the distance from where the panorama is cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 0.9
"""Share of all changes that lies within the reach of a seam."""


@dataclass(frozen=True)
class Curve:
    """A measure of change over the sphere, and by the distance from the nearest cut.

    Attributes:
        everywhere: over the whole sphere, by area.
        at_seam: within some columns of a cut; ``None`` where one answer is for the whole, as all below.
        elsewhere: farther from it.
        seam_share: share of all changes that lies at the seam; not-a-number without changes.
        reach: degrees from a cut within which nine tenths of all changes lie; not-a-number without changes.
        by_distance: by column of the answer, from the cut on; not-a-number where no turn left anything so far.
    """

    everywhere: float
    at_seam: float | None = None
    elsewhere: float | None = None
    seam_share: float | None = None
    reach: float | None = None
    by_distance: tuple[float, ...] = ()


def curve(amounts: np.ndarray, areas: np.ndarray, near: int, degrees: np.ndarray, root: bool = False) -> Curve:
    """The curve of amounts that add up.

    Args:
        amounts: mean of each distance, from the cut on; not-a-number where nothing lies so far.
        areas: of all that lies at each distance.
        near: distances that count as at the seam.
        degrees: each distance.
        root: amounts are squares, and their roots are the measure.

    Example:
        >>> found = curve(np.array([0.3, 0.1, 0.0]), np.ones(3), 1, np.array([5.0, 15.0, 25.0]))
        >>> round(found.seam_share, 2), found.reach
        (0.75, 15.0)
    """

    totals = np.nan_to_num(amounts) * areas

    def mean(part: slice) -> float:
        weights = areas[part].sum()
        value = float(totals[part].sum() / weights) if weights > 0 else np.nan
        return float(np.sqrt(value)) if root else value

    if len(areas) == 1:
        return Curve(mean(slice(None)))
    sums = np.cumsum(totals)
    some = bool(sums[-1] > 0)
    return Curve(
        everywhere=mean(slice(None)),
        at_seam=mean(slice(near)),
        elsewhere=mean(slice(near, None)),
        seam_share=float(sums[min(near, len(sums)) - 1] / sums[-1]) if some else np.nan,
        reach=float(degrees[np.searchsorted(sums, MOST * sums[-1])]) if some else np.nan,
        by_distance=tuple((np.sqrt(amounts) if root else amounts).tolist()),
    )
