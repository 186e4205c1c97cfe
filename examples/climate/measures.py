"""Statistics of temperature maps beside those of the held-out member."""

from __future__ import annotations

from typing import Any

import numpy as np

from examples.climate.data import Climate, areas
from omniconv.metrics.copies import authenticity, nearest_images
from omniconv.metrics.seams import pole_scores, seam_score
from omniconv.surfaces import Equirectangular

LARGE, SMALL = slice(1, 11), slice(11, 33)
"""Zonal wavenumbers of large scales, and of small ones down to 1,250 km at the equator."""


def spectrum(maps: np.ndarray) -> np.ndarray:
    """Return the mean power of each zonal wavenumber over maps and rows, by area.

    Args:
        maps: ``(n, H, W)``.

    Returns:
        ``(W / 2 + 1,)``, in squared units of the maps; its sum, with twice the inner entries, is the mean square.
    """
    power = np.abs(np.fft.rfft(maps, axis=-1) / maps.shape[-1]).astype(np.float64) ** 2
    return np.einsum("nhk,h->k", power, areas(maps.shape[-2:]).sum(1)) / len(maps)


def measure(anomalies: np.ndarray, climate: Climate, is_sample: bool = True) -> dict[str, Any]:
    """Return the statistics of maps, most of them beside those of the held-out member.

    Args:
        anomalies: ``(n, H, W)``, divided by the local standard deviation as the training data.
        climate: the data.
        is_sample: False for training data, which is its own nearest training map.
    """
    weights, held_out = areas(climate.mean.shape), climate.held_out
    ratio = np.log(anomalies.std(0) / held_out.std(0))
    zonal = ((anomalies.mean(0) - held_out.mean(0)) * climate.std).mean(1)
    decibels = 10 * np.log10(spectrum(anomalies * climate.std) / spectrum(held_out * climate.std))
    seam, poles = seam_score(anomalies[:, None]), pole_scores(anomalies[:, None])
    found: dict[str, Any] = {
        "variance": float((weights * anomalies.var(0)).sum() / (weights * held_out.var(0)).sum()),
        "std_rms": float(np.sqrt((weights * ratio**2).sum())),
        "zonal_mean_rms": float(np.sqrt((weights.sum(1) * zonal**2).sum())),
        "large_scales_db": float(np.abs(decibels[LARGE]).mean()),
        "small_scales_db": float(decibels[SMALL].mean()),
        "seam": seam.ratio,
        "seam_spread": seam.spread / seam.elsewhere,
        "poles": [pole.ratio for pole in poles],
    }
    if is_sample:
        samples, training = anomalies[:, None], climate.training[:, None]
        nearest = nearest_images(samples, training, Equirectangular(), rolls=False)
        found["nearest"] = float(np.median(nearest.distance))
        found["authentic"] = authenticity(samples, training, Equirectangular(), rolls=False)
    return found
