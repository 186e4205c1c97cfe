"""How layers are packed into one program, and programs are held against them at sizes they have not seen."""

from __future__ import annotations

import torch
from layer_cases import OTHERS, SIZES
from torch import nn

from omniconv.exporting import onnx_file, torch_file
from omniconv.exporting.program import AXES, silenced_exporter, with_standard_ops

LEAST = 10
"""Smallest size of an open axis here: kernels of 4 taps at stride 3 and dilation 2 leave two samples of it."""
WRITERS = {"torch": torch_file, "onnx": onnx_file}
MESH = 162


class Pack(nn.Module):
    """Many layers on one input, for an export of one program costs less than many."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        results = [layer(x) for layer in self.layers]
        return tuple(y for result in results for y in (result if isinstance(result, tuple) else (result,)))


def packed(cases):
    """A pack of named layers, and the names of its outputs."""
    torch.manual_seed(0)
    layers = [build().eval() for _, build in cases]
    return Pack(layers).eval()


def signal(ndim, batch, size, channels=4):
    """A signal of four channels, other for other sizes."""
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(sum(size)))


def open_dims(ndim, mesh):
    """Batch and grid open; a mesh has one size."""
    axes = () if mesh else AXES[ndim]
    return {
        0: torch.export.Dim("batch"),
        **{axis: torch.export.Dim(name, min=LEAST) for axis, name in enumerate(axes, start=2)},
    }


def program_of(module, ndim, mesh=False):
    """A module of standard operators as a program of open sizes."""
    example = signal(ndim, 2, (MESH,) if mesh else SIZES[ndim])
    with silenced_exporter(), torch.no_grad():
        return torch.export.export(
            with_standard_ops(module), (example,), dynamic_shapes=(open_dims(ndim, mesh),), strict=False
        )


def compare(module, run, ndim, mesh=False):
    """A program gives what its module gives, at every size."""
    for batch in (1, 3):
        for size in ((MESH,),) if mesh else OTHERS[ndim]:
            x = signal(ndim, batch, size)
            with torch.no_grad():
                right = module(x)
            for one, other in zip(right, run(x), strict=True):
                torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


def written_and_read(program, kind, count):
    """What runs the bytes of a file."""
    content = WRITERS[kind].to_bytes(program, {"omniconv": "0"}, tuple(f"y{index}" for index in range(count)))
    return WRITERS[kind].from_bytes(content), content


def in_packs(cases, size=10):
    """Cases by number of axes, in packs."""
    by_ndim = {}
    for name, build in cases:
        ndim = 1 if "ndim=1" in name or name.startswith("mesh") else 3 if "ndim=3" in name else 2
        by_ndim.setdefault(ndim, []).append((name, build))
    for ndim, named in by_ndim.items():
        for start in range(0, len(named), size):
            yield ndim, named[start : start + size]
