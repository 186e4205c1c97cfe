"""ICC profiles for the tests of omniconv.data, written field by field (ICC.1:2001-04)."""

from __future__ import annotations

import struct

import numpy as np

DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""XYZ of red, green and blue, adapted to D50."""


def rgb_profile(primaries: tuple[tuple[float, ...], ...], gamma: float = 2.2) -> bytes:
    """A display profile of a matrix and one gamma."""
    tags = {f"{name}XYZ": _xyz(values) for name, values in zip("rgb", primaries, strict=True)}
    tags |= {f"{name}TRC": _gamma(gamma) for name in "rgb"}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    """A grey profile of one gamma."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {"kTRC": _gamma(gamma)})


def cmyk_profile() -> bytes:
    """A printer profile in which lightness is what black and the mean of the inks leave, and colour is neutral."""
    inks = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), axis=-1).reshape(16, 4)
    lightness = (1 - inks[:, 3]) * (1 - inks[:, :3].mean(axis=1))
    lab = np.stack([lightness * 255, np.full(16, 128), np.full(16, 128)], axis=1).round().astype(np.uint8)
    identity = struct.pack(">9i", *(65536 * value for value in (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + ramp * 4 + lab.tobytes() + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {"A2B0": table})


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _gamma(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))


def _profile(device: bytes, space: bytes, connection: bytes, tags: dict[str, bytes]) -> bytes:
    name = b"test\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(79)
    tags = {"desc": description, "wtpt": _xyz((0.9642, 1.0, 0.8249)), "cprt": b"text" + bytes(4) + b"none\0", **tags}
    offset, entries, body = 128 + 4 + 12 * len(tags), b"", b""
    for key, content in tags.items():
        entries += key.encode() + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = offset + len(body)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, device, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + entries + body
