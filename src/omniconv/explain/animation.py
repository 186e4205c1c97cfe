"""The steps of an explanation as an animated GIF."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image

from omniconv.explain.frames import draw_steps
from omniconv.explain.story import Story

LAST = 3  # times as long as the others stands the last picture, before all begins again
SAMPLED = 8  # pictures that the colours are taken from
UNCHANGED = 255  # the colour that leaves what the picture before has drawn


def gif_bytes(story: Story, seconds: float) -> bytes:
    """An animation that repeats for ever.

    Args:
        story: what is shown.
        seconds: how long each step stands.

    Raises:
        InputError: the story is too large to be drawn.
    """
    count = len(story.steps)
    first, *changes = _changes(draw_steps(story), Palette(draw_steps(story, every=-(-count // SAMPLED))))
    times = [round(1000 * seconds)] * len(changes) + [round(1000 * seconds * LAST)]
    buffer = io.BytesIO()
    first.save(
        buffer, "GIF", save_all=True, append_images=changes, duration=times, loop=0, optimize=False, disposal=1,
        transparency=UNCHANGED,
    )  # fmt: skip
    return buffer.getvalue()


class Palette:
    """The most frequent colours of some pictures, one palette for all: paper stays white and nothing flickers.

    Args:
        pictures: RGB, of which the colours are counted.
    """

    def __init__(self, pictures: Iterable[Image.Image]) -> None:
        found = np.concatenate([_packed(picture).ravel() for picture in pictures])
        colours, times = np.unique(found, return_counts=True)
        self._colours = colours[np.argsort(-times, kind="stable")][:UNCHANGED]
        self._nearest = np.full(1 << 24, -1, np.int16)  # for each colour its index, as far as it is known

    def indices(self, picture: Image.Image) -> np.ndarray:
        """For each pixel the index of the nearest colour."""
        packed = _packed(picture)
        strange = np.unique(packed[self._nearest[packed] < 0])
        if strange.size:
            away = _channels(strange)[:, None] - _channels(self._colours)[None]
            self._nearest[strange] = (away**2).sum(-1).argmin(-1)
        return self._nearest[packed].astype(np.uint8)

    def image(self, indices: np.ndarray) -> Image.Image:
        """A picture of indices with this palette."""
        result = Image.fromarray(indices)
        result.putpalette(_channels(self._colours).astype(np.uint8).tobytes())
        return result


def _changes(pictures: Iterable[Image.Image], palette: Palette) -> Iterator[Image.Image]:
    """The first picture whole, of each later one only what differs from the one before."""
    before = None
    for picture in pictures:
        indices = palette.indices(picture)
        yield palette.image(indices if before is None else np.where(before == indices, np.uint8(UNCHANGED), indices))
        before = indices


def _packed(picture: Image.Image) -> np.ndarray:
    """Red, green and blue in one number."""
    red, green, blue = np.moveaxis(np.asarray(picture, np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _channels(packed: np.ndarray) -> np.ndarray:
    return np.stack([packed >> 16, packed >> 8 & 255, packed & 255], -1).astype(np.int32)
