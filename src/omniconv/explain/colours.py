"""Colours of samples by their position, so that a copy past an edge is recognised; for light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CORNERS = (  # top left, top right, bottom left, bottom right; light, dark
    ("#ffeaa1", "#ffc2d4", "#b2ecd2", "#c3ccff"),
    ("#6f5a10", "#7d2d4d", "#14634a", "#37479c"),
)
STOPS = (
    ("#ffe694", "#ffcaa8", "#f8bcd9", "#cdc6fb", "#b0defa", "#aeeccb"),
    ("#6b5b10", "#7d4423", "#7a2f5e", "#4a409b", "#1f5a80", "#17664a"),
)


def sample_colours(sizes: Sequence[int]) -> list[tuple[str, str]]:
    """Return a colour for a light and one for a dark page for each sample.

    Along a row they run through six colours, on a grid between four corners.

    Example:
        >>> sample_colours((1, 2))
        [('#ffeaa1', '#6f5a10'), ('#ffc2d4', '#7d2d4d')]
    """
    light, dark = ((_row if len(sizes) == 1 else _grid)(sizes, scheme) for scheme in (0, 1))
    return [(_hex(one), _hex(other)) for one, other in zip(light, dark, strict=True)]


def _row(sizes: Sequence[int], scheme: int) -> np.ndarray:
    stops = _rgb(STOPS[scheme])
    positions = np.linspace(0, len(stops) - 1, sizes[0])
    return np.stack([np.interp(positions, np.arange(len(stops)), channel) for channel in stops.T], -1)


def _grid(sizes: Sequence[int], scheme: int) -> np.ndarray:
    corners = _rgb(CORNERS[scheme]).reshape(2, 2, 3)
    down, along = (np.linspace(0, 1, size) for size in sizes)
    rows = corners[0] + (corners[1] - corners[0]) * down[:, None, None]
    grid = rows[:, :1] + (rows[:, 1:] - rows[:, :1]) * along[None, :, None]
    return grid.reshape(-1, 3)


def _rgb(colours: Sequence[str]) -> np.ndarray:
    return np.array([list(bytes.fromhex(colour[1:])) for colour in colours], float)


def _hex(colour: np.ndarray) -> str:
    return f"#{bytes(np.rint(colour).astype(np.uint8)).hex()}"
