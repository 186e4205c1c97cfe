"""Export many layers as one program, and compare it with them at sizes that the export has not seen."""

from __future__ import annotations

import torch
from layer_cases import OTHERS, SIZES
from torch import nn

from omniconv.exporting import onnx_file, torch_file
from omniconv.exporting.program import AXES, silenced_exporter, with_standard_ops

MIN_SIZE = 10
"""Smallest size of a dynamic axis: kernels of 4 taps at stride 3 and dilation 2 leave two samples of it."""
CODECS = {"torch": torch_file, "onnx": onnx_file}
MESH = 162


class Parallel(nn.Module):
    """Many layers on one input: one export of all takes less time than one of each."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        results = [layer(x) for layer in self.layers]
        return tuple(y for result in results for y in (result if isinstance(result, tuple) else (result,)))


def in_parallel(cases):
    """Build the layers of named cases as one module."""
    torch.manual_seed(0)
    layers = [build().eval() for _, build in cases]
    return Parallel(layers).eval()


def signal(ndim, batch, size, channels=4):
    """Return a random signal; another one for another size."""
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(sum(size)))


def dynamic_dims(ndim, mesh):
    """Return the dynamic axes: the batch and, except on a mesh, the grid."""
    axes = () if mesh else AXES[ndim]
    return {
        0: torch.export.Dim("batch"),
        **{axis: torch.export.Dim(name, min=MIN_SIZE) for axis, name in enumerate(axes, start=2)},
    }


def program_of(module, ndim, mesh=False):
    """Export a module with standard operators for any size."""
    example = signal(ndim, 2, (MESH,) if mesh else SIZES[ndim])
    with silenced_exporter(), torch.no_grad():
        return torch.export.export(
            with_standard_ops(module), (example,), dynamic_shapes=(dynamic_dims(ndim, mesh),), strict=False
        )


def check_outputs(module, run, ndim, mesh=False):
    """Check that a program computes what its module computes, at every size."""
    for batch in (1, 3):
        for size in ((MESH,),) if mesh else OTHERS[ndim]:
            x = signal(ndim, batch, size)
            with torch.no_grad():
                expected = module(x)
            for one, other in zip(expected, run(x), strict=True):
                torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


def write_and_read(program, file_format, count):
    """Return a function that runs the bytes of a file, and the bytes."""
    content = CODECS[file_format].to_bytes(program, {"omniconv": "0"}, tuple(f"y{index}" for index in range(count)))
    return CODECS[file_format].from_bytes(content), content


def grouped_by_ndim(cases, size=10):
    """Yield groups of cases with the same number of axes, and that number."""
    by_ndim = {}
    for name, build in cases:
        ndim = 1 if "ndim=1" in name or name.startswith("mesh") else 3 if "ndim=3" in name else 2
        by_ndim.setdefault(ndim, []).append((name, build))
    for ndim, named in by_ndim.items():
        for start in range(0, len(named), size):
            yield ndim, named[start : start + size]
